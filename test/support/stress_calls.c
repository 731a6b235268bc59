/* SPDX-License-Identifier: MIT */
#include "stress_calls.h"
#include "slab_install.h"

#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/random.h"
#include "stress_finding.h"
#include "stress_threads.h"

#define BATCH 4 /* items that a change moves at the most */
#define EXPIRE_MEAN 1000
static uint64_t random_gaps;

const uint16_t at[TIERS] = {0, WORDS, 2 * WORDS, 3 * WORDS};
bool aged;
struct tp_cpus cpus;
struct tp_fast fast;
char *base;

/* ---- what a worker does on its CPU ---- */

/* *slow: no item, or an expired countdown. */
static void *pop_any_way(const struct thread *me, unsigned tier, bool *slow)
{
	bool expired = false;
	void *item;

	if (me->in_line && fast.rseq)
		return tp_stack_pop_fast(&fast, base, at[tier] * sizeof(uint64_t), slow);
	item = tp_stack_pop(&cpus, at[tier], &expired);
	*slow = !item || expired;
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
		tp_stack_arm(&cpus, tier, tp_random_gap(&random_gaps, EXPIRE_MEAN));
	return true;
}

static bool push_any_way(const struct thread *me, unsigned tier, struct item *item)
{
	uint32_t offset = at[tier] * (uint32_t)sizeof(uint64_t);

	item->age = 0;
	if (me->in_line && fast.rseq)
		return aged ? tp_stack_push_aged_fast(&fast, base, &offset, item)
			    : tp_stack_push_fast(&fast, base, &offset, item);
	return aged ? tp_stack_push_aged(&cpus, at[tier], item)
		    : tp_stack_push(&cpus, at[tier], item);
}

bool call_push(struct thread *me, unsigned tier)
{
	void *item = hand_give(&me->hand);

	tp_store_relaxed(&me->pushes, me->pushes + 1);
	if (tp_likely(push_any_way(me, tier, item)))
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
	int wished = (int)tp_word_depth(word) + wish->depth;
	int room = (int)tp_word_room(word) + wish->room;

	if (wished < 0 || room < 0 || wished + room > SLOTS)
		return word;
	return word + (uint64_t)wish->depth * TP_WORD_DEPTH + (uint64_t)wish->room * TP_WORD_ROOM;
}

static void change_took_out(struct thread *me, struct item *item, unsigned age)
{
	if (aged && age != item->age)
		broke("item %td, of age %u, came out with age %u", item - items, item->age, age);
	hand_take(&me->hand, item, "taken out with others");
}

void call_change(struct thread *me, unsigned tier)
{
	struct wish wish = {.depth = (int)below(&me->random, 2 * BATCH + 1) - BATCH,
		.room = (int)below(&me->random, 2 * BATCH + 1) - BATCH};
	struct tp_word_change done;
	uint8_t ages[BATCH] = {(uint8_t)below(&me->random, 2)};
	unsigned in, kept;

	if (wish.depth > (int)me->hand.count)
		wish.depth = (int)me->hand.count;
	in = wish.depth > 0 ? (unsigned)wish.depth : 0;
	kept = me->hand.count - in;
	for (unsigned i = 0; i < in; i++) {
		((struct item *)me->hand.item[kept + i])->age = ages[0];
		item_disown(me->hand.item[kept + i]);
	}
	done = tp_stack_change(
		&cpus, tier, wish_decide, &wish, me->hand.item + kept, aged ? ages : NULL);
	if (done.before == done.after) {
		for (unsigned i = 0; i < in; i++)
			item_own(me->hand.item[kept + i], "not put in");
		return;
	}
	me->hand.count = kept;
	for (int i = 0; i < -wish.depth; i++)
		change_took_out(me, me->hand.item[me->hand.count], ages[i]);
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
	unsigned depth = tp_word_depth(word);
	unsigned what = below(&me->random, 2);
	uint64_t after = word;

	if (what == 0 && depth) {
		unsigned first = 1 + below(&me->random, depth), n = depth + 1 - first;
		void *out[SLOTS];

		n = n > BATCH ? BATCH : n;
		tp_stack_take_out(&cpus, cpu, tier, first, n, out, aged);
		for (unsigned i = 0; i < n; i++)
			hand_take(&me->hand, out[i], "taken out of a slot");
		after -= n * TP_WORD_DEPTH;
	} else {
		unsigned room = below(&me->random, SLOTS - depth + 1);

		tp_stack_room_set(&cpus, cpu, tier, room);
		after += ((uint64_t)room - tp_word_room(word)) * TP_WORD_ROOM;
	}
	if (tp_load_relaxed(&cpu->slab[at[tier]]) != after)
		broke("a word that was to become %#lx is %#lx", (unsigned long)after,
			(unsigned long)tp_load_relaxed(&cpu->slab[at[tier]]));
	me->leased[tier] += (int64_t)tp_word_held(after) - (int64_t)tp_word_held(word);
	return after;
}

/* Holds each age of a stopped CPU's stack against its item's; now and then raises one. */
static void ages_check(struct thread *me, uint64_t *stack)
{
	uint8_t *age = tp_stack_ages(stack);

	for (unsigned slot = 1; slot <= tp_word_depth(*stack); slot++) {
		struct item *item = item_of(stack[slot], "in a slot");

		if (item && age[slot] != item->age)
			broke("item %td, of age %u, has age %u in its slot", item - items,
				item->age, age[slot]);
		if (item && item->age < UINT8_MAX && !below(&me->random, 4))
			age[slot] = ++item->age;
	}
}

static void cpu_rearrange(struct thread *me, struct tp_cpu *cpu)
{
	uint64_t word[TIERS];

	for (unsigned tier = 0; tier < TIERS; tier++)
		word[tier] = tp_load_relaxed(&cpu->slab[at[tier]]);
	for (unsigned i = below(&me->random, 8); i; i--) {
		unsigned tier = below(&me->random, TIERS);

		word[tier] = stack_rearrange(me, cpu, tier, word[tier]);
		if (aged)
			ages_check(me, cpu->slab + at[tier]);
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
