/* SPDX-License-Identifier: MIT */
/*
 * Replays a trace on real pools: pool.h. What a call did is what the statistics of its pool say
 * after it and did not before: nothing else runs, so they are exact.
 */
#include "pool.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tierpool.h>

#include "cost.h"
#include "storage.h"
#include "support/measure.h"
#include "support/program.h"

/* Of the content of a buffer that grows at most this much is really copied: it is never read. */
#define COPIED_MOST ((size_t)64 << 10)

struct pool {
	tierpool *pool;
	struct tierpool_stats stats; /* after the last call */
};

struct pool_state {
	const struct trace *trace;
	struct pool *pools;
	tierpool_site *sites; /* NULL: no call has a site */
	tierpool_buf **out;   /* by slot; NULL: nothing */
	struct map written;   /* by the address of a block: up to where its pages were written */
	size_t idle;          /* bytes, of all pools */
	struct sites_seen *seen;
	struct lending *lendings; /* NULL: nobody wants to know */
};

static _Noreturn void pool_fail(const char *what, int error)
{
	fprintf(stderr, "replay_trace: %s: %s\n", what, strerror(error));
	exit(FAILED);
}

/* ---- what a call did ---- */

static uint64_t pool_drops(const struct tierpool_stats *s)
{
	return s->drops_oversize + s->drops_retain + s->drops_idle_count + s->drops_decay;
}

/* Returns: bytes that a call freed; about, as idle_bytes has headers. had, has: as in pool_count. */
static double pool_freed(const struct tierpool_stats *before, const struct tierpool_stats *now,
	size_t had, size_t has)
{
	bool fresh = now->allocs != before->allocs;

	return (double)before->idle_bytes - (double)now->idle_bytes + (double)had -
	       (fresh ? 0 : (double)has);
}

/*
 * Counts what a call did, but for growths. had, has: the capacity of its buffer before and after it,
 * 0: it was not out. Returns: the statistics before it.
 */
static struct tierpool_stats pool_count(
	struct pool_state *s, struct pool *p, struct figures *f, size_t had, size_t has)
{
	struct tierpool_stats before = p->stats;
	int error = tierpool_stats_read(p->pool, &p->stats);

	if (error)
		pool_fail("tierpool_stats_read", -error);
	figures_freed(f, p->stats.frees - before.frees, pool_freed(&before, &p->stats, had, has));
	f->drops += pool_drops(&p->stats) - pool_drops(&before);
	f->calibrations += p->stats.calibrations - before.calibrations;
	s->idle += p->stats.idle_bytes - before.idle_bytes;
	figures_idle(f, s->idle);
	return before;
}

/* A new block has no page that was written. */
static void pool_count_block(struct pool_state *s, struct figures *f, const tierpool_buf *b)
{
	figures_block(f, b->cap);
	map_remove(&s->written, (uintptr_t)b->data, 0);
}

static void pool_count_written(
	struct pool_state *s, struct figures *f, const tierpool_buf *b, size_t len)
{
	size_t *known = map_find(&s->written, (uintptr_t)b->data, 0), written = known ? *known : 0;

	if (b->cap < FAULT_LEAST || len <= written)
		return;
	figures_written(f, b->cap, &written, len);
	map_set(&s->written, (uintptr_t)b->data, 0, written);
}

/* The block that was at data has become larger, and its pages have moved along. */
static void pool_count_moved(struct pool_state *s, const char *data, const tierpool_buf *b)
{
	const size_t *written = map_find(&s->written, (uintptr_t)data, 0);

	if (written)
		map_set(&s->written, (uintptr_t)b->data, 0, *written);
}

/* ---- as a contender ---- */

static struct pool *pool_of(const struct pool_state *s, const struct borrow *b)
{
	return &s->pools[s->trace->sites[b->site].pool];
}

/* If n is 0 the library wants a call in which it is a constant: with others the fast path fails. */
static tierpool_buf *pool_borrow(const struct pool_state *s, tierpool *pool, const struct borrow *b)
{
	bool own = !s->sites || s->trace->sites[b->site].number == SITE_OWN;
	tierpool_site *site = own ? NULL : &s->sites[b->site];

	if (b->n)
		return tierpool_get_at(pool, b->n, site);
	return own ? (tierpool_get)(pool) : tierpool_get_at(pool, 0, site);
}

static size_t pool_get(void *state, struct figures *f, const struct borrow *b)
{
	struct pool_state *s = state;
	struct pool *p = pool_of(s, b);
	tierpool_buf *buf = pool_borrow(s, p->pool, b);
	struct tierpool_stats before;

	if (!buf)
		pool_fail("tierpool_get_at", errno);
	s->out[b->slot] = buf;
	before = pool_count(s, p, f, 0, buf->cap);
	if (p->stats.allocs != before.allocs)
		pool_count_block(s, f, buf);
	s->seen->figures[b->site].gets++;
	if (!b->n)
		site_lent(&s->seen->figures[b->site], buf->cap, s->seen->first);
	if (s->lendings)
		s->lendings[b - s->trace->borrows] = (struct lending){buf->cap, buf->cap};
	return buf->cap;
}

