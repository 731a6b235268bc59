/* SPDX-License-Identifier: MIT */
/*
 * Ticks by themselves: when one is due, who ages which CPU by how much, and whom the reaper hears.
 * In what pieces, and how soon it is noticed: test_decay_pieces.c. Which CPUs are left alone, with a
 * real pool: test_decay_busy.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "cpus.h"
#include "decay_fixture.h"
#include "process/registry.h"
#include "syscall_filter.h"

#define THREADS 3

/* ---- when ---- */

Test(decay, a_tick_is_due_when_the_clock_has_come_to_it_and_again_a_period_later)
{
	enum { MS = 11, TICKS = 3 }; /* an odd number, that no timer interrupt falls in with */
	uint64_t before = tp_clock_ms();

	decay_start(0, MS);
	cr_assert(decay.due >= before + MS && decay.due <= tp_clock_ms() + MS);
	for (unsigned tick = 1; tick <= TICKS;) {
		uint64_t due = decay.due, after;
		bool begun;

		before = tp_clock_ms();
		begun = decay_begin_due();
		after = tp_clock_ms();
		if (begun) {
			cr_assert_geq(after, due, "before its time");
			cr_assert(decay.due >= before + MS && decay.due <= after + MS);
			cr_assert_eq(decay.ticks, tick++);
		} else {
			cr_assert_lt(before, due, "it was due and was not begun");
		}
	}
}

Test(decay, where_ticks_do_not_come_by_themselves_none_is_ever_due)
{
	decay_start(0, UINT_MAX);
	cr_assert_eq(decay.due, TP_DUE_NEVER);
	cr_assert_not(decay_begin_due());
	decay_begin(false);
	decay_begin(true);
	decay_all();
	cr_assert_eq(decay.ticks, 2, "a tick that is asked for comes all the same");
	cr_assert_eq(decay.due, TP_DUE_NEVER);
}

Test(decay, a_tick_that_is_asked_for_does_all_at_once_and_puts_off_the_next)
{
	decay_start(DECAY_OTHERS, 1u << 30);
	decay.due = 0;
	decay_begin(true);
	decay_all();
	cr_assert_eq(decay.ticks, 1);
	for (unsigned i = 0; i <= DECAY_OTHERS; i++)
		cr_assert_eq(decay_aged[i].ticks, 1);
	cr_assert_geq(decay.due, (uint64_t)1 << 30);
	cr_assert_not(decay_begin_due());
	cr_assert_not(decay_some(), "nothing of it is left");
	cr_assert_eq(decay_others_aged(), DECAY_OTHERS);
}

static pthread_barrier_t barrier;
static uint32_t begun_by;

#define ROUNDS 300

/* In each round a tick is due, and all threads notice. Then each does pieces until it is done. */
static void *notice_and_age(void *nth)
{
	pin((unsigned)(uintptr_t)nth);
	for (unsigned round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&barrier);
		if (!nth)
			tp_store_relaxed(&decay.due, 0u);
		pthread_barrier_wait(&barrier);
		tp_add_relaxed(&begun_by, (uint32_t)decay_begin_due());
		pthread_barrier_wait(&barrier);
		/* However late the last one was done, as if this were no sooner after it. */
		tp_store_relaxed(&decay.apart_ms, 0u);
		pthread_barrier_wait(&barrier);
		while (decay_some())
			sched_yield();
	}
	return NULL;
}

Test(decay, a_tick_is_begun_once_and_done_once_on_each_cpu_however_many_are_at_it)
{
	pthread_t thread[THREADS];

	pin(0);
	decay_start(DECAY_OTHERS, 1u << 30);
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (uintptr_t i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, notice_and_age, (void *)i), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(begun_by, ROUNDS);
	cr_assert_eq(decay.ticks, ROUNDS);
	for (unsigned i = 0; i <= DECAY_OTHERS; i++)
		cr_assert_eq(decay_aged[i].ticks, ROUNDS, "CPU %u was aged by %u", i,
			decay_aged[i].ticks);
}

/* ---- who and by how much ---- */

Test(decay, idle_cpus_are_aged_by_any_caller_a_few_at_a_time_and_in_the_end_all)
{
	unsigned before = 0;
	bool more;

	decay_start(DECAY_OTHERS, UINT_MAX);
	cr_assert_not(decay_some(), "no tick has begun");
	cr_assert_eq(decay_others_aged() + decay_aged[0].pieces, 0);
	decay_begin(false);
	do {
		more = decay_some();
		cr_assert_leq(decay_others_aged() - before, DECAY_PIECE);
		cr_assert(!more || decay_others_aged() > before, "a piece of nothing");
		before = decay_others_aged();
	} while (more);
	for (unsigned i = 0; i <= DECAY_OTHERS; i++)
		cr_assert(decay_aged[i].ticks == 1 && !decay_owed(i), "CPU %u: %u ticks", i,
			decay_aged[i].ticks);
	cr_assert_eq(decay_cpus.fences, tp_cpu_rseq ? DECAY_OTHERS : 0);
}

