/* SPDX-License-Identifier: MIT */
/*
 * The per-CPU stacks under everything at once, for argv[1] seconds, or, with --borrows N, until N
 * items were popped: more threads than CPUs that pop, push, change, arm, bring the slabs and stop
 * their own CPU; a timer's signals for each; random migrations; a stopper, a thousand times a
 * second; and a watcher that counts. In rounds, each on new stacks, so that slabs come while
 * CPUs are stopped; every other one is closed before its end, while all are at work; in every third
 * one the stacks have ages.
 *
 * Holds: no item has two owners; a word stays as it is while its CPU is stopped, and after it was
 * closed; an age is what the push, the batch or a stopper set it to; no reading is above the truth;
 * and at the end of a round every item is there once, and what was popped, pushed and leased is
 * exactly what the words say.
 *
 * Exit status 1 and a line that says why when one of them is broken. test/controls.sh builds this
 * with faults in the library and requires that.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "percpu/stack.h"
#include "stress_calls.h"
#include "stress_finding.h"
#include "stress_items.h"
#include "stress_threads.h"

#define HAND 24         /* items from which on a worker only pushes */
#define STOP_US 1000    /* from one stop to the next, on average */
#define FIRST_STOPS 64  /* that come without a pause */
#define ROUND_US 200000 /* the longest one */

static struct thread *threads; /* the workers, and one more, the stopper */
static unsigned workers;
static uint64_t (*closed_words)[TIERS];
static struct tp_stack_counters *counters;

/* ---- threads ---- */

/* What comes once in a few thousand times, or where there was no room, or nothing. */
static void work_rarely(struct thread *me, unsigned tier, bool done)
{
	unsigned what = below(&me->random, 8);

	call_slab_bring(me);
	call_change(me, tier);
	if (done && what == 0)
		me->migrations += migrate(&me->random);
	if (done && what == 1)
		call_stop_one(me, tp_cpus_stop_own(&cpus));
}

static void *worker(void *argument)
{
	struct thread *me = argument;
	timer_t timer;
	bool alarms = alarms_start(&timer);

	if (!alarms)
		broke("no timer for a thread");
	while (!tp_load_relaxed(&stop)) {
		uint64_t dice = next_random(&me->random);
		unsigned tier = (unsigned)dice % TIERS;
		bool full = me->hand.count >= HAND, either = dice & TIERS;
		bool done = full || (me->hand.count && either) ? call_push(me, tier)
							       : call_pop(me, tier);

		if (tp_unlikely(!done || (dice >> 8) % 4096 == 0))
			work_rarely(me, tier, done);
	}
	if (alarms)
		timer_delete(timer);
	return NULL;
}

static void *stopper(void *argument)
{
	struct thread *me = argument;
	uint64_t due = now_us();

	while (!tp_load_relaxed(&stop)) {
		/* As long as there is no slab, a fence for all would be for nothing. */
		unsigned what = me->stops ? below(&me->random, 4) : 2;

		if (what == 0)
			call_stop_all(me);
		else if (what == 1)
			call_stop_one(me, tp_cpus_stop_own(&cpus));
		else
			call_stop_one(me, tp_cpus_stop(&cpus, below(&me->random, cpus.count)));
		/* While slabs are brought. */
		if (me->stops < FIRST_STOPS) {
			due = now_us();
			continue;
		}
		/* What a late wake-up has missed is made up for. */
		due += below(&me->random, 2 * STOP_US);
		while (now_us() < due && !tp_load_relaxed(&stop))
			usleep(STOP_US / 10);
	}
	return NULL;
}

static struct tp_stack_counts count_all(void)
{
	struct tp_stack_counts sum = {0, 0};

	for (unsigned tier = 0; tier < TIERS; tier++) {
		struct tp_stack_counts one = tp_stack_count(&cpus, tier);

		sum.pops += one.pops;
		sum.pushes += one.pushes;
	}
	return sum;
}

