/* SPDX-License-Identifier: MIT */
/*
 * The places in a program that borrow from a pool. Owns one node for each place and pool, keyed by
 * file, line and label, with copies of the strings: a plugin that is unloaded leaves nothing
 * behind.
 *
 * The program's static tierpool_site is a stub: its state holds the id of the pool that it last
 * borrowed from, and is written only inside a call that was handed it. A stub with another pool's
 * id goes the slow way.
 */
#ifndef TP_SITE_H
#define TP_SITE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <tierpool/pool.h>

#include "base/atomic.h"
#include "memory/backing.h"

struct tp_site {
	struct tp_site *next;
	size_t bytes;
	unsigned line;
	const char *file, *label; /* behind this struct */
};

#define TP_SITE_BUCKETS 64

struct tp_sites {
	pthread_mutex_t lock;
	struct tp_site
		*bucket[TP_SITE_BUCKETS]; /* entered in the lock, read by anyone; nodes stay */
	size_t count, bytes;              /* written in the lock, read by anyone */
};

void tp_sites_init(struct tp_sites *sites);
void tp_sites_fini(struct tp_sites *sites, const struct tp_backing *backing);

/* Whether the stub last borrowed from the pool of this id. */
static inline bool tp_site_is_known(const tierpool_site *stub, uint64_t pool_id)
{
	/* Relaxed: it is a hint for this pool alone, and leads to nothing that it would publish. */
	return tp_load_relaxed(&stub->tp_state) == pool_id;
}

/*
 * Enters a place that a stub stands for, if it is new, and writes the pool's id into the stub. Out
 * of memory: the place goes uncounted until the next time.
 */
void tp_site_enter(struct tp_sites *sites, const struct tp_backing *backing, tierpool_site *stub,
	uint64_t pool_id);

#endif
