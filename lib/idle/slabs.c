/* SPDX-License-Identifier: MIT */
/*
 * The mapping of the tables, of which tiers.h has the parts: when it is made, and which of its pages
 * are spent.
 */
#include "base/atomic.h"
#include "idle/tiers.h"
#include "memory/pages.h"

static size_t slabs_map_bytes(const struct tp_tiers *tiers)
{
	return tp_round_up(tiers->cpus.count * tiers->slab_bytes +
				   tp_stack_counters_bytes(tiers->cpus.count, tiers->count) +
				   tiers->own_bytes,
		TP_PAGES_UNIT);
}

/* Where it begins, which is with the slabs. Before: there is one. */
static char *slabs_map_of(const struct tp_tiers *tiers)
{
	return (char *)tp_load_relaxed(&tiers->cpus.counters) -
	       tiers->cpus.count * tiers->slab_bytes;
}

bool tp_tiers_map(struct tp_tiers *tiers)
{
	struct tp_stack_counters *counters, *found = NULL;
	char *map;

	if (tp_likely(tp_load_acquire(&tiers->cpus.counters)))
		return true;
	map = tp_pages_map(slabs_map_bytes(tiers));
	if (!map)
		/* Another thread may have had more luck. */
		return tp_load_acquire(&tiers->cpus.counters);
	counters = (void *)(map + tiers->cpus.count * tiers->slab_bytes);
	/* Acquire and release: another thread may be first, and then its mapping stays. */
	if (!tp_cas_strong_acq_rel(&tiers->cpus.counters, &found, counters))
		tp_pages_end(map, slabs_map_bytes(tiers));
	return true;
}

void tp_tiers_unmap(struct tp_tiers *tiers)
{
	if (tiers->cpus.counters)
		tp_pages_end(slabs_map_of(tiers), slabs_map_bytes(tiers));
}

tp_cold void tp_tiers_slab_create(struct tp_tiers *tiers)
{
	unsigned cpu_id = tp_cpu_current(tiers->cpus.count);
	struct tp_cpu *cpu = &tiers->cpus.cpu[cpu_id];

	/* Relaxed, all of it: a number for statistics, and tp_cpus_claim looks again in the lock. */
	if (!tp_load_relaxed(&cpu->slab) && !tp_load_relaxed(&cpu->closed)) {
		if (!tp_tiers_map(tiers))
			return;
		tp_decay_slab_install(&tiers->decay, cpu_id,
			(uint64_t *)(void *)(slabs_map_of(tiers) + cpu_id * tiers->slab_bytes));
	}
	/* None, if another thread holds the CPU's lock. */
	if (!tp_load_relaxed(&cpu->slab) || tp_load_relaxed(&cpu->spent))
		return;
	/* First, so that the sum is never below 0. */
	tp_add_relaxed(&tiers->slabs_spent, tiers->slab_bytes);
	if (tp_exchange_relaxed(&cpu->spent, 1u))
		tp_sub_relaxed(&tiers->slabs_spent, tiers->slab_bytes);
}

void tp_tiers_slab_purge(struct tp_tiers *tiers, struct tp_cpu *cpu)
{
	for (unsigned tier = 0; tier < tiers->count; tier++)
		if (tp_word_held(cpu->slab[tiers->stack_index[tier]]))
			return;
	/* If a slow call sets it meanwhile and uses the slab, then the next one sets it again. */
	if (!tp_exchange_relaxed(&cpu->spent, 0u))
		return;
	tp_stack_forget(&tiers->cpus, cpu);
	tp_pages_purge(cpu->slab, tiers->slab_bytes);
	tp_sub_relaxed(&tiers->slabs_spent, tiers->slab_bytes);
}

size_t tp_tiers_page_bytes(const struct tp_tiers *tiers)
{
	size_t bytes = tp_load_relaxed(&tiers->slabs_spent);
	size_t counters = tp_stack_counters_bytes(1, tiers->count);

	if (tp_tiers_own(tiers))
		bytes += tiers->own_bytes;
	for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++)
		bytes += tp_load_relaxed(&tiers->cpus.cpu[cpu_id].slab) ? counters : 0;
	return bytes;
}