static void read_once(void)
{
	struct tp_stack_counts counts = count_all();
	uint64_t pops = 0, pushes = 0;

	/* After the counts, whose acquire keeps it there: what they count is in these. */
	for (unsigned i = 0; i < workers; i++) {
		pops += tp_load_relaxed(&threads[i].pops);
		pushes += tp_load_relaxed(&threads[i].pushes);
	}
	if (counts.pops > (int64_t)pops || counts.pushes > (int64_t)pushes)
		broke("%ld pops are counted of %ld, %ld pushes of %ld", (long)counts.pops,
			(long)pops, (long)counts.pushes, (long)pushes);
	for (unsigned cpu_id = 0; cpu_id < cpus.count; cpu_id++)
		for (unsigned tier = 0; tier < TIERS; tier++)
			if (tp_word_held(tp_stack_word(&cpus, cpu_id, tier)) > SLOTS)
				broke("a stack holds more than it may");
}

static void *watcher(void *unused)
{
	while (!tp_load_relaxed(&stop)) {
		for (unsigned i = 0; i < 100; i++)
			read_once();
		usleep(100);
	}
	return unused;
}

/* ---- rounds ---- */

static struct totals {
	uint64_t rounds, pops, pushes, changes, stops, fences, migrations;
} total;

/* So many that stacks are neither full nor empty all the time. */
static size_t items_for(void)
{
	return (size_t)workers * HAND / 2 + (size_t)cpus.count * TIERS * SLOTS / 2;
}

/* All items in the workers' hands, no slab anywhere. */
static void round_start(bool with_ages)
{
	stop = 0;
	aged = with_ages;
	item_count = items_for();
	if (tp_cpus_init(&cpus, base + TP_VISIBLE_OFFSET, cpus.count)) {
		broke("no empty slab");
		return;
	}
	cpus.stack_index = at;
	cpus.stacks = TIERS;
	cpus.counters = counters;
	memset(counters, 0, tp_stack_counters_bytes(cpus.count, TIERS));
	for (unsigned i = 0; i <= workers; i++) {
		struct thread *t = &threads[i];

		t->pops = t->pushes = t->changes = t->stops = t->migrations = 0;
		memset(t->leased, 0, sizeof t->leased);
		t->hand.count = 0;
	}
	memset(items, 0, item_count * sizeof *items);
	for (size_t i = 0; i < item_count; i++)
		hand_take(&threads[i % workers].hand, &items[i], "dealt");
}

/* As a pool is destroyed, while others are at work. */
static void round_close(void)
{
	tp_cpus_stop_all(&cpus);
	for (unsigned cpu_id = 0; cpu_id < cpus.count; cpu_id++)
		for (unsigned tier = 0; tier < TIERS; tier++)
			closed_words[cpu_id][tier] = tp_stack_word(&cpus, cpu_id, tier);
	tp_cpus_close_all(&cpus);
	tp_cpus_start_all(&cpus);
	usleep(500);
	for (unsigned cpu_id = 0; cpu_id < cpus.count; cpu_id++)
		for (unsigned tier = 0; tier < TIERS; tier++)
			if (closed_words[cpu_id][tier] != tp_stack_word(&cpus, cpu_id, tier))
				broke("a closed CPU's word has changed");
}

static void round_run(unsigned us, bool close)
{
	uint64_t end = now_us() + us;
	pthread_t watching;

	thread_start(&threads[workers].id, stopper, &threads[workers]);
	for (unsigned i = 0; i < workers; i++)
		thread_start(&threads[i].id, worker, &threads[i]);
	thread_start(&watching, watcher, NULL);
	while (now_us() < end && !tp_load_relaxed(&stop))
		usleep(1000);
	if (close && !tp_load_relaxed(&stop))
		round_close();
	tp_store_relaxed(&stop, 1);
	for (unsigned i = 0; i <= workers; i++)
		pthread_join(threads[i].id, NULL);
	pthread_join(watching, NULL);
}

/* Marks what lies in a stack; what it has leased. */
static int64_t stack_check(const uint64_t *stack)
{
	for (unsigned slot = 1; slot <= tp_word_depth(*stack); slot++) {
		struct item *item = item_of(stack[slot], "left in a slot");

		if (item)
			item->lying++;
	}
	return tp_word_held(*stack);
}

