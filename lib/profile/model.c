/* SPDX-License-Identifier: MIT */
#include "profile/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/keep_errno.h"
#include "memory/sizeclass.h"
#include "profile/model_state.h"

/* As in idle/tiers.c. */
#define ROOM_WORTH 4
#define ROOM_PART 4

#define NS_PER_MS 1000000

/* Bytes of what there is for each bound. */
#define MODEL_ELEMENT_MOST tp_max(sizeof(struct tp_model_bound), sizeof(struct tp_model_depot))

/* ---- pops and pushes ---- */

static inline bool model_pop(const struct tp_model_at *at, unsigned tier)
{
	struct tp_model_stack *s = tp_model_stack(at, at->cpu, tier);

	if (!s->depth)
		return false;
	tp_model_stack_take(s, true);
	tp_model_moves(at, at->cpu)->now++;
	if (at->m->tier[tier].large)
		tp_model_depot(at, tier)->popped = true;
	return true;
}

static inline bool model_push(const struct tp_model_at *at, unsigned tier)
{
	struct tp_model_stack *s = tp_model_stack(at, at->cpu, tier);

	if (!s->room)
		return false;
	s->room--;
	s->depth++;
	tp_model_moves(at, at->cpu)->now++;
	return true;
}

/* The tier of the block that a buffer has: one up, if a get that wanted this one found it there. */
static inline unsigned model_promoted(const struct tp_model_at *at, unsigned tier)
{
	struct tp_model_depot *above;

	if (tier + 1 >= at->m->tiers)
		return tier;
	above = tp_model_depot(at, tier + 1);
	if (tp_likely(!above->promoted))
		return tier;
	above->promoted--;
	return tier + 1;
}

/* ---- events ---- */

/* Notes an event, and lets the tick begin that is due. */
static struct tp_model_at model_event(struct tp_model *m, unsigned cpu, uint64_t ns)
{
	struct tp_model_at at = {.m = m, .cpu = cpu < m->cpus ? cpu : 0, .ms = ns / NS_PER_MS};

	if (!m->begun)
		m->begun_ns = ns;
	m->begun = true;
	m->seen[at.cpu] = true;
	/* Two CPUs may see the clock a bit apart. */
	if (ns > m->begun_ns && ns - m->begun_ns >= m->decay_ns) {
		tp_model_tick(m);
		m->begun_ns = ns;
	}
	return at;
}

static inline bool model_next(struct tp_model_at *at, unsigned k)
{
	at->k = k;
	at->bound = &at->m->bound[k];
	return k < at->m->bounds;
}

uint64_t tp_model_get(struct tp_model *m, unsigned tier, unsigned cpu, uint64_t ns)
{
	struct tp_model_at at = model_event(m, cpu, ns);
	uint64_t missed = 0;

	m->gets++;
	for (unsigned k = 0; model_next(&at, k); k++) {
		bool miss = tier == TP_TIER_NONE ||
			    (!model_pop(&at, tier) && !tp_model_take(&at, tier));

		at.bound->misses += miss;
		missed |= (uint64_t)miss << k;
	}
	return missed;
}

void tp_model_put(struct tp_model *m, unsigned tier, unsigned cpu, uint64_t ns)
{
	struct tp_model_at at = model_event(m, cpu, ns);

	for (unsigned k = 0; tier != TP_TIER_NONE && model_next(&at, k); k++) {
		unsigned block = model_promoted(&at, tier);

		if (!model_push(&at, block))
			tp_model_keep(&at, block);
	}
}

void tp_model_grow(struct tp_model *m, unsigned from, unsigned to, unsigned cpu, uint64_t ns)
{
	struct tp_model_at at = model_event(m, cpu, ns);

	for (unsigned k = 0; from != TP_TIER_NONE && model_next(&at, k); k++) {
		unsigned block = model_promoted(&at, from);
		bool popped;

		if (block >= to || (to == TP_TIER_NONE && block >= m->tiers - m->in_place))
			continue;
		popped = to != TP_TIER_NONE && model_pop(&at, to);
		if (!popped && to != TP_TIER_NONE)
			(void)tp_model_take(&at, to);
		if (!popped || !model_push(&at, block))
			tp_model_keep(&at, block);
	}
}

/* ---- ticks: idle/age.c ---- */

static void model_age_cpu(const struct tp_model_at *at, unsigned cpu)
{
	for (unsigned tier = 0; tier < at->m->tiers; tier++) {
		struct tp_model_stack *s = tp_model_stack(at, cpu, tier);
		unsigned gone = s->old + (s->room + 1u) / 2;

		s->depth = (uint8_t)(s->depth - s->old);
		s->old = s->depth;
		s->room /= 2;
		tp_model_unlease(at, tier, gone);
	}
}

static void model_age_depots(const struct tp_model_at *at)
{
	for (unsigned tier = 0; tier < at->m->tiers; tier++) {
		struct tp_model_depot *d = tp_model_depot(at, tier);

		tp_model_unlease(at, tier, d->old);
		d->old = d->young;
		d->young = 0;
		d->before = d->popped ? TP_MODEL_ASKS : d->now;
		d->now = 0;
		d->popped = false;
	}
}

void tp_model_tick(struct tp_model *m)
{
	struct tp_model_at at = {.m = m};

	for (unsigned k = 0; model_next(&at, k); k++) {
		model_age_depots(&at);
		for (unsigned cpu = 0; cpu < m->cpus; cpu++)
			if (m->seen[cpu])
				model_age_cpu(&at, cpu);
	}
}

/* ---- create, free, read ---- */

