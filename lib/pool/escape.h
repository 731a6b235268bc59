/* SPDX-License-Identifier: MIT */
/*
 * The inside of a JSON string, without the quotes. First how much of the text is written as it is;
 * if that is not all, how long it will be, and what it is.
 */
#ifndef TP_ESCAPE_H
#define TP_ESCAPE_H

#include <stddef.h>

/* Returns: how many bytes at the beginning of the text are written as they are. */
size_t tp_escape_plain(const char *text, size_t n);

/*
 * plain:   what tp_escape_plain said
 * Returns: how many bytes tp_escape_write will write.
 */
size_t tp_escape_measure(const char *text, size_t n, size_t plain);

/* Writes that many bytes to to, which does not overlap the text. */
void tp_escape_write(char *to, const char *text, size_t n, size_t plain);

#endif
