/* SPDX-License-Identifier: MIT */
/*
 * A measurement in a process of its own, so that no other one has used its malloc or its pools, and
 * how its result comes back.
 */
#ifndef CHILD_H
#define CHILD_H

#include <stddef.h>

/*
 * Runs measure in a child.
 *
 * Before:  the caller uses no threads.
 * size:    of *result, at most 4096 bytes; the child's copy of it comes back
 * Returns: 0; -errno: there was no child; -ECANCELED: it ended without a result, after a message of
 *          its own, or was killed.
 */
int child_run(
	void (*measure)(const void *job, void *result), const void *job, void *result, size_t size);

#endif
