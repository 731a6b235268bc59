/* SPDX-License-Identifier: MIT */
#include "idle.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "atomic.h"
#include "control.h"

/* A stack has 64 slots up to 4 KiB, fewer above so that one slab is about 5 KB, and 8 at least. */
#define STACK_SLOTS 64
#define STACK_SLOTS_LEAST 8
#define STACK_BYTES ((size_t)512 << 10)

/* A CPU may lease room only where it could be given so many buffers of the tier... */
#define ROOM_WORTH 4
/* ...and then never more than this part of the bound, shared out among the CPUs. */
#define ROOM_PART 8

/* Buffers that come along when one is taken from a depot, to spare its lock the next times. */
#define BATCH 16

/* Buffers that leave a depot under one hold of its lock. */
#define STRIP 64

/* From here on an idle buffer on another CPU is worth looking for, on so many CPUs. */
#define STEAL_FROM ((size_t)256 << 10)
#define STEAL_CPUS 4

/* ---- leases ---- */

static bool bytes_lease(struct tp_idle *idle, size_t bytes)
{
	if (!tp_budget_lease(&idle->retain, bytes))
		return false;
	if (!idle->shared || tp_budget_lease(idle->shared, bytes))
		return true;
	tp_budget_release(&idle->retain, bytes);
	return false;
}

static void bytes_release(struct tp_idle *idle, size_t bytes)
{
	if (idle->shared)
		tp_budget_release(idle->shared, bytes);
	tp_budget_release(&idle->retain, bytes);
}

static enum tp_kept lease(struct tp_idle *idle, unsigned tier, size_t n)
{
	struct tp_tier *t = &idle->tiers[tier];

	if (!tp_budget_lease(&t->many, n))
		return TP_NO_COUNT;
	if (bytes_lease(idle, n * t->cost))
		return TP_KEPT;
	tp_budget_release(&t->many, n);
	return TP_NO_BYTES;
}

static void unlease(struct tp_idle *idle, unsigned tier, size_t n)
{
	if (!n)
		return;
	bytes_release(idle, n * idle->tiers[tier].cost);
	tp_budget_release(&idle->tiers[tier].many, n);
}

void tp_idle_unlease(struct tp_idle *idle, unsigned tier)
{
	unlease(idle, tier, 1);
}

/* ---- tables ---- */

static size_t stack_slots(size_t size)
{
	if (size <= STACK_BYTES / STACK_SLOTS)
		return STACK_SLOTS;
	return tp_max(STACK_SLOTS_LEAST, STACK_BYTES / size);
}

void tp_idle_retain_set(struct tp_idle *idle, size_t retain)
{
	size_t cpus = idle->cache.count;
	size_t bound;

	tp_budget_limit_set(&idle->retain, retain);
again:
	retain = tp_load_seq(&idle->retain.limit);
	bound = idle->shared ? tp_min(retain, idle->shared->limit) : retain;
	for (unsigned tier = 0; tier < idle->sizes->count; tier++) {
		struct tp_tier *t = &idle->tiers[tier];
		size_t fit = tp_min(bound / t->cost, idle->max_idle);
		size_t limit = fit / cpus < ROOM_WORTH ? 0 : tp_max(1, fit / cpus / ROOM_PART);

		/* Relaxed: a CPU that still sees the old limit is bounded by its leases anyway. */
		tp_store_relaxed(&t->limit, (uint16_t)tp_min(limit, t->stack));
	}
	/* Another thread that set it at the same time may have been overtaken tier by tier. */
	if (tp_load_seq(&idle->retain.limit) != retain)
		goto again;
}