static void model_limits_set(struct tp_model *m)
{
	for (unsigned tier = 0; tier < m->tiers; tier++)
		for (unsigned k = 0; k < m->bounds; k++) {
			size_t fit = tp_min(m->bound[k].bytes / m->tier[tier].cost, m->max_idle);
			size_t each = fit / m->cpus;
			size_t limit = each < ROOM_WORTH ? 0 : tp_max(1, each / ROOM_PART);

			m->depot[(size_t)tier * m->bounds + k].limit =
				(uint8_t)tp_min(limit, m->tier[tier].slots);
		}
}

/* Has the k-th of each row's elements be the one that was at from[k]. */
static void model_rows_move(
	void *table, size_t rows, size_t element, unsigned bounds, const uint8_t *from)
{
	char was[TP_MODEL_BOUNDS_MAX * MODEL_ELEMENT_MOST], *row = table;

	for (size_t i = 0; i < rows; i++, row += bounds * element) {
		memcpy(was, row, bounds * element);
		for (unsigned k = 0; k < bounds; k++)
			memcpy(row + k * element, was + from[k] * element, element);
	}
}

void tp_model_bounds_set(struct tp_model *m, const size_t *bound, const uint8_t *from)
{
	size_t row = (size_t)m->tiers * m->bounds;

	model_rows_move(m->bound, 1, sizeof *m->bound, m->bounds, from);
	model_rows_move(m->depot, m->tiers, sizeof *m->depot, m->bounds, from);
	for (unsigned cpu = 0; cpu < m->cpus; cpu++)
		if (m->seen[cpu]) {
			model_rows_move(
				&m->stack[cpu * row], m->tiers, sizeof *m->stack, m->bounds, from);
			model_rows_move(&m->moves[(size_t)cpu * m->bounds], 1, sizeof *m->moves,
				m->bounds, from);
		}
	for (unsigned k = 0; k < m->bounds; k++)
		m->bound[k].bytes = bound[k];
	model_limits_set(m);
}

/* The place of a table of count elements in the piece at m, from *size on. m NULL: only counts. */
static void *model_table(struct tp_model *m, size_t *size, size_t count, size_t element)
{
	size_t at = *size;

	*size += tp_round_up(count * element, TP_LINE);
	return m ? (char *)m + at : NULL;
}

/* Returns: the size of all; m NULL: that only. */
static size_t model_place(struct tp_model *m, const struct tp_model_options *o)
{
	size_t size = tp_round_up(sizeof *m, TP_LINE), tiers = o->tiers, bounds = o->bounds;
	size_t cpus = o->cpus;
	void *tier = model_table(m, &size, tiers, sizeof *m->tier);
	void *bound = model_table(m, &size, bounds, sizeof *m->bound);
	void *depot = model_table(m, &size, tiers * bounds, sizeof *m->depot);
	void *seen = model_table(m, &size, cpus, sizeof *m->seen);
	void *moves = model_table(m, &size, cpus * bounds, sizeof *m->moves);
	void *stack = model_table(m, &size, cpus * tiers * bounds, sizeof *m->stack);

	if (m) {
		m->tier = tier;
		m->bound = bound;
		m->depot = depot;
		m->seen = seen;
		m->moves = moves;
		m->stack = stack;
	}
	return size;
}

struct tp_model *tp_model_create(const struct tp_model_options *o)
{
	/* Pages of CPUs that are never seen are never touched. */
	struct tp_model *m = calloc(1, model_place(NULL, o));

	if (!m)
		return NULL;
	(void)model_place(m, o);
	m->tiers = o->tiers;
	m->cpus = o->cpus;
	m->bounds = o->bounds;
	m->in_place = o->in_place;
	m->max_idle = o->max_idle;
	m->decay_ns = o->decay_ns;
	m->locked = o->locked;
	memcpy(m->tier, o->tier, o->tiers * sizeof *o->tier);
	for (unsigned k = 0; k < o->bounds; k++)
		m->bound[k] =
			(struct tp_model_bound){.bytes = o->bound[k], .stopped_ms = UINT64_MAX};
	model_limits_set(m);
	return m;
}

void tp_model_free(struct tp_model *m)
{
	TP_KEEP_ERRNO;

	free(m);
}

void tp_model_copy(struct tp_model *to, const struct tp_model *from)
{
	size_t row = (size_t)from->tiers * from->bounds;

	to->begun = from->begun;
	to->begun_ns = from->begun_ns;
	to->gets = from->gets;
	memcpy(to->bound, from->bound, from->bounds * sizeof *from->bound);
	memcpy(to->depot, from->depot, row * sizeof *from->depot);
	for (unsigned cpu = 0; cpu < from->cpus; cpu++)
		if (from->seen[cpu] || to->seen[cpu]) {
			memcpy(&to->stack[cpu * row], &from->stack[cpu * row],
				row * sizeof *from->stack);
			memcpy(&to->moves[(size_t)cpu * from->bounds],
				&from->moves[(size_t)cpu * from->bounds],
				from->bounds * sizeof *from->moves);
		}
	memcpy(to->seen, from->seen, from->cpus * sizeof *from->seen);
}

uint64_t tp_model_gets(const struct tp_model *m)
{
	return m->gets;
}

uint64_t tp_model_misses(const struct tp_model *m, unsigned k)
{
	return m->bound[k].misses;
}

size_t tp_model_idle(const struct tp_model *m, unsigned k, unsigned tier)
{
	const struct tp_model_depot *d = &m->depot[(size_t)tier * m->bounds + k];
	size_t count = d->young + d->old;

	for (unsigned cpu = 0; cpu < m->cpus; cpu++)
		if (m->seen[cpu])
			count += m->stack[((size_t)cpu * m->tiers + tier) * m->bounds + k].depth;
	return count;
}

size_t tp_model_leased(const struct tp_model *m, unsigned k)
{
	return m->bound[k].leased;
}
