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

/*
 * What slow calls count, on each CPU apart; fast ones count in the words (percpu/stack.h).
 *
 *     gets == pops + taken + created       puts == pushes + slow puts
 *     puts + created == gets + destroyed + idle, while no call runs
 */
enum cache_count {
	CACHE_TAKEN, /* and the next, by enum tp_found */
	CACHE_CREATED = CACHE_TAKEN + TP_FOUND_LARGER,
	CACHE_SLOW_PUTS,
	CACHE_DESTROYED,
	CACHE_COUNTS,
};

struct cache_counters {
	uint64_t n[CACHE_COUNTS]; /* added to on this CPU; read by anyone */
} __attribute__((aligned(TP_LINE)));

struct tierpool_cache {
	struct tp_registered registered; /* first: found as one of these */
	void *(*create)(void *context);
	void (*destroy)(void *context, void *object); /* NULL: nothing has to be done */
	void *context;
	uint32_t stack_offset; /* of the stack in each slab */
	struct tp_tiers idle;
	struct cache_counters *counters; /* idle.cpus.count of them */
	size_t bytes;                    /* of this struct and what lies behind it */
	/* The highest sums of words reported; the next report is not below. */
	uint64_t reported_pops, reported_puts;
	uint64_t uncounted; /* pops, and pushes, that the words lost in a fork; set by the child */
	/* Of idle.cpus, and behind that of idle.decay; the counters, and the name. */
	char cpu_memory[] __attribute__((aligned(TP_LINE)));
};

#define DEFAULT_NAME "cache"

/* The only tier. */
#define OBJECTS 0

static struct tp_fast cache_fast;

static void cache_fast_settle(void)
{
	tp_cpu_init();
	cache_fast = (struct tp_fast){tp_cpu_rseq, tp_cpu_count()};
}

/* ---- counting ---- */

/* Relaxed: a counter orders nothing. */
static void cache_count(tierpool_cache *cache, unsigned count, uint64_t n)
{
	unsigned cpu_id = tp_cpu_current(cache->idle.cpus.count);

	tp_add_relaxed(&cache->counters[cpu_id].n[count], n);
}

static uint64_t cache_counted(const tierpool_cache *cache, unsigned count)
{
	uint64_t sum = 0;

	for (unsigned cpu_id = 0; cpu_id < cache->idle.cpus.count; cpu_id++)
		sum += tp_load_relaxed(&cache->counters[cpu_id].n[count]);
	return sum;
}

/* What the words have counted; pops, or pushes, may be below 0 for a moment. */
static struct tp_stack_counts cache_words_counted(const tierpool_cache *cache)
{
	struct tp_stack_counts counts = tp_stack_count(&cache->idle.cpus, OBJECTS);

	counts.pops += (int64_t)cache->uncounted;
	counts.pushes += (int64_t)cache->uncounted;
	return counts;
}

/* Reports a sum whose parts may have moved while it was taken: never less than before. */
static uint64_t cache_report(uint64_t *highest, int64_t sum)
{
	return tp_raise_relaxed(highest, sum > 0 ? (uint64_t)sum : 0);
}

static void cache_stats(tierpool_cache *cache, struct tierpool_cache_stats *s)
{
	struct tp_stack_counts words = cache_words_counted(cache);
	int64_t slow_puts = (int64_t)cache_counted(cache, CACHE_SLOW_PUTS);

	s->hits_cpu = cache_report(&cache->reported_pops, words.pops);
	s->hits_depot = cache_counted(cache, CACHE_TAKEN + TP_FOUND_IN_DEPOT);
	s->hits_other_cpu = cache_counted(cache, CACHE_TAKEN + TP_FOUND_ON_OTHER_CPU);
	s->creates = cache_counted(cache, CACHE_CREATED);
	s->gets = s->hits_cpu + s->hits_depot + s->hits_other_cpu + s->creates;
	s->puts = cache_report(&cache->reported_puts, words.pushes + slow_puts);
	s->destroys = cache_counted(cache, CACHE_DESTROYED);
	s->idle = tp_tiers_count(&cache->idle, OBJECTS);
	s->ticks = tp_load_relaxed(&cache->idle.decay.ticks);
	s->overhead_bytes = cache->bytes + tp_tiers_table_bytes(&cache->idle) +
			    tp_tiers_page_bytes(&cache->idle);
	s->percpu = tp_cpu_mode();
}

int tierpool_cache_stats_read(tierpool_cache *cache, struct tierpool_cache_stats *out)
{
	struct tierpool_cache_stats s = {0};

	if (!cache || !out || out->size < sizeof out->size || out->size > sizeof s)
		return -EINVAL;
	if (!tp_registry_hold(cache, TP_KIND_CACHE))
		return -ENOENT;
	s.size = out->size;
	cache_stats(cache, &s);
	tp_registry_let_go(&cache->registered);
	memcpy(out, &s, s.size);
	return 0;
}

