/* SPDX-License-Identifier: MIT */
/*
 * Ticks by themselves: when one is due, and who ages which CPU by how much. In what pieces:
 * test_decay_pieces.c. How soon a CPU looks at the clock, and whom the reaper hears:
 * test_decay_looks.c.
 */
#include <errno.h>
#include <pthread.h>

#include "base/clock.h"
#include "decay_fixture.h"
#include "process/registry.h"
#include "step_through.h"

#define THREADS 3

/* ---- when ---- */

Test(decay, a_tick_is_due_when_the_clock_has_come_to_it_and_again_a_period_later)
{
	enum { MS = 21, TICKS = 3 }; /* an odd number, that no timer interrupt falls in with */
	uint64_t before = tp_clock_ms();

	start(0, MS);
	cr_assert(decay.due >= before + MS && decay.due <= tp_clock_ms() + MS);
	for (unsigned tick = 1; tick <= TICKS;) {
		uint64_t due = decay.due, after;
		bool begun;

		before = tp_clock_ms();
		begun = begin_due();
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
	start(0, UINT_MAX);
	cr_assert_eq(decay.due, TP_DUE_NEVER);
	cr_assert_not(begin_due());
	begin(false);
	begin(true);
	tp_decay_all(&decay, &ager);
	cr_assert_eq(decay.ticks, 2, "but whoever asks for one gets it");
	cr_assert_eq(decay.due, TP_DUE_NEVER);
}

static pthread_barrier_t barrier;
static uint32_t begun_by;

#define ROUNDS 300

/*
 * In each round a tick is due, and all notice. Afterwards each does pieces of it until it is done.
 */
static void *notice_and_age(void *nth)
{
	pin((unsigned)(uintptr_t)nth);
	for (unsigned round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&barrier);
		if (!nth)
			tp_store_relaxed(&decay.due, 0u);
		pthread_barrier_wait(&barrier);
		tp_add_relaxed(&begun_by, (uint32_t)begin_due());
		pthread_barrier_wait(&barrier);
		/* However late the last one was done, as if this were no sooner after it. */
		tp_store_relaxed(&decay.apart_ms, 0u);
		pthread_barrier_wait(&barrier);
		while (some())
			sched_yield();
	}
	return NULL;
}

Test(decay, a_tick_is_begun_once_and_done_once_on_each_cpu_however_many_are_at_it)
{
	pthread_t thread[THREADS];

	start(OTHERS, 1u << 30);
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (uintptr_t i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, notice_and_age, (void *)i), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(begun_by, ROUNDS);
	cr_assert_eq(decay.ticks, ROUNDS);
	for (unsigned i = 0; i <= OTHERS; i++)
		cr_assert_eq(aged[i].ticks, ROUNDS, "CPU %u was aged by %u", i, aged[i].ticks);
}

/* ---- who and by how much ---- */

Test(decay, the_own_cpu_ages_by_one_tick_whatever_was_missed)
{
	start(0, UINT_MAX);
	cr_assert_not(some(), "no tick has begun");
	cr_assert_eq(aged[0].pieces, 0);
	for (unsigned missed = 0; missed < 5; missed++)
		begin(false);
	cr_assert_not(some());
	cr_assert_eq(aged[0].ticks, 1, "it is in use, and what is not shows at the next tick");
	cr_assert_eq(owed(0), 0);
	cr_assert_not(some());
	cr_assert_eq(aged[0].ticks, 1);
	cr_assert_eq(cpus.fences, 0);
}

Test(decay, one_that_lay_idle_through_several_owes_the_two_that_there_are_to_owe)
{
	start(1, UINT_MAX);
	begin(false);
	cr_assert_not(some());
	cr_assert_eq(aged[1].ticks, 1);
	for (unsigned missed = 0; missed < 5; missed++)
		begin(false);
	cr_assert_not(some());
	cr_assert_eq(aged[1].ticks, 1 + 2, "nothing moved there since it was aged");
}

