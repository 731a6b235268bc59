/* SPDX-License-Identifier: MIT */
/*
 * Runs programs for tests of TIERPOOL_TRACE. A program is a child that ends by exit, as only then
 * all of its trace is written.
 */
#ifndef TRACED_PROGRAM_H
#define TRACED_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <tierpool.h>

#include "folder.h"
#include "pool_checks.h"
#include "trace_decode.h"

/*
 * Runs a program, and asserts that it succeeds. name: the value of the variable; NULL: there is none.
 */
void program_run(const char *name, void (*program)(void));

/* The same; asserts that it prints nothing on stderr, and opens its trace. */
struct decoder program_trace(void (*program)(void));

/* Of the last one that ran: what it wrote on stderr, and its process id. */
extern char program_said[];
extern pid_t program_id;

/* What a program says that writes to /dev/full. */
extern const char program_full_disk[];

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

#define MUCH 10000 /* times: more than what is written to a file at once */

#endif
