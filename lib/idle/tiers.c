/* SPDX-License-Identifier: MIT */
#include "idle/tiers.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "base/colour.h"
#include "base/inject.h"

/* Slots of a stack: 64 up to 8 KiB; above, as many as hold STACK_BYTES, and 8 at least. */
#define STACK_SLOTS 64
#define STACK_SLOTS_LEAST 8
#define STACK_BYTES ((size_t)512 << 10)

#define LINE_WORDS (TP_LINE / sizeof(uint64_t))
/* Lines of a slab that are left out at most, see tiers_hot_colours. */
#define SKIPS 128

/* A CPU may lease room only if the bounds allow each CPU this many buffers of the tier... */
#define ROOM_WORTH 4
/* ...and then all CPUs together at most this part of the bound, but one buffer each. */
#define ROOM_PART 8

/* ---- leases ---- */

static bool tiers_bytes_lease(struct tp_tiers *tiers, size_t bytes)
{
	/* retain last: its peak is reported; what the shared one refuses must not raise it. */
	if (tiers->shared && !tp_budget_lease(tiers->shared, bytes))
		return false;
	if (tp_budget_lease(&tiers->retain, bytes))
		return true;
	if (tiers->shared)
		tp_budget_release(tiers->shared, bytes);
	return false;
}

static void tiers_bytes_release(struct tp_tiers *tiers, size_t bytes)
{
	/*
	 * The shared one last: before it gives the bytes to another pool they are no longer leased
	 * here. So the pools' leased bytes, and the idle bytes of their statistics, never add up to
	 * more than it has.
	 */
	tp_budget_release(&tiers->retain, bytes);
	tp_point(TP_POINT_RELEASED);
	if (tiers->shared)
		tp_budget_release(tiers->shared, bytes);
}

enum tp_kept tp_tiers_lease(struct tp_tiers *tiers, unsigned tier, size_t n)
{
	struct tp_tier *t = &tiers->tier[tier];

	if (!tp_budget_lease(&t->many, n))
		return TP_NO_COUNT;
	if (tiers_bytes_lease(tiers, n * t->cost))
		return TP_KEPT;
	tp_budget_release(&t->many, n);
	return TP_NO_BYTES;
}

void tp_tiers_unlease(struct tp_tiers *tiers, unsigned tier, size_t n)
{
	if (!n)
		return;
	tiers_bytes_release(tiers, n * tiers->tier[tier].cost);
	tp_budget_release(&tiers->tier[tier].many, n);
}

bool tp_tiers_may_fit(const struct tp_tiers *tiers, unsigned tier)
{
	size_t cost = tiers->tier[tier].cost;

	return cost <= tp_load_relaxed(&tiers->retain.limit) &&
	       (!tiers->shared || cost <= tp_load_relaxed(&tiers->shared->limit));
}

/* ---- tables ---- */

static size_t tiers_stack_slots(size_t size)
{
	if (size <= STACK_BYTES / STACK_SLOTS)
		return STACK_SLOTS;
	return tp_max(STACK_SLOTS_LEAST, STACK_BYTES / size);
}

/*
 * The colours (base/colour.h) of what each get or put reads besides words. When a word had the
 * colour of tp_pool_fast (get.c), a pair took 7.5 to 14 ns in place of 5.7: one size of fifteen, in
 * a third of the runs of pair_latency. So each slab begins a page, and no word has one of them.
 */
static uint64_t tiers_hot_colours(const struct tp_tiers *tiers)
{
	size_t one = tp_size_index(tiers->sizes->size[0]);
	size_t other = tp_size_index(tiers->sizes->size[tiers->sizes->count - 1]);
	uint64_t colours = 0;

	for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++)
		colours |= tp_colour((uintptr_t)&tiers->cpus.visible[cpu_id]);
	for (size_t i = tp_min(one, other); i <= tp_max(one, other); i++)
		colours |= tp_colour((uintptr_t)&tiers->quick_size[i]) |
			   tp_colour((uintptr_t)&tiers->quick_index[i]);
	return colours;
}

uint64_t tp_tiers_colours(const struct tp_tiers *tiers, unsigned tier)
{
	uintptr_t word = tiers->stack_index[tier];
	uint64_t colours = 0;

	for (uintptr_t i = 0; i <= tiers->tier[tier].stack; i++)
		colours |= tp_colour((word + i) * sizeof(uint64_t));
	return colours;
}

/* Sets what each CPU may lease of each tier, by the bound as it is now. */
static void tiers_limits_set(struct tp_tiers *tiers)
{
	size_t cpu_count = tiers->cpus.count;
	size_t bound = tp_load_acquire(&tiers->retain.limit);

	if (tiers->shared)
		bound = tp_min(bound, tp_load_relaxed(&tiers->shared->limit));
	for (unsigned tier = 0; tier < tiers->sizes->count; tier++) {
		struct tp_tier *t = &tiers->tier[tier];
		size_t fit = tp_min(bound / t->cost, tiers->max_idle);
		size_t limit =
			fit / cpu_count < ROOM_WORTH ? 0 : tp_max(1, fit / cpu_count / ROOM_PART);

		/* Relaxed: the old limit does no harm, since no room comes without a lease. */
		tp_store_relaxed(&t->limit, (uint16_t)tp_min(limit, t->stack));
	}
}

