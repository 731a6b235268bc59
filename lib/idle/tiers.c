/* SPDX-License-Identifier: MIT */
#include "idle/tiers.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "base/colour.h"
#include "base/inject.h"
#include "memory/bufstate.h"
#include "memory/pages.h"

/* Slots of a stack, by the size of its blocks. With the word they fill whole lines. */
#define STACK_SLOTS 63
static const struct {
	size_t size; /* up to this one */
	uint16_t slots;
} tiers_slots[] = {{(size_t)8 << 10, STACK_SLOTS}, {(size_t)32 << 10, 31}, {(size_t)256 << 10, 15},
	{SIZE_MAX, 7}};

/* From this size on a get looks on other CPUs before it allocates. */
#define STEAL_FROM ((size_t)256 << 10)

#define LINE_WORDS (TP_LINE / sizeof(uint64_t))
/* Lines of a slab that are left out at most, see tiers_slab_pointer_colours. */
#define SKIPS 128

/* A CPU may lease room only if the bounds allow each CPU this many buffers of the tier... */
#define ROOM_WORTH 4
/* ...and then all CPUs together at most this part of the bound, but one buffer each. */
#define ROOM_PART 4

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

	bool bounded = tiers->max_idle != SIZE_MAX;

	if (!t->cost)
		return TP_KEPT;
	if (bounded && !tp_budget_claim(&t->many, n))
		return TP_NO_COUNT;
	if (tiers_bytes_lease(tiers, n * t->cost)) {
		/* Now, so that what the bytes refuse raises no peak. */
		tp_budget_count(&t->many, n);
		return TP_KEPT;
	}
	if (bounded)
		tp_budget_yield(&t->many, n);
	return TP_NO_BYTES;
}

void tp_tiers_unlease(struct tp_tiers *tiers, unsigned tier, size_t n)
{
	struct tp_tier *t = &tiers->tier[tier];

	if (!n || !t->cost)
		return;
	tiers_bytes_release(tiers, n * t->cost);
	tp_budget_uncount(&t->many, n);
	if (tiers->max_idle != SIZE_MAX)
		tp_budget_yield(&t->many, n);
}

bool tp_tiers_may_fit(const struct tp_tiers *tiers, unsigned tier)
{
	size_t cost = tiers->tier[tier].cost;

	return cost <= tp_load_relaxed(&tiers->retain.limit) &&
	       (!tiers->shared || cost <= tp_load_relaxed(&tiers->shared->limit));
}

/* ---- tables ---- */

static uint16_t tiers_stack_slots(size_t size)
{
	unsigned i = 0;

	while (size > tiers_slots[i].size)
		i++;
	return tiers_slots[i].slots;
}

/*
 * The colours (base/colour.h) of the slab pointers. When a word had the colour of tp_pool_fast
 * (get.c), a pair took 7.5 to 14 ns in place of 5.7: one size of fifteen, in a third of the runs of
 * pair_latency. So each slab begins a page, and no word has such a colour.
 */
static uint64_t tiers_slab_pointer_colours(const struct tp_tiers *tiers)
{
	uint64_t colours = 0;

	for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++)
		colours |= tp_colour((uintptr_t)&tiers->cpus.visible[cpu_id]);
	return colours;
}

/* Sets what each CPU may lease of each tier, by the bound as it is now. */
static void tiers_limits_set(struct tp_tiers *tiers)
{
	size_t cpu_count = tiers->cpus.count;
	size_t bound = tp_load_acquire(&tiers->retain.limit);

	if (tiers->shared)
		bound = tp_min(bound, tp_load_relaxed(&tiers->shared->limit));
	for (unsigned tier = 0; tier < tiers->count; tier++) {
		struct tp_tier *t = &tiers->tier[tier];
		size_t fit = tp_min(t->cost ? bound / t->cost : SIZE_MAX, tiers->max_idle);
		size_t limit =
			fit / cpu_count < ROOM_WORTH ? 0 : tp_max(1, fit / cpu_count / ROOM_PART);

		/* Relaxed: the old limit does no harm, since no room comes without a lease. */
		tp_store_relaxed(&t->limit, (uint16_t)tp_min(limit, t->slots));
	}
}

void tp_tiers_retain_set(struct tp_tiers *tiers, size_t retain)
{
	tp_lock_take(&tiers->setting);
	/* Release, here and below: pairs with the acquires in stats.c. */
	tp_add_release(&tiers->settings, 1u);
	tp_budget_limit_set(&tiers->retain, retain);
	tiers_limits_set(tiers);
	/* A reader that saw the odd number, or the one before, finds it changed and reads again. */
	tp_add_release(&tiers->settings, 1u);
	tp_lock_give(&tiers->setting);
}

