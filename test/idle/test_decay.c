/* SPDX-License-Identifier: MIT */
/*
 * The clock of ticks by itself: when one is due, which CPUs owe it and are worth a stop, and when the
 * reaper is woken. What a tick does, and in which calls: test_age.c.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>

#include "base/clock.h"
#include "cpus.h"
#include "idle_fixture.h"
#include "process/registry.h"
#include "step_through.h"

static struct idle_fixture f; /* one a process, and each test is one */
static struct tp_decay *const decay = &f.tiers.decay;

/* The own CPU and others, with empty stacks. */
static void start(unsigned others, unsigned ms)
{
	idle_new(&f, PLENTY, NULL, MANY, 1024, 2048);
	idle_others(&f, others);
	decay->ms = ms;
}

/* ---- when ---- */

#define PERIOD 3200u /* and so 100 ms between looks are wanted */

/* The gap that a look chooses this many milliseconds after the last one. */
static unsigned gap_after(unsigned ms)
{
	decay->looked_ms = tp_clock_ms() - ms;
	return tp_decay_gap(decay);
}

Test(decay, looks_at_the_clock_come_as_often_as_a_period_wants_them)
{
	unsigned gap, looks = 0;

	start(0, PERIOD);
	while (gap_after(0) < TP_DECAY_GAP)
		cr_assert_lt(++looks, 10, "twice the gap each time, if gets are many");
	cr_assert_eq(gap_after(0), TP_DECAY_GAP, "and no more");
	cr_assert_eq(gap_after(110), TP_DECAY_GAP, "just right");
	gap = gap_after(1000);
	cr_assert(gap <= TP_DECAY_GAP / 10 && gap > TP_DECAY_GAP / 11, "at once: %u", gap);
	cr_assert_eq(gap_after(110), gap);
	/* No farther back than the machine has run. */
	cr_assert_lt(gap_after(10000), 10);
	cr_assert_eq(gap_after(10000), 1, "at least at each get");
	decay->ms = UINT_MAX;
	cr_assert_eq(gap_after(1000000), TP_DECAY_GAP, "nothing is ever due");
	decay->ms = 1;
	cr_assert_eq(gap_after(0), 2);
	idle_end(&f);
}

Test(decay, a_tick_is_due_when_the_clock_has_come_to_it_and_again_a_period_later)
{
	enum { MS = 11, TICKS = 3 }; /* an odd number, that no timer interrupt falls in with */

	start(0, MS);
	for (unsigned tick = 0; tick < TICKS;) {
		uint64_t due = tp_decay_due_ms(decay), before = tp_clock_ms(), after;
		bool is_due = tp_decay_is_due(decay), claimed = tp_decay_claim(decay, decay->ms);

		after = tp_clock_ms();
		cr_assert(!is_due || claimed, "nobody else was there to begin it");
		if (!claimed) {
			cr_assert_lt(before, due, "it was due and was not begun");
			continue;
		}
		cr_assert_geq(after, due, "before its time");
		cr_assert_not(tp_decay_claim(decay, decay->ms), "one caller has to begin it");
		tp_decay_begin(decay, true);
		cr_assert(tp_decay_due_ms(decay) >= before + MS);
		cr_assert(tp_decay_due_ms(decay) <= tp_clock_ms() + MS);
		cr_assert_eq(decay->ticks, ++tick);
	}
}

static unsigned one_step, claims[2];

static void claim(void)
{
	claims[0] += tp_decay_claim(decay, decay->ms);
}

static void claim_too(unsigned step)
{
	if (step == one_step)
		claims[1] += tp_decay_claim(decay, decay->ms);
}

Test(decay, of_two_that_find_a_tick_due_one_has_to_begin_it_wherever_the_other_one_is)
{
	unsigned steps;

	start(0, 1u << 20);
	do {
		one_step++;
		decay->begun_ms = tp_clock_ms() - decay->ms;
		claims[0] = claims[1] = 0;
		steps = step_through(claim, claim_too);
		cr_assert_eq(claims[0] + claims[1], 1, "at step %u", one_step);
	} while (one_step < steps);
}

