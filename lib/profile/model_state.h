/* SPDX-License-Identifier: MIT */
/*
 * The state of a model, for the files that change it: model.c, events and ticks; model_idle.c, where an
 * event finds an idle buffer, or a place for one. All of it is the caller's of tp_model_create: no other
 * thread uses it.
 */
#ifndef TP_MODEL_STATE_H
#define TP_MODEL_STATE_H

#include "base/compiler.h"
#include "profile/model.h"

/* So often in two ticks is a large tier asked for that is kept: pool/maximum.c. */
#define TP_MODEL_ASKS 2

/* The stack of a tier on a CPU; old: of depth, those at the bottom that were there at the last tick. */
struct tp_model_stack {
	uint8_t depth, room, old;
};

/* Of a tier, at a bound. */
struct tp_model_depot {
	uint32_t young, old; /* idle in the depot */
	uint32_t leased;     /* there and in stacks, with their room */
	uint32_t promoted;   /* out, of gets that wanted the tier below */
	uint8_t limit;       /* of a stack; the others: pool/maximum.h */
	uint8_t now, before;
	bool popped;
};

struct tp_model_bound {
	size_t bytes, leased;
	uint64_t misses, stopped_ms;
	uint32_t next_cpu;
};

/* Of a CPU, at a bound: pops and pushes, as tp_stack_count has them; and when a stopper last looked. */
struct tp_model_moves {
	uint32_t now, seen;
};

/* All of it lies behind the struct, in one piece; an element of each bound lies beside the next. */
struct tp_model {
	unsigned tiers, cpus, bounds, in_place;
	size_t max_idle;
	uint64_t decay_ns, begun_ns, gets;
	bool locked, begun;
	struct tp_model_tier *tier;
	struct tp_model_bound *bound;
	struct tp_model_depot *depot; /* of each tier */
	bool *seen;                   /* of each CPU, whatever the bound: it had an event */
	struct tp_model_moves *moves; /* of each CPU */
	struct tp_model_stack *stack; /* of each CPU and tier */
};

/* An event at one bound. */
struct tp_model_at {
	struct tp_model *m;
	struct tp_model_bound *bound;
	unsigned k, cpu;
	uint64_t ms;
};

static inline struct tp_model_stack *tp_model_stack(
	const struct tp_model_at *at, unsigned cpu, unsigned tier)
{
	return &at->m->stack[((size_t)cpu * at->m->tiers + tier) * at->m->bounds + at->k];
}

static inline struct tp_model_depot *tp_model_depot(const struct tp_model_at *at, unsigned tier)
{
	return &at->m->depot[(size_t)tier * at->m->bounds + at->k];
}

static inline struct tp_model_moves *tp_model_moves(const struct tp_model_at *at, unsigned cpu)
{
	return &at->m->moves[(size_t)cpu * at->m->bounds + at->k];
}

static inline unsigned tp_model_held(const struct tp_model_stack *s)
{
	return s->depth + s->room;
}

/* Takes one off a stack, which keeps its lease as room or gives it up. */
static inline void tp_model_stack_take(struct tp_model_stack *s, bool leaves_room)
{
	s->depth--;
	s->room = (uint8_t)(s->room + leaves_room);
	s->old = (uint8_t)tp_min(s->old, s->depth);
}

static inline void tp_model_unlease(const struct tp_model_at *at, unsigned tier, size_t n)
{
	tp_model_depot(at, tier)->leased -= (uint32_t)n;
	at->bound->leased -= n * at->m->tier[tier].cost;
}

/* ---- model_idle.c ---- */

/* What a get or growth does whose stack is empty. False: it takes a new block. */
bool tp_model_take(const struct tp_model_at *at, unsigned tier);

/* What a put does whose stack has no room: the buffer stays, or is freed. */
void tp_model_keep(const struct tp_model_at *at, unsigned tier);

#endif
