/* SPDX-License-Identifier: MIT */
/*
 * Public structs that begin with their size, so that they may grow: how one that a program compiled
 * against another version is read.
 */
#ifndef TP_OPTIONS_H
#define TP_OPTIONS_H

#include <stddef.h>

/*
 * Copies a struct that begins with a size_t size. The fields that from does not have keep the value
 * that they had in to.
 *
 * known:   bytes that this library knows of the struct
 * Returns: 0; -EINVAL: size is less than a size_t; -E2BIG: bytes beyond known are not all zero.
 */
int tp_options_copy(void *to, size_t known, const void *from);

#endif
