/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include <utf8proc.h>

bool dtr_utf8_is_valid(const char *bytes, size_t length) {
    for (size_t i = 0; i < length;) {
        utf8proc_int32_t code;
        const utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)bytes + i,
                                                       (utf8proc_ssize_t)(length - i), &code);
        if (used <= 0)
            return false;
        i += (size_t)used;
    }
    return true;
}
