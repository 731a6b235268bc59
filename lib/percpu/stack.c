/* SPDX-License-Identifier: MIT */
#include "percpu/stack.h"

#include <string.h>

#include "base/inject.h"

/* The base that the sequences are given. */
static const void *stack_base(const struct tp_cpus *cpus)
{
	return (const void *)((uintptr_t)cpus->visible - TP_VISIBLE_OFFSET);
}

/* ---- rseq mode: tries again after an abort ---- */

/*
 * The word that the caller's CPU shows; 0 if the CPU is stopped or beyond the table. Relaxed: it
 * decides only whether to try again; the sequence reads the word itself.
 */
static uint64_t stack_own_word(const struct tp_cpus *cpus, unsigned stack_index)
{
	unsigned cpu_id = tp_cpu_id();

	return cpu_id < cpus->count
		       ? tp_load_relaxed(tp_load_relaxed(&cpus->visible[cpu_id]) + stack_index)
		       : 0;
}

tp_outline void *tp_stack_pop_rseq(
	const struct tp_cpus *cpus, unsigned stack_index, uint64_t *after)
{
	void *item = NULL;
	bool slow;

	/* If there is a pointer and the pop took none, then the pop was aborted. */
	for (unsigned tries = 0; tries < TP_RSEQ_TRIES && !item; tries++) {
		if (!tp_word_depth(stack_own_word(cpus, stack_index)))
			break;
		item = tp_rseq_pop(
			tp_cpu_rseq, stack_base(cpus), cpus->count, stack_index, after, &slow);
	}
	return item;
}

tp_outline bool tp_stack_push_rseq(
	const struct tp_cpus *cpus, unsigned stack_index, void *item, bool aged)
{
	bool (*push)(ptrdiff_t, const void *, unsigned, unsigned, const void *) =
		aged ? tp_rseq_push_aged : tp_rseq_push;

	for (unsigned tries = 0; tries < TP_RSEQ_TRIES; tries++) {
		if (!tp_word_room(stack_own_word(cpus, stack_index)))
			break;
		if (push(tp_cpu_rseq, stack_base(cpus), cpus->count, stack_index, item))
			return true;
	}
	return false;
}

/* ---- changes of the caller's CPU ---- */

/* A change that is decided, and how to count it. */
struct stack_plan {
	struct tp_word_change change;
	uint64_t *stack;
	int moved; /* pointers in; below 0: out */
};

static struct stack_plan stack_plan_make(
	uint64_t *stack, tp_word_decide *decide, const void *context)
{
	/* Relaxed: the lock is held, or the sequence compares and finds that the word is stale. */
	struct stack_plan plan = {.stack = stack, .change.before = tp_load_relaxed(stack)};

	plan.change.after = decide(plan.change.before, context);
	plan.moved = (int)tp_word_depth(plan.change.after) - (int)tp_word_depth(plan.change.before);
	return plan;
}

/* Their order, with the commit between them: see "Counting" in stack.h. */
static void stack_count_before(struct tp_cpu *cpu, const struct stack_plan *plan)
{
	if (plan->moved > 0)
		tp_add_relaxed(&cpu->moved_in, (uint64_t)plan->moved);
}

static void stack_count_undo(struct tp_cpu *cpu, const struct stack_plan *plan)
{
	if (plan->moved > 0)
		tp_sub_relaxed(&cpu->moved_in, (uint64_t)plan->moved);
}

static void stack_count_after(struct tp_cpu *cpu, const struct stack_plan *plan)
{
	int64_t armed =
		tp_word_countdown(plan->change.after) - tp_word_countdown(plan->change.before);

	tp_point(TP_POINT_COMMITTED);
	if (plan->moved < 0)
		tp_add_release(&cpu->moved_out, (uint64_t)-plan->moved);
	if (armed)
		tp_add_release(&cpu->armed, (uint64_t)armed);
}

/* The copy between items and the slots that only the deeper of the two states has. */
static void stack_plan_copy(const struct stack_plan *plan, void **items, struct tp_rseq_store *copy)
{
	uint64_t *outside = (uint64_t *)(void *)items;
	uint64_t *inside = plan->stack + 1 + tp_word_depth(plan->change.before);

	copy->count = (uint64_t)(plan->moved < 0 ? -plan->moved : plan->moved);
	copy->to = plan->moved < 0 ? outside : inside;
	copy->from = plan->moved < 0 ? inside - copy->count : outside;
}

