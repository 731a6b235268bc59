/* SPDX-License-Identifier: MIT */
/*
 * The places in a program that borrow from a pool. Owns one node for each place and pool, found by
 * file, line and label. A node has copies of the strings, because a plugin that is unloaded takes
 * its own with it.
 *
 * The program's static tierpool_site is a stub. Its tp_state is the id of the pool that it last
 * borrowed from; only a call that is given the stub writes it. A get whose stub has the id of
 * another pool enters the place here first.
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
	const char *file, *label; /* they lie behind this struct */
};

#define TP_SITE_BUCKETS 64

struct tp_sites {
	pthread_mutex_t lock;
	struct tp_site
		*bucket[TP_SITE_BUCKETS]; /* written in the lock, read by anyone; nodes stay */
	size_t count, bytes;              /* written in the lock, read by anyone */
};

void tp_sites_init(struct tp_sites *sites);
void tp_sites_fini(struct tp_sites *sites, const struct tp_backing *backing);

/* Whether the stub last borrowed from the pool of this id. */
static inline bool tp_site_is_known(const tierpool_site *stub, uint64_t pool_id)
{
	/* Relaxed: a stale answer costs a look-up at most, and the id leads to no memory. */
	return tp_load_relaxed(&stub->tp_state) == pool_id;
}

/*
 * Enters the place that a stub stands for, if it is new, and writes the pool's id into the stub. If
 * there is no memory, it writes nothing and the next get tries again.
 */
void tp_site_enter(struct tp_sites *sites, const struct tp_backing *backing, tierpool_site *stub,
	uint64_t pool_id);

#endif