static void stacks_check(void)
{
	for (unsigned tier = 0; tier < TIERS; tier++) {
		int64_t leased = 0, held = 0;

		for (unsigned i = 0; i <= workers; i++)
			leased += threads[i].leased[tier];
		for (unsigned cpu_id = 0; cpu_id < cpus.count; cpu_id++)
			if (cpus.cpu[cpu_id].slab)
				held += stack_check(cpus.cpu[cpu_id].slab + at[tier]);
		if (held != leased)
			broke("%ld are leased, and words say %ld", (long)leased, (long)held);
	}
}

/* Marks what a thread still holds, and adds up what it has done. */
static void thread_check(const struct thread *t, struct totals *all)
{
	for (unsigned i = 0; i < t->hand.count; i++) {
		struct item *item = item_of((uintptr_t)t->hand.item[i], "left in a hand");

		if (item)
			item->held++;
	}
	all->pops += t->pops;
	all->pushes += t->pushes;
	all->changes += t->changes;
	all->stops += t->stops;
	all->migrations += t->migrations;
}

/* Nobody is at work any more. */
static void round_check(void)
{
	struct tp_stack_counts counts = count_all();
	struct totals before = total;

	for (unsigned i = 0; i <= workers; i++)
		thread_check(&threads[i], &total);
	total.rounds++;
	total.fences += cpus.fences;
	stacks_check();
	items_check();
	if (counts.pops != (int64_t)(total.pops - before.pops) ||
		counts.pushes != (int64_t)(total.pushes - before.pushes))
		broke("at the end %ld pops are counted of %lu, %ld pushes of %lu",
			(long)counts.pops, (unsigned long)(total.pops - before.pops),
			(long)counts.pushes, (unsigned long)(total.pushes - before.pushes));
	for (unsigned cpu_id = 0; cpu_id < cpus.count; cpu_id++)
		free(cpus.cpu[cpu_id].slab);
}

/* What does not change from round to round. */
static bool prepare(void)
{
	bool done = disturbances_init();

	tp_cpu_init();
	cpus.count = tp_cpu_count();
	fast = (struct tp_fast){tp_cpu_rseq, cpus.count};
	workers = (unsigned)tp_max(4, cpus.count + 2);
	items = aligned_alloc(TP_LINE, items_for() * sizeof *items);
	base = aligned_alloc(2 * TP_LINE,
		tp_round_up(TP_VISIBLE_OFFSET + tp_cpus_bytes(cpus.count), 2 * TP_LINE));
	threads = aligned_alloc(2 * TP_LINE, (workers + 1) * sizeof *threads);
	closed_words = calloc(cpus.count, sizeof *closed_words);
	counters = aligned_alloc(2 * TP_LINE, tp_stack_counters_bytes(cpus.count, TIERS));
	if (!items || !base || !threads || !closed_words || !counters)
		return false;
	for (unsigned i = 0; i <= workers; i++) {
		threads[i] = (struct thread){.random = i + 1, .in_line = i % 2};
		done = done && hand_init(&threads[i].hand, items_for());
	}
	return done;
}

int main(int argc, char **argv)
{
	bool counted = argc > 2 && !strcmp(argv[1], "--borrows");
	uint64_t borrows = counted ? strtoull(argv[2], NULL, 10) : 0;
	uint64_t end = now_us() + 1000000 * (uint64_t)(argc > 1 && !counted ? atoi(argv[1]) : 4);
	uint64_t random = end;

	if (!prepare()) {
		fprintf(stderr, "stress_stack: out of memory\n");
		return 2;
	}
	do {
		round_start(!below(&random, 3));
		/* Most are short: in each, slabs come anew. */
		round_run(ROUND_US >> below(&random, 10), below(&random, 2));
		round_check();
	} while (!broken && (counted ? total.pops < borrows : now_us() < end));
	printf("%s  stress_stack: %u workers, %lu rounds, %lu pops, %lu changes, %lu stops, "
	       "%lu fences, %lu migrations, %lu signals, %s\n",
		broken ? "FAILED" : "ok", workers, (unsigned long)total.rounds,
		(unsigned long)total.pops, (unsigned long)total.changes, (unsigned long)total.stops,
		(unsigned long)total.fences, (unsigned long)total.migrations,
		(unsigned long)alarms_seen(), tp_cpu_mode());
	return broken;
}
