/* SPDX-License-Identifier: MIT */
#include "percpu/stack.h"

#include <string.h>

#include "base/inject.h"

/* The base that the sequences are given. */
static const void *stack_base(const struct tp_cpus *cpus)
{
	return (const void *)((uintptr_t)cpus->visible - TP_VISIBLE_OFFSET);
}

/* The word of a stack in the slab of a CPU that has one, with the slots behind it. */
static uint64_t *stack_of(const struct tp_cpus *cpus, const struct tp_cpu *cpu, unsigned stack)
{
	/* Relaxed: the caller has seen that the CPU has one, which never changes. */
	return tp_load_relaxed(&cpu->slab) + cpus->stack_index[stack];
}

static struct tp_stack_counters *stack_counters_of(
	const struct tp_cpus *cpus, const struct tp_cpu *cpu, unsigned stack)
{
	return tp_stack_counters(cpus, (unsigned)(cpu - cpus->cpu), stack);
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

tp_outline void *tp_stack_pop_rseq(const struct tp_cpus *cpus, unsigned stack_index, bool *expired)
{
	void *item = NULL;

	/* If there is a pointer and the pop took none, then the pop was aborted. */
	for (unsigned tries = 0; tries < TP_RSEQ_TRIES && !item; tries++) {
		if (!tp_word_depth(stack_own_word(cpus, stack_index)))
			break;
		item = tp_rseq_pop(tp_cpu_rseq, stack_base(cpus), cpus->count,
			stack_index * sizeof(uint64_t), expired);
	}
	return item;
}

tp_outline bool tp_stack_push_rseq(
	const struct tp_cpus *cpus, unsigned stack_index, void *item, bool aged)
{
	bool (*push)(ptrdiff_t, const void *, unsigned, const uint32_t *, const void *) =
		aged ? tp_rseq_push_aged : tp_rseq_push;
	uint32_t offset = stack_index * (uint32_t)sizeof(uint64_t);

	for (unsigned tries = 0; tries < TP_RSEQ_TRIES; tries++) {
		if (!tp_word_room(stack_own_word(cpus, stack_index)))
			break;
		if (push(tp_cpu_rseq, stack_base(cpus), cpus->count, &offset, item))
			return true;
	}
	return false;
}

/* ---- changes of the caller's CPU ---- */

/* A change that is decided, and how to count it. */
struct stack_plan {
	struct tp_word_change change;
	uint64_t *stack;
	struct tp_stack_counters *counters;
	int moved; /* pointers in; below 0: out */
};

/* Of a stack of a CPU that has a slab. */
static struct stack_plan stack_plan_make(const struct tp_cpus *cpus, const struct tp_cpu *cpu,
	unsigned stack, tp_word_decide *decide, const void *context)
{
	struct stack_plan plan = {.stack = stack_of(cpus, cpu, stack),
		.counters = stack_counters_of(cpus, cpu, stack)};

	/* Relaxed: the lock is held, or the sequence compares and finds that the word is stale. */
	plan.change.before = tp_load_relaxed(plan.stack);
	plan.change.after = decide(plan.change.before, context);
	plan.moved = (int)tp_word_depth(plan.change.after) - (int)tp_word_depth(plan.change.before);
	return plan;
}

/* Their order, with the commit between them: see "Counting" in stack.h. */
static void stack_count_before(const struct stack_plan *plan)
{
	if (plan->moved > 0)
		tp_add_relaxed(&plan->counters->moved_in, (uint64_t)plan->moved);
}

static void stack_count_undo(const struct stack_plan *plan)
{
	if (plan->moved > 0)
		tp_sub_relaxed(&plan->counters->moved_in, (uint64_t)plan->moved);
}

static void stack_count_after(const struct stack_plan *plan)
{
	int64_t armed =
		tp_word_countdown(plan->change.after) - tp_word_countdown(plan->change.before);

	tp_point(TP_POINT_COMMITTED);
	if (plan->moved < 0)
		tp_add_release(&plan->counters->moved_out, (uint64_t)-plan->moved);
	if (armed)
		tp_add_release(&plan->counters->armed, (uint64_t)armed);
}

/* The ages of what a change moves, outside the stack. */
struct stack_ages {
	uint8_t age[TP_STACK_BATCH];
};

/* The copy between items and the slots that only the deeper of the two states has. */
static void stack_plan_copy(const struct stack_plan *plan, void **items, const uint8_t *ages,
	struct stack_ages *outside_ages, struct tp_rseq_store *copy)
{
	/* Only copied: by stack_copy_locked, or by the sequence. */
	uint64_t *outside = (uint64_t *)(void *)items;
	unsigned n = (unsigned)(plan->moved < 0 ? -plan->moved : plan->moved);
	unsigned slot = tp_word_depth(plan->change.before) + 1 - (plan->moved < 0 ? n : 0);
	/* Without ages in the stack, the copy of ages has no effect. */
	uint8_t *inside_ages = ages ? tp_stack_ages(plan->stack) + slot : outside_ages->age;

	copy->count = n;
	copy->to = plan->moved < 0 ? outside : plan->stack + slot;
	copy->from = plan->moved < 0 ? plan->stack + slot : outside;
	copy->ages_to = plan->moved < 0 ? outside_ages->age : inside_ages;
	copy->ages_from = plan->moved < 0 ? inside_ages : outside_ages->age;
	if (ages && plan->moved > 0)
		memset(outside_ages->age, *ages, n);
}

/* After a change: gives the caller the ages of what came out. */
static void stack_ages_give(
	const struct stack_plan *plan, const struct stack_ages *outside_ages, uint8_t *ages)
{
	if (ages && plan->moved < 0)
		memcpy(ages, outside_ages->age, (size_t)-plan->moved);
}

/* Those outside are pointers, and numbers here (strict aliasing). */
typedef uint64_t __attribute__((may_alias)) stack_item;

/* Not memcpy: as in tp_stack_take_out. */
static void stack_copy_locked(const struct tp_rseq_store *copy, bool items, bool ages)
{
	stack_item *to = copy->to;
	const stack_item *from = copy->from;

	for (uint64_t i = 0; i < copy->count; i++) {
		if (items)
			tp_store_relaxed(&to[i], tp_load_relaxed(&from[i]));
		if (ages)
			tp_store_relaxed(&copy->ages_to[i], tp_load_relaxed(&copy->ages_from[i]));
	}
}

static struct tp_word_change stack_change_locked(const struct tp_cpus *cpus, unsigned stack,
	tp_word_decide *decide, const void *context, void **items, uint8_t *ages)
{
	struct tp_cpu *cpu = tp_cpus_enter(cpus);
	struct tp_rseq_store copy = {0};
	struct stack_ages outside_ages;
	struct stack_plan plan = {0};

	if (!cpu)
		return plan.change;
	if (*cpu->visible == cpu->slab) {
		plan = stack_plan_make(cpus, cpu, stack, decide, context);
		stack_plan_copy(&plan, items, ages, &outside_ages, &copy);
		stack_count_before(&plan);
		stack_copy_locked(&copy, items, ages);
		tp_store_release(plan.stack, plan.change.after); /* commit */
		stack_count_after(&plan);
		stack_ages_give(&plan, &outside_ages, ages);
	}
	tp_spinlock_unlock(&cpu->lock);
	return plan.change;
}

struct tp_word_change tp_stack_change(const struct tp_cpus *cpus, unsigned stack,
	tp_word_decide *decide, const void *context, void **items, uint8_t *ages)
{
	ptrdiff_t area = tp_cpu_rseq;
	struct stack_ages outside_ages;

	if (!area)
		return stack_change_locked(cpus, stack, decide, context, items, ages);
	for (unsigned tries = 0; tries < TP_RSEQ_TRIES; tries++) {
		unsigned cpu_id = tp_cpu_id();
		const struct tp_cpu *cpu = &cpus->cpu[cpu_id < cpus->count ? cpu_id : 0];
		/*
		 * Acquire: pairs with the release in tp_cpu_install; the slab is seen as it was
		 * made. Relaxed, of visible below: the sequence reads it again.
		 */
		uint64_t *slab = tp_load_acquire(&cpu->slab);
		struct tp_rseq_store store = {
			.cpu_id = cpu_id, .visible = cpu->visible, .slab = slab};
		struct stack_plan plan;

		if (cpu_id >= cpus->count || !slab || tp_load_relaxed(cpu->visible) != slab)
			break;
		plan = stack_plan_make(cpus, cpu, stack, decide, context);
		if (plan.change.after == plan.change.before)
			return plan.change;
		stack_plan_copy(&plan, items, ages, &outside_ages, &store);
		store.target = plan.stack;
		store.expected = plan.change.before;
		store.desired = plan.change.after;
		stack_count_before(&plan);
		tp_point(TP_POINT_CHANGE);
		if (tp_rseq_store(area, &store)) {
			stack_count_after(&plan);
			stack_ages_give(&plan, &outside_ages, ages);
			return plan.change;
		}
		stack_count_undo(&plan);
	}
	return (struct tp_word_change){0, 0};
}

static uint64_t stack_arm_decide(uint64_t word, const void *gap)
{
	return (int64_t)word < 0 ? word + *(const unsigned *)gap * TP_WORD_COUNTDOWN : word;
}

#if tp_fault(TP_FAULT_CARELESS_ARM)
static struct tp_word_change stack_careless_arm(
	const struct tp_cpus *cpus, unsigned stack, unsigned gap)
{
	const struct tp_cpu *cpu = &cpus->cpu[tp_cpu_current(cpus->count)];
	struct stack_plan plan = {0};

	if (!cpu->slab)
		return plan.change;
	plan = stack_plan_make(cpus, cpu, stack, stack_arm_decide, &gap);
	tp_point(TP_POINT_CHANGE);
	tp_store_release(plan.stack, plan.change.after);
	stack_count_after(&plan);
	return plan.change;
}
#endif

bool tp_stack_arm(const struct tp_cpus *cpus, unsigned stack, unsigned gap)
{
	struct tp_word_change change;

#if tp_fault(TP_FAULT_CARELESS_ARM)
	change = stack_careless_arm(cpus, stack, gap);
#else
	change = tp_stack_change(cpus, stack, stack_arm_decide, &gap, NULL, NULL);
#endif
	return change.before != change.after;
}

/* ---- on a stopped CPU ---- */

void tp_stack_take_out(const struct tp_cpus *cpus, const struct tp_cpu *cpu, unsigned stack,
	unsigned first, unsigned n, void **items, bool aged)
{
	uint64_t *slots = stack_of(cpus, cpu, stack);
	uint8_t *ages = tp_stack_ages(slots);
	uint64_t word = tp_load_relaxed(slots); /* the stopper owns it */
	unsigned above = tp_word_depth(word) + 1 - first - n;

	/* Not memcpy: TSan, if it watches the program alone, sees that and not the lock. */
	for (unsigned i = 0; i < n; i++)
		items[i] = (void *)(uintptr_t)tp_load_relaxed(&slots[first + i]);
	for (unsigned i = first; i < first + above; i++) {
		if (!tp_fault(TP_FAULT_UNSHIFTED))
			tp_store_relaxed(&slots[i], tp_load_relaxed(&slots[i + n]));
		if (aged)
			tp_store_relaxed(&ages[i], tp_load_relaxed(&ages[i + n]));
	}
	tp_point(TP_POINT_MOVE);
	if (tp_fault(TP_FAULT_DRAIN_OFF_BY_ONE) && !above)
		return;
	tp_store_release(slots, word - n * TP_WORD_DEPTH);
	tp_add_release(&stack_counters_of(cpus, cpu, stack)->moved_out, n);
}

void tp_stack_room_set(
	const struct tp_cpus *cpus, const struct tp_cpu *cpu, unsigned stack, unsigned room)
{
	uint64_t *word = stack_of(cpus, cpu, stack);

	tp_store_release(
		word, (tp_load_relaxed(word) & ~(0xff * TP_WORD_ROOM)) | room * TP_WORD_ROOM);
}

/* Sets a word whose countdown is 0 then, and counts that in the order of a writer, as in stack.h. */
static void stack_forget_countdown(
	struct tp_stack_counters *counters, uint64_t *word, int64_t countdown, uint64_t after)
{
	/* One that has expired is as if it were armed with what brings it to 0. */
	if (countdown > 0)
		tp_add_relaxed(&counters->forgotten, (uint64_t)countdown);
	tp_store_release(word, after);
	if (countdown < 0)
		tp_add_release(&counters->armed, (uint64_t)-countdown);
}

unsigned tp_stack_expire(const struct tp_cpus *cpus, const struct tp_cpu *cpu, unsigned stack)
{
	uint64_t *word = stack_of(cpus, cpu, stack), before = tp_load_relaxed(word);
	int64_t countdown = tp_word_countdown(before);

	/* Below 0 too: else a thread that is about to arm it does so, with a gap of before. */
	if (countdown)
		stack_forget_countdown(stack_counters_of(cpus, cpu, stack), word, countdown,
			before - (uint64_t)countdown * TP_WORD_COUNTDOWN);
	return countdown > 0 ? (unsigned)countdown : 0;
}

void tp_stack_forget(const struct tp_cpus *cpus, const struct tp_cpu *cpu)
{
	for (unsigned stack = 0; stack < cpus->stacks; stack++) {
		uint64_t *word = stack_of(cpus, cpu, stack);

		stack_forget_countdown(stack_counters_of(cpus, cpu, stack), word,
			tp_word_countdown(tp_load_relaxed(word)), 0);
	}
}

/* ---- counting ---- */

struct tp_stack_counts tp_stack_count_on(
	const struct tp_cpus *cpus, unsigned cpu_id, unsigned stack)
{
	const struct tp_stack_counters *counters;
	struct tp_stack_counts counts = {0, 0};
	uint64_t word;

	/* Acquire: pairs with the release by which they were set, and are seen zeroed. */
	if (!tp_load_acquire(&cpus->counters))
		return counts;
	counters = tp_stack_counters(cpus, cpu_id, stack);
	/* Acquire: pairs with the adds after the word's store; it, or a newer, is seen below. */
	counts.pops = (int64_t)tp_load_acquire(&counters->armed);
	counts.pushes = (int64_t)tp_load_acquire(&counters->moved_out);
	word = tp_stack_word(cpus, cpu_id, stack);
	/* The acquire of the word keeps these loads after it: all that it holds is in. */
	counts.pops -= tp_word_countdown(word) + (int64_t)tp_load_relaxed(&counters->forgotten);
	counts.pushes +=
		tp_word_depth(word) + counts.pops - (int64_t)tp_load_relaxed(&counters->moved_in);
	return counts;
}

struct tp_stack_counts tp_stack_count(const struct tp_cpus *cpus, unsigned stack)
{
	struct tp_stack_counts sum = {0, 0};

	for (unsigned cpu_id = 0; cpu_id < cpus->count; cpu_id++) {
		struct tp_stack_counts one = tp_stack_count_on(cpus, cpu_id, stack);

		sum.pops += one.pops;
		sum.pushes += one.pushes;
	}
	return sum;
}

uint64_t tp_stack_owner_count(const struct tp_cpus *cpus, unsigned stack, unsigned which)
{
	uint64_t sum = 0;

	if (!tp_load_acquire(&cpus->counters)) /* as in tp_stack_count_on */
		return sum;
	for (unsigned cpu_id = 0; cpu_id < cpus->count; cpu_id++)
		sum += tp_load_acquire(&tp_stack_counters(cpus, cpu_id, stack)->owner[which]);
	return sum;
}
