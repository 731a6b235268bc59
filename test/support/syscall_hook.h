/* SPDX-License-Identifier: MIT */
/*
 * The system calls that the library makes by syscall(2) go through the test: a program that sets the
 * hook has a syscall of its own in place of the C library's.
 */
#ifndef SYSCALL_HOOK_H
#define SYSCALL_HOOK_H

/* Called before each of them, in the thread that makes it; NULL: nothing is. */
extern void (*syscall_before)(long number, const long argument[6]);

/* Set by it: the call is not made, and fails with this errno. */
extern _Thread_local int syscall_error;

#endif
