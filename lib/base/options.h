/* SPDX-License-Identifier: MIT */
/*
 * Reads public structs that begin with their size. Such a struct may grow: a program may pass one
 * that is shorter or longer than this library's.
 */
#ifndef TP_OPTIONS_H
#define TP_OPTIONS_H

#include <stddef.h>

/*
 * Copies such a struct, whose first field is size_t size. Fields that from does not have keep their
 * value in to.
 *
 * known:   bytes of the struct that this library knows
 * Returns: 0; -EINVAL: size is less than a size_t; -E2BIG: a byte beyond known is not 0.
 */
int tp_options_copy(void *to, size_t known, const void *from);

#endif
