/* SPDX-License-Identifier: MIT */
/*
 * Plays a trace: replay.h.
 */
#include "replay.h"

#include <stdlib.h>

#include "storage.h"

#define NS_PER_MS 1000000
#define TICKS_MOST 3 /* of these the last finds nothing more (pool.h) */

struct replay {
	const struct trace *trace;
	const struct contender *contender;
	void *state;
	struct figures *now;
	size_t *caps; /* of what is out, by slot */
	size_t in_use;
	uint64_t *periods; /* by pool: how many times its decay has passed */
	uint64_t due;      /* ns: not before that one of them passes again */
};

/* A pool ticks whenever the time passes a multiple of its decay. */
static void replay_pass_to(struct replay *r, uint64_t ns)
{
	if (ns < r->due)
		return;
	r->due = UINT64_MAX;
	for (size_t i = 0; i < r->trace->pool_count; i++) {
		uint64_t decay = (uint64_t)r->trace->pools[i].decay_ms * NS_PER_MS, passed;

		if (!decay)
			continue;
		passed = ns / decay - r->periods[i];
		for (uint64_t tick = 0; tick < passed && tick < TICKS_MOST; tick++)
			r->contender->tick(r->state, r->now, i);
		r->periods[i] = ns / decay;
		if (r->periods[i] < UINT64_MAX / decay && (r->periods[i] + 1) * decay < r->due)
			r->due = (r->periods[i] + 1) * decay;
	}
}

static void replay_get(struct replay *r, const struct borrow *b)
{
	struct rest rest = {b->growths, b->len};
	struct growth growth = {.need = b->n};
	size_t cap = r->contender->get(r->state, r->now, b);
	bool grown = false;

	figures_get(r->now);
	/* A contender whose gets have no size lends less: then the buffer grows while empty. */
	while (growth.need > cap || trace_outgrows(r->trace, &rest, cap, &growth)) {
		cap = r->contender->grow(r->state, r->now, b, &growth);
		grown = true;
	}
	r->now->grown += grown;
	r->caps[b->slot] = cap;
	r->in_use += b->len;
	if (r->in_use > r->now->in_use_peak)
		r->now->in_use_peak = r->in_use;
}

static void replay_put(struct replay *r, const struct borrow *b)
{
	r->now->len_sum += (double)b->len;
	r->now->cap_sum += (double)r->caps[b->slot];
	r->in_use -= b->len;
	r->contender->put(r->state, r->now, b);
}

void replay(const struct trace *t, const struct contender *c, void *state, struct result *result)
{
	struct replay r = {.trace = t, .contender = c, .state = state, .now = result->halves};
	size_t gets = 0;

	*result = (struct result){.name = c->name};
	r.caps = array_new(t->slot_count, sizeof *r.caps);
	r.periods = array_new(t->pool_count, sizeof *r.periods);
	for (size_t i = 0; i < t->event_count; i++) {
		const struct borrow *b = &t->borrows[t->events[i].borrow];

		replay_pass_to(&r, t->events[i].at.ns);
		if (t->events[i].kind == EVENT_PUT)
			replay_put(&r, b);
		if (t->events[i].kind != EVENT_GET)
			continue;
		if (gets++ == t->borrow_count / 2)
			r.now = &result->halves[1];
		replay_get(&r, b);
	}
	free(r.caps);
	free(r.periods);
}