Test(decay, one_hard_at_work_is_left_to_itself_and_stopped_by_the_next_tick)
{
	start(1, UINT_MAX);
	work(1, BUSILY);
	begin(false);
	cr_assert_not(some(), "what is left to another is nothing to wait for");
	if (!tp_cpu_rseq) {
		cr_assert_eq(aged[1].ticks, 1, "a lock costs it nothing");
		return;
	}
	cr_assert(!aged[1].pieces && !cpus.fences && owed(1) == 1);
	cr_assert_not(some());
	cr_assert_eq(aged[1].pieces, 0, "looked at again within one tick");
	work(1, BUSILY);
	begin(false);
	cr_assert_not(some());
	cr_assert_eq(aged[1].ticks, 1, "what it uses must not go for a tick that it missed");
	cr_assert(owed(1) == 0 && cpus.fences == 1);
}

Test(decay, one_that_fell_quiet_owes_what_was_left_to_it)
{
	start(2, UINT_MAX);
	if (!tp_cpu_rseq)
		skip("in locked mode nothing is left to those at work");
	work(1, BUSILY);
	work(2, BUSILY);
	begin(false);
	some();
	work(2, 1);
	begin(false);
	some();
	cr_assert_eq(aged[1].ticks, 2);
	cr_assert_eq(aged[2].ticks, 1, "it put a buffer meanwhile, which is to live");
	cr_assert(!owed(1) && !owed(2));
}

Test(decay, one_to_which_something_came_by_a_slow_put_owes_one_tick_only)
{
	start(1, UINT_MAX);
	begin(false);
	some();
	hold(1, 2, 0);
	begin(false);
	begin(false);
	some();
	cr_assert_eq(
		aged[1].ticks, 1 + 1, "what came was not pushed, and is to live as if it were");
}

/* As if the ticks came that far apart, and the last was done everywhere so long ago. */
static void ticks_apart(uint32_t apart_ms, uint32_t done_ms)
{
	decay.apart_ms = apart_ms;
	for (unsigned i = 0; i <= OTHERS; i++)
		state_of(i)->aged_ms = (uint32_t)tp_clock_ms() - done_ms;
}

Test(decay, whoever_was_late_with_a_tick_is_spared_by_the_next_unless_it_was_asked_for)
{
	start(OTHERS, UINT_MAX);
	begin(true);
	tp_decay_all(&decay, &ager);
	begin(false);
	ticks_apart(1u << 20, 1000);
	while (some())
		;
	for (unsigned i = 0; i <= OTHERS; i++)
		cr_assert(aged[i].ticks == 1 && !owed(i), "CPU %u: %u ticks", i, aged[i].ticks);
	begin(true);
	ticks_apart(1u << 20, 1000);
	tp_decay_all(&decay, &ager);
	for (unsigned i = 0; i <= OTHERS; i++)
		cr_assert_eq(aged[i].ticks, 2, "whoever asks means all that is there");
	begin(false);
	ticks_apart(1u << 20, 1u << 19);
	while (some())
		;
	for (unsigned i = 0; i <= OTHERS; i++)
		cr_assert_eq(aged[i].ticks, 3, "that was long ago");
}

Test(decay, a_tick_that_is_about_to_begin_is_owed_everywhere)
{
	start(1, UINT_MAX);
	cr_assert(!tp_decay_owes(&decay, cpu_of(0)) && !tp_decay_owes_here(&decay));
	tp_decay_turn(&decay);
	cr_assert(tp_decay_owes(&decay, cpu_of(0)) && tp_decay_owes_here(&decay));
	cr_assert(tp_decay_owes(&decay, cpu_of(1)));
	tp_decay_begin(&decay, TP_TICK_PIECES);
	cr_assert(tp_decay_owes(&decay, cpu_of(0)) && tp_decay_owes(&decay, cpu_of(1)));
	cr_assert_not(some());
	cr_assert(!tp_decay_owes(&decay, cpu_of(0)) && !tp_decay_owes(&decay, cpu_of(1)));
}

Test(decay, in_the_child_of_a_fork_no_tick_is_about_to_begin)
{
	start(0, UINT_MAX);
	tp_decay_turn(&decay);
	tp_decay_forked(&decay);
	cr_assert_not(tp_decay_owes_here(&decay));
}

Test(decay, a_cpu_without_a_slab_owes_nothing)
{
	start_with(1, 1, UINT_MAX);
	begin(false);
	cr_assert(tp_decay_owes(&decay, cpu_of(0)) && !tp_decay_owes(&decay, cpu_of(1)));
	tp_decay_turn(&decay);
	cr_assert(tp_decay_owes(&decay, cpu_of(0)) && !tp_decay_owes(&decay, cpu_of(1)));
}

