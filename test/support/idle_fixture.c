/* SPDX-License-Identifier: MIT */
#include "idle_fixture.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <string.h>

#include "cpus.h"
#include "idle/idle.h"
#include "memory/bufstate.h"

/* Notes that b came out of the layer, where it has to have been. */
static tierpool_buf *idle_came_out(struct idle_fixture *f, tierpool_buf *b)
{
	cr_assert(f->kept[idle_index(f, b)], "a buffer came out twice");
	f->kept[idle_index(f, b)] = false;
	return b;
}

/* Notes that b goes in, on this CPU. If the layer refuses it, the caller says so. */
static void idle_goes_in(struct idle_fixture *f, tierpool_buf *b, unsigned cpu_id)
{
	f->kept[idle_index(f, b)] = true;
	f->kept_at[idle_index(f, b)] = tp_decay_owes(&f->tiers.decay, cpu_id)
					       ? f->tiers.decay.per_cpu[cpu_id].aged / 2
					       : f->tiers.decay.ticks;
}

/* What releases may take for granted: that no CPU is stopped, and no depot locked, for them. */
static void idle_assert_unlocked(struct idle_fixture *f)
{
	for (unsigned cpu_id = 0; cpu_id < f->tiers.cpus.count; cpu_id++)
		cr_assert(!tp_cpu_is_stopped(&f->tiers.cpus.cpu[cpu_id]), "released in a stop");
	for (unsigned tier = 0; tier < f->tiers.count; tier++) {
		struct tp_lock *lock = &f->tiers.tier[tier].depot.lock;

		cr_assert(tp_lock_try(lock), "released in a depot's lock");
		tp_lock_give(lock);
	}
}

/* The tp_release of the layer. */
static void idle_release(
	struct tp_tiers *tiers, void *const *items, unsigned count, enum tp_drop why)
{
	struct idle_fixture *f = (void *)((char *)tiers - offsetof(struct idle_fixture, tiers));

	cr_assert_gt(count, 0);
	if (!f->threads)
		idle_assert_unlocked(f);
	for (unsigned i = 0; i < count; i++) {
		tierpool_buf *b = idle_came_out(f, items[i]);

		cr_assert(why != TP_DROP_DECAY ||
				  f->tiers.decay.ticks >= f->kept_at[idle_index(f, b)] + 2,
			"freed before it lay idle through two ticks");
		f->leased[b->tp_tier]++;
		f->released++;
	}
	f->why = why;
}

void idle_init(struct idle_fixture *f, size_t tiers, const size_t *sizes, size_t retain,
	struct tp_budget *shared, size_t max_idle)
{
	struct tierpool_backing calls;

	memset(f, 0, sizeof *f);
	counting_backing_init(&f->counting);
	calls = counting_backing_calls(&f->counting);
	cr_assert_eq(tp_backing_init(&f->backing, &calls), 0);
	f->sizes.size = f->size;
	if (sizes)
		cr_assert_eq(tp_sizeclass_list(&f->sizes, sizes, tiers), 0);
	tp_blocks_init(&f->blocks, NULL, &f->backing, f->sizes.size, f->sizes.count, TP_LINE);
	cr_assert_leq(tp_decay_cpu_bytes(tp_cpu_count()), sizeof f->cpus);
	cr_assert_eq(tp_tiers_init(&f->tiers, f->cpus,
			     &(struct tp_tiers_options){.backing = &f->backing,
				     .blocks = sizes ? &f->blocks : NULL,
				     .retain = retain,
				     .max_idle = max_idle,
				     .shared = shared,
				     .decay_ms = UINT_MAX,
				     .release = idle_release}),
		0);
}

unsigned idle_index(const struct idle_fixture *f, const tierpool_buf *b)
{
	cr_assert(b >= f->buffer && b < f->buffer + f->made, "a pointer that was never kept");
	return (unsigned)(b - f->buffer);
}

