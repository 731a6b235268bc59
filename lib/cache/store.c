/* SPDX-License-Identifier: MIT */
#include "cache/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/colour.h"
#include "base/spinlock.h"

/* Objects that go from a full stack to the chunks at once. */
#define BATCH 32

/* CPUs whose stacks are looked at before an object is created. */
#define STEAL_CPUS 4

/* A slab: one stack with ages, somewhere in a page more, see slab_create. */
#define SLAB_BYTES tp_round_up(TP_AGES_AT + TP_AGES_SLOTS + 1, TP_LINE)

static const uint16_t stack_at = TP_OBJECTS_AT;

int tp_objects_init(struct tp_objects *objects, void *cpus, uint64_t hot, unsigned decay_ms,
	void (*destroy)(void *context, void *object), void *context)
{
	*objects = (struct tp_objects){.hot = hot, .destroy = destroy, .context = context};
	if (tp_doors_init(&objects->doors, cpus, tp_percpu_count()))
		return -ENOMEM;
	tp_chunks_init(&objects->chunks);
	tp_decay_init(&objects->decay, (char *)cpus + tp_doors_bytes(objects->doors.count),
		&objects->doors, &stack_at, 1, decay_ms);
	return 0;
}

static void object_destroy(struct tp_objects *objects, void *object)
{
	if (objects->destroy)
		objects->destroy(objects->context, object);
}

/* Destroys what is in a list of chunks. How many objects that were. */
static size_t chunks_destroy(struct tp_objects *objects, struct tp_chunk *chunk)
{
	size_t count = 0;

	for (struct tp_chunk *next; chunk; chunk = next) {
		next = chunk->next;
		for (size_t i = 0; i < chunk->count; i++)
			object_destroy(objects, chunk->object[i]);
		count += chunk->count;
		free(chunk);
	}
	return count;
}

/* Objects to the chunks; they are destroyed where there is no memory for one. How many were. */
static size_t chunk_keep(struct tp_objects *objects, void *const *object, size_t count,
	enum tp_generation generation)
{
	struct tp_chunk *chunk = tp_chunk_new(object, count);

	if (chunk) {
		tp_chunks_push(&objects->chunks, chunk, generation);
		return 0;
	}
	for (size_t i = 0; i < count; i++)
		object_destroy(objects, object[i]);
	return count;
}

/* ---- the stacks ---- */

/*
 * As for a pool's slab (tiers.c): the stack begins in a line of its page that no other thing has
 * which each get and put reads.
 */
static void slab_create(struct tp_objects *objects)
{
	unsigned cpu = tp_percpu_current(objects->doors.count);
	struct tp_door *door;
	uint64_t taken = objects->hot | tp_percpu_line();
	char *block, *slab;

	if (tp_load_relaxed(&objects->doors.door[cpu].home))
		return;
	for (unsigned i = 0; i < objects->doors.count; i++)
		taken |= tp_colour((uintptr_t)&objects->doors.slabs[i]);
	block = aligned_alloc(TP_LINE, TP_COLOUR_PAGE + SLAB_BYTES);
	if (!block)
		return;
	for (slab = block; slab < block + TP_COLOUR_PAGE - TP_LINE; slab += TP_LINE)
		if (!(tp_colour((uintptr_t)slab) & taken))
			break;
	memset(slab, 0, SLAB_BYTES);
	door = tp_doors_claim(&objects->doors, cpu);
	if (!door) {
		free(block);
		return;
	}
	door->block = block;
	tp_decay_cpu_joins(&objects->decay, door);
	tp_door_install(door, (uint64_t *)(void *)slab);
}

/*
 * Of a stopped CPU: what lies in a slot, with its lease; the ages above come down as the slots do.
 */
static void *stack_take(struct tp_door *door, unsigned slot)
{
	uint8_t *ages = tp_stack_ages(door->home);

	memmove(ages + slot, ages + slot + 1, TP_AGES_SLOTS - slot);
	return tp_cpucache_move_out(door, door->home, slot);
}

/* Of a stopped CPU: puts an object of an age on top. There must be a slot. */
static void stack_give(struct tp_door *door, void *object, uint8_t age)
{
	uint64_t *stack = door->home;
	unsigned room = tp_word_room(*stack);

	tp_stack_ages(stack)[tp_word_depth(*stack) + 1] = age;
	tp_cpucache_room_set(stack, room ? room - 1 : 0);
	tp_cpucache_move_in(door, stack, object);
}

/* The lowest objects of a full stack, to go to the chunks: by generation, and how many of each. */
struct flushed {
	void *object[2][BATCH];
	unsigned count[2];
};

_Static_assert(TP_YOUNG == 0 && TP_OLD == 1, "the generation is the age");

