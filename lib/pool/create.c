/* SPDX-License-Identifier: MIT */
/*
 * From tierpool_create to the end of a pool: its options, its destruction.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "base/atomic.h"
#include "base/options.h"
#include "idle/idle.h"
#include "memory/pages.h"
#include "pool/advise.h"
#include "pool/fastpath.h"
#include "pool/pool.h"
#include "pool/shared_budget.h"
#include "pool/trace.h"
#include "profile/control.h"

#define DEFAULT_NAME "tierpool"
#define DEFAULT_MIN_SIZE ((size_t)64)
#define DEFAULT_MAX_SIZE ((size_t)16 << 20)
#define DEFAULT_RETAIN ((size_t)64 << 20)
#define DEFAULT_SIZE ((size_t)1 << 10) /* of a get without a size, until its site has learned */

/* The id that no pool has. */
#define NO_ID UINT32_MAX

static void pool_free(struct tp_registered *entry)
{
	tierpool *pool = tp_pool_of(entry);
	struct tp_backing backing = pool->backing;

	if (!pool->blocks.class)
		tp_sub_relaxed(&tp_pools_without_runs, 1u);
	tp_pool_advise_end(pool);
	tp_tiers_fini(&pool->tiers);
	tp_blocks_fini(&pool->blocks);
	tp_bufheads_fini(&pool->heads);
	tp_sites_fini(&pool->sites);
	tp_shared_budget_leave(pool->budget);
	tp_backing_free(&backing, pool, pool->bytes);
}

static int pool_sizes_choose(struct tp_sizeclass *sizes, const struct tierpool_options *options)
{
	size_t min = options->min_size, max = options->max_size;

	if (options->tiers || options->tier_count) {
		if (!options->tiers || min || max || options->steps)
			return -EINVAL;
		return tp_sizeclass_list(sizes, options->tiers, options->tier_count);
	}
	/* If only one is given it may lie beyond the other's default, which then follows it. */
	if (!min)
		min = max ? tp_min(max, DEFAULT_MIN_SIZE) : DEFAULT_MIN_SIZE;
	if (!max)
		max = tp_max(min, DEFAULT_MAX_SIZE);
	return tp_sizeclass_steps(sizes, min, max, options->steps ? options->steps : 1);
}

/* Whether the run of one buffer of the largest tier could overflow. */
static bool pool_sizes_overflow(const struct tp_sizeclass *sizes)
{
	return sizes->size[sizes->count - 1] > PTRDIFF_MAX / 2;
}

/* Checks the options and fills in the defaults. Returns: as tierpool_create. */
static int pool_options_read(const struct tierpool_options *options,
	struct tierpool_options *chosen, struct tp_sizeclass *sizes, struct tp_backing *backing)
{
	int error = options ? tp_options_copy(chosen, sizeof *chosen, options) : 0;

	if (!error)
		error = pool_sizes_choose(sizes, chosen);
	if (!error && pool_sizes_overflow(sizes))
		error = -EINVAL;
	if (error)
		return error;
	if (!chosen->name)
		chosen->name = DEFAULT_NAME;
	if (!chosen->retain)
		chosen->retain = DEFAULT_RETAIN;
	if (!chosen->max_idle)
		chosen->max_idle = SIZE_MAX;
	if (!chosen->decay_ms)
		chosen->decay_ms = TP_DECAY_MS;
	if (!chosen->calibrate_every)
		chosen->calibrate_every = TP_CALIBRATE_EVERY;
	if (!chosen->alignment)
		chosen->alignment = TP_LINE;
	if (chosen->alignment & (chosen->alignment - 1) || chosen->alignment > tp_pages_size)
		return -EINVAL;
	chosen->alignment = tp_max(chosen->alignment, TP_LINE);
	return tp_backing_init(backing, chosen->backing);
}

static const struct tp_kind pool_kind = {.id = TP_KIND_POOL,
	.dead = pool_free,
	.due = tp_pool_due,
	.tick = tp_pool_tick_entry,
	.empty = tp_pool_empty,
	.expire = tp_pool_expire,
	.fork = tp_pool_fork};

/* By which a get finds the stack of a size without a search. */
static void pool_quick_fill(tierpool *pool)
{
	for (unsigned index = 0; index < TP_SIZE_INDICES; index++) {
		/* n 0, if the compiler did not know: a get for which get_seldom finds the tier. */
		unsigned tier = index == tp_size_index(0) ? TP_TIER_NONE : pool->sizes.first[index];

		pool->quick_size[index] = tier == TP_TIER_NONE ? SIZE_MAX : pool->sizes.size[tier];
		pool->quick_offset[index] = tp_tiers_stack_offset(&pool->tiers, tier);
	}
}

