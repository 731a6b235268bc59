/* SPDX-License-Identifier: MIT */
/* Runs programs for tests of TIERPOOL_TRACE: only of one that ends by exit all of the trace is written. */
#ifndef TRACED_PROGRAM_H
#define TRACED_PROGRAM_H

#include "folder.h"
#include "program.h"
#include "trace_decode.h"

/*
 * Runs a program, and asserts that it succeeds. name: the value of the variable; NULL: there is none.
 */
void program_run(const char *name, void (*program)(void));

/* The same; asserts that it prints nothing on stderr, and opens its trace. */
struct decoder program_trace(void (*program)(void));

/* What a program says that writes to /dev/full. */
extern const char program_full_disk[];

#define MUCH 10000 /* times: more than what is written to a file at once */

#endif
