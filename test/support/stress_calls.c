/* SPDX-License-Identifier: MIT */
#include "stress_calls.h"
#include "slab_install.h"

#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "stress_finding.h"
#include "stress_threads.h"

#define BATCH 4 /* items that a change moves at the most */
#define EXPIRE_MEAN 1000

const uint16_t at[TIERS] = {0, WORDS, 2 * WORDS, 3 * WORDS};
struct tp_cpus cpus;
struct tp_fast fast;
char *base;

/* ---- what a worker does on its CPU ---- */

/* *slow: no item, or an expired countdown. */
static void *pop_any_way(const struct thread *me, unsigned tier, bool *slow)
{
	uint64_t after;
	void *item;

	if (me->in_line && fast.rseq)
		return tp_stack_pop_fast(&fast, base, at[tier], slow);
	item = tp_stack_pop(&cpus, at[tier], &after);
	*slow = !item || (int64_t)after < 0;
	return item;
}

bool call_pop(struct thread *me, unsigned tier)
{
	bool slow;
	void *item;

	tp_store_relaxed(&me->pops, me->pops + 1);
	item = pop_any_way(me, tier, &slow);
	if (tp_unlikely(!item)) {
		tp_store_relaxed(&me->pops, me->pops - 1);
		return false;
	}
	hand_take(&me->hand, item, "popped");
	if (tp_unlikely(slow))
		tp_stack_arm(&cpus, at[tier], EXPIRE_MEAN);
	return true;
}

bool call_push(struct thread *me, unsigned tier)
{
	void *item = hand_give(&me->hand);
	bool pushed;

	tp_store_relaxed(&me->pushes, me->pushes + 1);
	pushed = me->in_line && fast.rseq ? tp_stack_push_fast(&fast, base, at[tier], item)
					  : tp_stack_push(&cpus, at[tier], item);
	if (tp_likely(pushed))
		return true;
	tp_store_relaxed(&me->pushes, me->pushes - 1);
	hand_take(&me->hand, item, "not pushed");
	return false;
}

/* By how much a word's depth and room are to grow, or, below zero, to shrink. */
struct wish {
	int depth, room;
};

static uint64_t wish_decide(uint64_t word, const void *context)
{
	const struct wish *wish = context;
	int depth = (int)tp_word_depth(word) + wish->depth;
	int room = (int)tp_word_room(word) + wish->room;

	if (depth < 0 || room < 0 || depth + room > SLOTS)
		return word;
	return word + (uint64_t)wish->depth * TP_WORD_DEPTH + (uint64_t)wish->room * TP_WORD_ROOM;
}

void call_change(struct thread *me, unsigned tier)
{
	struct wish wish = {.depth = (int)below(&me->random, 2 * BATCH + 1) - BATCH,
		.room = (int)below(&me->random, 2 * BATCH + 1) - BATCH};
	struct tp_word_change done;
	unsigned in, kept;

	if (wish.depth > (int)me->hand.count)
		wish.depth = (int)me->hand.count;
	in = wish.depth > 0 ? (unsigned)wish.depth : 0;
	kept = me->hand.count - in;
	for (unsigned i = 0; i < in; i++)
		item_disown(me->hand.item[kept + i]);
	done = tp_stack_change(&cpus, at[tier], wish_decide, &wish, me->hand.item + kept);
	if (done.before == done.after) {
		for (unsigned i = 0; i < in; i++)
			item_own(me->hand.item[kept + i], "not put in");
		return;
	}
	for (me->hand.count = kept; wish.depth < 0; wish.depth++)
		hand_take(&me->hand, me->hand.item[me->hand.count], "taken out with others");
	me->leased[tier] += (int64_t)tp_word_held(done.after) - (int64_t)tp_word_held(done.before);
	me->changes++;
}

/* Not at once, so that the stopper is at work by then. */
void call_slab_bring(struct thread *me)
{
	unsigned cpu_id = tp_cpu_current(cpus.count);
	uint64_t *slab;

	if (tp_load_relaxed(&cpus.cpu[cpu_id].slab) || tp_load_relaxed(&cpus.cpu[cpu_id].closed) ||
		below(&me->random, 512))
		return;
	slab = aligned_alloc(TP_LINE, SLAB_BYTES);
	if (!slab)
		return;
	memset(slab, 0, SLAB_BYTES);
	if (!slab_install(&cpus, cpu_id, slab))
		free(slab);
}

/* ---- what a stopper does ---- */

/* Does one thing to a stack of a stopped CPU whose word is known. The word it has then. */
static uint64_t stack_rearrange(struct thread *me, struct tp_cpu *cpu, unsigned tier, uint64_t word)
{
	unsigned depth = tp_word_depth(word), held = tp_word_held(word);
	uint64_t *stack = cpu->slab + at[tier], after = word;
	unsigned what = below(&me->random, 3);

	if (what == 0 && depth) {
		hand_take(&me->hand, tp_stack_move_out(cpu, stack, 1 + below(&me->random, depth)),
			"taken out of a slot");
		after -= TP_WORD_DEPTH;
	} else if (what == 1 && me->hand.count && held < SLOTS) {
		tp_stack_move_in(cpu, stack, hand_give(&me->hand));
		after += TP_WORD_DEPTH;
	} else {
		unsigned room = below(&me->random, SLOTS - depth + 1);

		tp_stack_room_set(stack, room);
		after += ((uint64_t)room - tp_word_room(word)) * TP_WORD_ROOM;
	}
	if (tp_load_relaxed(stack) != after)
		broke("a word that was to become %#lx is %#lx", (unsigned long)after,
			(unsigned long)tp_load_relaxed(stack));
	me->leased[tier] += (int64_t)tp_word_held(after) - (int64_t)tp_word_held(word);
	return after;
}

static void cpu_rearrange(struct thread *me, struct tp_cpu *cpu)
{
	uint64_t word[TIERS];

	for (unsigned tier = 0; tier < TIERS; tier++)
		word[tier] = tp_load_relaxed(&cpu->slab[at[tier]]);
	for (unsigned i = below(&me->random, 8); i; i--) {
		unsigned tier = below(&me->random, TIERS);

		word[tier] = stack_rearrange(me, cpu, tier, word[tier]);
	}
	for (unsigned tier = 0; tier < TIERS; tier++)
		if (tp_load_relaxed(&cpu->slab[at[tier]]) != word[tier])
			broke("a stopped CPU's word was %#lx and is %#lx",
				(unsigned long)word[tier],
				(unsigned long)tp_load_relaxed(&cpu->slab[at[tier]]));
	if (!tp_cpu_is_stopped(cpu))
		broke("a stopped CPU's slab was shown");
	me->stops++;
}

void call_stop_one(struct thread *me, struct tp_cpu *cpu)
{
	if (!cpu)
		return;
	cpu_rearrange(me, cpu);
	tp_cpu_start(cpu);
}

void call_stop_all(struct thread *me)
{
	tp_cpus_stop_all(&cpus);
	for (unsigned cpu_id = 0; cpu_id < cpus.count; cpu_id++)
		if (tp_cpu_is_stopped(&cpus.cpu[cpu_id]))
			cpu_rearrange(me, &cpus.cpu[cpu_id]);
	tp_cpus_start_all(&cpus);
}
