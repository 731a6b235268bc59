/* SPDX-License-Identifier: MIT */
#include "percpu/stack.h"

#include <string.h>

#include "base/inject.h"

/* What the sequences are given. */
static const void *base_of(const struct tp_doors *doors)
{
	return (const void *)((uintptr_t)doors->slabs - TP_SLABS_AT);
}

/* ---- rseq mode: tried again after an abort ---- */

/* The word that the caller's CPU shows; 0 also where it is stopped or none of ours. */
static uint64_t own_word(const struct tp_doors *doors, unsigned at)
{
	unsigned cpu = tp_percpu_id();

	return cpu < doors->count ? tp_load_relaxed(tp_load_relaxed(&doors->slabs[cpu]) + at) : 0;
}

tp_outline void *tp_cpucache_pop_rseq(const struct tp_doors *doors, unsigned at, uint64_t *after)
{
	void *item = NULL;
	bool odd;

	/* What there was for the taking and was not taken was aborted. */
	for (unsigned tries = 0; tries < TP_SEQUENCE_TRIES && !item; tries++) {
		if (!tp_word_depth(own_word(doors, at)))
			break;
		item = tp_sequence_pop(
			tp_percpu_rseq, base_of(doors), doors->count, at, after, &odd);
	}
	return item;
}

tp_outline bool tp_cpucache_push_rseq(
	const struct tp_doors *doors, unsigned at, void *item, bool aged)
{
	bool (*push)(ptrdiff_t, const void *, unsigned, unsigned, const void *) =
		aged ? tp_sequence_push_aged : tp_sequence_push;

	for (unsigned tries = 0; tries < TP_SEQUENCE_TRIES; tries++) {
		if (!tp_word_room(own_word(doors, at)))
			break;
		if (push(tp_percpu_rseq, base_of(doors), doors->count, at, item))
			return true;
	}
	return false;
}

/* ---- changes of the caller's CPU ---- */

/* A change that was decided upon, and how to count it. */
struct plan {
	struct tp_change change;
	uint64_t *stack;
	int moved; /* pointers in, or out where it is negative */
};

static struct plan plan_make(uint64_t *stack, tp_word_decide *decide, const void *context)
{
	struct plan plan = {.stack = stack, .change.before = tp_load_relaxed(stack)};

	plan.change.after = decide(plan.change.before, context);
	plan.moved = (int)tp_word_depth(plan.change.after) - (int)tp_word_depth(plan.change.before);
	return plan;
}

/* The order of these, and of the commit between them: see "Counting" in cpucache.h. */
static void count_before(struct tp_door *door, const struct plan *plan)
{
	if (plan->moved > 0)
		tp_add_relaxed(&door->moved_in, (uint64_t)plan->moved);
}

static void count_undo(struct tp_door *door, const struct plan *plan)
{
	if (plan->moved > 0)
		tp_sub_relaxed(&door->moved_in, (uint64_t)plan->moved);
}

static void count_after(struct tp_door *door, const struct plan *plan)
{
	int64_t armed =
		tp_word_countdown(plan->change.after) - tp_word_countdown(plan->change.before);

	tp_point(TP_POINT_COMMITTED);
	if (plan->moved < 0)
		tp_add_release(&door->moved_out, (uint64_t)-plan->moved);
	if (armed)
		tp_add_release(&door->armed, (uint64_t)armed);
}

/* Where the pointers come from and where they go: the topmost slots of the larger stack. */
static void plan_copy(const struct plan *plan, void **items, struct tp_store *copy)
{
	uint64_t *outside = (uint64_t *)(void *)items;
	uint64_t *inside = plan->stack + 1 + tp_word_depth(plan->change.before);

	copy->count = (uint64_t)(plan->moved < 0 ? -plan->moved : plan->moved);
	copy->to = plan->moved < 0 ? outside : inside;
	copy->from = plan->moved < 0 ? inside - copy->count : outside;
}

