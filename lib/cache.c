/* SPDX-License-Identifier: MIT */
/*
 * The object cache: any pointers, on the same per-CPU stacks and the same ticks as a pool's
 * buffers. An object has no header, so that its age is kept beside its slot, and what does not lie
 * in a stack lies in chunks (chunks.h).
 * Room in a stack costs nothing here; yet it grows on demand and shrinks with the ticks, so that
 * what comes into an empty cache comes by a slow call, which wakes the reaper. Layer 8.
 */
#include <tierpool/cache.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "atomic.h"
#include "backing.h"
#include "chunks.h"
#include "decay.h"
#include "pool.h"
#include "registry.h"

#define DEFAULT_DECAY_MS 10000

/* Objects that go from a full stack to the chunks at once. */
#define BATCH 32

/* CPUs whose stacks are looked at before an object is created. */
#define STEAL_CPUS 4

struct tierpool_cache {
	struct tp_registered registered; /* first: found as one of these */
	struct tierpool_cache_options call;
	struct tp_doors doors;
	struct tp_decay decay;
	struct tp_chunks chunks;
	/* The memory of doors, which begins with the slab pointers. */
	char cpus[] __attribute__((aligned(TP_LINE)));
};

/* A slab: one stack with ages, somewhere in a page more, see slab_create. */
#define SLAB_BYTES tp_round_up(TP_AGES_AT + TP_AGES_SLOTS + 1, TP_LINE)
static const uint16_t stack_at = 0;

static struct tp_fast fast;

static void fast_settle(void)
{
	tp_percpu_start();
	fast = (struct tp_fast){tp_percpu_rseq, tp_percpu_count()};
}

static void object_destroy(tierpool_cache *cache, void *object)
{
	if (cache->call.destroy)
		cache->call.destroy(cache->call.context, object);
}

/* Destroys what is in a list of chunks. How many objects that were. */
static size_t chunks_destroy(tierpool_cache *cache, struct tp_chunk *chunk)
{
	size_t count = 0;

	for (struct tp_chunk *next; chunk; chunk = next) {
		next = chunk->next;
		for (size_t i = 0; i < chunk->count; i++)
			object_destroy(cache, chunk->object[i]);
		count += chunk->count;
		free(chunk);
	}
	return count;
}

/* Objects to the chunks; they are destroyed where there is no memory for one. How many were. */
static size_t chunk_keep(
	tierpool_cache *cache, void *const *object, size_t count, enum tp_generation generation)
{
	struct tp_chunk *chunk = tp_chunk_new(object, count);

	if (chunk) {
		tp_chunks_push(&cache->chunks, chunk, generation);
		return 0;
	}
	for (size_t i = 0; i < count; i++)
		object_destroy(cache, object[i]);
	return count;
}

/* ---- the stacks ---- */

/*
 * As for a pool's slab (tiers.c): the stack begins in a line of its page that no other thing has
 * which each get and put reads.
 */
static void slab_create(tierpool_cache *cache)
{
	unsigned cpu = tp_percpu_current(cache->doors.count);
	struct tp_door *door = &cache->doors.door[cpu];
	uint64_t taken = tp_page_line((uintptr_t)&fast) | tp_percpu_line();
	char *block, *slab;

	if (tp_load_relaxed(&door->home))
		return;
	for (unsigned i = 0; i < cache->doors.count; i++)
		taken |= tp_page_line((uintptr_t)&cache->doors.slabs[i]);
	block = aligned_alloc(TP_LINE, TP_PAGE + SLAB_BYTES);
	if (!block)
		return;
	for (slab = block; slab < block + TP_PAGE - TP_LINE; slab += TP_LINE)
		if (!(tp_page_line((uintptr_t)slab) & taken))
			break;
	memset(slab, 0, SLAB_BYTES);
	tp_decay_join(&cache->decay, cpu);
	if (tp_doors_install(&cache->doors, cpu, (uint64_t *)(void *)slab))
		door->block = block;
	else
		free(block);
}

/* Of a stopped CPU: what lies in a slot, with its lease; the ages above come down as the slots do. */
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