static struct tp_word_change stack_change_locked(const struct tp_cpus *cpus, unsigned stack_index,
	tp_word_decide *decide, const void *context, void **items)
{
	struct tp_cpu *cpu = tp_cpus_enter(cpus);
	struct tp_rseq_store copy = {0};
	struct stack_plan plan = {0};

	if (!cpu)
		return plan.change;
	if (*cpu->visible == cpu->slab) {
		plan = stack_plan_make(*cpu->visible + stack_index, decide, context);
		stack_plan_copy(&plan, items, &copy);
		stack_count_before(cpu, &plan);
		for (uint64_t i = 0; items && i < copy.count; i++)
			copy.to[i] = copy.from[i];
		tp_store_release(plan.stack, plan.change.after); /* commit */
		stack_count_after(cpu, &plan);
	}
	tp_spinlock_unlock(&cpu->lock);
	return plan.change;
}

struct tp_word_change tp_stack_change(const struct tp_cpus *cpus, unsigned stack_index,
	tp_word_decide *decide, const void *context, void **items)
{
	ptrdiff_t area = tp_cpu_rseq;

	if (!area)
		return stack_change_locked(cpus, stack_index, decide, context, items);
	for (unsigned tries = 0; tries < TP_RSEQ_TRIES; tries++) {
		unsigned cpu_id = tp_cpu_id();
		struct tp_cpu *cpu = &cpus->cpu[cpu_id < cpus->count ? cpu_id : 0];
		/*
		 * Acquire: pairs with the release in tp_cpu_install; the slab is seen zeroed.
		 * Relaxed, of visible below: the sequence reads it again.
		 */
		uint64_t *slab = tp_load_acquire(&cpu->slab);
		struct tp_rseq_store store = {
			.cpu_id = cpu_id, .visible = cpu->visible, .slab = slab};
		struct stack_plan plan;

		if (cpu_id >= cpus->count || !slab || tp_load_relaxed(cpu->visible) != slab)
			break;
		plan = stack_plan_make(slab + stack_index, decide, context);
		if (plan.change.after == plan.change.before)
			return plan.change;
		stack_plan_copy(&plan, items, &store);
		store.target = plan.stack;
		store.expected = plan.change.before;
		store.desired = plan.change.after;
		stack_count_before(cpu, &plan);
		tp_point(TP_POINT_CHANGE);
		if (tp_rseq_store(area, &store)) {
			stack_count_after(cpu, &plan);
			return plan.change;
		}
		stack_count_undo(cpu, &plan);
	}
	return (struct tp_word_change){0, 0};
}

static uint64_t stack_arm_decide(uint64_t word, const void *gap)
{
	return (int64_t)word < 0 ? word + *(const unsigned *)gap * TP_WORD_COUNTDOWN : word;
}

#if tp_fault(TP_FAULT_CARELESS_ARM)
static struct tp_word_change stack_careless_arm(
	const struct tp_cpus *cpus, unsigned stack_index, unsigned gap)
{
	struct tp_cpu *cpu = &cpus->cpu[tp_cpu_current(cpus->count)];
	struct stack_plan plan = {.stack = cpu->slab ? cpu->slab + stack_index : NULL};

	if (!plan.stack)
		return plan.change;
	plan = stack_plan_make(plan.stack, stack_arm_decide, &gap);
	tp_point(TP_POINT_CHANGE);
	tp_store_release(plan.stack, plan.change.after);
	stack_count_after(cpu, &plan);
	return plan.change;
}
#endif

static unsigned stack_gap_draw(struct tp_cpu *cpu, unsigned mean)
{
	/*
	 * Weyl sequence through a multiplicative hash: Knuth, TAOCP 3, 6.4. Relaxed: the order in
	 * which two threads draw from one CPU's numbers does not matter.
	 */
	uint64_t random = tp_add_relaxed(&cpu->random, UINT64_C(0x9e3779b97f4a7c15));

	random += UINT64_C(0x9e3779b97f4a7c15);
	return (unsigned)((random * UINT64_C(0xd1342543de82ef95)) >> 32) % (2 * mean - 1) + 1;
}

