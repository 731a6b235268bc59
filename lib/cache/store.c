/* SPDX-License-Identifier: MIT */
#include "cache/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/colour.h"
#include "base/spinlock.h"

/* Objects that go to the chunks together when a stack is full. */
#define BATCH 32

/* Other CPUs that are looked at before an object is created. */
#define STEAL_CPUS 4

/* A slab: one stack with ages. Its block is a page longer, see store_slab_create. */
#define SLAB_BYTES tp_round_up(TP_AGES_OFFSET + TP_AGES_SLOTS + 1, TP_LINE)

static const uint16_t store_stack_index = TP_STORE_STACK;

int tp_object_store_init(struct tp_object_store *store, void *cpu_memory, uint64_t hot,
	unsigned decay_ms, void (*destroy)(void *context, void *object), void *context)
{
	*store = (struct tp_object_store){.hot = hot, .destroy = destroy, .context = context};
	if (tp_cpus_init(&store->cpus, cpu_memory, tp_cpu_count()))
		return -ENOMEM;
	tp_chunks_init(&store->chunks);
	tp_decay_init(&store->decay, (char *)cpu_memory + tp_cpus_bytes(store->cpus.count),
		&store->cpus, &store_stack_index, 1, decay_ms);
	return 0;
}

static void store_object_destroy(struct tp_object_store *store, void *object)
{
	if (store->destroy)
		store->destroy(store->context, object);
}

/* Destroys a list of chunks and their objects. Returns: how many objects. */
static size_t store_chunks_destroy(struct tp_object_store *store, struct tp_chunk *chunk)
{
	size_t count = 0;

	for (struct tp_chunk *next; chunk; chunk = next) {
		next = chunk->next;
		for (size_t i = 0; i < chunk->count; i++)
			store_object_destroy(store, chunk->object[i]);
		count += chunk->count;
		free(chunk);
	}
	return count;
}

/* Gives objects to the chunks; without memory for a chunk, destroys them. Returns: how many. */
static size_t store_chunk_keep(struct tp_object_store *store, void *const *object, size_t count,
	enum tp_generation generation)
{
	struct tp_chunk *chunk = tp_chunk_new(object, count);

	if (chunk) {
		tp_chunks_push(&store->chunks, chunk, generation);
		return 0;
	}
	for (size_t i = 0; i < count; i++)
		store_object_destroy(store, object[i]);
	return count;
}

/* ---- the stacks ---- */

/*
 * Gives the caller's CPU its slab, if it has none. As in a pool's slab (tiers.c), the stack begins
 * in a colour of nothing else that each get and put reads.
 */
static void store_slab_create(struct tp_object_store *store)
{
	unsigned cpu_id = tp_cpu_current(store->cpus.count);
	uint64_t taken = store->hot | tp_cpu_rseq_colour();
	char *block, *slab;

	/* Relaxed: a hint. tp_cpus_claim decides. */
	if (tp_load_relaxed(&store->cpus.cpu[cpu_id].slab))
		return;
	for (unsigned i = 0; i < store->cpus.count; i++)
		taken |= tp_colour((uintptr_t)&store->cpus.visible[i]);
	block = aligned_alloc(TP_LINE, TP_COLOUR_PAGE + SLAB_BYTES);
	if (!block)
		return;
	for (slab = block; slab < block + TP_COLOUR_PAGE - TP_LINE; slab += TP_LINE)
		if (!(tp_colour((uintptr_t)slab) & taken))
			break;
	memset(slab, 0, SLAB_BYTES);
	if (!tp_decay_slab_install(&store->decay, cpu_id, (uint64_t *)(void *)slab, block))
		free(block);
}

/* On a stopped CPU: takes the object out of a slot. The ages above move down, as the slots do. */
static void *store_slot_take(struct tp_cpu *cpu, unsigned slot)
{
	uint8_t *ages = tp_stack_ages(cpu->slab);

	memmove(ages + slot, ages + slot + 1, TP_AGES_SLOTS - slot);
	return tp_stack_move_out(cpu, cpu->slab, slot);
}

/* On a stopped CPU: puts an object on top, with its age. Before: a slot is free. */
static void store_slot_give(struct tp_cpu *cpu, void *object, uint8_t age)
{
	uint64_t *stack = cpu->slab;
	unsigned room = tp_word_room(*stack);

	tp_stack_ages(stack)[tp_word_depth(*stack) + 1] = age;
	tp_stack_room_set(stack, room ? room - 1 : 0);
	tp_stack_move_in(cpu, stack, object);
}

/* The lowest objects of a full stack, by their generation, on their way to the chunks. */
struct flushed {
	void *object[2][BATCH];
	unsigned count[2];
};

_Static_assert(TP_YOUNG == 0 && TP_OLD == 1, "the generation is the age");

static void store_flush(struct tp_cpu *cpu, struct flushed *flushed)
{
	for (unsigned i = 0; i < BATCH; i++) {
		unsigned age = tp_stack_ages(cpu->slab)[1];

		flushed->object[age][flushed->count[age]++] = store_slot_take(cpu, 1);
	}
}