/* Keeps an object on the caller's CPU, with more room than before. False: it is still the caller's. */
static bool stack_keep(tierpool_cache *cache, void *object)
{
	struct flushed flushed = {.count = {0, 0}};
	struct tp_door *door;
	unsigned depth;

	slab_create(cache);
	door = tp_doors_stop_own(&cache->doors);
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
			cache, flushed.object[generation], flushed.count[generation], generation);
	return true;
}

/* A chunk's objects to the caller's CPU, as far as there are slots; and what is left of it, back. */
static void stack_refill(
	tierpool_cache *cache, struct tp_chunk *chunk, enum tp_generation generation)
{
	/* What is dying goes on to do so. */
	struct tp_door *door =
		chunk->count && generation != TP_DYING ? tp_doors_stop_own(&cache->doors) : NULL;

	if (door) {
		while (chunk->count && tp_word_depth(*door->home) < TP_AGES_SLOTS)
			stack_give(door, chunk->object[--chunk->count], (uint8_t)generation);
		tp_door_publish(door);
	}
	if (chunk->count)
		tp_chunks_push(&cache->chunks, chunk, generation);
	else
		free(chunk);
}

static void *stack_steal(tierpool_cache *cache, unsigned cpu)
{
	struct tp_door *door = tp_doors_stop(&cache->doors, cpu);
	void *object = NULL;

	if (!door)
		return NULL;
	if (tp_word_depth(*door->home))
		object = stack_take(door, tp_word_depth(*door->home));
	tp_door_publish(door);
	return object;
}

static void *steal(tierpool_cache *cache)
{
	unsigned count = cache->doors.count;
	unsigned cpu = tp_percpu_current(count);
	void *object = NULL;

	for (unsigned i = 0; i < STEAL_CPUS && i + 1 < count && !object; i++) {
		cpu = tp_percpu_next(cpu, count);
		if (tp_word_depth(tp_cpucache_word(&cache->doors, cpu, stack_at)) &&
			tp_decay_may_stop(&cache->decay, cpu, tp_decay_stop_due(&cache->decay)))
			object = stack_steal(cache, cpu);
	}
	return object;
}

/* ---- decay ---- */

struct ageing {
	tierpool_cache *cache;
	unsigned count; /* gone from the CPU that is stopped */
	void *gone[TP_AGES_SLOTS];
	size_t destroyed; /* for want of memory to let them die by and by */
};

/* Of a tp_ager: objects of age 1 go, or all of them for two ticks; others are of age 1 now. */
static bool stack_age(void *context, struct tp_door *door, unsigned ticks)
{
	struct ageing *ageing = context;
	uint8_t *ages = tp_stack_ages(door->home);

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

	ageing->destroyed += chunk_keep(ageing->cache, ageing->gone, ageing->count, TP_DYING);
	ageing->count = 0;
}

/* For slow calls and strikes: a piece of what is due. Whether there is more. */
static bool attend(tierpool_cache *cache)
{
	struct ageing ageing = {.cache = cache};
	struct tp_ager ager = {stack_age, stack_aged, &ageing};
	struct tp_chunk *dying;
	bool more;

	if (tp_decay_begin_due(&cache->decay))
		tp_chunks_age(&cache->chunks);
	more = tp_decay_some(&cache->decay, &ager);
	dying = tp_chunks_pop(&cache->chunks, TP_DYING);
	if (dying) {
		dying->next = NULL;
		chunks_destroy(cache, dying);
	}
	return more || tp_chunks_have(&cache->chunks, TP_DYING);
}

static size_t dying_destroy(tierpool_cache *cache)
{
	return chunks_destroy(cache, tp_chunks_take(&cache->chunks, TP_DYING));
}

