/* SPDX-License-Identifier: MIT */
/*
 * Runs programs for tests of what the environment has the library do. A program is a child that ends
 * by exit, so that what the library does at the end of a process is done.
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <tierpool.h>

#include "pool_checks.h"

/*
 * Runs a program in this environment: "NAME=value", or "NAME" for a variable that is not to be there;
 * of the library's own it has no others but TIERPOOL_PERCPU. Returns: its status, as waitpid(2) gives
 * it.
 */
#define program_status(program, ...) \
	program_status_with(program, (const char *const[]){__VA_ARGS__, NULL})
int program_status_with(void (*program)(void), const char *const *variables);

/* The same; asserts that the program succeeds. */
#define program_run_in(program, ...) \
	program_run_with(program, (const char *const[]){__VA_ARGS__, NULL})
void program_run_with(void (*program)(void), const char *const *variables);

/* Of the last one that ran: what it wrote on stderr, and its process id. */
extern char program_said[];
extern pid_t program_id;

/* ---- in a program; assertions are its parent's ---- */

#define NEED(what) program_need(what, #what, __FILE__, __LINE__)
void program_need(bool is_so, const char *what, const char *file, int line);

/* A pool with these options. */
#define MAKE(...) program_pool(&pool_options(__VA_ARGS__))
tierpool *program_pool(const struct tierpool_options *options);

/* Of 1024, 4096 and 16384 bytes; a get without a size is lent the first. */
#define TIERS .tiers = program_tiers, .tier_count = 3, .calibrate_every = TIERPOOL_CALIBRATE_OFF
extern const size_t program_tiers[];

/* Gets without a size at one site, each with a growth by one byte and a put. */
void program_use(tierpool *pool, unsigned times);

#endif
