/* SPDX-License-Identifier: MIT */
/*
 * The object cache: sync.Pool's semantics for any pointers, on the engine of idle/. It is a pool of
 * one tier without a bound, whose ages stand beside the slots, since an object has no header.
 *
 * Room in a stack costs nothing here. It is still doubled on demand and halved by ticks. So an
 * empty cache has none, and its first put is a slow call, which wakes the reaper.
 */
#include <tierpool/cache.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/colour.h"
#include "base/options.h"
#include "idle/countdown.h"
#include "idle/idle.h"
#include "process/registry.h"

struct tierpool_cache {
	struct tp_registered registered; /* first: found as one of these */
	void *(*create)(void *context);
	void (*destroy)(void *context, void *object); /* NULL: nothing has to be done */
	void *context;
	uint32_t stack_offset; /* of the stack in each slab */
	struct tp_tiers idle;
	/* Of idle.cpus, and behind that of idle.decay. */
	char cpu_memory[] __attribute__((aligned(TP_LINE)));
};

/* The only tier. */
#define OBJECTS 0

static struct tp_fast cache_fast;

static void cache_fast_settle(void)
{
	tp_cpu_init();
	cache_fast = (struct tp_fast){tp_cpu_rseq, tp_cpu_count()};
}

/* ---- get and put ---- */

/* The base for the sequences, which look for the slab pointers TP_VISIBLE_OFFSET behind it. */
static inline const void *cache_base(const tierpool_cache *cache)
{
	return (const void *)((uintptr_t)cache->cpu_memory - TP_VISIBLE_OFFSET);
}

static void cache_maintain(tierpool_cache *cache)
{
	if (!tp_idle_is_due(&cache->idle))
		return;
	tp_idle_maintain(&cache->idle);
	/* The reaper may have looked while objects were in our hands, and seen none. */
	if (tp_tiers_have(&cache->idle))
		tp_decay_kept(&cache->idle.decay);
}

static tp_cold void *cache_get_slow(tierpool_cache *cache)
{
	void *object;

	cache_maintain(cache);
	object = tp_idle_take(&cache->idle, OBJECTS);
	if (object)
		tp_decay_kept(&cache->idle.decay); /* as in cache_maintain */
	else if (cache->create)
		object = cache->create(cache->context);
	return object;
}

/* The countdown has expired: does a piece of what is due, and arms the countdown again. */
static tp_cold void *cache_get_expired(tierpool_cache *cache, void *object)
{
	cache_maintain(cache);
	tp_idle_arm(&cache->idle, OBJECTS, tp_idle_is_due(&cache->idle));
	return object;
}

/* The same pop, in locked mode too, and with more tries after an abort. */
static tp_outline void *cache_get_any_mode(tierpool_cache *cache)
{
	bool expired;
	void *object;

	if (tp_unlikely(!cache)) {
		errno = EINVAL;
		return NULL;
	}
	object = tp_stack_pop(&cache->idle.cpus, cache->idle.stack_index[OBJECTS], &expired);
	if (tp_unlikely(!object))
		return cache_get_slow(cache);
	return tp_unlikely(expired) ? cache_get_expired(cache, object) : object;
}

static tp_cold void *cache_get_expired_or_none(tierpool_cache *cache, void *object)
{
	return object ? cache_get_expired(cache, object) : cache_get_any_mode(cache);
}

tp_fastpath void *tierpool_cache_get(tierpool_cache *cache)
{
	bool slow;
	void *object;

	if (tp_unlikely(!cache || !cache_fast.rseq))
		return cache_get_any_mode(cache);
	object = tp_stack_pop_fast(&cache_fast, cache_base(cache), cache->stack_offset, &slow);
	return tp_unlikely(slow) ? cache_get_expired_or_none(cache, object) : object;
}

static tp_cold void cache_put_slow(tierpool_cache *cache, void *object)
{
	/* First: the object must not be aged for a tick that was due before. */
	cache_maintain(cache);
	if (!tp_idle_keep_in_stack(&cache->idle, OBJECTS, object))
		tp_tiers_depot_push(&cache->idle, OBJECTS, TP_YOUNG, &object, 1);
	tp_decay_kept(&cache->idle.decay);
}

static tp_outline void cache_put_any_mode(tierpool_cache *cache, void *object)
{
	if (!tp_stack_push_aged(&cache->idle.cpus, cache->idle.stack_index[OBJECTS], object))
		cache_put_slow(cache, object);
}

tp_fastpath void tierpool_cache_put(tierpool_cache *cache, void *object)
{
	if (tp_unlikely(!object))
		return;
	if (tp_unlikely(!cache_fast.rseq || !tp_stack_push_aged_fast(&cache_fast, cache_base(cache),
						    &cache->stack_offset, object)))
		cache_put_any_mode(cache, object);
}

