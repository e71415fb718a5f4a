/* SPDX-License-Identifier: MIT */
#include "base/clean.h"

#include <stdbool.h>

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