static void stack_flush(struct tp_door *door, struct flushed *flushed)
{
	for (unsigned i = 0; i < BATCH; i++) {
		unsigned age = tp_stack_ages(door->home)[1];

		flushed->object[age][flushed->count[age]++] = stack_take(door, 1);
	}
}

/*
 * Keeps an object on the caller's CPU, with more room than before. False: it is still the caller's.
 */
static bool stack_keep(struct tp_objects *objects, void *object)
{
	struct flushed flushed = {.count = {0, 0}};
	struct tp_door *door;
	unsigned depth;

	slab_create(objects);
	door = tp_doors_stop_own(&objects->doors);
	if (!door)
		return false;
	depth = tp_word_depth(*door->home);
	if (depth == TP_AGES_SLOTS)
		stack_flush(door, &flushed);
	else if (!tp_word_room(*door->home))
		tp_cpucache_room_set(
			door->home, (unsigned)tp_min(tp_max(depth, 1), TP_AGES_SLOTS - depth));
	stack_give(door, object, 0);
	tp_door_publish(door);
	for (enum tp_generation generation = TP_YOUNG; generation <= TP_OLD; generation++)
		chunk_keep(
			objects, flushed.object[generation], flushed.count[generation], generation);
	return true;
}

/*
 * A chunk's objects to the caller's CPU, as far as there are slots; and what is left of it, back.
 */
static void stack_refill(
	struct tp_objects *objects, struct tp_chunk *chunk, enum tp_generation generation)
{
	/* What is dying goes on to do so. */
	struct tp_door *door =
		chunk->count && generation != TP_DYING ? tp_doors_stop_own(&objects->doors) : NULL;

	if (door) {
		/* What was aged as a chunk for a tick is not to be aged here for the same one. */
		uint8_t age = tp_decay_owes(&objects->decay, door) ? 0 : (uint8_t)generation;

		while (chunk->count && tp_word_depth(*door->home) < TP_AGES_SLOTS)
			stack_give(door, chunk->object[--chunk->count], age);
		tp_door_publish(door);
	}
	if (chunk->count)
		tp_chunks_push(&objects->chunks, chunk, generation);
	else
		free(chunk);
	/* In hand it was in no place, where the reaper may have looked for it. */
	tp_decay_kept(&objects->decay);
}

static void *stack_steal(struct tp_objects *objects, unsigned cpu)
{
	struct tp_door *door = tp_doors_stop(&objects->doors, cpu);
	void *object = NULL;

	if (!door)
		return NULL;
	if (tp_word_depth(*door->home))
		object = stack_take(door, tp_word_depth(*door->home));
	tp_door_publish(door);
	return object;
}

static void *steal(struct tp_objects *objects)
{
	unsigned count = objects->doors.count;
	unsigned cpu = tp_percpu_current(count);
	void *object = NULL;

	for (unsigned i = 0; i < STEAL_CPUS && i + 1 < count && !object; i++) {
		cpu = tp_percpu_next(cpu, count);
		if (tp_word_depth(tp_cpucache_word(&objects->doors, cpu, TP_OBJECTS_AT)) &&
			tp_decay_may_stop(&objects->decay, cpu, tp_decay_stop_due(&objects->decay)))
			object = stack_steal(objects, cpu);
	}
	return object;
}

/* The last object of the youngest chunk; the others go to the caller's CPU. */
static void *chunk_take(struct tp_objects *objects)
{
	for (enum tp_generation generation = TP_YOUNG; generation < TP_GENERATIONS; generation++) {
		struct tp_chunk *chunk = tp_chunks_pop(&objects->chunks, generation);
		void *object;

		if (!chunk)
			continue;
		object = chunk->object[--chunk->count];
		stack_refill(objects, chunk, generation);
		return object;
	}
	return NULL;
}

/* ---- take and keep ---- */

void *tp_objects_take(struct tp_objects *objects)
{
	void *object = chunk_take(objects);

	return object ? object : steal(objects);
}

void tp_objects_keep(struct tp_objects *objects, void *object)
{
	if (!stack_keep(objects, object) && !tp_chunks_add(&objects->chunks, object))
		chunk_keep(objects, &object, 1, TP_YOUNG);
}

/* ---- decay ---- */

struct ageing {
	struct tp_objects *objects;
	unsigned count; /* gone from the CPU that is stopped */
	void *gone[TP_AGES_SLOTS];
	size_t destroyed; /* for want of memory to let them die by and by */
};

/* Of a tp_ager: objects of age 1 go, or all of them for two ticks; others are of age 1 now. */
static bool stack_age(void *context, struct tp_door *door, uint16_t *progress, unsigned ticks)
{
	struct ageing *ageing = context;
	uint8_t *ages = tp_stack_ages(door->home);

	(void)progress;
	ageing->count = 0;
	for (unsigned slot = 1; slot <= tp_word_depth(*door->home);) {
		if (ages[slot] || ticks > 1)
			ageing->gone[ageing->count++] = stack_take(door, slot);
		else
			ages[slot++] = 1;
	}
	tp_cpucache_room_set(door->home, tp_word_room(*door->home) / 2);
	return true;
}