/* Keeps an object on the caller's CPU, and doubles the room there. False: it is not kept. */
static bool store_stack_keep(struct tp_object_store *store, void *object)
{
	struct flushed flushed = {.count = {0, 0}};
	struct tp_cpu *cpu;
	unsigned depth;

	store_slab_create(store);
	cpu = tp_cpus_stop_own(&store->cpus);
	if (!cpu)
		return false;
	depth = tp_word_depth(*cpu->slab);
	if (depth == TP_AGES_SLOTS)
		store_flush(cpu, &flushed);
	else if (!tp_word_room(*cpu->slab))
		tp_stack_room_set(
			cpu->slab, (unsigned)tp_min(tp_max(depth, 1), TP_AGES_SLOTS - depth));
	store_slot_give(cpu, object, 0);
	tp_cpu_start(cpu);
	for (enum tp_generation generation = TP_YOUNG; generation <= TP_OLD; generation++)
		store_chunk_keep(
			store, flushed.object[generation], flushed.count[generation], generation);
	return true;
}

/* Moves a chunk's objects to the caller's CPU, as many as have slots. The rest goes back. */
static void store_refill(
	struct tp_object_store *store, struct tp_chunk *chunk, enum tp_generation generation)
{
	/* Expired objects are not moved: they go on to be destroyed. */
	struct tp_cpu *cpu =
		chunk->count && generation != TP_EXPIRED ? tp_cpus_stop_own(&store->cpus) : NULL;

	if (cpu) {
		/* A CPU that owes a tick will age them: not twice for one tick. */
		uint8_t age = tp_decay_owes(&store->decay, cpu) ? 0 : (uint8_t)generation;

		while (chunk->count && tp_word_depth(*cpu->slab) < TP_AGES_SLOTS)
			store_slot_give(cpu, chunk->object[--chunk->count], age);
		tp_cpu_start(cpu);
	}
	if (chunk->count)
		tp_chunks_push(&store->chunks, chunk, generation);
	else
		free(chunk);
	/* The reaper may have looked while the objects were in our hands, and seen none. */
	tp_decay_kept(&store->decay);
}

static void *store_steal_from(struct tp_object_store *store, unsigned cpu_id)
{
	struct tp_cpu *cpu = tp_cpus_stop(&store->cpus, cpu_id);
	void *object = NULL;

	if (!cpu)
		return NULL;
	if (tp_word_depth(*cpu->slab))
		object = store_slot_take(cpu, tp_word_depth(*cpu->slab));
	tp_cpu_start(cpu);
	return object;
}

static void *store_steal(struct tp_object_store *store)
{
	unsigned count = store->cpus.count;
	unsigned cpu_id = tp_cpu_current(count);
	void *object = NULL;

	for (unsigned i = 0; i < STEAL_CPUS && i + 1 < count && !object; i++) {
		cpu_id = tp_cpu_next(cpu_id, count);
		if (tp_word_depth(tp_stack_word(&store->cpus, cpu_id, TP_STORE_STACK)) &&
			tp_decay_may_stop(&store->decay, cpu_id, tp_decay_stop_due(&store->decay)))
			object = store_steal_from(store, cpu_id);
	}
	return object;
}

/* Takes an object of the youngest chunk; the others go to the caller's CPU. */
static void *store_chunk_take(struct tp_object_store *store)
{
	for (enum tp_generation generation = TP_YOUNG; generation < TP_GENERATIONS; generation++) {
		struct tp_chunk *chunk = tp_chunks_pop(&store->chunks, generation);
		void *object;

		if (!chunk)
			continue;
		object = chunk->object[--chunk->count];
		store_refill(store, chunk, generation);
		return object;
	}
	return NULL;
}

/* ---- take and keep ---- */

void *tp_object_store_take(struct tp_object_store *store)
{
	void *object = store_chunk_take(store);

	return object ? object : store_steal(store);
}

void tp_object_store_keep(struct tp_object_store *store, void *object)
{
	if (!store_stack_keep(store, object) && !tp_chunks_add(&store->chunks, object))
		store_chunk_keep(store, &object, 1, TP_YOUNG);
}

/* ---- decay ---- */

struct ageing {
	struct tp_object_store *store;
	unsigned count; /* of what has expired on the CPU that is stopped */
	void *expired[TP_AGES_SLOTS];
	size_t destroyed; /* at once, because there was no memory for a chunk */
};

/* tp_ager.age: objects of age 1 expire, for two ticks all; the others are of age 1 now. */
static bool store_age(void *context, struct tp_cpu *cpu, uint16_t *progress, unsigned ticks)
{
	struct ageing *ageing = context;
	uint8_t *ages = tp_stack_ages(cpu->slab);

	(void)progress;
	ageing->count = 0;
	for (unsigned slot = 1; slot <= tp_word_depth(*cpu->slab);) {
		if (ages[slot] || ticks > 1)
			ageing->expired[ageing->count++] = store_slot_take(cpu, slot);
		else
			ages[slot++] = 1;
	}
	tp_stack_room_set(cpu->slab, tp_word_room(*cpu->slab) / 2);
	return true;
}