Test(decay, the_last_tick_is_past_after_so_many_milliseconds_but_for_one_that_is_about_to_begin)
{
	start(0, UINT_MAX);
	begin(false);
	cr_assert_not(tp_decay_is_past(&decay, 1u << 20));
	decay.begun_ms -= 1u << 20;
	cr_assert(tp_decay_is_past(&decay, 1u << 20));
	tp_decay_turn(&decay);
	cr_assert_not(tp_decay_is_past(&decay, 1u << 20));
}

/* ---- what comes in between ---- */

static unsigned one_step;
static void (*happen)(void); /* on the other CPU, as long as it is not stopped */
static bool happened, happened_before;

static void happen_at_one_step(unsigned step)
{
	struct tp_cpu *cpu = cpu_of(1);

	if (step != one_step || tp_cpu_is_stopped(cpu) || (!tp_cpu_rseq && cpu->lock))
		return;
	happen();
	happened = true;
}

static bool age_stepped(void *context, struct tp_cpu *cpu, uint16_t *progress, unsigned ticks)
{
	happened_before = happened;
	return age(context, cpu, progress, ticks);
}

static void some_stepped(void)
{
	tp_decay_some(&decay, &(struct tp_ager){.age = age_stepped, .context = &decay});
}

/* Two ticks have begun since something moved there; at one step of doing them something happens. */
static void some_with_one_step_more(void)
{
	one_step++;
	aged[1].ticks = 0;
	happened = happened_before = false;
	decay.ticks += 2;
	state_of(0)->aged = (uint32_t)decay.ticks;
	state_of(1)->uses_at_tick = tp_decay_moves(&decay, own + 1);
	decay.swept = decay.ticks << 32 | (own + 1);
	decay.first_cpu = 0;
	step_through(some_stepped, happen_at_one_step);
}

static void move(void)
{
	work(1, 1);
}

Test(decay, one_that_moves_before_it_is_stopped_owes_one_tick_only)
{
	unsigned too_late = 0;

	start(1, UINT_MAX);
	happen = move;
	/* Once it is too late for one step, it is for all that follow. */
	for (; too_late < 5; too_late += !happened_before) {
		some_with_one_step_more();
		cr_assert_eq(aged[1].ticks, happened_before ? 1 : 2, "moved at step %u: %u ticks",
			one_step, aged[1].ticks);
	}
	cr_assert_gt(one_step, 10);
}

static void age_by_another(void)
{
	state_of(1)->aged = (uint32_t)decay.ticks;
}

Test(decay, one_that_another_caller_has_aged_meanwhile_is_not_aged_again)
{
	unsigned too_late = 0;

	start(1, UINT_MAX);
	happen = age_by_another;
	for (; too_late<5; too_late += aged[1].ticks> 0) {
		some_with_one_step_more();
		cr_assert(aged[1].ticks == 0 || !happened_before, "at step %u", one_step);
	}
	cr_assert_gt(one_step, 10);
}

Test(decay, an_empty_cpu_is_not_stopped_and_owes_nothing_afterwards)
{
	start(1, UINT_MAX);
	hold(1, 0, 0);
	for (unsigned tick = 0; tick < 3; tick++) {
		begin(false);
		cr_assert_not(some());
		cr_assert(!aged[1].pieces && !cpus.fences && !owed(1));
	}
	hold(1, 1, 0);
	begin(false);
	some();
	cr_assert_eq(aged[1].ticks, 1, "the only one since it was filled");
	hold(1, 0, 1);
	begin(false);
	some();
	cr_assert_eq(aged[1].pieces, 2, "room is something as well: ticks halve it");
}

Test(decay, a_cpu_that_gets_its_slab_late_owes_nothing_of_earlier_ticks)
{
	start_with(1, 1, UINT_MAX);
	for (unsigned tick = 0; tick < 3; tick++)
		begin(false);
	some();
	fill(1);
	join(1);
	decay.swept = decay.ticks << 32; /* as if the last of them went on */
	cr_assert_not(some());
	cr_assert_eq(aged[1].pieces, 0);
	begin(false);
	cr_assert_not(some());
	cr_assert_eq(aged[1].ticks, 1);
}