/* Chooses where the stacks lie in each slab. */
static void tiers_stacks_place(struct tp_tiers *tiers)
{
	size_t words = 0, skips = 0;

	for (unsigned tier = 0; tier < tiers->count; tier++) {
		while (tp_colour(words * sizeof(uint64_t)) & tiers->colours && skips++ < SKIPS)
			words += LINE_WORDS;
		tiers->stack_index[tier] = (uint16_t)words;
		for (size_t slot = 0; slot <= tiers->tier[tier].slots; slot++)
			tiers->tier[tier].colours |= tp_colour((words + slot) * sizeof(uint64_t));
		words += tp_round_up(1u + tiers->tier[tier].slots, LINE_WORDS);
		if (tiers->aged_slots)
			words += LINE_WORDS;
	}
	tiers->no_stack = (uint16_t)words;
	tiers->countdowns = (uint16_t)(words + LINE_WORDS);
	tiers->slab_bytes =
		tp_round_up(words * sizeof(uint64_t) + TP_LINE + tiers->count * sizeof(uint64_t),
			tp_max(tp_pages_size, TP_COLOUR_PAGE));
}

/* Of the tiers, and the places of their stacks. */
static size_t tiers_bytes(const struct tp_tiers *tiers)
{
	return tiers->count * (sizeof *tiers->tier + sizeof *tiers->stack_index);
}

int tp_tiers_init(struct tp_tiers *tiers, void *cpu_memory, const struct tp_tiers_options *options)
{
	memset(tiers, 0, sizeof *tiers);
	tiers->backing = options->backing;
	tiers->release = options->release;
	tiers->count = options->blocks ? options->blocks->count : 1;
	tiers->aged_slots = !options->blocks;
	tiers->shared = options->shared;
	tiers->max_idle = options->max_idle;
	tiers->sampled = options->sampled;
	tiers->own_bytes = options->own_bytes;
	tp_budget_init(&tiers->retain, options->retain);
	tp_lock_init(&tiers->setting);
	if (tp_cpus_init(&tiers->cpus, cpu_memory, tp_cpu_count()))
		return -ENOMEM;
	tiers->tier = tp_backing_alloc(tiers->backing, tiers_bytes(tiers));
	if (!tiers->tier)
		return -ENOMEM;
	tiers->stack_index = (uint16_t *)(void *)(tiers->tier + tiers->count);
	tiers->cpus.stack_index = tiers->stack_index;
	tiers->cpus.stacks = tiers->count;
	for (unsigned tier = 0; tier < tiers->count; tier++) {
		struct tp_tier *t = &tiers->tier[tier];
		size_t size = options->blocks ? options->blocks->size[tier] : 0;

		memset(t, 0, sizeof *t);
		t->cost = size ? tp_blocks_cost(options->blocks, tier) + sizeof(tierpool_buf) : 0;
		t->slots = size ? tiers_stack_slots(size) : TP_AGES_SLOTS;
		t->steal = !size || size >= STEAL_FROM;
		tp_budget_init(&t->many, tiers->max_idle);
		tp_depot_init(&t->depot, tiers->backing);
	}
	tiers->colours = options->hot | tiers_slab_pointer_colours(tiers);
	tiers_stacks_place(tiers);
	tiers_limits_set(tiers);
	tp_decay_init(&tiers->decay, (char *)cpu_memory + tp_cpus_bytes(tiers->cpus.count),
		&tiers->cpus, options->decay_ms);
	return 0;
}

_Static_assert(TP_TIERS_MAX *(STACK_SLOTS * sizeof(uint64_t) + TP_LINE + sizeof(uint64_t)) +
			       (SKIPS + 1) * TP_LINE <=
		       TP_SLAB_BYTES_MAX,
	"the empty slab is as large as any");
_Static_assert(STACK_SLOTS <= TP_STACK_MAX, "a word counts all slots");
_Static_assert(STACK_SLOTS <= TP_STACK_BATCH, "half of a full stack is one batch");
_Static_assert((1 + TP_AGES_SLOTS) % LINE_WORDS == 0 && TP_AGES_SLOTS < TP_LINE,
	"the ages follow the slots, on one line");

/* ---- ages ---- */

static uint8_t *tiers_slot_age(
	const struct tp_tiers *tiers, const struct tp_cpu *cpu, unsigned tier, unsigned slot)
{
	return tp_stack_ages(cpu->slab + tiers->stack_index[tier]) + slot;
}

static tierpool_buf *tiers_slot_buffer(
	const struct tp_tiers *tiers, const struct tp_cpu *cpu, unsigned tier, unsigned slot)
{
	return (tierpool_buf *)(uintptr_t)cpu->slab[tiers->stack_index[tier] + slot];
}

unsigned tp_tiers_age(
	const struct tp_tiers *tiers, const struct tp_cpu *cpu, unsigned tier, unsigned slot)
{
	return tiers->aged_slots ? *tiers_slot_age(tiers, cpu, tier, slot)
				 : tp_bufstate_age(tiers_slot_buffer(tiers, cpu, tier, slot));
}

void tp_tiers_age_set(const struct tp_tiers *tiers, const struct tp_cpu *cpu, unsigned tier,
	unsigned slot, unsigned age)
{
	if (tiers->aged_slots)
		*tiers_slot_age(tiers, cpu, tier, slot) = (uint8_t)age;
	else
		tp_bufstate_age_set(tiers_slot_buffer(tiers, cpu, tier, slot), age);
}