static void stack_aged(void *context)
{
	struct ageing *ageing = context;

	ageing->destroyed += chunk_keep(ageing->objects, ageing->gone, ageing->count, TP_DYING);
	ageing->count = 0;
}

/* By one call at a time, so that one made in a callback of this does not nest, piece by piece. */
static void dying_destroy_some(struct tp_objects *objects)
{
	struct tp_chunk *dying;

	if (!tp_chunks_have(&objects->chunks, TP_DYING) || !tp_locked_try(&objects->destroying))
		return;
	dying = tp_chunks_pop(&objects->chunks, TP_DYING);
	if (dying) {
		dying->next = NULL;
		chunks_destroy(objects, dying);
	}
	tp_locked_leave(&objects->destroying);
}

bool tp_objects_some(struct tp_objects *objects)
{
	struct ageing ageing = {.objects = objects};
	struct tp_ager ager = {stack_age, stack_aged, &ageing};
	bool more;

	if (tp_decay_claim(&objects->decay)) {
		tp_decay_turn(&objects->decay);
		tp_chunks_age(&objects->chunks);
		tp_decay_begin(&objects->decay, TP_TICK_PIECES);
	}
	more = tp_decay_some(&objects->decay, &ager);
	dying_destroy_some(objects);
	if (!tp_chunks_have(&objects->chunks, TP_DYING))
		return more;
	tp_decay_kept(&objects->decay); /* as in stack_refill */
	return true;
}

size_t tp_objects_tick(struct tp_objects *objects, bool asked)
{
	struct ageing ageing = {.objects = objects};
	struct tp_chunk *first[2];
	size_t destroyed;

	tp_decay_turn(&objects->decay);
	tp_chunks_rotate(&objects->chunks, first);
	tp_decay_begin(&objects->decay, asked ? TP_TICK_ASKED : TP_TICK_WHOLE);
	destroyed = chunks_destroy(objects, first[0]) + chunks_destroy(objects, first[1]);
	tp_decay_all(&objects->decay, &(struct tp_ager){stack_age, stack_aged, &ageing});
	destroyed += chunks_destroy(objects, tp_chunks_take(&objects->chunks, TP_DYING));
	return destroyed + ageing.destroyed;
}

/* What lies on a CPU that is the caller's. How many objects that were. */
static unsigned stack_empty(struct tp_door *door, void **object)
{
	unsigned count = 0;

	while (tp_word_depth(*door->home))
		object[count++] = stack_take(door, tp_word_depth(*door->home));
	tp_cpucache_room_set(door->home, 0);
	return count;
}

static size_t chunks_empty(struct tp_objects *objects)
{
	size_t destroyed = 0;

	for (enum tp_generation generation = TP_YOUNG; generation < TP_GENERATIONS; generation++)
		destroyed += chunks_destroy(objects, tp_chunks_take(&objects->chunks, generation));
	return destroyed;
}

/* All that is idle; stopping each CPU for it, or at rest, when nobody is left to be stopped. */
static size_t empty(struct tp_objects *objects, bool at_rest)
{
	size_t destroyed = chunks_empty(objects);

	for (unsigned cpu = 0; cpu < objects->doors.count; cpu++) {
		struct tp_door *door =
			at_rest ? &objects->doors.door[cpu] : tp_doors_stop(&objects->doors, cpu);
		void *object[TP_AGES_SLOTS];
		unsigned count;

		if (!door || !door->home)
			continue;
		count = stack_empty(door, object);
		if (!at_rest)
			tp_door_publish(door);
		destroyed += count;
		while (count)
			object_destroy(objects, object[--count]);
	}
	return destroyed;
}

size_t tp_objects_empty(struct tp_objects *objects)
{
	return empty(objects, false);
}

void tp_objects_fini(struct tp_objects *objects)
{
	/* Until callbacks put nothing more here. */
	while (empty(objects, true))
		;
	for (unsigned cpu = 0; cpu < objects->doors.count; cpu++)
		free(objects->doors.door[cpu].block);
	tp_chunks_fini(&objects->chunks);
}

bool tp_objects_have(const struct tp_objects *objects)
{
	for (unsigned cpu = 0; cpu < objects->doors.count; cpu++)
		if (tp_word_held(tp_cpucache_word(&objects->doors, cpu, TP_OBJECTS_AT)))
			return true;
	for (enum tp_generation generation = TP_YOUNG; generation < TP_GENERATIONS; generation++)
		if (tp_chunks_have(&objects->chunks, generation))
			return true;
	return false;
}
