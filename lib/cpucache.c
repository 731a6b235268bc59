/* SPDX-License-Identifier: MIT */
#include "cpucache.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "inject.h"

/* One for the process: all zero, and not to be written. MAP_FAILED: none could be had. */
static uint64_t *closed_slab;

static void closed_slab_map(void)
{
	closed_slab = mmap(
		NULL, TP_SLAB_MOST, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

int tp_cpucache_init(struct tp_cpucache *cache, void *memory, unsigned count)
{
	static pthread_once_t mapped = PTHREAD_ONCE_INIT;

	tp_percpu_start();
	pthread_once(&mapped, closed_slab_map);
	if (closed_slab == MAP_FAILED)
		return -ENOMEM;
	memset(memory, 0, tp_cpucache_bytes(count));
	*cache = (struct tp_cpucache){.slabs = memory, .count = count};
	cache->doors =
		(void *)((char *)memory + tp_round_up(count * sizeof *cache->slabs, TP_LINE));
	for (unsigned cpu = 0; cpu < count; cpu++) {
		cache->slabs[cpu] = closed_slab;
		cache->doors[cpu].shown = &cache->slabs[cpu];
	}
	return 0;
}

/* What the sequences are given. */
static const void *base_of(const struct tp_cpucache *cache)
{
	return (const void *)((uintptr_t)cache->slabs - TP_SLABS_AT);
}

tp_cold struct tp_door *tp_cpucache_enter_other(const struct tp_cpucache *cache, unsigned cpu)
{
	for (unsigned i = 1; i < cache->count; i++) {
		cpu = cpu + 1 == cache->count ? 0 : cpu + 1;
		if (tp_locked_try(&cache->doors[cpu].lock))
			return &cache->doors[cpu];
	}
	return NULL;
}

/* ---- rseq mode: tried again after an abort ---- */

/* The word that the caller's CPU shows; 0 also where it is stopped or none of ours. */
static uint64_t own_word(const struct tp_cpucache *cache, unsigned at)
{
	unsigned cpu = tp_percpu_id();

	return cpu < cache->count ? tp_load_relaxed(tp_load_relaxed(&cache->slabs[cpu]) + at) : 0;
}

tp_aside void *tp_cpucache_pop_again(const struct tp_cpucache *cache, unsigned at, uint64_t *after)
{
	void *item = NULL;
	bool odd;

	/* What there was for the taking and was not taken was aborted. */
	for (unsigned tries = 0; tries < TP_SEQUENCE_TRIES && !item; tries++) {
		if (!tp_word_depth(own_word(cache, at)))
			break;
		item = tp_sequence_pop(
			tp_percpu_rseq, base_of(cache), cache->count, at, after, &odd);
	}
	return item;
}

tp_aside bool tp_cpucache_push_again(const struct tp_cpucache *cache, unsigned at, void *item)
{
	for (unsigned tries = 0; tries < TP_SEQUENCE_TRIES; tries++) {
		if (!tp_word_room(own_word(cache, at)))
			break;
		if (tp_sequence_push(tp_percpu_rseq, base_of(cache), cache->count, at, item))
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

static struct tp_change change_locked(const struct tp_cpucache *cache, unsigned at,
	tp_word_decide *decide, const void *context, void **items)
{
	struct tp_door *door = tp_cpucache_enter(cache);
	struct tp_store copy = {0};
	struct plan plan = {0};

	if (!door)
		return plan.change;
	if (*door->shown == door->home) {
		plan = plan_make(*door->shown + at, decide, context);
		plan_copy(&plan, items, &copy);
		count_before(door, &plan);
		for (uint64_t i = 0; i < copy.count; i++)
			copy.to[i] = copy.from[i];
		tp_store_release(plan.stack, plan.change.after); /* commit */
		count_after(door, &plan);
	}
	tp_locked_leave(&door->lock);
	return plan.change;
}

struct tp_change tp_cpucache_change(const struct tp_cpucache *cache, unsigned at,
	tp_word_decide *decide, const void *context, void **items)
{
	ptrdiff_t area = tp_percpu_rseq;

	if (!area)
		return change_locked(cache, at, decide, context, items);
	for (unsigned tries = 0; tries < TP_SEQUENCE_TRIES; tries++) {
		unsigned cpu = tp_percpu_id();
		struct tp_door *door = &cache->doors[cpu < cache->count ? cpu : 0];
		/* Acquire: pairs with the release of install; the slab is seen zeroed. */
		uint64_t *home = tp_load_acquire(&door->home);
		struct tp_store store = {.cpu = cpu, .gate = door->shown, .gated = home};
		struct plan plan;

		if (cpu >= cache->count || !home || tp_load_relaxed(door->shown) != home)
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
static struct tp_change careless_arm(const struct tp_cpucache *cache, unsigned at, unsigned gap)
{
	struct tp_door *door = &cache->doors[tp_percpu_current(cache->count)];
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

unsigned tp_cpucache_arm(const struct tp_cpucache *cache, unsigned at, unsigned mean)
{
	struct tp_door *door = &cache->doors[tp_percpu_current(cache->count)];
	struct tp_change change;
	uint64_t random;
	unsigned gap;

	/*
	 * Weyl sequence through a multiplicative hash: Knuth, TAOCP 3, 6.4. Relaxed: a number that two
	 * threads draw from one door at once is no less random.
	 */
	random = tp_add_relaxed(&door->random, UINT64_C(0x9e3779b97f4a7c15));
	random += UINT64_C(0x9e3779b97f4a7c15);
	gap = (unsigned)((random * UINT64_C(0xd1342543de82ef95)) >> 32) % (2 * mean - 1) + 1;
#if tp_fault(TP_FAULT_CARELESS_ARM)
	change = careless_arm(cache, at, gap);
#else
	change = tp_cpucache_change(cache, at, arm_decide, &gap, NULL);
#endif
	return change.before != change.after ? gap : 0;
}

/* ---- stopping ---- */

/* With the lock, on the CPU itself: shows the closed slab there. False: we are not on it. */
static bool shut_own(struct tp_door *door, unsigned cpu)
{
	struct tp_store store = {.cpu = cpu,
		.gate = door->shown,
		.gated = door->home,
		.target = (uint64_t *)(void *)door->shown,
		.expected = (uintptr_t)door->home,
		.desired = (uintptr_t)closed_slab};

	for (unsigned tries = 0; tries < TP_SEQUENCE_TRIES && tp_percpu_id() == cpu; tries++)
		if (tp_sequence_store(tp_percpu_rseq, &store))
			return true;
	return false;
}

struct visit {
	struct tp_door *door;
	unsigned cpu;
};

static bool shut_as_visitor(void *context)
{
	const struct visit *visit = context;

	return shut_own(visit->door, visit->cpu);
}

static bool fence(struct tp_cpucache *cache, int cpu)
{
	if (tp_percpu_fence(cpu)) {
		tp_store_relaxed(&cache->fence_lost, 1u);
		return false;
	}
	tp_add_relaxed(&cache->fences, 1u);
	return true;
}

/* With the lock: shows the closed slab, and fences. False: refused, and the CPU's slab is its own. */
static bool shut_fenced(struct tp_cpucache *cache, struct tp_door *door, unsigned cpu)
{
	if (tp_load_relaxed(&cache->fence_lost))
		return false;
	/*
	 * Relaxed: the fence is a full barrier on both CPUs. A thread that enters a sequence there after
	 * it sees the closed slab; one that entered before it aborts.
	 */
	tp_store_relaxed(door->shown, closed_slab);
	tp_point(TP_POINT_SHUT);
	if (fence(cache, (int)cpu))
		return true;
	/* Nothing was done to the slab: it is as whole as if it had never been hidden. */
	tp_store_release(door->shown, door->home);
	return false;
}

/* With the lock: makes the slab of a CPU that has one the caller's. */
static bool shut(struct tp_cpucache *cache, struct tp_door *door, unsigned cpu)
{
	struct visit visit = {door, cpu};

	if (!tp_percpu_rseq) {
		tp_store_relaxed(door->shown, closed_slab);
		return true;
	}
	return shut_own(door, cpu) || shut_fenced(cache, door, cpu) ||
	       tp_percpu_visit(cpu, shut_as_visitor, &visit);
}

static bool may_be_stopped(const struct tp_door *door)
{
	return door->home && !door->closed;
}

struct tp_door *tp_cpucache_stop(struct tp_cpucache *cache, unsigned cpu)
{
	struct tp_door *door = &cache->doors[cpu];

	tp_locked_enter(&door->lock);
	if (may_be_stopped(door) && shut(cache, door, cpu)) {
		tp_point(TP_POINT_STOPPED);
		return door;
	}
	tp_locked_leave(&door->lock);
	return NULL;
}

struct tp_door *tp_cpucache_stop_own(struct tp_cpucache *cache)
{
	unsigned cpu = tp_percpu_current(cache->count);
	struct tp_door *door = &cache->doors[cpu];

	if (!tp_locked_try(&door->lock))
		return NULL;
	if (may_be_stopped(door)) {
		if (!tp_percpu_rseq)
			tp_store_relaxed(door->shown, closed_slab);
		/* We may have moved since we asked which CPU it is: then it is not ours to stop. */
		if (!tp_percpu_rseq || shut_own(door, cpu)) {
			tp_point(TP_POINT_STOPPED);
			return door;
		}
	}
	tp_locked_leave(&door->lock);
	return NULL;
}

void tp_cpucache_publish(struct tp_door *door)
{
	tp_point(TP_POINT_PUBLISH);
	/*
	 * Release: whoever finds the slab in the door finds in it what the stopper left. Partner: the
	 * sequence's load of the door, on which all its other loads depend.
	 */
	if (may_be_stopped(door))
		tp_store_release(door->shown, door->home);
	tp_locked_leave(&door->lock);
}

bool tp_cpucache_is_stopped(const struct tp_door *door)
{
	return may_be_stopped(door) && tp_load_relaxed(door->shown) != door->home;
}

/* With all locks: each CPU for itself, where one fence for all was refused. Whether all are stopped. */
static bool shut_each(struct tp_cpucache *cache)
{
	bool all = true;

	for (unsigned cpu = 0; cpu < cache->count; cpu++) {
		struct visit visit = {&cache->doors[cpu], cpu};

		if (!may_be_stopped(visit.door))
			continue;
		tp_store_release(visit.door->shown, visit.door->home);
		all &= shut_own(visit.door, cpu) || tp_percpu_visit(cpu, shut_as_visitor, &visit);
	}
	return all;
}

bool tp_cpucache_stop_all(struct tp_cpucache *cache)
{
	tp_cpucache_lock(cache);
	for (unsigned cpu = 0; cpu < cache->count; cpu++)
		if (may_be_stopped(&cache->doors[cpu]))
			/* As in shut_fenced; one fence for all. */
			tp_store_relaxed(&cache->slabs[cpu], closed_slab);
	tp_point(TP_POINT_SHUT);
	return !tp_percpu_rseq ||
	       (!tp_load_relaxed(&cache->fence_lost) && fence(cache, TP_PERCPU_ALL)) ||
	       shut_each(cache);
}

void tp_cpucache_publish_all(struct tp_cpucache *cache)
{
	for (unsigned cpu = 0; cpu < cache->count; cpu++)
		tp_cpucache_publish(&cache->doors[cpu]);
}

void tp_cpucache_lock(struct tp_cpucache *cache)
{
	/* In one order, so that two who want all do not wait for each other. */
	for (unsigned cpu = 0; cpu < cache->count; cpu++)
		tp_locked_enter(&cache->doors[cpu].lock);
}

void tp_cpucache_unlock(struct tp_cpucache *cache)
{
	for (unsigned cpu = 0; cpu < cache->count; cpu++)
		tp_locked_leave(&cache->doors[cpu].lock);
}

bool tp_cpucache_install(struct tp_cpucache *cache, unsigned cpu, uint64_t *slab)
{
	struct tp_door *door = &cache->doors[cpu];
	bool fits;

	if (!tp_fault(TP_FAULT_RACING_INSTALL))
		tp_locked_enter(&door->lock);
	fits = !door->home && !door->closed;
	if (fits) {
		/* Release: pairs with the acquires of home; a reader sees the slab zeroed. */
		tp_store_release(&door->home, slab);
		tp_point(TP_POINT_INSTALL);
		tp_store_release(door->shown, slab);
	}
	if (!tp_fault(TP_FAULT_RACING_INSTALL))
		tp_locked_leave(&door->lock);
	return fits;
}

void tp_cpucache_close_all(struct tp_cpucache *cache)
{
	for (unsigned cpu = 0; cpu < cache->count; cpu++) {
		struct tp_door *door = &cache->doors[cpu];

		/* Where a CPU could not be stopped a push may slip in here, and its buffer be lost. */
		tp_store_release(door->shown, closed_slab);
		tp_store_relaxed(&door->closed, 1u);
	}
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

/* ---- counting ---- */

uint64_t tp_cpucache_word(const struct tp_cpucache *cache, unsigned cpu, unsigned at)
{
	const uint64_t *slab = tp_load_acquire(&cache->doors[cpu].home);

	return slab ? tp_load_acquire(&slab[at]) : 0;
}

struct tp_cpucache_counts tp_cpucache_count_on(
	const struct tp_cpucache *cache, unsigned cpu, const uint16_t *at, unsigned stacks)
{
	const struct tp_door *door = &cache->doors[cpu];
	/* Acquire: the words that these counted are seen below, or newer ones. */
	struct tp_cpucache_counts sum = {.pops = (int64_t)tp_load_acquire(&door->armed),
		.pushes = (int64_t)tp_load_acquire(&door->moved_out)};

	for (unsigned i = 0; i < stacks; i++) {
		uint64_t word = tp_cpucache_word(cache, cpu, at[i]);

		sum.pops -= tp_word_countdown(word);
		sum.pushes += tp_word_depth(word);
	}
	/* After the words, whose acquire keeps it there: what they hold is counted in. */
	sum.pushes += sum.pops - (int64_t)tp_load_relaxed(&door->moved_in);
	return sum;
}

struct tp_cpucache_counts tp_cpucache_count(
	const struct tp_cpucache *cache, const uint16_t *at, unsigned stacks)
{
	struct tp_cpucache_counts sum = {0, 0};

	for (unsigned cpu = 0; cpu < cache->count; cpu++) {
		struct tp_cpucache_counts one = tp_cpucache_count_on(cache, cpu, at, stacks);

		sum.pops += one.pops;
		sum.pushes += one.pushes;
	}
	return sum;
}
