/* SPDX-License-Identifier: MIT */
/* Names of files that the environment gives. */
#ifndef TP_PATHNAME_H
#define TP_PATHNAME_H

#include <stdbool.h>
#include <stddef.h>

/* Writes pattern to path, with the first %p replaced by the process id. False: it is too long. */
bool tp_pathname(char *path, size_t size, const char *pattern);

#endif
