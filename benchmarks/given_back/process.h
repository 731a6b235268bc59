/* SPDX-License-Identifier: MIT */
/*
 * A measurement in a process of its own, so that no other one has used its malloc or its pools, and
 * what such a process reads of itself.
 */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdbool.h>
#include <stddef.h>

#include <tierpool.h>

#define KIB 1024.0
#define MIB 1048576.0

/*
 * Runs measure in a child, pinned to a CPU. The caller has used neither threads nor the library.
 *
 * size:    of *result, at most 4096 bytes; the child's copy of it comes back
 * Returns: the child's exit status; FAILED: also if there was no child, or it was killed.
 */
int process_run(
	void (*measure)(const void *job, void *result), const void *job, void *result, size_t size);

/* In the child: ends it after a message. error: an errno. */
__attribute__((noreturn)) void process_fail(const char *what, int error);

/* Returns: whether process_resident works here. */
bool process_resident_known(void);

/*
 * Returns: resident bytes of the process, exact. /proc/self/statm would be wrong by up to a batch of
 * pages for each CPU, since many kernels read its sum without what the CPUs have not added yet.
 */
double process_resident(void);

/* The numbers of a pool. */
struct tierpool_stats process_stats(tierpool *pool);

#endif