/* tp_ager.after: the CPU has its slab again, so memory may be allocated. */
static void store_age_after(void *context)
{
	struct ageing *ageing = context;

	ageing->destroyed +=
		store_chunk_keep(ageing->store, ageing->expired, ageing->count, TP_EXPIRED);
	ageing->count = 0;
}

/* Destroys one chunk. One call at a time, so that a put in the callback destroy does not nest. */
static void store_expired_destroy_some(struct tp_object_store *store)
{
	struct tp_chunk *expired;

	if (!tp_chunks_have(&store->chunks, TP_EXPIRED) || !tp_spinlock_try(&store->destroying))
		return;
	expired = tp_chunks_pop(&store->chunks, TP_EXPIRED);
	if (expired) {
		expired->next = NULL;
		store_chunks_destroy(store, expired);
	}
	tp_spinlock_unlock(&store->destroying);
}

bool tp_object_store_some(struct tp_object_store *store)
{
	struct ageing ageing = {.store = store};
	struct tp_ager ager = {store_age, store_age_after, &ageing};
	bool more;

	if (tp_decay_claim(&store->decay)) {
		tp_decay_turn(&store->decay);
		tp_chunks_age(&store->chunks);
		tp_decay_begin(&store->decay, TP_TICK_PIECES);
	}
	more = tp_decay_some(&store->decay, &ager);
	store_expired_destroy_some(store);
	if (!tp_chunks_have(&store->chunks, TP_EXPIRED))
		return more;
	tp_decay_kept(&store->decay); /* as in store_refill */
	return true;
}

size_t tp_object_store_tick(struct tp_object_store *store, bool asked)
{
	struct ageing ageing = {.store = store};
	struct tp_chunk *first[2];
	size_t destroyed;

	tp_decay_turn(&store->decay);
	tp_chunks_rotate(&store->chunks, first);
	tp_decay_begin(&store->decay, asked ? TP_TICK_ASKED : TP_TICK_WHOLE);
	destroyed = store_chunks_destroy(store, first[0]) + store_chunks_destroy(store, first[1]);
	tp_decay_all(&store->decay, &(struct tp_ager){store_age, store_age_after, &ageing});
	destroyed += store_chunks_destroy(store, tp_chunks_take(&store->chunks, TP_EXPIRED));
	return destroyed + ageing.destroyed;
}

/* On a stopped CPU, or at rest: takes all objects out. Returns: how many. */
static unsigned store_stack_empty(struct tp_cpu *cpu, void **object)
{
	unsigned count = 0;

	while (tp_word_depth(*cpu->slab))
		object[count++] = store_slot_take(cpu, tp_word_depth(*cpu->slab));
	tp_stack_room_set(cpu->slab, 0);
	return count;
}

static size_t store_chunks_empty(struct tp_object_store *store)
{
	size_t destroyed = 0;

	for (enum tp_generation generation = TP_YOUNG; generation < TP_GENERATIONS; generation++)
		destroyed +=
			store_chunks_destroy(store, tp_chunks_take(&store->chunks, generation));
	return destroyed;
}

/* Destroys all that is idle. at_rest: no other thread is left, so no CPU is stopped for it. */
static size_t store_empty(struct tp_object_store *store, bool at_rest)
{
	size_t destroyed = store_chunks_empty(store);

	for (unsigned cpu_id = 0; cpu_id < store->cpus.count; cpu_id++) {
		struct tp_cpu *cpu =
			at_rest ? &store->cpus.cpu[cpu_id] : tp_cpus_stop(&store->cpus, cpu_id);
		void *object[TP_AGES_SLOTS];
		unsigned count;

		if (!cpu || !cpu->slab)
			continue;
		count = store_stack_empty(cpu, object);
		if (!at_rest)
			tp_cpu_start(cpu);
		destroyed += count;
		while (count)
			store_object_destroy(store, object[--count]);
	}
	return destroyed;
}

size_t tp_object_store_empty(struct tp_object_store *store)
{
	return store_empty(store, false);
}

void tp_object_store_fini(struct tp_object_store *store)
{
	/* Again while the callback destroy puts objects back. */
	while (store_empty(store, true))
		;
	for (unsigned cpu_id = 0; cpu_id < store->cpus.count; cpu_id++)
		free(store->cpus.cpu[cpu_id].block);
	tp_chunks_fini(&store->chunks);
}

bool tp_object_store_have(const struct tp_object_store *store)
{
	for (unsigned cpu_id = 0; cpu_id < store->cpus.count; cpu_id++)
		if (tp_word_held(tp_stack_word(&store->cpus, cpu_id, TP_STORE_STACK)))
			return true;
	for (enum tp_generation generation = TP_YOUNG; generation < TP_GENERATIONS; generation++)
		if (tp_chunks_have(&store->chunks, generation))
			return true;
	return false;
}