Test(decay, the_turn_of_each_cpu_comes_where_one_piece_is_done_in_a_tick)
{
	decay_start(DECAY_OTHERS, UINT_MAX);
	for (unsigned tick = 0; tick < DECAY_OTHERS / DECAY_PIECE + 1; tick++) {
		decay_begin(false);
		decay_some();
	}
	for (unsigned i = 0; i <= DECAY_OTHERS; i++)
		cr_assert_gt(decay_aged[i].pieces, 0, "CPU %u was passed by", i);
}

Test(decay, the_own_cpu_ages_by_one_tick_whatever_was_missed_and_without_a_fence)
{
	decay_start(0, UINT_MAX);
	for (unsigned missed = 0; missed < 5; missed++)
		decay_begin(false);
	for (unsigned calls = 0; calls < 2; calls++) {
		cr_assert_not(decay_some());
		cr_assert_eq(decay_aged[0].ticks, 1, "what is not in use shows at the next tick");
		cr_assert_eq(decay_owed(0), 0);
	}
	cr_assert_eq(decay_cpus.fences, 0);
}

Test(decay, a_cpu_hard_at_work_is_left_to_itself_and_stopped_by_the_next_tick)
{
	decay_start(1, UINT_MAX);
	decay_work(1, DECAY_BUSILY);
	decay_begin(false);
	cr_assert_not(decay_some(), "what is left to another is nothing to wait for");
	if (!tp_cpu_rseq) {
		cr_assert_eq(decay_aged[1].ticks, 1, "a lock costs it nothing");
		return;
	}
	cr_assert(!decay_aged[1].pieces && !decay_cpus.fences && decay_owed(1) == 1);
	cr_assert_not(decay_some());
	cr_assert_eq(decay_aged[1].pieces, 0, "looked at again within one tick");
	decay_work(1, DECAY_BUSILY);
	decay_begin(false);
	cr_assert_not(decay_some());
	cr_assert_eq(decay_aged[1].ticks, 1, "what it uses must not go for a tick that it missed");
	cr_assert(decay_owed(1) == 0 && decay_cpus.fences == 1);
}

Test(decay, an_empty_cpu_is_not_stopped_and_owes_nothing_afterwards)
{
	decay_start(1, UINT_MAX);
	decay_hold(1, 0, 0);
	for (unsigned tick = 0; tick < 3; tick++) {
		decay_begin(false);
		cr_assert_not(decay_some());
		cr_assert(!decay_aged[1].pieces && !decay_cpus.fences && !decay_owed(1));
	}
	decay_hold(1, 1, 0);
	decay_begin(false);
	decay_some();
	cr_assert_eq(decay_aged[1].ticks, 1, "the only one since it was filled");
	decay_hold(1, 0, 1);
	decay_begin(false);
	decay_some();
	cr_assert_eq(decay_aged[1].pieces, 2, "room is something as well: ticks halve it");
}

Test(decay, a_cpu_without_a_slab_owes_nothing_nor_does_it_for_ticks_before_it_gets_one)
{
	decay_start_with(1, 1, UINT_MAX);
	tp_decay_turn(&decay);
	cr_assert(!tp_decay_owes(&decay, decay_cpu(1)));
	tp_decay_begin(&decay, TP_TICK_PIECES);
	for (unsigned tick = 0; tick < 2; tick++)
		decay_begin(false);
	cr_assert(!tp_decay_owes(&decay, decay_cpu(1)));
	decay_some();
	decay_fill(1);
	decay_join(1);
	decay.swept = decay.ticks << 32; /* as if the last of them went on */
	cr_assert_not(decay_some());
	cr_assert_eq(decay_aged[1].pieces, 0);
	decay_begin(false);
	cr_assert_not(decay_some());
	cr_assert_eq(decay_aged[1].ticks, 1);
}

static unsigned afters;

static void after(void)
{
	for (unsigned i = 0; i <= DECAY_OTHERS; i++)
		cr_assert(!tp_cpu_is_stopped(decay_cpu(i)) && !decay_cpu(i)->lock);
	afters++;
	cr_assert_eq(afters, decay_others_aged() + decay_aged[0].pieces);
}

Test(decay, what_is_to_follow_follows_when_the_cpu_has_its_slab_again)
{
	decay_start(DECAY_OTHERS, UINT_MAX);
	decay_after = after;
	decay_begin(false);
	decay_rest();
	decay_begin(true);
	decay_all();
	cr_assert_eq(afters, 2 * (DECAY_OTHERS + 1));
}

