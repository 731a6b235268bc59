/* SPDX-License-Identifier: MIT */
#include "cpucache.h"

#include <string.h>

#include "inject.h"

tp_cold struct tp_door *tp_cpucache_enter_other(const struct tp_cpucache *cache, unsigned cpu)
{
	for (unsigned i = 1; i < cache->count; i++) {
		cpu = cpu + 1 == cache->count ? 0 : cpu + 1;
		if (tp_locked_try(&cache->doors[cpu].lock))
			return &cache->doors[cpu];
	}
	return NULL;
}

uint64_t *tp_cpucache_stop(const struct tp_cpucache *cache, unsigned cpu)
{
	tp_locked_enter(&cache->doors[cpu].lock);
	return cache->doors[cpu].slab;
}

void tp_cpucache_publish(const struct tp_cpucache *cache, unsigned cpu)
{
	tp_locked_leave(&cache->doors[cpu].lock);
}

bool tp_cpucache_install(const struct tp_cpucache *cache, unsigned cpu, uint64_t *slab)
{
	struct tp_door *door = &cache->doors[cpu];

	if (door->home || door->closed)
		return false;
	door->slab = slab;
	/* Release: pairs with the acquire in tp_cpucache_word; a reader sees the slab zeroed. */
	tp_store_release(&door->home, slab);
	return true;
}

void tp_cpucache_close(const struct tp_cpucache *cache, unsigned cpu)
{
	cache->doors[cpu].slab = NULL;
	cache->doors[cpu].closed = 1;
}

void tp_cpucache_move_in(struct tp_door *door, uint64_t *stack, void *item)
{
	uint64_t word = tp_load_relaxed(stack);

	/* The orders here and below: see "Counting" in cpucache.h; partner: tp_cpucache_count. */
	tp_add_relaxed(&door->moved_in, 1u);
	stack[tp_word_depth(word) + 1] = (uintptr_t)item;
	tp_store_release(stack, word + TP_WORD_DEPTH);
}

void *tp_cpucache_move_out(struct tp_door *door, uint64_t *stack, unsigned slot)
{
	uint64_t word = tp_load_relaxed(stack);
	void *item = (void *)(uintptr_t)stack[slot];

	if (!tp_fault(TP_FAULT_UNSHIFTED))
		memmove(stack + slot, stack + slot + 1,
			(tp_word_depth(word) - slot) * sizeof *stack);
	tp_store_release(stack, word - TP_WORD_DEPTH);
	tp_add_release(&door->moved_out, 1u);
	return item;
}

void tp_cpucache_room_set(uint64_t *stack, unsigned room)
{
	uint64_t word = tp_load_relaxed(stack);

	tp_store_release(stack, (word & ~(TP_WORD_MASK * TP_WORD_ROOM)) | room * TP_WORD_ROOM);
}

unsigned tp_cpucache_arm(struct tp_door *door, uint64_t *stack, unsigned mean)
{
	uint64_t word = tp_load_relaxed(stack);
	unsigned gap;

	/* Weyl sequence through a multiplicative hash: Knuth, TAOCP 3, 6.4. */
	door->random += UINT64_C(0x9e3779b97f4a7c15);
	gap = (unsigned)((door->random * UINT64_C(0xd1342543de82ef95)) >> 32) % (2 * mean - 1) + 1;
	tp_store_release(stack, word + gap * TP_WORD_COUNTDOWN);
	tp_add_release(&door->armed, gap);
	return gap;
}

uint64_t tp_cpucache_word(const struct tp_cpucache *cache, unsigned cpu, unsigned at)
{
	const uint64_t *slab = tp_load_acquire(&cache->doors[cpu].home);

	return slab ? tp_load_acquire(&slab[at]) : 0;
}

struct tp_cpucache_counts tp_cpucache_count(
	const struct tp_cpucache *cache, const uint16_t *at, unsigned stacks)
{
	struct tp_cpucache_counts sum = {0, 0};

	for (unsigned cpu = 0; cpu < cache->count; cpu++) {
		const struct tp_door *door = &cache->doors[cpu];
		/* Acquire: the words that these counted are seen below, or newer ones. */
		int64_t pops = (int64_t)tp_load_acquire(&door->armed);
		int64_t pushes = (int64_t)tp_load_acquire(&door->moved_out);

		for (unsigned i = 0; i < stacks; i++) {
			uint64_t word = tp_cpucache_word(cache, cpu, at[i]);

			pops -= tp_word_countdown(word);
			pushes += tp_word_depth(word);
		}
		/* After the words, whose acquire keeps it there: what they hold is counted in. */
		pushes += pops - (int64_t)tp_load_relaxed(&door->moved_in);
		sum.pops += pops;
		sum.pushes += pushes;
	}
	return sum;
}
