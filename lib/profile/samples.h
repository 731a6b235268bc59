/* SPDX-License-Identifier: MIT */
/*
 * The samples of the profile: what is known of buffers that are out, and the sums of all, by site and
 * by stack. Owns them, and the lock in which they are written. Nothing is called with that lock but
 * malloc; a stack is captured before it is taken.
 *
 * Of a pool, a site and a buffer it knows what it is told, and pointers that it compares and does not
 * follow.
 */
#ifndef TP_SAMPLES_H
#define TP_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "process/atfork.h"
#include "profile/snapshot.h"

/* A get that was drawn. */
struct tp_sampled_get {
	const void *buffer;
	const void *site; /* with pool_id: what tells it from others */
	const char *pool, *file, *label;
	uint64_t pool_id;
	unsigned line;
	unsigned step; /* of profile/rate.h: the probability with which it was drawn */
	size_t asked;  /* 0: without a size */
	size_t cap;
	enum tp_served served;
	const void *frame; /* of the function that the borrower called */
};

/*
 * Records a get. Returns: whether the buffer is followed; then tp_samples_put must be called for it,
 * and tp_samples_grow may be. False: out of memory, which is counted. These three leave errno alone.
 */
bool tp_samples_get(const struct tp_sampled_get *get);

/* A growth that copied so many bytes; cap: the new one. */
void tp_samples_grow(const void *buffer, size_t cap, size_t copied);

/* used: the largest len. */
void tp_samples_put(const void *buffer, size_t used);

/*
 * Forgets all that an earlier profile found, and begins one: from now on gets are drawn. sample_bytes:
 * as of tierpool_profile_start. Before: none is under way. False: out of memory.
 */
bool tp_samples_begin(size_t sample_bytes);

/* Ends it. */
void tp_samples_end(void);

void tp_samples_fork(enum tp_fork phase);

#endif