void tp_tiers_fini(struct tp_tiers *tiers)
{
	tp_tiers_unmap(tiers);
	tp_lock_fini(&tiers->setting);
	for (unsigned tier = 0; tier < tiers->count; tier++)
		tp_depot_fini(&tiers->tier[tier].depot);
	tp_backing_free(tiers->backing, tiers->tier, tiers_bytes(tiers));
}

/* ---- depots and room ---- */

bool tp_tiers_depot_push(struct tp_tiers *tiers, unsigned tier, enum tp_generation generation,
	void *const *items, unsigned n)
{
	struct tp_depot *depot = &tiers->tier[tier].depot;

	if (!n)
		return true;
	if (tp_depot_push(depot, generation, items, n)) {
		/* Release: pairs with the exchange in age.c, after which they are found. */
		if (generation == TP_EXPIRED)
			tp_store_release(&tiers->expired, 1u);
		return true;
	}
	tiers->release(tiers, items, n,
		tp_depot_is_closed(depot)  ? TP_DROP_DESTROY
		: generation == TP_EXPIRED ? TP_DROP_DECAY
					   : TP_DROP_RETAIN);
	return false;
}

void tp_tiers_shrink(struct tp_tiers *tiers)
{
	for (unsigned tier = 0; tier < tiers->count; tier++)
		tp_depot_shrink(&tiers->tier[tier].depot);
}

void tp_tiers_room_set(
	struct tp_tiers *tiers, const struct tp_cpu *cpu, unsigned tier, unsigned room)
{
	unsigned before = tp_word_room(cpu->slab[tiers->stack_index[tier]]);

	tp_stack_room_set(&tiers->cpus, cpu, tier, room);
	tp_tiers_unlease(tiers, tier, before - room);
}

/* ---- counting and fork ---- */

/* Idle items of a tier; one that moves during the sum may be seen twice. */
static size_t tiers_sum(const struct tp_tiers *tiers, unsigned tier)
{
	size_t sum = tp_depot_count(&tiers->tier[tier].depot);

	tp_point(TP_POINT_COUNT);
	for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++)
		sum += tp_tiers_depth(tiers, cpu_id, tier);
	return sum;
}

size_t tp_tiers_count(const struct tp_tiers *tiers, unsigned tier)
{
	const struct tp_tier *t = &tiers->tier[tier];
	size_t sum = tiers_sum(tiers, tier);

	if (!t->cost || tp_fault(TP_FAULT_SUMMING_WATCHER))
		return sum;
	/* Idle ones never exceed leased ones. */
	return tp_min(sum, tp_load_relaxed(&t->many.leased));
}

size_t tp_tiers_bytes(const struct tp_tiers *tiers)
{
	size_t leased, sum = 0;

	for (unsigned tier = 0; tier < tiers->count; tier++)
		sum += tp_tiers_count(tiers, tier) * tiers->tier[tier].cost;
	/* The same for the bytes: what is counted of one tier may have moved to another meanwhile. */
	leased = tp_load_relaxed(&tiers->retain.leased);
	return tp_fault(TP_FAULT_SUMMING_WATCHER) ? sum : tp_min(sum, leased);
}

bool tp_tiers_cpu_has(const struct tp_tiers *tiers, unsigned cpu_id)
{
	for (unsigned tier = 0; tier < tiers->count; tier++)
		if (tp_word_held(tp_tiers_word(tiers, cpu_id, tier)))
			return true;
	return false;
}

bool tp_tiers_have(const struct tp_tiers *tiers)
{
	for (unsigned tier = 0; tier < tiers->count; tier++)
		if (tp_depot_count(&tiers->tier[tier].depot))
			return true;
	for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++)
		if (tp_tiers_cpu_has(tiers, cpu_id))
			return true;
	return false;
}

size_t tp_tiers_table_bytes(const struct tp_tiers *tiers)
{
	size_t bytes = tiers_bytes(tiers);

	for (unsigned tier = 0; tier < tiers->count; tier++)
		bytes += tp_depot_bytes(&tiers->tier[tier].depot);
	return bytes;
}

void tp_tiers_lock(struct tp_tiers *tiers)
{
	tp_lock_take(&tiers->setting);
	tp_cpus_lock(&tiers->cpus);
	for (unsigned tier = 0; tier < tiers->count; tier++)
		tp_lock_take(&tiers->tier[tier].depot.lock);
}

void tp_tiers_unlock(struct tp_tiers *tiers)
{
	for (unsigned tier = tiers->count; tier--;)
		tp_lock_give(&tiers->tier[tier].depot.lock);
	tp_cpus_unlock(&tiers->cpus);
	tp_lock_give(&tiers->setting);
}

void tp_tiers_recount(struct tp_tiers *tiers)
{
	size_t bytes = 0;

	tiers->slabs_spent = 0;
	for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++)
		tiers->slabs_spent += tiers->cpus.cpu[cpu_id].spent * tiers->slab_bytes;

	for (unsigned tier = 0; tier < tiers->count; tier++) {
		size_t n = tiers_sum(tiers, tier);

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
