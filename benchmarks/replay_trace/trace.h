/* SPDX-License-Identifier: MIT */
/*
 * A trace in memory: what a program borrowed, in one order. It is read from a file (read.h) or
 * generated (workload.h), and never changed by a replay.
 */
#ifndef TRACE_H
#define TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LENGTH_MOST ((size_t)1 << 36) /* bytes of a buffer; more is taken for damage */
#define SITE_OWN 1                    /* number of the site of a pool's calls without one */

/* A pool, and its options; 0 means what it means in tierpool_options, but in decay_ms: never. */
struct traced_pool {
	char *name;
	size_t *tiers, tier_count;
	size_t min_size, max_size, retain, max_idle, alignment;
	unsigned steps, decay_ms, calibrate_every;
	size_t gets; /* 0: it was made and never used, and is not listed */
};

struct traced_site {
	size_t pool; /* index of the pool */
	uint64_t number;
	unsigned line;
	char *file, *label;
};

/* A buffer that held len bytes, and had to hold need. */
struct growth {
	size_t need, len;
	size_t next; /* of the same borrow, index + 1; 0: the last one */
};

/* A get, and what became of it until its put. */
struct borrow {
	size_t site;                  /* index of the site */
	size_t slot;                  /* no other borrow that is out at the time has it */
	size_t n;                     /* bytes asked for; 0: the calibrated size */
	size_t len;                   /* at put; if there is none, at the last growth */
	size_t growths, growths_last; /* the first and the last one, index + 1; 0: none */
	unsigned cpu;                 /* of the get */
	size_t lent, cap; /* capacity after the get, and at put; 0: the trace does not say */
};

/* Of a get or put: when, in ns since the trace began, and on which CPU. */
struct moment {
	uint64_t ns;
	unsigned cpu;
};

enum event_kind { EVENT_GET, EVENT_GROWTH, EVENT_PUT };

struct event {
	struct moment at; /* of a growth: of what came before it, and the CPU of its get */
	size_t borrow;    /* index */
	size_t growth;    /* index + 1; 0: it is none */
	enum event_kind kind;
};

struct trace {
	struct traced_pool *pools;
	struct traced_site *sites;
	struct borrow *borrows;
	struct growth *growths;
	struct event *events;
	size_t pool_count, site_count, borrow_count, growth_count, event_count;
	size_t slot_count;
	size_t *slots_free, slots_free_count;
};

/* Each returns: the index of what was added. They own no string and no list of what they get. */
size_t trace_pool(struct trace *t, const struct traced_pool *pool);
size_t trace_site(struct trace *t, const struct traced_site *site);
size_t trace_get(struct trace *t, struct moment at, size_t site, size_t n, size_t lent);

/* Of a borrow that is out. */
void trace_grow(struct trace *t, size_t borrow, size_t need, size_t len);
void trace_put(struct trace *t, struct moment at, size_t borrow, size_t len, size_t cap);

/* What is left to do of a borrow: its growths behind *from, index + 1, and its len. */
struct rest {
	size_t from, len;
};

/*
 * Tells how a buffer of cap bytes outgrows its block next. A growth of the trace counts if its need
 * is above cap. If the buffer held more than cap bytes by then, it would have grown earlier here, at
 * an append that is not in the trace: that is taken to need one byte more than cap. So is content that
 * is longer than cap at the end.
 *
 * Returns: false: the buffer is large enough for what is left.
 */
bool trace_outgrows(const struct trace *t, struct rest *rest, size_t cap, struct growth *next);

#endif
