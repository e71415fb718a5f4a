/* SPDX-License-Identifier: MIT
 *
 * clean.h -- text that can be shown, whoever wrote it.
 */
#ifndef DTR_BASE_CLEAN_H
#define DTR_BASE_CLEAN_H

/* Control characters become question marks: what a file or a peer wrote must not move the cursor of
 * whoever reads about it. */
void dtr_text_clean(char *text);

#endif
