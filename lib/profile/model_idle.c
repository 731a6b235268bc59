/* SPDX-License-Identifier: MIT */
/*
 * Where a modelled event finds an idle buffer, and where one finds a place: idle/take.c, keep.c and
 * evict.c, and the ladder of pool/put.c, in numbers. A change there is to be made here too.
 */
#include "profile/model_state.h"

/* As there, and in idle/tiers.c. */
#define BATCH 32
#define STEAL_CPUS 4
#define ROOM_CPUS 16

/* ---- leases ---- */

enum model_idle_kept { KEPT, NO_BYTES, NO_COUNT };

static enum model_idle_kept model_idle_lease(const struct tp_model_at *at, unsigned tier, size_t n)
{
	struct tp_model_depot *d = tp_model_depot(at, tier);
	size_t bytes = n * at->m->tier[tier].cost;

	if (n > at->m->max_idle - tp_min(at->m->max_idle, d->leased))
		return NO_COUNT;
	if (bytes > at->bound->bytes - tp_min(at->bound->bytes, at->bound->leased))
		return NO_BYTES;
	d->leased += (uint32_t)n;
	at->bound->leased += bytes;
	return KEPT;
}

static bool model_idle_may_fit(const struct tp_model_at *at, unsigned tier)
{
	return at->m->tier[tier].cost <= at->bound->bytes;
}

/* ---- which CPU may be stopped: idle/decay.c ---- */

static bool model_idle_stop_due(const struct tp_model_at *at)
{
	bool due = at->ms != at->bound->stopped_ms;

	at->bound->stopped_ms = at->ms;
	return due;
}

static bool model_idle_may_stop(const struct tp_model_at *at, unsigned cpu)
{
	struct tp_model_moves *moves = tp_model_moves(at, cpu);
	bool moved = moves->seen != moves->now;

	moves->seen = moves->now;
	return at->m->locked || cpu == at->cpu || !moved || model_idle_stop_due(at);
}

static unsigned model_idle_next_cpu(const struct tp_model_at *at)
{
	return at->bound->next_cpu++ % at->m->cpus;
}

/* ---- idle/take.c ---- */

/* After one was taken from a depot: its lease, and n others, go to the stack as far as they fit. */
static void model_idle_refill(
	const struct tp_model_at *at, unsigned tier, unsigned n, uint32_t *generation)
{
	struct tp_model_depot *d = tp_model_depot(at, tier);
	struct tp_model_stack *s = tp_model_stack(at, at->cpu, tier);
	unsigned before = tp_model_held(s), filled = 0;

	if (d->limit && before < d->limit)
		s->room++;
	for (; d->limit && filled < n && (s->room > 1 || tp_model_held(s) < d->limit); filled++) {
		s->room = (uint8_t)(s->room - (s->room > 1));
		s->depth++;
	}
	if (generation == &d->old)
		s->old = (uint8_t)(s->old + filled);
	*generation += n - filled;
	tp_model_unlease(at, tier, 1 + filled + before - tp_model_held(s));
}

static bool model_idle_take_from_depot(const struct tp_model_at *at, unsigned tier, bool old_only)
{
	struct tp_model_depot *d = tp_model_depot(at, tier);
	uint32_t *generation = old_only || !d->young ? &d->old : &d->young;
	size_t batch = old_only ? 0 : tp_min(d->limit / 2u, BATCH);
	unsigned n = (unsigned)tp_min(*generation, 1 + batch);

	if (!n)
		return false;
	*generation -= n;
	model_idle_refill(at, tier, n - 1, generation);
	return true;
}

static bool model_idle_steal(const struct tp_model_at *at, unsigned tier)
{
	unsigned cpu = at->cpu;

	for (unsigned i = 0; i < STEAL_CPUS && i + 1 < at->m->cpus; i++) {
		struct tp_model_stack *s;

		cpu = cpu + 1 == at->m->cpus ? 0 : cpu + 1;
		s = tp_model_stack(at, cpu, tier);
		if (!at->m->seen[cpu] || !s->depth || !model_idle_may_stop(at, cpu))
			continue;
		tp_model_stack_take(s, true);
		return true;
	}
	return false;
}

bool tp_model_take(const struct tp_model_at *at, unsigned tier)
{
	struct tp_model_depot *d = tp_model_depot(at, tier);

	d->now = (uint8_t)tp_min(d->now + 1u, TP_MODEL_ASKS);
	if (model_idle_take_from_depot(at, tier, false) ||
		(at->m->tier[tier].steal && model_idle_steal(at, tier)))
		return true;
	if (tier + 1 == at->m->tiers || !model_idle_take_from_depot(at, tier + 1, true))
		return false;
	tp_model_depot(at, tier + 1)->promoted++;
	return true;
}

/* ---- idle/keep.c ---- */

static unsigned model_idle_keep_leases(
	const struct tp_model_at *at, unsigned tier, unsigned depth, unsigned limit)
{
	unsigned more = limit > depth ? (unsigned)tp_min(tp_max(depth, 1), limit - depth) : 0;

	while (more && model_idle_lease(at, tier, more) != KEPT)
		more = more > 1;
	return more;
}