/* From 1 to NO_ID - 1, each once, beginning anywhere (site.h); then 0. */
static uint32_t pool_id_next(void)
{
	static uint64_t ids; /* relaxed: an id only has to be unique */
	uint64_t nth = tp_add_relaxed(&ids, 1u);
	uint32_t begin = (uint32_t)(((uintptr_t)&ids >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32);

	return nth < NO_ID - 1 ? (uint32_t)((begin + nth) % (NO_ID - 1)) + 1 : 0;
}

/* The parts that need memory of their own. Returns: 0 or -ENOMEM, and then nothing is left of them. */
static int pool_parts_init(tierpool *pool, const struct tierpool_options *chosen)
{
	bool learns = chosen->calibrate_every != TIERPOOL_CALIBRATE_OFF;
	struct tp_sites_options sites = {.backing = &pool->backing, .pool_id = pool_id_next()};
	unsigned large = tp_sizeclass_of(&pool->sizes, TP_LARGE);

	if (tp_tiers_init(&pool->tiers, pool->cpu_memory,
		    &(struct tp_tiers_options){.backing = &pool->backing,
			    .blocks = &pool->blocks,
			    .retain = chosen->retain,
			    .max_idle = chosen->max_idle,
			    .shared = chosen->budget ? &chosen->budget->budget : NULL,
			    .decay_ms = chosen->decay_ms,
			    .sampled = learns,
			    .release = tp_pool_release,
			    .own_bytes = tp_counts_bytes(pool->sizes.count),
			    .hot = tp_pool_colours(pool)}))
		return -ENOMEM;
	tp_classes_init(&sites.classes, &pool->sizes, chosen->calibrate_every);
	sites.tier = tp_sizeclass_of(
		&pool->sizes, tp_min(DEFAULT_SIZE, pool->sizes.size[pool->sizes.count - 1]));
	sites.stack_offset =
		tp_tiers_stack_offset(&pool->tiers, learns ? TP_TIER_NONE : sites.tier);
	if (tp_sites_init(&pool->sites, &sites)) {
		tp_tiers_fini(&pool->tiers);
		return -ENOMEM;
	}
	pool->fast_id = tp_pool_fast.rseq && sites.pool_id ? sites.pool_id : NO_ID;
	pool->maximum.tiers = &pool->tiers;
	pool->maximum.first =
		learns ? (unsigned)tp_min(large, pool->sizes.count) : pool->sizes.count;
	return 0;
}

static tierpool *pool_make(const struct tierpool_options *chosen, const struct tp_sizeclass *sizes,
	const struct tp_backing *backing)
{
	unsigned cpus = tp_cpu_count();
	size_t length = strlen(chosen->name) + 1;
	size_t blocks = tp_decay_cpu_bytes(cpus);
	size_t size = blocks + tp_blocks_bytes(sizes->count);
	size_t asked = size + sizes->count * sizeof *sizes->size;
	size_t name = asked + sizes->count * sizeof(struct tp_asked);
	size_t bytes = sizeof(tierpool) + name + length;
	tierpool *pool = tp_backing_alloc(backing, bytes);

	if (!pool)
		return NULL;
	memset(pool, 0, bytes);
	pool->bytes = bytes;
	pool->registered.name = memcpy(pool->cpu_memory + name, chosen->name, length);
	pool->backing = *backing;
	pool->sizes = *sizes;
	pool->sizes.size = memcpy(pool->cpu_memory + size, sizes->size, asked - size);
	pool->maximum.asked = (struct tp_asked *)(void *)(pool->cpu_memory + asked);
	tp_blocks_init(&pool->blocks, pool->cpu_memory + blocks, &pool->backing, pool->sizes.size,
		sizes->count, chosen->alignment);
	if (pool_parts_init(pool, chosen)) {
		tp_backing_free(backing, pool, bytes);
		return NULL;
	}
	pool_quick_fill(pool);
	pool->budget = chosen->budget;
	pool->registered.group = pool->budget ? &pool->budget->pools : NULL;
	tp_bufheads_init(&pool->heads);
	pool->registered.kind = &pool_kind;
	if (!pool->blocks.class)
		tp_add_relaxed(&tp_pools_without_runs, 1u);
	return pool;
}

int tierpool_create(tierpool **out, const struct tierpool_options *options)
{
	struct tierpool_options chosen = {0};
	struct tp_backing backing;
	size_t size[TP_TIERS_MAX];
	struct tp_sizeclass sizes = {.size = size};
	int error;

	if (!out)
		return -EINVAL;
	*out = NULL;
	tp_pool_start();
	error = pool_options_read(options, &chosen, &sizes, &backing);
	if (!error)
		error = tp_atfork_start();
	if (error)
		return error;
	if (!tp_shared_budget_join(chosen.budget))
		return -EINVAL;
	*out = pool_make(&chosen, &sizes, &backing);
	if (!*out) {
		tp_shared_budget_leave(chosen.budget);
		return -ENOMEM;
	}
	if (tp_unlikely(tp_load_relaxed(&tp_trace_on)))
		tp_trace_pool(*out, &chosen);
	tp_registry_add(&(*out)->registered);
	return 0;
}

static size_t pool_borrowed(const tierpool *pool)
{
	int64_t borrowed = tp_counts_borrowed(&pool->tiers);

	/* Below 0 if the reading has the put of a call in another thread, and not its get. */
	return borrowed > 0 ? (size_t)borrowed : 0;
}

static size_t pool_destroy(tierpool *pool, size_t unused)
{
	size_t borrowed;

	(void)unused;
	if (tp_pool_is_default(pool)) {
		tp_pool_trim(pool, 0);
		return pool_borrowed(pool);
	}
	/* Of two calls only the first destroys. Others read it relaxed, as a hint. */
	if (tp_exchange_acq_rel(&pool->closing, 1u))
		return 0;
	tp_registry_close(&pool->registered);
	tp_idle_close(&pool->tiers);
	borrowed = pool_borrowed(pool);
	if (borrowed)
		tp_profile_leaks_print(pool->registered.id);
	tp_registry_drop(&pool->registered); /* the handle's */
	return borrowed;
}

size_t tierpool_destroy(tierpool *pool)
{
	return pool ? tp_pool_each(pool, pool_destroy, 0) : 0;
}
