/* SPDX-License-Identifier: MIT */
/*
 * For tests of the idle layer by itself: buffers that are headers only, since the layer never
 * touches a block, and a model of who has each of them.
 */
#ifndef IDLE_FIXTURE_H
#define IDLE_FIXTURE_H

#include <criterion/criterion.h>
#include <limits.h>
#include <string.h>

#include "counting_backing.h"
#include "cpus.h"
#include "idle/idle.h"
#include "memory/bufstate.h"

#define FIXTURE_BUFFERS 4096
#define FIXTURE_CPUS 1024

struct fixture {
	struct counting_backing counting;
	struct tp_backing backing;
	struct tp_sizeclass sizes;
	struct tp_tiers tiers;
	char cpus[FIXTURE_CPUS * 3 * TP_LINE] __attribute__((aligned(TP_LINE)));
	unsigned made;
	tierpool_buf buffer[FIXTURE_BUFFERS] __attribute__((aligned(TP_LINE)));
	bool kept[FIXTURE_BUFFERS];  /* whether the layer has it */
	size_t leased[TP_TIERS_MAX]; /* leases that came out with victims */
	struct tp_buflist victims;
};

static inline int fixture_init(struct fixture *f, size_t tiers, const size_t *sizes, size_t retain,
	struct tp_budget *shared, size_t max_idle)
{
	struct tierpool_backing calls;

	memset(f, 0, sizeof *f);
	counting_backing_init(&f->counting);
	calls = counting_backing_calls(&f->counting);
	cr_assert_eq(tp_backing_init(&f->backing, &calls, 0), 0);
	cr_assert_eq(tp_sizeclass_list(&f->sizes, sizes, tiers), 0);
	cr_assert_leq(tp_tiers_cpu_bytes(tp_cpu_count()), sizeof f->cpus);
	return tp_tiers_init(
		&f->tiers, f->cpus, &f->sizes, &f->backing, retain, shared, max_idle, UINT_MAX, 0);
}

#define fixture_new(f, retain, shared, max_idle, ...)                                       \
	cr_assert_eq(0, fixture_init((f), sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t), \
				(size_t[]){__VA_ARGS__}, (retain), (shared), (max_idle)))

static inline unsigned index_of(const struct fixture *f, const tierpool_buf *b)
{
	cr_assert(b >= f->buffer && b < f->buffer + f->made, "a pointer that was never kept");
	return (unsigned)(b - f->buffer);
}

/* As a get makes one: in state idle, and the caller's. */
static inline tierpool_buf *make(struct fixture *f, unsigned tier)
{
	tierpool_buf *b = &f->buffer[f->made++];

	cr_assert_leq(f->made, FIXTURE_BUFFERS);
	b->tp_tier = (uint8_t)tier;
	b->tp_state = tp_bufstate(TP_STATE_IDLE);
	return b;
}

/* As a put does: the age is forgotten. */
static inline enum tp_kept keep(struct fixture *f, tierpool_buf *b)
{
	enum tp_kept result;

	b->tp_state = tp_bufstate(TP_STATE_IDLE);
	result = tp_idle_keep(&f->tiers, b, &f->victims);
	if (result == TP_KEPT)
		f->kept[index_of(f, b)] = true;
	return result;
}

/* Makes n buffers of a tier and keeps them all; the first of them. */
static inline tierpool_buf *keep_new(struct fixture *f, unsigned tier, unsigned n)
{
	tierpool_buf *first = &f->buffer[f->made];

	for (unsigned i = 0; i < n; i++)
		cr_assert_eq(keep(f, make(f, tier)), TP_KEPT);
	return first;
}

/* Says in the model that b came out of the layer; it has to have been in there. */
static inline tierpool_buf *came_out(struct fixture *f, tierpool_buf *b)
{
	cr_assert(f->kept[index_of(f, b)], "a buffer came out twice");
	f->kept[index_of(f, b)] = false;
	return b;
}