/* ---- from create to destroy ---- */

static tierpool_cache *cache_of(struct tp_registered *entry)
{
	return (tierpool_cache *)entry;
}

/* The tp_release of a cache: destroys objects. */
static void cache_release(
	struct tp_tiers *tiers, void *const *items, unsigned count, enum tp_drop why)
{
	tierpool_cache *cache =
		(tierpool_cache *)(void *)((char *)tiers - offsetof(tierpool_cache, idle));

	(void)why;
	for (unsigned i = 0; i < count && cache->destroy; i++)
		cache->destroy(cache->context, items[i]);
}

static void cache_free(struct tp_registered *entry)
{
	tierpool_cache *cache = cache_of(entry);

	tp_idle_drain(&cache->idle);
	tp_tiers_fini(&cache->idle);
	free(cache);
}

static uint64_t cache_due(struct tp_registered *entry)
{
	struct tp_tiers *idle = &cache_of(entry)->idle;

	tp_decay_unwatch(&idle->decay);
	return tp_decay_watch(
		&idle->decay, tp_tiers_have(idle) || tp_load_relaxed(&idle->slabs_spent));
}

static size_t cache_tick(struct tp_registered *entry)
{
	struct tp_tiers *idle = &cache_of(entry)->idle;

	return tp_decay_claim(&idle->decay, idle->decay.ms) ? tp_idle_tick(idle).count : 0;
}

static size_t cache_empty(struct tp_registered *entry)
{
	struct tp_tiers *idle = &cache_of(entry)->idle;
	/* Not more than lie there now, since the callback destroy may put others back. */
	size_t have = tp_tiers_count(idle, OBJECTS), sum = 0, count;
	bool all;

	while (sum < have && (count = tp_idle_trim(idle, SIZE_MAX, &all).count))
		sum += count;
	return sum;
}

/*
 * What slow calls of the parent's other threads had in their hands is lost. Those threads also drop
 * no reference any more, so only the handle's is left; a cache that had none was about to be freed.
 */
static void cache_fork(struct tp_registered *entry, enum tp_fork phase)
{
	struct tp_tiers *idle = &cache_of(entry)->idle;

	if (phase == TP_FORK_PREPARE) {
		tp_tiers_lock(idle);
	} else if (phase != TP_FORK_CHILD_FIRST) {
		if (phase == TP_FORK_CHILD) {
			if (entry->references)
				entry->references = 1;
			tp_decay_forked(&idle->decay);
		}
		tp_tiers_unlock(idle);
	}
}

static const struct tp_kind cache_kind = {.id = TP_KIND_CACHE,
	.dead = cache_free,
	.due = cache_due,
	.tick = cache_tick,
	.empty = cache_empty,
	.fork = cache_fork};

static tierpool_cache *cache_make(const struct tierpool_cache_options *chosen)
{
	unsigned cpus = tp_cpu_count();
	size_t bytes = tp_round_up(sizeof(tierpool_cache) + tp_decay_cpu_bytes(cpus), TP_LINE);
	tierpool_cache *cache = aligned_alloc(TP_LINE, bytes);

	if (!cache)
		return NULL;
	memset(cache, 0, bytes);
	if (tp_tiers_init(&cache->idle, cache->cpu_memory,
		    &(struct tp_tiers_options){.backing = &tp_backing_libc,
			    .retain = SIZE_MAX,
			    .max_idle = SIZE_MAX,
			    .decay_ms = chosen->decay_ms ? chosen->decay_ms : TP_DECAY_MS,
			    .release = cache_release,
			    .hot = tp_colour((uintptr_t)&cache_fast) | tp_cpu_rseq_colour()})) {
		free(cache);
		return NULL;
	}
	cache->stack_offset = cache->idle.stack_index[OBJECTS] * (uint32_t)sizeof(uint64_t);
	cache->registered.name = "cache";
	cache->registered.kind = &cache_kind;
	cache->create = chosen->create;
	cache->destroy = chosen->destroy;
	cache->context = chosen->context;
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
	error = options ? tp_options_copy(&chosen, sizeof chosen, options) : 0;
	if (error)
		return error;
	pthread_once(&settled, cache_fast_settle);
	*out = cache_make(&chosen);
	if (!*out)
		return -ENOMEM;
	tp_registry_add(&(*out)->registered);
	return 0;
}

size_t tierpool_cache_tick(tierpool_cache *cache)
{
	size_t destroyed = 0;

	if (cache && tp_registry_hold(cache)) {
		destroyed = tp_idle_tick(&cache->idle).count;
		tp_registry_drop(&cache->registered);
	}
	return destroyed;
}

void tierpool_cache_destroy(tierpool_cache *cache)
{
	if (!cache)
		return;
	tp_registry_close(&cache->registered);
	tp_registry_drop(&cache->registered);
}