unsigned tp_stack_arm(const struct tp_cpus *cpus, unsigned stack_index, unsigned mean)
{
	unsigned gap = stack_gap_draw(&cpus->cpu[tp_cpu_current(cpus->count)], mean);
	struct tp_word_change change;

#if tp_fault(TP_FAULT_CARELESS_ARM)
	change = stack_careless_arm(cpus, stack_index, gap);
#else
	change = tp_stack_change(cpus, stack_index, stack_arm_decide, &gap, NULL);
#endif
	return change.before != change.after ? gap : 0;
}

/* ---- on a stopped CPU ---- */

void tp_stack_move_in(struct tp_cpu *cpu, uint64_t *stack, void *item)
{
	uint64_t word = tp_load_relaxed(stack);

	/* Relaxed, here and below: the stopper owns the word. See "Counting" in stack.h. */
	tp_add_relaxed(&cpu->moved_in, 1u);
	stack[tp_word_depth(word) + 1] = (uintptr_t)item;
	tp_point(TP_POINT_MOVE);
	tp_store_release(stack, word + TP_WORD_DEPTH);
}

void *tp_stack_move_out(struct tp_cpu *cpu, uint64_t *stack, unsigned slot)
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
	tp_add_release(&cpu->moved_out, 1u);
	return item;
}

void tp_stack_room_set(uint64_t *stack, unsigned room)
{
	uint64_t word = tp_load_relaxed(stack);

	tp_store_release(stack, (word & ~(TP_WORD_MASK * TP_WORD_ROOM)) | room * TP_WORD_ROOM);
}

void tp_stack_shorten(struct tp_cpu *cpu, uint64_t *stack, unsigned mean)
{
	uint64_t word = tp_load_relaxed(stack);
	/* The pop that finds a countdown of 0 expires: a gap of n is a countdown of n - 1. */
	int64_t excess = tp_word_countdown(word) + 1 - (int64_t)stack_gap_draw(cpu, mean);

	if (excess <= 0)
		return;
	tp_add_relaxed(&cpu->skipped, (uint64_t)excess);
	tp_store_release(stack, word - (uint64_t)excess * TP_WORD_COUNTDOWN);
}

/* ---- counting ---- */

uint64_t tp_stack_word(const struct tp_cpus *cpus, unsigned cpu_id, unsigned stack_index)
{
	/* Acquire: pairs with tp_cpu_install for the slab, with each commit for the word. */
	const uint64_t *slab = tp_load_acquire(&cpus->cpu[cpu_id].slab);

	return slab ? tp_load_acquire(&slab[stack_index]) : 0;
}

struct tp_stack_counts tp_stack_count_on(
	const struct tp_cpus *cpus, unsigned cpu_id, const uint16_t *stack_index, unsigned stacks)
{
	const struct tp_cpu *cpu = &cpus->cpu[cpu_id];
	/* Acquire: pairs with the adds after a word's store; it, or a newer, is seen below. */
	struct tp_stack_counts sum = {.pops = (int64_t)tp_load_acquire(&cpu->armed),
		.pushes = (int64_t)tp_load_acquire(&cpu->moved_out)};

	for (unsigned i = 0; i < stacks; i++) {
		uint64_t word = tp_stack_word(cpus, cpu_id, stack_index[i]);

		sum.pops -= tp_word_countdown(word);
		sum.pushes += tp_word_depth(word);
	}
	/* The acquire of the words keeps these loads after them: all that a word holds is in. */
	sum.pops -= (int64_t)tp_load_relaxed(&cpu->skipped);
	sum.pushes += sum.pops - (int64_t)tp_load_relaxed(&cpu->moved_in);
	return sum;
}

struct tp_stack_counts tp_stack_count(
	const struct tp_cpus *cpus, const uint16_t *stack_index, unsigned stacks)
{
	struct tp_stack_counts sum = {0, 0};

	for (unsigned cpu_id = 0; cpu_id < cpus->count; cpu_id++) {
		struct tp_stack_counts one = tp_stack_count_on(cpus, cpu_id, stack_index, stacks);

		sum.pops += one.pops;
		sum.pushes += one.pushes;
	}
	return sum;
}
