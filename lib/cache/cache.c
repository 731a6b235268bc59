/* SPDX-License-Identifier: MIT */
/*
 * The object cache: get and put, and a cache's way from its creation to its end. What lies idle is
 * objects.h's.
 */
#include <tierpool/cache.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/colour.h"
#include "base/options.h"
#include "cache/store.h"
#include "process/fork.h"
#include "process/registry.h"

struct tierpool_cache {
	struct tp_registered registered; /* first: found as one of these */
	void *(*create)(void *context);
	void *context;
	struct tp_objects idle;
	/* The memory of idle.doors, which begins with the slab pointers. */
	char cpus[] __attribute__((aligned(TP_LINE)));
};

static struct tp_fast fast;

static void fast_settle(void)
{
	tp_percpu_start();
	fast = (struct tp_fast){tp_percpu_rseq, tp_percpu_count()};
}

/* ---- get and put ---- */

/* What the sequences are given: they find the slab pointers behind it. */
static inline const void *base_of(const tierpool_cache *cache)
{
	return (const void *)((uintptr_t)cache->cpus - TP_SLABS_AT);
}

/* What each slow call does beside its own work. */
static void attend(tierpool_cache *cache)
{
	tp_objects_some(&cache->idle);
	tp_decay_hurry(&cache->idle.decay);
}

static tp_cold void *get_slow(tierpool_cache *cache)
{
	void *object;

	attend(cache);
	object = tp_objects_take(&cache->idle);
	if (!object && cache->create)
		object = cache->create(cache->context);
	return object;
}

/* As a pool's (borrow.c). */
static tp_cold void *get_struck(tierpool_cache *cache, void *object)
{
	unsigned mean = tp_decay_gap(&cache->idle.decay, tp_objects_some(&cache->idle));

	tp_cpucache_arm(&cache->idle.doors, TP_OBJECTS_AT, mean);
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
	object = tp_cpucache_pop(&cache->idle.doors, TP_OBJECTS_AT, &after);
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
	object = tp_cpucache_pop_fast(&fast, base_of(cache), TP_OBJECTS_AT, &odd);
	return tp_unlikely(odd) ? get_odd(cache, object) : object;
}

static tp_cold void put_slow(tierpool_cache *cache, void *object)
{
	/* Before the object is kept, which owes nothing of what fell due earlier. */
	attend(cache);
	tp_objects_keep(&cache->idle, object);
	tp_decay_kept(&cache->idle.decay);
}

static tp_outline void put_in_any_mode(tierpool_cache *cache, void *object)
{
	if (!tp_cpucache_push_aged(&cache->idle.doors, TP_OBJECTS_AT, object))
		put_slow(cache, object);
}

tp_fastpath void tierpool_cache_put(tierpool_cache *cache, void *object)
{
	if (tp_unlikely(!object))
		return;
	if (tp_unlikely(!fast.rseq ||
			!tp_cpucache_push_aged_fast(&fast, base_of(cache), TP_OBJECTS_AT, object)))
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

	tp_objects_fini(&cache->idle);
	free(cache);
}

static uint64_t cache_due(struct tp_registered *entry)
{
	struct tp_objects *idle = &cache_of(entry)->idle;

	tp_decay_unwatch(&idle->decay);
	return tp_decay_due(&idle->decay, tp_objects_have(idle));
}

static size_t cache_tick(struct tp_registered *entry)
{
	struct tp_objects *idle = &cache_of(entry)->idle;

	return tp_decay_claim(&idle->decay) ? tp_objects_tick(idle, false) : 0;
}

static size_t cache_empty(struct tp_registered *entry)
{
	return tp_objects_empty(&cache_of(entry)->idle);
}

/*
 * What other threads' slow calls had in hand is lost with them. So are the references of those that
 * were ticking, without whose end the cache would stay for ever; but one that has none left is
 * about to go.
 */
static void cache_recount(struct tp_registered *entry)
{
	if (entry->references)
		entry->references = 1;
	cache_of(entry)->idle.destroying = 0;
	tp_decay_forked(&cache_of(entry)->idle.decay);
}

static void cache_fork(struct tp_registered *entry, enum tp_fork phase)
{
	struct tp_objects *idle = &cache_of(entry)->idle;

	if (phase == TP_FORK_PREPARE) {
		tp_doors_lock(&idle->doors);
		pthread_mutex_lock(&idle->chunks.lock);
	} else if (phase != TP_FORK_CHILD_FIRST) {
		if (phase == TP_FORK_CHILD)
			cache_recount(entry);
		pthread_mutex_unlock(&idle->chunks.lock);
		tp_doors_unlock(&idle->doors);
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
	unsigned cpus = tp_percpu_count();
	size_t bytes = tp_round_up(sizeof(tierpool_cache) + tp_objects_cpu_bytes(cpus), TP_LINE);
	tierpool_cache *cache = aligned_alloc(TP_LINE, bytes);

	if (!cache)
		return NULL;
	memset(cache, 0, bytes);
	if (tp_objects_init(&cache->idle, cache->cpus, tp_colour((uintptr_t)&fast),
		    chosen->decay_ms ? chosen->decay_ms : TP_DECAY_MS, chosen->destroy,
		    chosen->context)) {
		free(cache);
		return NULL;
	}
	cache->registered.name = "cache";
	cache->registered.kind = &cache_kind;
	cache->create = chosen->create;
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
	pthread_once(&settled, fast_settle);
	*out = cache_make(&chosen);
	if (!*out)
		return -ENOMEM;
	tp_fork_start();
	tp_registry_add(&(*out)->registered);
	return 0;
}

size_t tierpool_cache_tick(tierpool_cache *cache)
{
	size_t destroyed = 0;

	if (cache && tp_registry_hold(cache)) {
		destroyed = tp_objects_tick(&cache->idle, true);
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
