/* SPDX-License-Identifier: MIT */
/*
 * The tables of samples.c: places, stacks, and the samples of buffers that are out; each found by a
 * hash. They are freed when a profile is started anew, but for places that threads use then without the
 * lock.
 */
#ifndef TP_SAMPLES_TABLE_H
#define TP_SAMPLES_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/lock.h"
#include "profile/samples.h"
#include "profile/sketch.h"
#include "profile/stacktrace.h"

/* A site of a pool. */
struct tp_place {
	struct tp_place *next,
		*newer; /* of its bucket; of all, in the order of their first sample */
	const void *site;
	const char *pool, *file, *label; /* they lie behind this struct */
	uint64_t pool_id;
	unsigned line;
	unsigned users;  /* threads that use it without the lock */
	bool unwinds;    /* frame pointers are not there; by anyone */
	uint32_t traces; /* by anyone */
	size_t index;    /* of the snapshot that is being taken */
	/* The sums, from here on; as struct tp_snapshot_site. */
	struct tp_estimate gets, bytes, misses, growths, regrown, waste;
	double served[TP_SERVED_WAYS];
	struct tp_sketch asked, capacity, used, held;
};

/* The calls by which gets came to a place. */
struct tp_stack_node {
	struct tp_stack_node *next;
	struct tp_place *place;
	size_t index;
	uint64_t samples; /* these, and what a snapshot adds */
	double gets, bytes, waste, regrown;
	unsigned depth;
	uintptr_t frame[];
};

/* A buffer that is out. */
struct tp_sample {
	struct tp_sample *next;
	const void *buffer;
	struct tp_stack_node *stack;
	double weight, growths, copied;
	size_t cap, most; /* now; the largest that it had */
	uint64_t begun_ns;
};

#define TP_PLACE_BUCKETS 256
#define TP_STACK_BUCKETS 4096
/*
 * More are not kept: what comes from another place, or by another stack, is dropped. A place has 6.5 KB,
 * and a program may make and destroy pools without end.
 */
#define TP_PLACES_MOST 8192
#define TP_STACKS_MOST 65536

struct tp_samples_table {
	struct tp_lock lock; /* of all of it, and of rate.c */
	struct tp_place *place[TP_PLACE_BUCKETS], *oldest, **youngest;
	struct tp_stack_node *stack[TP_STACK_BUCKETS];
	size_t places, stacks;
	struct tp_sample **out; /* out_buckets of them, a power of two, or none */
	size_t out_buckets, outs;
	struct tp_sample *spare;
	uint64_t samples, dropped;
	size_t sample_bytes;
	uint64_t begun_ns, begun_real_ns, ended_ns; /* ended 0: it runs; begun 0: there was none */
};

extern tp_hidden struct tp_samples_table tp_samples;

/* Copies a string to *to, which moves behind it. Returns: the copy. */
char *tp_samples_copy(char **to, const char *string);

/* All of these: in the lock. NULL: out of memory. */
struct tp_place *tp_samples_place(const struct tp_sampled_get *get);
struct tp_stack_node *tp_samples_stack(struct tp_place *place, const struct tp_stacktrace *trace);

/* A sample of a buffer, in place of one that it may have. */
struct tp_sample *tp_samples_new(const void *buffer);

/* The sample of a buffer, or NULL; takes it out; gives back what was taken out. */
struct tp_sample *tp_samples_find(const void *buffer);
struct tp_sample *tp_samples_take(const void *buffer);
void tp_samples_give(struct tp_sample *sample);

/* No buffer is out. */
void tp_samples_forget_out(void);

/* The same, and there are no places and no stacks. False: there is no memory to follow any buffer. */
bool tp_samples_forget(void);

#endif
