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

void dtr_text_clean(char *text) {
    for (unsigned char *at = (unsigned char *)text; *at; at++) {
        /* U+0080 to U+009F are two bytes. */
        const bool wide = *at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0;
        if (*at < ' ' || *at == 0x7f || wide)
            *at = '?';
        if (wide)
            *++at = '?';
    }
}
