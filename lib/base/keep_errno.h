/* SPDX-License-Identifier: MIT */
/*
 * Calls that leave errno alone (tierpool.h): whatever the system, the C library or a function of the
 * program did in them. Said once in each such call, on a slow path.
 */
#ifndef TP_KEEP_ERRNO_H
#define TP_KEEP_ERRNO_H

#include <errno.h>

static inline void tp_errno_restore(const int *before)
{
	errno = *before;
}

/* A declaration: when its block is left, errno is what it is here. */
#define TP_KEEP_ERRNO int errno_before __attribute__((cleanup(tp_errno_restore), unused)) = errno

#endif