static size_t pool_grow(
	void *state, struct figures *f, const struct borrow *b, const struct growth *growth)
{
	struct pool_state *s = state;
	struct pool *p = pool_of(s, b);
	tierpool_buf *buf = s->out[b->slot];
	const char *data = buf->data;
	size_t cap = buf->cap;
	struct tierpool_stats before;
	bool fresh, exchanged;
	int error;

	pool_count_written(s, f, buf, growth->len);
	buf->len = growth->len < COPIED_MOST ? growth->len : COPIED_MOST;
	error = tierpool_buf_reserve(buf, growth->need - buf->len);
	if (error)
		pool_fail("tierpool_buf_reserve", -error);
	before = pool_count(s, p, f, cap, buf->cap);
	fresh = p->stats.allocs != before.allocs;
	exchanged = fresh || p->stats.grows_pooled != before.grows_pooled;
	for (uint64_t i = before.grows; i < p->stats.grows; i++)
		figures_growth(f, exchanged ? growth->len : 0, COST_EXCHANGE);
	if (fresh)
		pool_count_block(s, f, buf);
	if (exchanged)
		pool_count_written(s, f, buf, growth->len);
	else
		pool_count_moved(s, data, buf);
	s->seen->figures[b->site].growths++;
	if (s->lendings)
		s->lendings[b - s->trace->borrows].cap = buf->cap;
	return buf->cap;
}

static void pool_put(void *state, struct figures *f, const struct borrow *b)
{
	struct pool_state *s = state;
	tierpool_buf *buf = s->out[b->slot];
	size_t cap = buf->cap;

	pool_count_written(s, f, buf, b->len);
	buf->len = b->len;
	s->out[b->slot] = NULL;
	tierpool_put(buf);
	pool_count(s, pool_of(s, b), f, cap, 0);
}

static void pool_tick(void *state, struct figures *f, size_t pool)
{
	struct pool_state *s = state;

	tierpool_tick(s->pools[pool].pool);
	pool_count(s, &s->pools[pool], f, 0, 0);
}

/* ---- a replay ---- */

tierpool *pool_make(const struct traced_pool *traced, unsigned decay_ms)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	tierpool *pool;
	int error;

	options.name = traced->name;
	options.min_size = traced->min_size;
	options.max_size = traced->max_size;
	options.steps = traced->steps;
	options.tiers = traced->tiers;
	options.tier_count = traced->tier_count;
	options.retain = traced->retain;
	options.max_idle = traced->max_idle;
	options.decay_ms = decay_ms;
	options.calibrate_every = traced->calibrate_every;
	options.alignment = traced->alignment;
	error = tierpool_create(&pool, &options);
	if (error)
		pool_fail("a pool with these options", -error);
	return pool;
}

static void pool_begin(struct pool *p, const struct traced_pool *traced)
{
	int error;

	p->pool = pool_make(traced, TIERPOOL_DECAY_NEVER);
	p->stats.size = sizeof p->stats;
	error = tierpool_stats_read(p->pool, &p->stats);
	if (error)
		pool_fail("tierpool_stats_read", -error);
}

static void pool_sites_begin(struct pool_state *s)
{
	s->sites = array_new(s->trace->site_count, sizeof *s->sites);
	for (size_t i = 0; i < s->trace->site_count; i++) {
		const struct traced_site *traced = &s->trace->sites[i];

		/* Private fields, which macros of pool.h fill for calls that stand in a source. */
		s->sites[i].tp_file = traced->file;
		s->sites[i].tp_label = traced->label;
		s->sites[i].tp_line = traced->line;
	}
}

/* Before what is out is put: the trace has no put of that. */
static void pool_sites_print(struct pool_state *s)
{
	size_t size;
	FILE *out = open_memstream(&s->seen->printed, &size);
	int error = out ? 0 : -errno;

	for (size_t i = 0; i < s->trace->pool_count && !error; i++)
		if (s->trace->pools[i].gets)
			error = tierpool_sites_print(s->pools[i].pool, out);
	if (error || fclose(out))
		pool_fail("tierpool_sites_print", error ? -error : errno);
}

static void pool_end(struct pool_state *s)
{
	for (size_t i = 0; i < s->trace->slot_count; i++)
		tierpool_put(s->out[i]);
	for (size_t i = 0; i < s->trace->pool_count; i++)
		tierpool_destroy(s->pools[i].pool);
	free(s->pools);
	free(s->sites);
	free(s->out);
	map_end(&s->written);
}

void pool_replay(const struct trace *t, bool one_site, struct result *result,
	struct sites_seen *seen, struct lending *lendings)
{
	static const struct contender contender = {
		"tierpool", pool_get, pool_grow, pool_put, pool_tick};
	struct pool_state s = {.trace = t, .seen = seen, .lendings = lendings};
	int error;

	/* On one CPU, or what lies idle on the others would be out of reach by chance. */
	error = pin((unsigned)sched_getcpu());
	if (error)
		pool_fail("to stay on one CPU", -error);
	seen->figures = array_new(t->site_count, sizeof *seen->figures);
	s.pools = array_new(t->pool_count, sizeof *s.pools);
	s.out = array_new(t->slot_count, sizeof(tierpool_buf *));
	for (size_t i = 0; i < t->pool_count; i++)
		pool_begin(&s.pools[i], &t->pools[i]);
	if (!one_site)
		pool_sites_begin(&s);
	replay(t, &contender, &s, result);
	pool_sites_print(&s);
	pool_end(&s);
}