void tp_tiers_retain_set(struct tp_tiers *tiers, size_t retain)
{
	pthread_mutex_lock(&tiers->setting);
	/* Release, here and below: pairs with the acquires in stats.c. */
	tp_add_release(&tiers->settings, 1u);
	tp_budget_limit_set(&tiers->retain, retain);
	tiers_limits_set(tiers);
	/* A reader that saw the odd number, or the one before, finds it changed and reads again. */
	tp_add_release(&tiers->settings, 1u);
	pthread_mutex_unlock(&tiers->setting);
}

/* Chooses where the stacks lie in each slab, and fills the tables by which a get finds them. */
static void tiers_stacks_place(struct tp_tiers *tiers, uint64_t hot)
{
	const struct tp_sizeclass *sizes = tiers->sizes;
	size_t words = 0, skips = 0;

	tiers->colours = hot | tiers_hot_colours(tiers);
	for (unsigned tier = 0; tier < sizes->count; tier++) {
		while (tp_colour(words * sizeof(uint64_t)) & tiers->colours && skips++ < SKIPS)
			words += LINE_WORDS;
		tiers->stack_index[tier] = (uint16_t)words;
		words += tp_round_up(1u + tiers->tier[tier].stack, LINE_WORDS);
	}
	tiers->stack_index[TP_TIER_NONE] = (uint16_t)words;
	tiers->slab_bytes = words * sizeof(uint64_t) + TP_LINE;
	for (unsigned index = 0; index < TP_SIZE_INDICES; index++) {
		tiers->quick_size[index] = sizes->size[sizes->first[index]];
		tiers->quick_index[index] = tiers->stack_index[sizes->first[index]];
	}
}

int tp_tiers_init(struct tp_tiers *tiers, void *cpu_memory, const struct tp_sizeclass *sizes,
	const struct tp_backing *backing, size_t retain, struct tp_budget *shared, size_t max_idle,
	unsigned decay_ms, uint64_t hot)
{
	memset(tiers, 0, sizeof *tiers);
	tiers->sizes = sizes;
	tiers->backing = backing;
	tiers->shared = shared;
	tiers->max_idle = max_idle;
	tp_budget_init(&tiers->retain, retain);
	pthread_mutex_init(&tiers->setting, NULL);
	if (tp_cpus_init(&tiers->cpus, cpu_memory, tp_cpu_count()))
		return -ENOMEM;
	tiers->table_bytes = sizes->count * sizeof *tiers->tier;
	tiers->tier = tp_backing_alloc(backing, tiers->table_bytes);
	if (!tiers->tier)
		return -ENOMEM;
	for (unsigned tier = 0; tier < sizes->count; tier++) {
		struct tp_tier *t = &tiers->tier[tier];

		memset(t, 0, sizeof *t);
		t->cost = backing->cost(sizes->size[tier]) + sizeof(tierpool_buf);
		tp_budget_init(&t->many, max_idle);
		t->stack = (uint16_t)tiers_stack_slots(sizes->size[tier]);
		tp_depot_init(&t->depot);
	}
	tiers_stacks_place(tiers, hot);
	tiers_limits_set(tiers);
	tp_decay_init(&tiers->decay, (char *)cpu_memory + tp_cpus_bytes(tiers->cpus.count),
		&tiers->cpus, tiers->stack_index, sizes->count, decay_ms);
	return 0;
}

/* ---- slabs ---- */

_Static_assert(TP_TIERS_MAX *(STACK_SLOTS * sizeof(uint64_t) + TP_LINE) + (SKIPS + 1) * TP_LINE <=
		       TP_SLAB_BYTES_MAX,
	"the empty slab is as large as any");
_Static_assert(STACK_SLOTS <= TP_STACK_MAX, "a word counts all slots");

/* Bytes of the block that a slab lies in, since the slab begins a page. */
#define BLOCK_BYTES(tiers) ((tiers)->slab_bytes + TP_COLOUR_PAGE - TP_LINE)

tp_cold void tp_tiers_slab_create(struct tp_tiers *tiers)
{
	unsigned cpu_id = tp_cpu_current(tiers->cpus.count);
	const struct tp_cpu *cpu = &tiers->cpus.cpu[cpu_id];
	char *block;
	uint64_t *slab;

	/* Relaxed: tp_cpus_claim looks again, in the lock. */
	if (tp_load_relaxed(&cpu->slab) || tp_load_relaxed(&cpu->closed))
		return;
	block = tp_backing_alloc(tiers->backing, BLOCK_BYTES(tiers));
	if (!block)
		return;
	slab = (uint64_t *)(void *)(block + -(uintptr_t)block % TP_COLOUR_PAGE);
	memset(slab, 0, tiers->slab_bytes);
	if (tp_decay_slab_install(&tiers->decay, cpu_id, slab, block))
		tp_add_relaxed(&tiers->table_bytes, BLOCK_BYTES(tiers));
	else
		tp_backing_free(tiers->backing, block, BLOCK_BYTES(tiers));
}