static struct tp_change change_locked(const struct tp_doors *doors, unsigned at,
	tp_word_decide *decide, const void *context, void **items)
{
	struct tp_door *door = tp_doors_enter(doors);
	struct tp_store copy = {0};
	struct plan plan = {0};

	if (!door)
		return plan.change;
	if (*door->shown == door->home) {
		plan = plan_make(*door->shown + at, decide, context);
		plan_copy(&plan, items, &copy);
		count_before(door, &plan);
		for (uint64_t i = 0; items && i < copy.count; i++)
			copy.to[i] = copy.from[i];
		tp_store_release(plan.stack, plan.change.after); /* commit */
		count_after(door, &plan);
	}
	tp_locked_leave(&door->lock);
	return plan.change;
}

struct tp_change tp_cpucache_change(const struct tp_doors *doors, unsigned at,
	tp_word_decide *decide, const void *context, void **items)
{
	ptrdiff_t area = tp_percpu_rseq;

	if (!area)
		return change_locked(doors, at, decide, context, items);
	for (unsigned tries = 0; tries < TP_SEQUENCE_TRIES; tries++) {
		unsigned cpu = tp_percpu_id();
		struct tp_door *door = &doors->door[cpu < doors->count ? cpu : 0];
		/* Acquire: pairs with the release of install; the slab is seen zeroed. */
		uint64_t *home = tp_load_acquire(&door->home);
		struct tp_store store = {.cpu = cpu, .gate = door->shown, .gated = home};
		struct plan plan;

		if (cpu >= doors->count || !home || tp_load_relaxed(door->shown) != home)
			break;
		plan = plan_make(home + at, decide, context);
		if (plan.change.after == plan.change.before)
			return plan.change;
		plan_copy(&plan, items, &store);
		store.target = plan.stack;
		store.expected = plan.change.before;
		store.desired = plan.change.after;
		count_before(door, &plan);
		tp_point(TP_POINT_CHANGE);
		if (tp_sequence_store(area, &store)) {
			count_after(door, &plan);
			return plan.change;
		}
		count_undo(door, &plan);
	}
	return (struct tp_change){0, 0};
}

static uint64_t arm_decide(uint64_t word, const void *gap)
{
	return (int64_t)word < 0 ? word + *(const unsigned *)gap * TP_WORD_COUNTDOWN : word;
}

#if tp_fault(TP_FAULT_CARELESS_ARM)
static struct tp_change careless_arm(const struct tp_doors *doors, unsigned at, unsigned gap)
{
	struct tp_door *door = &doors->door[tp_percpu_current(doors->count)];
	struct plan plan = {.stack = door->home ? door->home + at : NULL};

	if (!plan.stack)
		return plan.change;
	plan = plan_make(plan.stack, arm_decide, &gap);
	tp_point(TP_POINT_CHANGE);
	tp_store_release(plan.stack, plan.change.after);
	count_after(door, &plan);
	return plan.change;
}
#endif

static unsigned gap_draw(struct tp_door *door, unsigned mean)
{
	/*
	 * Weyl sequence through a multiplicative hash: Knuth, TAOCP 3, 6.4. Relaxed: a number that
	 * two threads draw from one door at once is no less random.
	 */
	uint64_t random = tp_add_relaxed(&door->random, UINT64_C(0x9e3779b97f4a7c15));

	random += UINT64_C(0x9e3779b97f4a7c15);
	return (unsigned)((random * UINT64_C(0xd1342543de82ef95)) >> 32) % (2 * mean - 1) + 1;
}

unsigned tp_cpucache_arm(const struct tp_doors *doors, unsigned at, unsigned mean)
{
	unsigned gap = gap_draw(&doors->door[tp_percpu_current(doors->count)], mean);
	struct tp_change change;

#if tp_fault(TP_FAULT_CARELESS_ARM)
	change = careless_arm(doors, at, gap);
#else
	change = tp_cpucache_change(doors, at, arm_decide, &gap, NULL);
#endif
	return change.before != change.after ? gap : 0;
}