int tp_idle_init(struct tp_idle *idle, const struct tp_sizeclass *sizes,
	const struct tp_backing *backing, size_t retain, struct tp_budget *shared, size_t max_idle)
{
	size_t words = 0;

	memset(idle, 0, sizeof *idle);
	idle->sizes = sizes;
	idle->backing = backing;
	idle->shared = shared;
	idle->max_idle = max_idle;
	idle->cache.count = tp_percpu_count();
	idle->table_bytes = idle->cache.count * sizeof *idle->cache.doors;
	idle->cache.doors = tp_backing_alloc(backing, idle->table_bytes);
	if (!idle->cache.doors)
		return -ENOMEM;
	idle->tiers = tp_backing_alloc(backing, sizes->count * sizeof *idle->tiers);
	if (!idle->tiers) {
		tp_backing_free(backing, idle->cache.doors, idle->table_bytes);
		return -ENOMEM;
	}
	memset(idle->cache.doors, 0, idle->table_bytes);
	idle->table_bytes += sizes->count * sizeof *idle->tiers;
	for (unsigned tier = 0; tier < sizes->count; tier++) {
		struct tp_tier *t = &idle->tiers[tier];

		memset(t, 0, sizeof *t);
		t->cost = backing->cost(sizes->size[tier]) + sizeof(tierpool_buf);
		t->many.limit = max_idle;
		t->stack = (uint16_t)stack_slots(sizes->size[tier]);
		tp_depot_init(&t->depot);
		idle->at[tier] = (uint16_t)words;
		words += tp_round_up(1u + t->stack, TP_LINE / sizeof(uint64_t));
	}
	idle->slab_bytes = words * sizeof(uint64_t);
	tp_idle_retain_set(idle, retain);
	return 0;
}

void tp_idle_fini(struct tp_idle *idle)
{
	for (unsigned cpu = 0; cpu < idle->cache.count; cpu++)
		if (idle->cache.doors[cpu].home)
			tp_backing_free(
				idle->backing, idle->cache.doors[cpu].home, idle->slab_bytes);
	for (unsigned tier = 0; tier < idle->sizes->count; tier++)
		tp_depot_fini(&idle->tiers[tier].depot);
	tp_backing_free(idle->backing, idle->tiers, idle->sizes->count * sizeof *idle->tiers);
	tp_backing_free(
		idle->backing, idle->cache.doors, idle->cache.count * sizeof *idle->cache.doors);
}

/* ---- one CPU, stopped ---- */

/*
 * Stops a CPU and gives the stack of a tier, or NULL where it has no slab: then nothing is stopped.
 * The caller publishes the CPU again.
 */
static uint64_t *stack_stop(struct tp_idle *idle, unsigned cpu, unsigned tier)
{
	uint64_t *slab = tp_cpucache_stop(&idle->cache, cpu);

	if (slab)
		return slab + idle->at[tier];
	tp_cpucache_publish(&idle->cache, cpu);
	return NULL;
}

/* Gives a CPU its slab. Out of memory, and losing the race to another thread, change nothing. */
static tp_cold void slab_create(struct tp_idle *idle, unsigned cpu)
{
	uint64_t *slab = tp_backing_alloc(idle->backing, idle->slab_bytes);
	bool installed;

	if (!slab)
		return;
	memset(slab, 0, idle->slab_bytes);
	tp_cpucache_stop(&idle->cache, cpu);
	installed = tp_cpucache_install(&idle->cache, cpu, slab);
	tp_cpucache_publish(&idle->cache, cpu);
	if (installed)
		tp_add_relaxed(&idle->table_bytes, idle->slab_bytes);
	else
		tp_backing_free(idle->backing, slab, idle->slab_bytes);
}

static tierpool_buf *stack_take(struct tp_idle *idle, unsigned cpu, unsigned tier)
{
	uint64_t *stack = stack_stop(idle, cpu, tier);
	tierpool_buf *b = NULL;

	if (!stack)
		return NULL;
	if (tp_word_depth(*stack)) {
		b = tp_cpucache_move_out(&idle->cache.doors[cpu], stack, tp_word_depth(*stack));
		/* As in a pop, the lease stays behind as room for the buffer's return. */
		tp_cpucache_room_set(stack, tp_word_room(*stack) + 1);
	}
	tp_cpucache_publish(&idle->cache, cpu);
	return b;
}

/* Room on a stack without any: doubled, or by one, as far as limit and leases allow. */
static void stack_widen(struct tp_idle *idle, uint64_t *stack, unsigned tier)
{
	unsigned depth = tp_word_depth(*stack);
	unsigned limit = tp_load_relaxed(&idle->tiers[tier].limit);
	unsigned more = limit > depth ? (unsigned)tp_min(tp_max(depth, 1), limit - depth) : 0;

	while (more && lease(idle, tier, more) != TP_KEPT)
		more = more > 1; /* when not doubled then one more, and when not one then none */
	if (more)
		tp_cpucache_room_set(stack, more);
}