void tp_tiers_fini(struct tp_tiers *tiers)
{
	pthread_mutex_destroy(&tiers->setting);
	for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++)
		if (tiers->cpus.cpu[cpu_id].block)
			tp_backing_free(
				tiers->backing, tiers->cpus.cpu[cpu_id].block, BLOCK_BYTES(tiers));
	for (unsigned tier = 0; tier < tiers->sizes->count; tier++)
		tp_depot_fini(&tiers->tier[tier].depot);
	tp_backing_free(tiers->backing, tiers->tier, tiers->sizes->count * sizeof *tiers->tier);
}

/* ---- depots ---- */

void tp_tiers_depot_push(
	struct tp_tiers *tiers, unsigned tier, struct tp_buflist *list, struct tp_buflist *victims)
{
	if (list->head && !tp_depot_push(&tiers->tier[tier].depot, list))
		tp_buflist_move(list, victims);
}

/* ---- room ---- */

/* Returns: the bytes that became free. */
static size_t tiers_room_give_up(struct tp_tiers *tiers, struct tp_cpu *cpu, unsigned tier)
{
	uint64_t *stack = tp_tiers_stack(tiers, cpu, tier);
	unsigned room = tp_word_room(*stack);

	tp_stack_room_set(stack, 0);
	tp_tiers_unlease(tiers, tier, room);
	return room * tiers->tier[tier].cost;
}

void tp_tiers_room_reclaim(struct tp_tiers *tiers, struct tp_cpu *cpu, size_t wanted)
{
	size_t freed = 0;

	for (unsigned tier = tiers->sizes->count; tier-- && freed < wanted;)
		freed += tiers_room_give_up(tiers, cpu, tier);
}

void tp_tiers_room_drop(struct tp_tiers *tiers, unsigned from, unsigned to, unsigned most)
{
	for (unsigned i = 0; i < tiers->cpus.count && most; i++) {
		unsigned cpu_id = tp_add_relaxed(&tiers->next_cpu, 1u) % tiers->cpus.count,
			 tier = from;
		struct tp_cpu *cpu;

		while (tier < to && !tp_word_room(tp_tiers_word(tiers, cpu_id, tier)))
			tier++;
		cpu = tier < to ? tp_cpus_stop(&tiers->cpus, cpu_id) : NULL;
		if (!cpu)
			continue;
		most--;
		for (; tier < to; tier++)
			tiers_room_give_up(tiers, cpu, tier);
		tp_cpu_start(cpu);
	}
}

/* ---- counting and fork ---- */

uint64_t tp_tiers_word(const struct tp_tiers *tiers, unsigned cpu_id, unsigned tier)
{
	return tp_stack_word(&tiers->cpus, cpu_id, tiers->stack_index[tier]);
}

size_t tp_tiers_count(const struct tp_tiers *tiers, unsigned tier)
{
	size_t count = tp_depot_count(&tiers->tier[tier].depot);

	tp_point(TP_POINT_COUNT);
	for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++)
		count += tp_word_depth(tp_tiers_word(tiers, cpu_id, tier));
	return count;
}

size_t tp_tiers_bytes(const struct tp_tiers *tiers)
{
	size_t leased, sum = 0;

	for (unsigned tier = 0; tier < tiers->sizes->count; tier++)
		sum += tp_tiers_count(tiers, tier) * tiers->tier[tier].cost;
	/* A buffer that moves during the sum may be seen twice. Idle bytes never exceed leased. */
	leased = tp_load_relaxed(&tiers->retain.leased);
	return tp_fault(TP_FAULT_SUMMING_WATCHER) ? sum : tp_min(sum, leased);
}

void tp_tiers_lock(struct tp_tiers *tiers)
{
	pthread_mutex_lock(&tiers->setting);
	tp_cpus_lock(&tiers->cpus);
	for (unsigned tier = 0; tier < tiers->sizes->count; tier++)
		pthread_mutex_lock(&tiers->tier[tier].depot.lock);
}

void tp_tiers_unlock(struct tp_tiers *tiers)
{
	for (unsigned tier = tiers->sizes->count; tier--;)
		pthread_mutex_unlock(&tiers->tier[tier].depot.lock);
	tp_cpus_unlock(&tiers->cpus);
	pthread_mutex_unlock(&tiers->setting);
}

void tp_tiers_recount(struct tp_tiers *tiers)
{
	size_t bytes = 0;

	for (unsigned tier = 0; tier < tiers->sizes->count; tier++) {
		size_t n = tp_tiers_count(tiers, tier);

		for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++)
			n += tp_word_room(tp_tiers_word(tiers, cpu_id, tier));
		tp_budget_recount(&tiers->tier[tier].many, n);
		bytes += n * tiers->tier[tier].cost;
	}
	/* The child has no thread that was lowering the limit: as if that had never begun. */
	tiers->retain.limit = tp_max(tiers->retain.limit, bytes);
	tp_budget_recount(&tiers->retain, bytes);
	if (tiers->shared)
		tp_budget_recount(tiers->shared, tiers->shared->leased + bytes);
}