Test(decay, cpus_out_of_reach_do_not_hold_up_the_others)
{
	decay_start(DECAY_OTHERS, UINT_MAX);
	for (unsigned i = 2; i <= DECAY_OTHERS; i += 2)
		decay_cpu(i)->closed = 1;
	decay_begin(false);
	decay_rest();
	for (unsigned i = 0; i <= DECAY_OTHERS; i++)
		cr_assert_eq(decay_aged[i].pieces, i == 0 || i % 2);
	if (!tp_cpu_rseq)
		return;
	/* And where the system lets us stop none of them: 128 is membarrier's fence (cpu.c). */
	if (syscall_refuse(SYS_membarrier, UINT32_MAX, 128, EPERM) ||
		syscall_refuse(SYS_sched_setaffinity, 0, 0, EPERM))
		skip("the system takes no filter");
	decay_begin(false);
	decay_rest();
	cr_assert_eq(decay_aged[0].ticks, 2, "the own one needs no fence");
	cr_assert_eq(decay_others_aged(), DECAY_OTHERS / 2);
}

/* ---- between two ticks ---- */

Test(decay, a_tick_that_is_about_to_begin_is_owed_everywhere_but_in_the_child_of_a_fork)
{
	decay_start(1, UINT_MAX);
	cr_assert(!tp_decay_owes(&decay, decay_cpu(0)) && !tp_decay_owes_here(&decay));
	tp_decay_turn(&decay);
	cr_assert(tp_decay_owes(&decay, decay_cpu(0)) && tp_decay_owes_here(&decay));
	cr_assert(tp_decay_owes(&decay, decay_cpu(1)));
	tp_decay_begin(&decay, TP_TICK_PIECES);
	cr_assert(tp_decay_owes(&decay, decay_cpu(0)) && tp_decay_owes(&decay, decay_cpu(1)));
	cr_assert_not(decay_some());
	cr_assert(!tp_decay_owes(&decay, decay_cpu(0)) && !tp_decay_owes(&decay, decay_cpu(1)));
	/* The thread that was about to begin it is not there. */
	tp_decay_turn(&decay);
	tp_decay_forked(&decay);
	cr_assert_not(tp_decay_owes_here(&decay));
}

Test(decay, the_last_tick_is_past_after_so_many_milliseconds_but_for_one_that_is_about_to_begin)
{
	decay_start(0, UINT_MAX);
	decay_begin(false);
	cr_assert_not(tp_decay_is_past(&decay, 1u << 20));
	decay.begun_ms -= 1u << 20;
	cr_assert(tp_decay_is_past(&decay, 1u << 20));
	tp_decay_turn(&decay);
	cr_assert_not(tp_decay_is_past(&decay, 1u << 20));
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
	decay_start(0, UINT_MAX);
	tp_decay_kept(&decay);
	cr_assert_eq(wakes, 1, "it may sleep, and knows nothing of what was made since");
	tp_decay_kept(&decay);
	cr_assert_eq(wakes, 1, "now it knows, and will look");
	tp_decay_unwatch(&decay);
	tp_decay_kept(&decay);
	tp_decay_kept(&decay);
	cr_assert_eq(wakes, 2);
	tp_decay_unwatch(&decay);
	tp_decay_due(&decay, true);
	tp_decay_kept(&decay);
	cr_assert_eq(wakes, 2, "it saw that something was there and need not be woken");
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
		tp_decay_kept(&decay);
		both_arrive(2 * i + 2, 0);
	}
	return unused;
}

Test(decay, of_a_keeper_and_a_reaper_that_looks_at_once_one_sees_the_other)
{
	unsigned seen = 0, woken = 0;
	pthread_t keeper;

	pin(0);
	decay_start(0, UINT_MAX);
	tp_decay_due(&decay, true);
	cr_assert_eq(pthread_create(&keeper, NULL, keep_in_meetings, NULL), 0);
	for (unsigned i = 0; i < MEETINGS; i++) {
		bool saw;

		wakes = 0;
		both_arrive(2 * i + 1, i / 16 % 16);
		tp_decay_unwatch(&decay);
		saw = tp_load_relaxed(&meeting.kept) == i + 1;
		both_arrive(2 * i + 2, 0);
		cr_assert(saw || wakes == 1, "meeting %u: neither saw the other", i);
		tp_decay_due(&decay, true);
		seen += saw;
		woken += wakes;
	}
	pthread_join(keeper, NULL);
	cr_log_info("%u looks of %u saw what was kept, %u were woken", seen, MEETINGS, woken);
}