/* The older half of a full stack, with its leases: to go where a whole batch costs one lock. */
static void stack_flush(struct tp_door *door, uint64_t *stack, struct tp_list *flushed)
{
	for (unsigned n = (tp_word_depth(*stack) + 1) / 2; n; n--)
		tp_list_push(flushed, tp_cpucache_move_out(door, stack, 1));
}

/* Keeps b on the caller's CPU. */
static bool stack_keep(
	struct tp_idle *idle, unsigned tier, tierpool_buf *b, struct tp_list *flushed)
{
	unsigned cpu = tp_percpu_current(idle->cache.count);
	struct tp_door *door = &idle->cache.doors[cpu];
	uint64_t *stack = stack_stop(idle, cpu, tier);
	bool kept = false;

	if (!stack && !tp_load_relaxed(&door->closed)) {
		slab_create(idle, cpu);
		stack = stack_stop(idle, cpu, tier);
	}
	if (!stack)
		return false;
	if (!tp_word_room(*stack)) {
		if (tp_word_depth(*stack) >= tp_load_relaxed(&idle->tiers[tier].limit))
			stack_flush(door, stack, flushed);
		stack_widen(idle, stack, tier);
	}
	if (tp_word_room(*stack)) {
		tp_cpucache_room_set(stack, tp_word_room(*stack) - 1);
		tp_cpucache_move_in(door, stack, b);
		kept = true;
	}
	tp_cpucache_publish(&idle->cache, cpu);
	return kept;
}

/*
 * Fills the caller's CPU's stack from list, and turns the lease of one more buffer, which the
 * caller keeps, into room for its return. A buffer from the list takes room that is there, and its
 * own lease ends; where none is, it brings its lease along, up to the limit. What finds no place
 * stays in the list.
 */
static void stack_refill(struct tp_idle *idle, unsigned tier, struct tp_list *list)
{
	unsigned cpu = tp_percpu_current(idle->cache.count);
	unsigned limit = tp_load_relaxed(&idle->tiers[tier].limit);
	uint64_t *stack = limit ? stack_stop(idle, cpu, tier) : NULL;
	unsigned room, held, surplus = 1;

	if (stack) {
		room = tp_word_room(*stack);
		held = room + tp_word_depth(*stack);
		if (held < limit) {
			room++;
			held++;
			surplus = 0;
		}
		/* The last of the room is for the return of the caller's. */
		for (; list->head && (room > 1 || held < limit);) {
			tp_cpucache_move_in(&idle->cache.doors[cpu], stack, tp_list_pop(list));
			if (room > 1) {
				room--;
				surplus++;
			} else {
				held++;
			}
		}
		tp_cpucache_room_set(stack, room);
		tp_cpucache_publish(&idle->cache, cpu);
	}
	unlease(idle, tier, surplus);
}

/* ---- get ---- */

static void depot_return(
	struct tp_idle *idle, unsigned tier, struct tp_list *list, struct tp_list *victims)
{
	if (!list->head || tp_depot_push(&idle->tiers[tier].depot, list))
		return;
	for (tierpool_buf *b; (b = tp_list_pop(list));)
		tp_list_push(victims, b);
}

static tierpool_buf *depot_take(
	struct tp_idle *idle, unsigned tier, enum tp_depot_age age, struct tp_list *victims)
{
	unsigned limit = tp_load_relaxed(&idle->tiers[tier].limit);
	size_t batch = age == TP_DEPOT_ANY ? tp_min(limit / 2, BATCH) : 0;
	struct tp_list list = {NULL, 0};
	tierpool_buf *b;

	tp_depot_pop(&idle->tiers[tier].depot, 1 + batch, age, &list);
	b = tp_list_pop(&list);
	if (b) {
		stack_refill(idle, tier, &list);
		depot_return(idle, tier, &list, victims);
	}
	return b;
}

/* Whether a look at a CPU's stack is worth stopping it for. */
static bool stack_holds(const struct tp_idle *idle, unsigned cpu, unsigned tier)
{
	return tp_word_depth(tp_cpucache_word(&idle->cache, cpu, idle->at[tier]));
}