static inline tierpool_buf *take(struct fixture *f, unsigned tier)
{
	tierpool_buf *b = tp_idle_take(&f->tiers, tier, &f->victims);

	return b ? came_out(f, b) : NULL;
}

static inline tierpool_buf *evict(struct fixture *f, unsigned tier)
{
	tierpool_buf *b = tp_idle_evict(&f->tiers, tier);

	if (b)
		f->leased[came_out(f, b)->tp_tier]++;
	return b;
}

/* Takes the victims over, with their leases; the order that they come in goes to out, if any. */
static inline size_t victims_take(struct fixture *f, tierpool_buf **out)
{
	size_t n = 0;

	for (tierpool_buf *b; (b = tp_buflist_pop(&f->victims)); n++) {
		f->leased[came_out(f, b)->tp_tier]++;
		if (out)
			out[n] = b;
	}
	return n;
}

/* Frees what came out with its lease: ends the leases. */
static inline void unlease_all(struct fixture *f)
{
	for (unsigned tier = 0; tier < f->sizes.count; tier++)
		for (; f->leased[tier]; f->leased[tier]--)
			tp_tiers_unlease(&f->tiers, tier, 1);
}

static inline unsigned own_cpu(const struct fixture *f)
{
	return tp_cpu_current(f->tiers.cpus.count);
}

static inline unsigned depth_on(const struct fixture *f, unsigned cpu_id, unsigned tier)
{
	return tp_word_depth(tp_stack_word(&f->tiers.cpus, cpu_id, f->tiers.stack_index[tier]));
}

static inline unsigned room_on(const struct fixture *f, unsigned cpu_id, unsigned tier)
{
	return tp_word_room(tp_stack_word(&f->tiers.cpus, cpu_id, f->tiers.stack_index[tier]));
}

static inline size_t depot_count(const struct fixture *f, unsigned tier)
{
	return tp_depot_count(&f->tiers.tier[tier].depot);
}

/*
 * The invariant of tiers.h: what is leased is the sum of its parts, in bytes, in counts, and in the
 * shared budget, of which other bytes are leased elsewhere. NULL, or what is wrong.
 */
static inline const char *lease_fault(const struct fixture *f, size_t other)
{
	const struct tp_tiers *tiers = &f->tiers;
	size_t bytes = 0, idle_bytes = 0;

	for (unsigned tier = 0; tier < f->sizes.count; tier++) {
		size_t n = depot_count(f, tier) + f->leased[tier];

		for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++)
			n += depth_on(f, cpu_id, tier) + room_on(f, cpu_id, tier);
		if (n != tiers->tier[tier].many.leased)
			return "leased counts are not the sum of their parts";
		if (n > tiers->max_idle)
			return "more of a tier are leased than max_idle";
		bytes += n * tiers->tier[tier].cost;
		idle_bytes += tp_tiers_count(tiers, tier) * tiers->tier[tier].cost;
	}
	if (bytes != tiers->retain.leased)
		return "leased bytes are not the sum of their parts";
	if (tiers->shared && bytes + other != tiers->shared->leased)
		return "the shared budget's leased bytes are not the sum of their parts";
	if (idle_bytes != tp_tiers_bytes(tiers))
		return "idle bytes are not the sum over the buffers";
	if (bytes > tiers->retain.peak)
		return "more is leased than the peak";
	return NULL;
}

static inline void assert_leases(const struct fixture *f)
{
	const char *fault = lease_fault(f, 0);

	cr_assert(!fault, "%s", fault);
}

/* Closes the layer, and finds in it exactly what the model says that it has. */
static inline void fixture_end(struct fixture *f)
{
	tp_idle_close(&f->tiers, &f->victims);
	victims_take(f, NULL);
	assert_leases(f);
	unlease_all(f);
	cr_assert_eq(f->tiers.retain.leased, 0);
	for (unsigned i = 0; i < f->made; i++)
		cr_assert(!f->kept[i], "a buffer was lost");
	tp_tiers_fini(&f->tiers);
	cr_assert_eq(counting_backing_blocks(&f->counting), 0);
}

#endif