tierpool_buf *idle_make(struct idle_fixture *f, unsigned tier)
{
	tierpool_buf *b = &f->buffer[f->made++];

	cr_assert_leq(f->made, IDLE_BUFFERS);
	b->tp_tier = (uint8_t)tier;
	b->tp_state = tp_bufstate(TP_STATE_IDLE);
	return b;
}

static bool idle_push(struct idle_fixture *f, tierpool_buf *b)
{
	return f->tiers.aged_slots
		       ? tp_stack_push_aged(&f->tiers.cpus, f->tiers.stack_index[0], b)
		       : tp_stack_push(&f->tiers.cpus, f->tiers.stack_index[b->tp_tier], b);
}

enum tp_kept idle_keep(struct idle_fixture *f, tierpool_buf *b)
{
	enum tp_kept result;
	void *item = b;

	b->tp_state = tp_bufstate(TP_STATE_IDLE);
	idle_goes_in(f, b, idle_own_cpu(f));
	if (idle_push(f, b) || tp_idle_keep_in_stack(&f->tiers, b->tp_tier, b))
		return TP_KEPT;
	result = tp_idle_lease(&f->tiers, b->tp_tier);
	if (result == TP_KEPT && !tp_tiers_depot_push(&f->tiers, b->tp_tier, TP_YOUNG, &item, 1))
		return IDLE_CLOSED;
	f->kept[idle_index(f, b)] = result == TP_KEPT;
	return result;
}

tierpool_buf *idle_keep_new(struct idle_fixture *f, unsigned tier, unsigned n)
{
	tierpool_buf *first = &f->buffer[f->made];

	for (unsigned i = 0; i < n; i++)
		cr_assert_eq(idle_keep(f, idle_make(f, tier)), TP_KEPT);
	return first;
}

tierpool_buf *idle_depot_new(
	struct idle_fixture *f, unsigned tier, enum tp_generation generation, unsigned n)
{
	tierpool_buf *first = &f->buffer[f->made];

	for (unsigned i = 0; i < n; i++) {
		void *item = idle_make(f, tier);

		f->kept[idle_index(f, item)] = true;
		cr_assert_eq(tp_tiers_lease(&f->tiers, tier, 1), TP_KEPT);
		cr_assert(tp_tiers_depot_push(&f->tiers, tier, generation, &item, 1));
	}
	return first;
}

tierpool_buf *idle_take(struct idle_fixture *f, unsigned tier)
{
	bool expired;
	tierpool_buf *b = tp_stack_pop(&f->tiers.cpus, f->tiers.stack_index[tier], &expired);

	if (!b)
		b = tp_idle_take(&f->tiers, tier, &f->found);
	return b ? idle_came_out(f, b) : NULL;
}

unsigned idle_released(struct idle_fixture *f)
{
	unsigned n = f->released;

	f->released = 0;
	return n;
}

void idle_unlease(struct idle_fixture *f)
{
	for (unsigned tier = 0; tier < f->tiers.count; tier++)
		for (; f->leased[tier]; f->leased[tier]--)
			tp_tiers_unlease(&f->tiers, tier, 1);
}

bool idle_all(const struct idle_fixture *f, const tierpool_buf *b, unsigned n, bool kept)
{
	for (unsigned i = 0; i < n; i++)
		if (f->kept[idle_index(f, b + i)] != kept)
			return false;
	return true;
}

unsigned idle_own_cpu(const struct idle_fixture *f)
{
	return tp_cpu_current(f->tiers.cpus.count);
}

unsigned idle_depth(const struct idle_fixture *f, unsigned cpu_id, unsigned tier)
{
	return tp_tiers_depth(&f->tiers, cpu_id, tier);
}

unsigned idle_room(const struct idle_fixture *f, unsigned cpu_id, unsigned tier)
{
	return tp_word_room(tp_tiers_word(&f->tiers, cpu_id, tier));
}