static tierpool_buf *steal(struct tp_idle *idle, unsigned tier)
{
	unsigned count = idle->cache.count;
	unsigned cpu = tp_percpu_current(count);

	for (unsigned i = 0; i < STEAL_CPUS && i + 1 < count; i++) {
		tierpool_buf *b;

		cpu = cpu + 1 == count ? 0 : cpu + 1;
		b = tp_word_depth(tp_cpucache_word(&idle->cache, cpu, idle->at[tier]))
			    ? stack_take(idle, cpu, tier)
			    : NULL;
		if (b)
			return b;
	}
	return NULL;
}

tierpool_buf *tp_idle_take(struct tp_idle *idle, unsigned tier, struct tp_list *victims)
{
	unsigned cpu = tp_percpu_current(idle->cache.count);
	tierpool_buf *b = stack_holds(idle, cpu, tier) ? stack_take(idle, cpu, tier) : NULL;

	if (!b)
		b = depot_take(idle, tier, TP_DEPOT_ANY, victims);
	if (!b && idle->sizes->size[tier] >= STEAL_FROM)
		b = steal(idle, tier);
	if (!b && tier + 1 < idle->sizes->count)
		b = depot_take(idle, tier + 1, TP_DEPOT_AGED, victims);
	return b;
}

/* ---- put ---- */

static size_t room_give_up(struct tp_idle *idle, uint64_t *slab, unsigned tier)
{
	uint64_t *stack = slab + idle->at[tier];
	unsigned room = tp_word_room(*stack);

	tp_cpucache_room_set(stack, 0);
	unlease(idle, tier, room);
	return room * idle->tiers[tier].cost;
}

/* Gives up a CPU's room, of the larger tiers first, until wanted bytes are free. */
static void room_reclaim(struct tp_idle *idle, unsigned cpu, size_t wanted)
{
	uint64_t *slab = tp_cpucache_stop(&idle->cache, cpu);
	size_t freed = 0;

	for (unsigned tier = idle->sizes->count; slab && tier-- && freed < wanted;)
		freed += room_give_up(idle, slab, tier);
	tp_cpucache_publish(&idle->cache, cpu);
}

/* Gives up the room of one tier on all CPUs: where max_idle stands against it, only that helps. */
static void room_reclaim_of(struct tp_idle *idle, unsigned tier)
{
	for (unsigned cpu = 0; cpu < idle->cache.count; cpu++) {
		uint64_t *slab = tp_cpucache_stop(&idle->cache, cpu);

		if (slab)
			room_give_up(idle, slab, tier);
		tp_cpucache_publish(&idle->cache, cpu);
	}
}

void tp_idle_room_drop(struct tp_idle *idle)
{
	for (unsigned cpu = 0; cpu < idle->cache.count; cpu++)
		room_reclaim(idle, cpu, SIZE_MAX);
}

/* Whether a millisecond has passed since all CPUs were last asked for room; if so, it has not. */
static bool room_look_due(struct tp_idle *idle)
{
	struct timespec now;
	uint64_t looked = tp_load_relaxed(&idle->room_looked);
	uint64_t ms;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	return ms != looked && tp_cas_relaxed(&idle->room_looked, &looked, ms);
}

static enum tp_kept lease_or_reclaim(struct tp_idle *idle, unsigned tier)
{
	enum tp_kept result = lease(idle, tier, 1);

	/* Nothing that could be given up would make room for what is above the whole bound. */
	if (result == TP_KEPT || !tp_idle_may_fit(idle, tier))
		return result;
	if (result == TP_NO_BYTES) {
		room_reclaim(idle, tp_percpu_current(idle->cache.count), idle->tiers[tier].cost);
		result = lease(idle, tier, 1);
	}
	if (result == TP_KEPT || !room_look_due(idle))
		return result;
	if (result == TP_NO_COUNT)
		room_reclaim_of(idle, tier);
	else
		tp_idle_room_drop(idle);
	return lease(idle, tier, 1);
}

bool tp_idle_may_fit(const struct tp_idle *idle, unsigned tier)
{
	return idle->tiers[tier].cost <= tp_load_relaxed(&idle->retain.limit);
}

enum tp_kept tp_idle_keep(struct tp_idle *idle, tierpool_buf *b, struct tp_list *victims)
{
	unsigned tier = b->tp_tier;
	struct tp_list list = {NULL, 0};
	enum tp_kept result;