Test(decay, if_ticks_do_not_come_by_themselves_none_is_ever_due)
{
	start(0, UINT_MAX);
	decay->begun_ms = 0;
	cr_assert_eq(tp_decay_due_ms(decay), TP_DUE_NEVER);
	cr_assert_not(tp_decay_is_due(decay));
	cr_assert_not(tp_decay_claim(decay, decay->ms));
	tp_decay_begin(decay, false);
	cr_assert_eq(decay->ticks, 1, "a tick that is asked for comes all the same");
}

Test(decay, a_tick_may_be_claimed_after_so_many_milliseconds)
{
	start(0, UINT_MAX);
	tp_decay_announce(decay);
	tp_decay_begin(decay, false);
	cr_assert_not(tp_decay_claim(decay, 1u << 20));
	decay->begun_ms -= 1u << 20;
	cr_assert(tp_decay_claim(decay, 1u << 20));
	cr_assert_not(tp_decay_claim(decay, 1u << 20), "another caller begins it");
}

/* ---- who owes it, and is worth a stop ---- */

Test(decay, each_cpu_with_a_slab_owes_a_tick_from_its_begin_until_it_is_done_there)
{
	start(2, UINT_MAX);
	idle_cpu(&f, 2)->slab = NULL;
	cr_assert_not(tp_decay_owes(decay, f.own + 1) || tp_decay_owes_here(decay));
	for (unsigned missed = 0; missed < 3; missed++) {
		tp_decay_begin(decay, missed);
		cr_assert(tp_decay_owes(decay, f.own + 1) && tp_decay_owes_here(decay));
		cr_assert_not(tp_decay_owes(decay, f.own + 2), "nothing can lie there");
	}
	cr_assert(tp_decay_take_tick(decay, idle_cpu(&f, 1)));
	cr_assert_not(tp_decay_take_tick(decay, idle_cpu(&f, 1)), "one step for all it missed");
	cr_assert_not(tp_decay_owes(decay, f.own + 1));
	cr_assert(tp_decay_owes_here(decay));
	tp_decay_slab_install(decay, f.own + 2, f.slab[1]);
	cr_assert_not(tp_decay_owes(decay, f.own + 2), "they began before it got its slab");
}

static bool young;

static void ask_whether_young(void)
{
	young = tp_decay_makes_young(decay);
}

static void begin_too(unsigned step)
{
	if (step == one_step)
		tp_decay_begin(decay, false);
}

Test(decay, what_an_aged_depot_gives_is_made_young_wherever_in_the_question_the_tick_begins)
{
	unsigned steps;

	start(1, UINT_MAX);
	do {
		one_step++;
		tp_decay_take_tick(decay, idle_cpu(&f, 0));
		tp_decay_take_tick(decay, idle_cpu(&f, 1));
		cr_assert_not(tp_decay_makes_young(decay), "no CPU owes a tick");
		tp_decay_announce(decay);
		steps = step_through(ask_whether_young, begin_too);
		cr_assert(young, "at step %u", one_step);
	} while (one_step < steps);
}

Test(decay, looks_go_to_each_cpu_once_a_tick_and_to_none_for_a_tick_that_is_asked_for)
{
	unsigned cpu_id, looks = 0, seen[IDLE_CPUS] = {0};

	start(5, UINT_MAX);
	tp_decay_begin(decay, false);
	cr_assert_not(tp_decay_look(decay, &cpu_id));
	for (unsigned tick = 0; tick < 4; tick++) {
		tp_decay_begin(decay, true);
		for (unsigned i = 0; i < decay->cpus->count / 2; i++, looks++) {
			cr_assert(tp_decay_look(decay, &cpu_id));
			seen[cpu_id]++;
		}
	}
	for (; tp_decay_look(decay, &cpu_id); looks++)
		seen[cpu_id]++;
	for (cpu_id = 0; cpu_id < decay->cpus->count; cpu_id++)
		cr_assert(seen[cpu_id] - looks / decay->cpus->count <= 1, "CPU %u: %u", cpu_id,
			seen[cpu_id]);
	cr_assert_leq(looks, 4 * decay->cpus->count);
	for (unsigned tick = 0; tick < 100; tick++)
		tp_decay_begin(decay, true);
	cr_assert_leq(
		decay->left, 2 * decay->cpus->count, "no caller may have to catch up forever");
}