/*
 * In the child of a fork. What other threads had taken for a get, or for a refill, counts as taken;
 * what they had put back and not counted, as put. If a word was changed and that was not counted yet,
 * pops and pushes are both behind what was reported.
 */
static void cache_count_lost(tierpool_cache *cache)
{
	uint64_t *n = cache->counters[0].n;
	struct tp_stack_counts words = cache_words_counted(cache);
	int64_t puts = words.pushes + (int64_t)cache_counted(cache, CACHE_SLOW_PUTS);
	int64_t lost = puts - words.pops -
		       (int64_t)(cache_counted(cache, CACHE_TAKEN + TP_FOUND_IN_DEPOT) +
				 cache_counted(cache, CACHE_TAKEN + TP_FOUND_ON_OTHER_CPU) +
				 cache_counted(cache, CACHE_DESTROYED) +
				 tp_tiers_count(&cache->idle, OBJECTS));
	int64_t behind = (int64_t)cache->reported_pops - words.pops;

	if (lost < 0) {
		n[CACHE_SLOW_PUTS] += (uint64_t)-lost;
		puts -= lost;
	} else {
		n[CACHE_TAKEN] += (uint64_t)lost;
	}
	if (behind < (int64_t)cache->reported_puts - puts)
		behind = (int64_t)cache->reported_puts - puts;
	if (behind > 0)
		cache->uncounted += (uint64_t)behind;
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
	enum tp_found found;
	void *object;

	cache_maintain(cache);
	object = tp_idle_take(&cache->idle, OBJECTS, &found);
	if (object) {
		cache_count(cache, CACHE_TAKEN + found, 1);
		tp_decay_kept(&cache->idle.decay); /* as in cache_maintain */
	} else if (cache->create) {
		object = cache->create(cache->context);
		if (object)
			cache_count(cache, CACHE_CREATED, 1);
	}
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
	cache_count(cache, CACHE_SLOW_PUTS, 1);
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
	cache_count(cache, CACHE_DESTROYED, count);
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
				tp_registry_recount(entry, 1);
			tp_decay_forked(&idle->decay);
			cache_count_lost(cache_of(entry));
		}
		tp_tiers_unlock(idle);
	}
}

static void cache_describe(struct tp_registered *entry, uint64_t figure[TP_FIGURES])
{
	struct tierpool_cache_stats s;

	cache_stats(cache_of(entry), &s);
	figure[TP_FIGURE_GETS] = s.gets;
	figure[TP_FIGURE_PUTS] = s.puts;
	figure[TP_FIGURE_CREATES] = s.creates;
	figure[TP_FIGURE_DESTROYS] = s.destroys;
	figure[TP_FIGURE_IDLE] = s.idle;
}

static const struct tp_kind cache_kind = {.id = TP_KIND_CACHE,
	.dead = cache_free,
	.describe = cache_describe,
	.due = cache_due,
	.tick = cache_tick,
	.empty = cache_empty,
	.fork = cache_fork};

static tierpool_cache *cache_make(const struct tierpool_cache_options *chosen)
{
	unsigned cpus = tp_cpu_count();
	size_t length = strlen(chosen->name) + 1;
	size_t counters = tp_decay_cpu_bytes(cpus);
	size_t name = counters + cpus * sizeof(struct cache_counters);
	size_t bytes = tp_round_up(sizeof(tierpool_cache) + name + length, TP_LINE);
	tierpool_cache *cache = aligned_alloc(TP_LINE, bytes);

	if (!cache)
		return NULL;
	memset(cache, 0, bytes);
	cache->bytes = bytes;
	cache->counters = (struct cache_counters *)(void *)(cache->cpu_memory + counters);
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
	cache->registered.name = memcpy(cache->cpu_memory + name, chosen->name, length);
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
	if (!error)
		error = tp_atfork_start();
	if (error)
		return error;
	if (!chosen.name)
		chosen.name = DEFAULT_NAME;
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

	if (cache && tp_registry_hold(cache, TP_KIND_CACHE)) {
		destroyed = tp_idle_tick(&cache->idle).count;
		tp_registry_let_go(&cache->registered);
	}
	return destroyed;
}

void tierpool_cache_destroy(tierpool_cache *cache)
{
	if (!cache || !tp_registry_hold(cache, TP_KIND_CACHE))
		return;
	/* Of two calls only the first destroys. */
	if (tp_registry_close(&cache->registered))
		tp_registry_drop(&cache->registered); /* the handle's */
	tp_registry_let_go(&cache->registered);
}