	if (tp_load_relaxed(&idle->tiers[tier].limit) && stack_keep(idle, tier, b, &list)) {
		depot_return(idle, tier, &list, victims);
		return TP_KEPT;
	}
	depot_return(idle, tier, &list, victims);
	result = lease_or_reclaim(idle, tier);
	if (result != TP_KEPT)
		return result;
	tp_list_push(&list, b);
	if (tp_depot_push(&idle->tiers[tier].depot, &list))
		return TP_KEPT;
	unlease(idle, tier, 1);
	return TP_CLOSED;
}

/* ---- what goes ---- */

/* Up to n buffers of a CPU's stack, oldest first, to victims, with their leases. */
static size_t stack_strip(struct tp_idle *idle, unsigned cpu, unsigned tier, size_t n,
	enum tp_depot_age age, struct tp_list *victims)
{
	uint64_t *stack;
	size_t moved = 0;

	if (!n || !stack_holds(idle, cpu, tier))
		return 0;
	stack = stack_stop(idle, cpu, tier);
	if (!stack)
		return 0;
	for (; moved < n && tp_word_depth(*stack); moved++) {
		/* The bottom of a stack is what lay untouched the longest. */
		if (age == TP_DEPOT_AGED && !tp_control_age((tierpool_buf *)(uintptr_t)stack[1]))
			break;
		tp_list_push(victims, tp_cpucache_move_out(&idle->cache.doors[cpu], stack, 1));
	}
	tp_cpucache_publish(&idle->cache, cpu);
	return moved;
}

/* Up to n buffers of a tier from wherever they lie. */
static size_t tier_strip(struct tp_idle *idle, unsigned tier, size_t n, enum tp_depot_age age,
	struct tp_list *victims)
{
	size_t before = victims->count, end = before + n;
	unsigned cpu = tp_percpu_current(idle->cache.count);
	size_t seen;

	/* A few at a time, so that gets and puts find the depot's lock free in between. */
	do {
		seen = victims->count;
		tp_depot_pop(&idle->tiers[tier].depot, tp_min(end - seen, STRIP), age, victims);
	} while (victims->count != seen && victims->count < end);
	for (unsigned i = 0; i < idle->cache.count && victims->count < end; i++) {
		stack_strip(idle, cpu, tier, end - victims->count, age, victims);
		cpu = cpu + 1 == idle->cache.count ? 0 : cpu + 1;
	}
	return victims->count - before;
}

tierpool_buf *tp_idle_evict(struct tp_idle *idle, unsigned tier)
{
	struct tp_list victim = {NULL, 0};

	if (!tp_idle_may_fit(idle, tier))
		return NULL;
	for (int pass = 0; pass < 2; pass++)
		for (unsigned larger = idle->sizes->count - 1; larger > tier; larger--)
			if (tier_strip(
				    idle, larger, 1, pass ? TP_DEPOT_ANY : TP_DEPOT_AGED, &victim))
				return victim.head;
	return NULL;
}

void tp_idle_strip(struct tp_idle *idle, size_t excess, struct tp_list *victims)
{
	size_t found = 0;

	for (int pass = 0; pass < 2; pass++)
		for (unsigned tier = idle->sizes->count; tier-- && found < excess;) {
			size_t cost = idle->tiers[tier].cost;
			size_t n = (excess - found) / cost + ((excess - found) % cost != 0);

			found += cost * tier_strip(idle, tier, n,
						pass ? TP_DEPOT_ANY : TP_DEPOT_AGED, victims);
		}
}

/* Buffers of age 1 go, those of age 0 are of age 1 now, and half of the room goes. */
static void stack_age(struct tp_idle *idle, struct tp_door *door, uint64_t *stack, unsigned tier,
	struct tp_list *victims)
{
	unsigned room = tp_word_room(*stack);

	for (unsigned slot = 1; slot <= tp_word_depth(*stack);) {
		tierpool_buf *b = (tierpool_buf *)(uintptr_t)stack[slot];

		if (tp_control_age(b)) {
			tp_list_push(victims, tp_cpucache_move_out(door, stack, slot));
		} else {
			tp_control_age_set(b, 1);
			slot++;
		}
	}
	tp_cpucache_room_set(stack, room / 2);
	unlease(idle, tier, room - room / 2);
}