static void nothing(void)
{
}

static void room_only(void)
{
	f.slab[0][f.tiers.stack_index[1]] += TP_WORD_ROOM;
}

static void one_item(void)
{
	idle_place(&f, 1, 1, 1);
}

static void hard_at_work(void)
{
	one_item();
	idle_work(&f, 1, IDLE_BUSILY);
}

static void late_by_two(void)
{
	hard_at_work();
	tp_decay_begin(decay, false);
}

static void at_work_before_the_last_look(void)
{
	hard_at_work();
	tp_decay_is_worth(decay, f.own + 1);
}

Test(decay, a_cpu_is_worth_a_stop_if_it_has_anything_and_is_not_hard_at_work_or_is_two_ticks_late)
{
	static const struct {
		void (*before)(void);
		bool worth, owes; /* in rseq mode */
	} cases[] = {{nothing, false, false}, {room_only, true, true}, {one_item, true, true},
		{hard_at_work, false, true}, {late_by_two, true, true},
		{at_work_before_the_last_look, true, true}};

	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		start(1, UINT_MAX);
		tp_decay_begin(decay, false);
		cases[i].before();
		cr_assert_eq(tp_decay_is_worth(decay, f.own + 1),
			cases[i].owes && (cases[i].worth || !tp_cpu_rseq), "case %u", i);
		cr_assert_eq(tp_decay_owes(decay, f.own + 1), cases[i].owes, "case %u", i);
		tp_tiers_fini(&f.tiers);
	}
	start(0, UINT_MAX);
	idle_keep_new(&f, 0, 1);
	decay->per_cpu[f.own].moves_seen = 0 - (uint64_t)IDLE_BUSILY;
	cr_assert(tp_decay_is_worth(decay, f.own), "the own CPU, always");
}

Test(decay, of_three_ticks_a_cpu_at_work_misses_one_at_most)
{
	start(1, UINT_MAX);
	one_item();
	for (unsigned tick = 1; tick < 10; tick++) {
		bool worth;

		idle_work(&f, 1, IDLE_BUSILY);
		tp_decay_begin(decay, false);
		worth = tp_decay_is_worth(decay, f.own + 1);
		cr_assert_eq(worth, tick % 3 != 1 || !tp_cpu_rseq, "tick %u", tick);
		cr_assert_eq(worth && tp_decay_take_tick(decay, idle_cpu(&f, 1)), worth);
	}
}

Test(decay, the_child_of_a_fork_does_not_wait_for_a_maintainer_that_is_not_there)
{
	start(0, UINT_MAX);
	cr_assert(tp_spinlock_try(&decay->maintaining));
	tp_decay_forked(decay);
	cr_assert(tp_spinlock_try(&decay->maintaining));
}

/* ---- what can be done without ---- */

/* Asks after so many moves, when a stop of any CPU is due or not; again if the clock moved on. */
static bool may_stop(unsigned cpu_id, unsigned moves, bool due)
{
	uint64_t now;
	bool may;

	do {
		now = tp_clock_ms();
		decay->last_stop_ms = due ? now - 1 : now;
		if (moves)
			idle_work(&f, 1, moves);
		may = tp_decay_may_stop(decay, cpu_id);
	} while (tp_clock_ms() != now);
	return may;
}

Test(decay, for_what_can_be_done_without_only_a_cpu_that_has_not_moved_is_stopped)
{
	start(1, UINT_MAX);
	cr_assert(may_stop(f.own + 1, 0, false), "nothing moved there");
	cr_assert_eq(may_stop(f.own + 1, 1, false), !tp_cpu_rseq);
	cr_assert(may_stop(f.own + 1, 0, false), "not moved since that look");
	cr_assert(may_stop(f.own + 1, 1, true), "once a millisecond, any");
	idle_keep_new(&f, 0, 1);
	cr_assert(may_stop(f.own, 0, false), "the own one, always");
}