static bool model_idle_keep_in_stack(const struct tp_model_at *at, unsigned tier)
{
	struct tp_model_depot *d = tp_model_depot(at, tier);
	struct tp_model_stack *s = tp_model_stack(at, at->cpu, tier);
	bool full = s->depth >= d->limit;
	unsigned leases;

	if (!d->limit)
		return false;
	leases = model_idle_keep_leases(at, tier, full ? s->depth / 2u : s->depth, d->limit);
	if (!leases && !s->room)
		return false;
	if (full) {
		unsigned half = (s->depth + 1u) / 2, old;

		s->depth = (uint8_t)(s->depth - half);
		old = s->old - (unsigned)tp_min(s->old, s->depth);
		d->old += old;
		d->young += half - old;
		s->old = (uint8_t)(s->old - old);
	}
	if (leases && tp_model_held(s) + leases <= d->limit) {
		s->depth++;
		s->room = (uint8_t)(s->room + leases - 1);
		return true;
	}
	tp_model_unlease(at, tier, leases);
	if (!s->room)
		return false;
	s->depth++;
	s->room--;
	return true;
}

/* A CPU gives up its room in the tiers from ... to - 1. False: it has none. */
static bool model_idle_room_drop_on(
	const struct tp_model_at *at, unsigned cpu, unsigned from, unsigned to)
{
	bool any = false;

	for (unsigned tier = from; at->m->seen[cpu] && tier < to; tier++) {
		struct tp_model_stack *s = tp_model_stack(at, cpu, tier);

		any |= s->room > 0;
		tp_model_unlease(at, tier, s->room);
		s->room = 0;
	}
	return any;
}

static void model_idle_room_drop(const struct tp_model_at *at, unsigned from, unsigned to)
{
	unsigned cpus = ROOM_CPUS;

	for (unsigned i = 0; i < at->m->cpus && cpus; i++)
		cpus -= model_idle_room_drop_on(at, model_idle_next_cpu(at), from, to);
}

static enum model_idle_kept model_idle_lease_one(const struct tp_model_at *at, unsigned tier)
{
	enum model_idle_kept kept = model_idle_lease(at, tier, 1);
	unsigned from = 0, to = at->m->tiers;

	if (kept == KEPT || !model_idle_may_fit(at, tier))
		return kept;
	if (kept == NO_COUNT) {
		from = tier;
		to = tier + 1;
	}
	if (model_idle_room_drop_on(at, at->cpu, from, to))
		kept = model_idle_lease(at, tier, 1);
	if (kept == KEPT || !model_idle_stop_due(at))
		return kept;
	model_idle_room_drop(at, from, to);
	return model_idle_lease(at, tier, 1);
}

/* ---- idle/evict.c ---- */

/* Of a CPU's stacks above the tier the largest, of which one leaves. False: there is none. */
static bool model_idle_evict_from_cpu(
	const struct tp_model_at *at, unsigned cpu, unsigned tier, bool old_only)
{
	for (unsigned larger = at->m->tiers - 1; larger > tier; larger--) {
		struct tp_model_stack *s = tp_model_stack(at, cpu, larger);

		if (old_only ? !s->old : !s->depth)
			continue;
		/* From the bottom, where old ones lie. */
		s->depth--;
		s->old = (uint8_t)(s->old - (s->old > 0));
		tp_model_unlease(at, larger, 1);
		return true;
	}
	return false;
}

static bool model_idle_evict_from_depot(const struct tp_model_at *at, unsigned tier, bool old_only)
{
	for (unsigned larger = at->m->tiers - 1; larger > tier; larger--) {
		struct tp_model_depot *d = tp_model_depot(at, larger);
		uint32_t *generation = old_only || !d->young ? &d->old : &d->young;

		if (!*generation)
			continue;
		--*generation;
		tp_model_unlease(at, larger, 1);
		return true;
	}
	return false;
}

static bool model_idle_cpu_has_larger(const struct tp_model_at *at, unsigned cpu, unsigned tier)
{
	unsigned larger = at->m->tiers - 1;

	while (larger > tier && !tp_model_stack(at, cpu, larger)->depth)
		larger--;
	return larger > tier;
}

static bool model_idle_evict(const struct tp_model_at *at, unsigned tier)
{
	unsigned other = model_idle_next_cpu(at);
	bool look = other != at->cpu && at->m->seen[other] &&
		    model_idle_cpu_has_larger(at, other, tier) && model_idle_may_stop(at, other);

	return model_idle_may_fit(at, tier) &&
	       (model_idle_evict_from_depot(at, tier, true) ||
		       model_idle_evict_from_cpu(at, at->cpu, tier, true) ||
		       (look && model_idle_evict_from_cpu(at, other, tier, false)) ||
		       model_idle_evict_from_depot(at, tier, false) ||
		       model_idle_evict_from_cpu(at, at->cpu, tier, false));
}

/* ---- pool/put.c ---- */

static bool model_idle_keeps(const struct tp_model_at *at, unsigned tier)
{
	const struct tp_model_depot *d = tp_model_depot(at, tier);

	return !at->m->tier[tier].large || d->now + d->before >= TP_MODEL_ASKS || d->popped;
}

void tp_model_keep(const struct tp_model_at *at, unsigned tier)
{
	enum model_idle_kept kept;

	if (!model_idle_keeps(at, tier) || model_idle_keep_in_stack(at, tier))
		return;
	kept = model_idle_lease_one(at, tier);
	if (kept == NO_BYTES && model_idle_evict(at, tier))
		kept = model_idle_lease(at, tier, 1);
	if (kept == KEPT)
		tp_model_depot(at, tier)->young++;
}