size_t idle_depot_count(const struct idle_fixture *f, unsigned tier)
{
	return tp_depot_count(&f->tiers.tier[tier].depot);
}

const char *idle_lease_fault(const struct idle_fixture *f, size_t other)
{
	const struct tp_tiers *tiers = &f->tiers;
	size_t bytes = 0, idle_bytes = 0;

	for (unsigned tier = 0; tier < tiers->count; tier++) {
		size_t n = idle_depot_count(f, tier) + f->leased[tier];

		for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++)
			n += idle_depth(f, cpu_id, tier) + idle_room(f, cpu_id, tier);
		if (tiers->tier[tier].cost && n != tiers->tier[tier].many.leased)
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

void idle_assert_leases(const struct idle_fixture *f)
{
	const char *fault = idle_lease_fault(f, 0);

	cr_assert(!fault, "%s", fault);
}

void idle_end(struct idle_fixture *f)
{
	tp_idle_close(&f->tiers);
	idle_assert_leases(f);
	idle_unlease(f);
	cr_assert_eq(f->tiers.retain.leased, 0);
	cr_assert(idle_all(f, f->buffer, f->made, false), "a buffer was lost");
	tp_tiers_fini(&f->tiers);
	cr_assert_eq(counting_backing_blocks(&f->counting), 0);
}

/* ---- other CPUs ---- */

void idle_others(struct idle_fixture *f, unsigned n)
{
	struct tp_tiers *tiers = &f->tiers;
	unsigned count;

	stay_on_this_cpu();
	f->own = tp_cpu_id();
	count = f->own + 1 + n;
	if (tp_decay_cpu_bytes(count) > sizeof f->cpus)
		skip("this CPU is beyond the table of the test");
	if (tp_cpu_rseq && tp_cpu_fence(0))
		skip("other CPUs cannot be stopped, since fences are refused");
	cr_assert(n <= IDLE_OTHERS && tiers->slab_bytes <= sizeof f->slab[0]);
	cr_assert_eq(tp_cpus_init(&tiers->cpus, f->cpus, count), 0);
	tiers->cpus.stack_index = tiers->stack_index;
	tiers->cpus.stacks = tiers->count;
	tp_decay_init(&tiers->decay, f->cpus + tp_cpus_bytes(count), &tiers->cpus, tiers->decay.ms);
	tp_tiers_slab_create(tiers);
	for (unsigned i = 1; i <= n; i++)
		tp_decay_slab_install(&tiers->decay, f->own + i, f->slab[i - 1]);
}

struct tp_cpu *idle_cpu(struct idle_fixture *f, unsigned i)
{
	return &f->tiers.cpus.cpu[f->own + i];
}

tierpool_buf *idle_place(struct idle_fixture *f, unsigned i, unsigned tier, unsigned n)
{
	uint64_t *stack = f->slab[i - 1] + f->tiers.stack_index[tier];
	tierpool_buf *first = &f->buffer[f->made];

	cr_assert_eq(tp_tiers_lease(&f->tiers, tier, n), TP_KEPT);
	for (unsigned k = 0; k < n; k++) {
		unsigned slot = idle_depth(f, f->own + i, tier) + 1;

		cr_assert_leq(slot, f->tiers.tier[tier].slots);
		stack[slot] = (uintptr_t)idle_make(f, tier);
		if (f->tiers.aged_slots)
			tp_stack_ages(stack)[slot] = 0;
		*stack += TP_WORD_DEPTH;
		idle_goes_in(f, first + k, f->own + i);
	}
	return first;
}

void idle_work(struct idle_fixture *f, unsigned i, unsigned pairs)
{
	f->slab[i - 1][f->tiers.stack_index[0]] -= pairs * TP_WORD_COUNTDOWN;
}

unsigned idle_owed(const struct idle_fixture *f, unsigned i)
{
	return (unsigned)(f->tiers.decay.ticks - f->tiers.decay.per_cpu[f->own + i].aged / 2);
}
