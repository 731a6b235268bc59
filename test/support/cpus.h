/* SPDX-License-Identifier: MIT */
/*
 * For tests that depend on where they run: on which CPUs, under Valgrind, in a sanitizer; and how a
 * test is skipped that cannot run there.
 */
#ifndef CPUS_H
#define CPUS_H

#include <criterion/criterion.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Leaves the test. The reason is printed even where Criterion prints nothing. */
__attribute__((noreturn)) void skip(const char *why);

/* Whether this runs under Valgrind, which has a malloc of its own and does not single-step. */
bool under_valgrind(void);

/* Keeps this thread on the nth CPU that it may use. False: there are fewer. */
bool pin(unsigned nth);

/* Keeps this thread where it is: idle buffers below 256 KiB are found on the own CPU only. */
void stay_on_this_cpu(void);

#endif