void tp_idle_tick(struct tp_idle *idle, struct tp_list *victims)
{
	for (unsigned cpu = 0; cpu < idle->cache.count; cpu++) {
		uint64_t *slab = tp_cpucache_stop(&idle->cache, cpu);

		for (unsigned tier = 0; slab && tier < idle->sizes->count; tier++)
			stack_age(idle, &idle->cache.doors[cpu], slab + idle->at[tier], tier,
				victims);
		tp_cpucache_publish(&idle->cache, cpu);
	}
	for (unsigned tier = 0; tier < idle->sizes->count; tier++) {
		struct tp_list old;

		tp_depot_rotate(&idle->tiers[tier].depot, &old);
		for (tierpool_buf *b; (b = tp_list_pop(&old));)
			tp_list_push(victims, b);
	}
}

void tp_idle_close(struct tp_idle *idle, struct tp_list *victims)
{
	for (unsigned cpu = 0; cpu < idle->cache.count; cpu++) {
		struct tp_door *door = &idle->cache.doors[cpu];
		uint64_t *slab = tp_cpucache_stop(&idle->cache, cpu);

		for (unsigned tier = 0; slab && tier < idle->sizes->count; tier++) {
			uint64_t *stack = slab + idle->at[tier];

			while (tp_word_depth(*stack))
				tp_list_push(victims,
					tp_cpucache_move_out(door, stack, tp_word_depth(*stack)));
			unlease(idle, tier, tp_word_room(*stack));
			tp_cpucache_room_set(stack, 0);
		}
		tp_cpucache_close(&idle->cache, cpu);
		tp_cpucache_publish(&idle->cache, cpu);
	}
	for (unsigned tier = 0; tier < idle->sizes->count; tier++) {
		tp_depot_close(&idle->tiers[tier].depot);
		tier_strip(idle, tier, SIZE_MAX - victims->count, TP_DEPOT_ANY, victims);
	}
}

/* ---- counting and fork ---- */

size_t tp_idle_count(const struct tp_idle *idle, unsigned tier)
{
	size_t count = tp_depot_count(&idle->tiers[tier].depot);

	for (unsigned cpu = 0; cpu < idle->cache.count; cpu++)
		count += tp_word_depth(tp_cpucache_word(&idle->cache, cpu, idle->at[tier]));
	return count;
}

size_t tp_idle_bytes(const struct tp_idle *idle)
{
	size_t leased, sum = 0;

	for (unsigned tier = 0; tier < idle->sizes->count; tier++)
		sum += tp_idle_count(idle, tier) * idle->tiers[tier].cost;
	/* A buffer that moves while we add may be seen twice; what is leased it never exceeds. */
	leased = tp_load_relaxed(&idle->retain.leased);
	return tp_min(sum, leased);
}

void tp_idle_lock(struct tp_idle *idle)
{
	for (unsigned cpu = 0; cpu < idle->cache.count; cpu++)
		tp_cpucache_stop(&idle->cache, cpu);
	for (unsigned tier = 0; tier < idle->sizes->count; tier++)
		pthread_mutex_lock(&idle->tiers[tier].depot.lock);
}

void tp_idle_unlock(struct tp_idle *idle)
{
	for (unsigned tier = idle->sizes->count; tier--;)
		pthread_mutex_unlock(&idle->tiers[tier].depot.lock);
	for (unsigned cpu = 0; cpu < idle->cache.count; cpu++)
		tp_cpucache_publish(&idle->cache, cpu);
}

void tp_idle_recount(struct tp_idle *idle)
{
	size_t bytes = 0;

	for (unsigned tier = 0; tier < idle->sizes->count; tier++) {
		size_t n = tp_idle_count(idle, tier);

		for (unsigned cpu = 0; cpu < idle->cache.count; cpu++)
			n += tp_word_room(tp_cpucache_word(&idle->cache, cpu, idle->at[tier]));
		idle->tiers[tier].many.leased = n;
		bytes += n * idle->tiers[tier].cost;
	}
	idle->retain.leased = bytes;
	if (idle->shared)
		tp_add_relaxed(&idle->shared->leased, bytes);
}
