/* SPDX-License-Identifier: MIT */
/*
 * The object cache: get and put, creation and destruction. What lies idle is store.h's.
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
#include "process/registry.h"

struct tierpool_cache {
	struct tp_registered registered; /* first: found as one of these */
	void *(*create)(void *context);
	void *context;
	struct tp_object_store idle;
	/* Of idle.cpus and idle.decay; the slab pointers come first. */
	char cpu_memory[] __attribute__((aligned(TP_LINE)));
};

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

/* The decay's part of each slow call. */
static void cache_maintain(tierpool_cache *cache)
{
	tp_object_store_some(&cache->idle);
	tp_decay_shorten(&cache->idle.decay);
}

static tp_cold void *cache_get_slow(tierpool_cache *cache)
{
	void *object;

	cache_maintain(cache);
	object = tp_object_store_take(&cache->idle);
	if (!object && cache->create)
		object = cache->create(cache->context);
	return object;
}

/* The countdown has expired: does a piece of what is due, and arms the countdown again. */
static tp_cold void *cache_get_expired(tierpool_cache *cache, void *object)
{
	unsigned mean = tp_decay_gap(&cache->idle.decay, tp_object_store_some(&cache->idle));

	tp_stack_arm(&cache->idle.cpus, TP_STORE_STACK, mean);
	return object;
}

/* The same pop, in locked mode too, and with more tries after an abort. */
static tp_outline void *cache_get_any_mode(tierpool_cache *cache)
{
	uint64_t after;
	void *object;

	if (tp_unlikely(!cache)) {
		errno = EINVAL;
		return NULL;
	}
	object = tp_stack_pop(&cache->idle.cpus, TP_STORE_STACK, &after);
	if (tp_unlikely(!object))
		return cache_get_slow(cache);
	return tp_unlikely((int64_t)after < 0) ? cache_get_expired(cache, object) : object;
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
	object = tp_stack_pop_fast(&cache_fast, cache_base(cache), TP_STORE_STACK, &slow);
	return tp_unlikely(slow) ? cache_get_expired_or_none(cache, object) : object;
}

static tp_cold void cache_put_slow(tierpool_cache *cache, void *object)
{
	/* First: the object must not be aged for a tick that was due before. */
	cache_maintain(cache);
	tp_object_store_keep(&cache->idle, object);
	tp_decay_kept(&cache->idle.decay);
}

static tp_outline void cache_put_any_mode(tierpool_cache *cache, void *object)
{
	if (!tp_stack_push_aged(&cache->idle.cpus, TP_STORE_STACK, object))
		cache_put_slow(cache, object);
}

tp_fastpath void tierpool_cache_put(tierpool_cache *cache, void *object)
{
	if (tp_unlikely(!object))
		return;
	if (tp_unlikely(!cache_fast.rseq || !tp_stack_push_aged_fast(&cache_fast, cache_base(cache),
						    TP_STORE_STACK, object)))
		cache_put_any_mode(cache, object);
}

/* ---- from create to destroy ---- */

static tierpool_cache *cache_of(struct tp_registered *entry)
{
	return (tierpool_cache *)entry;
}

static void cache_free(struct tp_registered *entry)
{
	tierpool_cache *cache = cache_of(entry);

	tp_object_store_fini(&cache->idle);
	free(cache);
}

static uint64_t cache_due(struct tp_registered *entry)
{
	struct tp_object_store *idle = &cache_of(entry)->idle;

	tp_decay_unwatch(&idle->decay);
	return tp_decay_due(&idle->decay, tp_object_store_have(idle));
}

static size_t cache_tick(struct tp_registered *entry)
{
	struct tp_object_store *idle = &cache_of(entry)->idle;

	return tp_decay_claim(&idle->decay) ? tp_object_store_tick(idle, false) : 0;
}

static size_t cache_empty(struct tp_registered *entry)
{
	return tp_object_store_empty(&cache_of(entry)->idle);
}

/*
 * What slow calls of the parent's other threads had in their hands is lost. Those threads also drop
 * no reference any more, so only the handle's is left; a cache that had none was about to be freed.
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
	struct tp_object_store *idle = &cache_of(entry)->idle;

	if (phase == TP_FORK_PREPARE) {
		tp_cpus_lock(&idle->cpus);
		pthread_mutex_lock(&idle->chunks.lock);
	} else if (phase != TP_FORK_CHILD_FIRST) {
		if (phase == TP_FORK_CHILD)
			cache_recount(entry);
		pthread_mutex_unlock(&idle->chunks.lock);
		tp_cpus_unlock(&idle->cpus);
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
	if (tp_object_store_init(&cache->idle, cache->cpu_memory, tp_colour((uintptr_t)&cache_fast),
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
		destroyed = tp_object_store_tick(&cache->idle, true);
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
