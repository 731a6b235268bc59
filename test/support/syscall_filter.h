/* SPDX-License-Identifier: MIT */
/*
 * Has the kernel refuse system calls, as a sandbox does.
 */
#ifndef SYSCALL_FILTER_H
#define SYSCALL_FILTER_H

#include <stdint.h>

/*
 * From now on this system call fails with error, in all threads, if its first argument is command
 * in the bits of mask. Lasts to the end of the process, and goes on in a program that it executes.
 * Several filters may be set: a call is refused if one of them refuses it.
 *
 * Returns: 0, or -1 with errno
 */
int syscall_refuse(uint32_t call, uint32_t mask, uint32_t command, uint32_t error);

#endif