#define DUE 40

Test(decay, any_may_be_stopped_once_a_millisecond, .timeout = 60)
{
	uint64_t first = tp_clock_ms();
	unsigned due = 0;

	start(0, UINT_MAX);
	cr_assert(tp_decay_stop_due(decay), "the first time");
	while (due < DUE)
		due += tp_decay_stop_due(decay);
	cr_assert_geq(tp_clock_ms() - first, DUE);
}

/* ---- the reaper ---- */

static uint32_t wakes;

/* In place of the reaper's own, which is not linked then. */
void tp_reaper_wake(void)
{
	tp_add_relaxed(&wakes, 1u);
}

Test(decay, a_keeper_wakes_the_reaper_once_after_each_of_its_looks)
{
	start(0, UINT_MAX);
	tp_decay_kept(decay);
	cr_assert_eq(wakes, 1, "it may sleep, and knows nothing of what was made since");
	tp_decay_kept(decay);
	cr_assert_eq(wakes, 1, "now it knows, and will look");
	tp_decay_unwatch(decay);
	tp_decay_kept(decay);
	tp_decay_kept(decay);
	cr_assert_eq(wakes, 2);
	tp_decay_unwatch(decay);
	tp_decay_watch(decay, true);
	tp_decay_kept(decay);
	cr_assert_eq(wakes, 2, "it saw that something was there and need not be woken");
}

Test(decay, the_reaper_that_finds_nothing_is_woken_from_each_cpu_once)
{
	pin(0);
	start(IDLE_OTHERS, 1u << 20);
	tp_decay_unwatch(decay);
	cr_assert_eq(tp_decay_watch(decay, false), TP_DUE_EMPTY);
	for (unsigned n = 1; n <= 2 && pin(n - 1); n++) {
		tp_decay_kept(decay);
		tp_decay_kept(decay);
		cr_assert_eq(wakes, n);
	}
	cr_assert_eq(tp_decay_watch(decay, true), tp_decay_due_ms(decay));
}

#define MEETINGS 20000

static struct {
	uint32_t arrived, kept;
} meeting;

/* Spins, so that what follows begins at once in both threads, within a few steps of each other. */
static void both_arrive(unsigned times, unsigned delay)
{
	tp_add_release(&meeting.arrived, 1u);
	for (unsigned looks = 1; tp_load_acquire(&meeting.arrived) < 2 * times; looks++)
		if (looks % 1024 == 0)
			sched_yield();
	for (unsigned volatile i = 0; i < delay; i++)
		;
}

static void *keep_in_meetings(void *unused)
{
	pin(1);
	for (unsigned i = 0; i < MEETINGS; i++) {
		both_arrive(2 * i + 1, i % 16);
		tp_store_relaxed(&meeting.kept, i + 1);
		tp_decay_kept(decay);
		both_arrive(2 * i + 2, 0);
	}
	return unused;
}

Test(decay, of_a_keeper_and_a_reaper_that_looks_at_once_one_sees_the_other)
{
	unsigned seen = 0, woken = 0;
	pthread_t keeper;

	pin(0);
	start(IDLE_OTHERS, UINT_MAX);
	tp_decay_watch(decay, true);
	cr_assert_eq(pthread_create(&keeper, NULL, keep_in_meetings, NULL), 0);
	for (unsigned i = 0; i < MEETINGS; i++) {
		bool saw;

		wakes = 0;
		both_arrive(2 * i + 1, i / 16 % 16);
		tp_decay_unwatch(decay);
		saw = tp_load_relaxed(&meeting.kept) == i + 1;
		both_arrive(2 * i + 2, 0);
		cr_assert(saw || wakes == 1, "meeting %u: neither saw the other", i);
		tp_decay_watch(decay, true);
		seen += saw;
		woken += wakes;
	}
	pthread_join(keeper, NULL);
	cr_log_info("%u looks of %u saw what was kept, %u were woken", seen, MEETINGS, woken);
}