/* ---- on a stopped CPU ---- */

void tp_cpucache_move_in(struct tp_door *door, uint64_t *stack, void *item)
{
	uint64_t word = tp_load_relaxed(stack);

	/* The orders here and below: see "Counting" in cpucache.h; partner: tp_cpucache_count. */
	tp_add_relaxed(&door->moved_in, 1u);
	stack[tp_word_depth(word) + 1] = (uintptr_t)item;
	tp_point(TP_POINT_MOVE);
	tp_store_release(stack, word + TP_WORD_DEPTH);
}

void *tp_cpucache_move_out(struct tp_door *door, uint64_t *stack, unsigned slot)
{
	uint64_t word = tp_load_relaxed(stack);
	void *item = (void *)(uintptr_t)stack[slot];

	if (!tp_fault(TP_FAULT_UNSHIFTED))
		memmove(stack + slot, stack + slot + 1,
			(tp_word_depth(word) - slot) * sizeof *stack);
	tp_point(TP_POINT_MOVE);
	if (tp_fault(TP_FAULT_DRAIN_OFF_BY_ONE) && slot == tp_word_depth(word))
		return item;
	tp_store_release(stack, word - TP_WORD_DEPTH);
	tp_add_release(&door->moved_out, 1u);
	return item;
}

void tp_cpucache_room_set(uint64_t *stack, unsigned room)
{
	uint64_t word = tp_load_relaxed(stack);

	tp_store_release(stack, (word & ~(TP_WORD_MASK * TP_WORD_ROOM)) | room * TP_WORD_ROOM);
}

void tp_cpucache_hurry(struct tp_door *door, uint64_t *stack, unsigned mean)
{
	uint64_t word = tp_load_relaxed(stack);
	/* The strike is the pop that finds a countdown of 0. */
	int64_t too_many = tp_word_countdown(word) + 1 - (int64_t)gap_draw(door, mean);

	if (too_many <= 0)
		return;
	tp_add_relaxed(&door->skipped, (uint64_t)too_many);
	tp_store_release(stack, word - (uint64_t)too_many * TP_WORD_COUNTDOWN);
}

/* ---- counting ---- */

uint64_t tp_cpucache_word(const struct tp_doors *doors, unsigned cpu, unsigned at)
{
	const uint64_t *slab = tp_load_acquire(&doors->door[cpu].home);

	return slab ? tp_load_acquire(&slab[at]) : 0;
}

struct tp_cpucache_counts tp_cpucache_count_on(
	const struct tp_doors *doors, unsigned cpu, const uint16_t *at, unsigned stacks)
{
	const struct tp_door *door = &doors->door[cpu];
	/* Acquire: the words that these counted are seen below, or newer ones. */
	struct tp_cpucache_counts sum = {.pops = (int64_t)tp_load_acquire(&door->armed),
		.pushes = (int64_t)tp_load_acquire(&door->moved_out)};

	for (unsigned i = 0; i < stacks; i++) {
		uint64_t word = tp_cpucache_word(doors, cpu, at[i]);

		sum.pops -= tp_word_countdown(word);
		sum.pushes += tp_word_depth(word);
	}
	/* After the words, whose acquire keeps them there: what they hold is counted in. */
	sum.pops -= (int64_t)tp_load_relaxed(&door->skipped);
	sum.pushes += sum.pops - (int64_t)tp_load_relaxed(&door->moved_in);
	return sum;
}

struct tp_cpucache_counts tp_cpucache_count(
	const struct tp_doors *doors, const uint16_t *at, unsigned stacks)
{
	struct tp_cpucache_counts sum = {0, 0};

	for (unsigned cpu = 0; cpu < doors->count; cpu++) {
		struct tp_cpucache_counts one = tp_cpucache_count_on(doors, cpu, at, stacks);

		sum.pops += one.pops;
		sum.pushes += one.pushes;
	}
	return sum;
}