static size_t tick(tierpool_cache *cache)
{
	struct ageing ageing = {.cache = cache};
	size_t destroyed;

	tp_decay_all(&cache->decay, &(struct tp_ager){stack_age, stack_aged, &ageing});
	/* First what is dying, since until then what is old lives on. */
	destroyed = dying_destroy(cache);
	tp_chunks_age(&cache->chunks);
	return destroyed + dying_destroy(cache) + ageing.destroyed;
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

static size_t chunks_empty(tierpool_cache *cache)
{
	size_t destroyed = 0;

	for (enum tp_generation generation = TP_YOUNG; generation < TP_GENERATIONS; generation++)
		destroyed += chunks_destroy(cache, tp_chunks_take(&cache->chunks, generation));
	return destroyed;
}

/* Destroys all that is idle. How many objects that were. */
static size_t empty(tierpool_cache *cache)
{
	size_t destroyed = chunks_empty(cache);

	for (unsigned cpu = 0; cpu < cache->doors.count; cpu++) {
		struct tp_door *door = tp_doors_stop(&cache->doors, cpu);
		void *object[TP_AGES_SLOTS];
		unsigned count;

		if (!door)
			continue;
		count = stack_empty(door, object);
		tp_door_publish(door);
		for (unsigned i = 0; i < count; i++)
			object_destroy(cache, object[i]);
		destroyed += count;
	}
	return destroyed;
}

/* ---- get and put ---- */

/* What the sequences are given: they find the slab pointers behind it. */
static inline const void *base_of(const tierpool_cache *cache)
{
	return (const void *)((uintptr_t)cache->cpus - TP_SLABS_AT);
}

/* The last object of the youngest chunk; the others go to the caller's CPU. */
static void *chunk_get(tierpool_cache *cache)
{
	for (enum tp_generation generation = TP_YOUNG; generation < TP_GENERATIONS; generation++) {
		struct tp_chunk *chunk = tp_chunks_pop(&cache->chunks, generation);
		void *object;

		if (!chunk)
			continue;
		object = chunk->object[--chunk->count];
		stack_refill(cache, chunk, generation);
		return object;
	}
	return NULL;
}

static tp_cold void *get_slow(tierpool_cache *cache)
{
	void *object;

	attend(cache);
	tp_decay_hurry(&cache->decay);
	object = chunk_get(cache);
	if (!object)
		object = steal(cache);
	if (!object && cache->call.create)
		object = cache->call.create(cache->call.context);
	return object;
}

/* As a pool's (borrow.c). */
static tp_cold void *get_struck(tierpool_cache *cache, void *object)
{
	unsigned mean = attend(cache) ? 1 : tp_decay_gap(&cache->decay);

	tp_cpucache_arm(&cache->doors, stack_at, mean);
	return object;
}

/* In either mode, and after an abort. */
static tp_outline void *get_in_any_mode(tierpool_cache *cache)
{
	uint64_t after;
	void *object;

	if (tp_unlikely(!cache)) {
		errno = EINVAL;
		return NULL;
	}
	object = tp_cpucache_pop(&cache->doors, stack_at, &after);
	if (tp_unlikely(!object))
		return get_slow(cache);
	return tp_unlikely((int64_t)after < 0) ? get_struck(cache, object) : object;
}

static tp_cold void *get_odd(tierpool_cache *cache, void *object)
{
	return object ? get_struck(cache, object) : get_in_any_mode(cache);
}

tp_fastpath void *tierpool_cache_get(tierpool_cache *cache)
{
	bool odd;
	void *object;

	if (tp_unlikely(!cache || !fast.rseq))
		return get_in_any_mode(cache);
	object = tp_cpucache_pop_fast(&fast, base_of(cache), stack_at, &odd);
	return tp_unlikely(odd) ? get_odd(cache, object) : object;
}

static tp_cold void put_slow(tierpool_cache *cache, void *object)
{
	/* Before the object is kept, which owes nothing of what fell due earlier. */
	attend(cache);
	tp_decay_hurry(&cache->decay);
	if (!stack_keep(cache, object) && !tp_chunks_add(&cache->chunks, object))
		chunk_keep(cache, &object, 1, TP_YOUNG);
	tp_decay_kept(&cache->decay);
}

static tp_outline void put_in_any_mode(tierpool_cache *cache, void *object)
{
	if (!tp_cpucache_push_aged(&cache->doors, stack_at, object))
		put_slow(cache, object);
}

tp_fastpath void tierpool_cache_put(tierpool_cache *cache, void *object)
{
	if (tp_unlikely(!object))
		return;
	if (tp_unlikely(!fast.rseq ||
			!tp_cpucache_push_aged_fast(&fast, base_of(cache), stack_at, object)))
		put_in_any_mode(cache, object);
}

/* ---- from create to destroy ---- */

static tierpool_cache *cache_of(struct tp_registered *entry)
{
	return (tierpool_cache *)entry;
}

static void cache_free(struct tp_registered *entry)
{
	tierpool_cache *cache = cache_of(entry);

	chunks_empty(cache);
	/* Nobody is left who would have to be stopped. */
	for (unsigned cpu = 0; cpu < cache->doors.count; cpu++) {
		struct tp_door *door = &cache->doors.door[cpu];
		void *object[TP_AGES_SLOTS];

		for (unsigned n = door->home ? stack_empty(door, object) : 0; n; n--)
			object_destroy(cache, object[n - 1]);
		free(door->block);
	}
	tp_chunks_fini(&cache->chunks);
	free(cache);
}

static uint64_t cache_due(struct tp_registered *entry)
{
	tierpool_cache *cache = cache_of(entry);
	bool idle = false;

	tp_decay_unwatch(&cache->decay);
	/* Room as well: what comes to it comes by a fast put, of which nobody is told. */
	for (unsigned cpu = 0; cpu < cache->doors.count; cpu++)
		idle |= tp_word_held(tp_cpucache_word(&cache->doors, cpu, stack_at)) != 0;
	for (enum tp_generation generation = TP_YOUNG; generation < TP_GENERATIONS; generation++)
		idle |= tp_chunks_have(&cache->chunks, generation);
	if (!idle)
		return TP_DUE_EMPTY;
	tp_decay_watch(&cache->decay);
	return tp_load_relaxed(&cache->decay.due);
}

static size_t cache_tick(struct tp_registered *entry)
{
	return tick(cache_of(entry));
}

static size_t cache_empty(struct tp_registered *entry)
{
	return empty(cache_of(entry));
}

static void cache_lock(struct tp_registered *entry)
{
	tp_doors_lock(&cache_of(entry)->doors);
	pthread_mutex_lock(&cache_of(entry)->chunks.lock);
}

static void cache_unlock(struct tp_registered *entry)
{
	pthread_mutex_unlock(&cache_of(entry)->chunks.lock);
	tp_doors_unlock(&cache_of(entry)->doors);
}

/* What other threads' slow calls had in hand is lost with them. */
static void cache_forked(struct tp_registered *entry)
{
	(void)entry;
}

static const struct tp_kind cache_kind = {.dead = cache_free,
	.due = cache_due,
	.tick = cache_tick,
	.empty = cache_empty,
	.lock = cache_lock,
	.unlock = cache_unlock,
	.forked = cache_forked};

static tierpool_cache *cache_make(const struct tierpool_cache_options *chosen)
{
	unsigned cpus = tp_percpu_count();
	size_t bytes = tp_round_up(sizeof(tierpool_cache) + tp_doors_bytes(cpus), TP_LINE);
	tierpool_cache *cache = aligned_alloc(TP_LINE, bytes);

	if (!cache)
		return NULL;
	memset(cache, 0, bytes);
	if (tp_doors_init(&cache->doors, cache->cpus, cpus)) {
		free(cache);
		return NULL;
	}
	cache->registered.name = "cache";
	cache->registered.kind = &cache_kind;
	cache->call = *chosen;
	tp_chunks_init(&cache->chunks);
	tp_decay_init(&cache->decay, &cache->doors, &stack_at, 1,
		chosen->decay_ms ? chosen->decay_ms : DEFAULT_DECAY_MS);
	return cache;
}

int tierpool_cache_create(tierpool_cache **out, const struct tierpool_cache_options *options)
{
	static pthread_once_t settled = PTHREAD_ONCE_INIT;
	struct tierpool_cache_options chosen = {0};
	int error;

	if (!out)
		return -EINVAL;
	*out = NULL;
	error = options ? tp_copy_sized(&chosen, sizeof chosen, options) : 0;
	if (error)
		return error;
	pthread_once(&settled, fast_settle);
	*out = cache_make(&chosen);
	if (!*out)
		return -ENOMEM;
	tp_forks_start();
	tp_registry_add(&(*out)->registered);
	return 0;
}

size_t tierpool_cache_tick(tierpool_cache *cache)
{
	size_t destroyed = 0;

	if (cache && tp_registry_hold(cache)) {
		destroyed = tick(cache);
		tp_registry_drop(&cache->registered);
	}
	return destroyed;
}

void tierpool_cache_destroy(tierpool_cache *cache)
{
	if (cache)
		tp_registry_end(&cache->registered);
}
