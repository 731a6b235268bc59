/* SPDX-License-Identifier: MIT */
/*
 * What a tick does to idle items; and who does it where, in what pieces: with CPUs of the fixture's
 * own making. Last, a pool on real CPUs. When a tick is due: test_decay.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#include "cpus.h"
#include "idle/idle.h"
#include "idle_fixture.h"
#include "mappings.h"
#include "pool_checks.h"
#include "syscall_filter.h"

#define OTHERS 12
#define STOPS 4  /* of other CPUs, in one call (age.c) */
#define LOOKS 16 /* at other CPUs */
#define EACH 3   /* items placed on each CPU */

static struct idle_fixture f; /* one a process, and each test is one */

static void begin(void)
{
	tp_idle_tick_begin(&f.tiers);
}

static void maintain(void)
{
	tp_idle_maintain(&f.tiers);
}

/* As slow calls do it: pieces, until nothing is due. */
static void maintain_all(void)
{
	for (unsigned calls = 0; tp_idle_is_due(&f.tiers); calls++) {
		cr_assert_lt(calls, 1000, "it comes to no end");
		maintain();
	}
}

/* Both ways of a tick, to its end. */
static void tick_asked_for(void)
{
	tp_idle_tick(&f.tiers);
}

static void tick_by_slow_calls(void)
{
	begin();
	maintain_all();
}

static void (*const ticks[])(void) = {tick_asked_for, tick_by_slow_calls};
static void (*tick)(void) = tick_asked_for;

#define WAYS 2

static void layer_new(bool cache)
{
	pin(0);
	if (cache)
		idle_new_cache(&f);
	else
		idle_new(&f, PLENTY, NULL, MANY, 1024, 2048);
}

/* ---- what a tick does ---- */

Test(age, what_lay_untouched_through_two_ticks_is_freed_from_stacks_and_depots)
{
	for (unsigned n = 0; n < 2 * WAYS; n++) {
		tick = ticks[n % WAYS];
		layer_new(n / WAYS);
		idle_keep_new(&f, 0, 70);
		cr_assert_gt(idle_depot_count(&f, 0), 0);
		cr_assert_gt(idle_depth(&f, idle_own_cpu(&f), 0), 0);
		tick();
		cr_assert_eq(idle_released(&f), 0, "one tick takes nothing");
		idle_assert_leases(&f);
		tick();
		cr_assert_eq(idle_released(&f), 70);
		cr_assert_eq(f.why, TP_DROP_DECAY);
		idle_assert_leases(&f);
		cr_assert_eq(tp_tiers_count(&f.tiers, 0), 0);
		idle_end(&f);
	}
}

/* As if so many ticks had passed in which nothing was looked at: a CPU that was empty owes them. */
static void pass(uint64_t many)
{
	f.tiers.decay.ticks += many;
	f.tiers.decay.announced += many;
}

Test(age, a_cpu_decays_after_any_number_of_ticks)
{
	static const uint64_t numbers[] = {UINT64_C(1) << 30, UINT64_C(1) << 31, UINT64_C(3) << 30,
		UINT64_C(1) << 32, UINT64_C(1) << 48};

	for (unsigned n = 0; n < 4 * sizeof numbers / sizeof *numbers; n++) {
		tick = ticks[n % WAYS];
		layer_new(n / WAYS % 2);
		/* The CPU has its slab, and has taken part in the first ticks. */
		idle_keep_new(&f, 0, 10);
		tick();
		tick();
		cr_assert_eq(idle_released(&f), 10);
		/* Its next ticks are before, at and after the number. */
		pass(numbers[n / 4] - f.tiers.decay.ticks - 3);
		for (unsigned round = 0; round < 4; round++) {
			idle_keep_new(&f, 0, 10);
			tick();
			tick();
			tick();
			cr_assert_eq(idle_released(&f), 10, "round %u up to tick %llu", round,
				(unsigned long long)f.tiers.decay.ticks);
		}
		idle_end(&f);
	}
}

Test(age, what_is_touched_between_ticks_stays)
{
	for (unsigned cache = 0; cache < 2; cache++) {
		tierpool_buf *b;
		size_t gone = 0;

		layer_new(cache);
		b = idle_keep_new(&f, 0, 40);
		for (unsigned n = 0; n < 10; n++) {
			tierpool_buf *used[10];

			for (unsigned i = 0; i < 10; i++)
				used[i] = idle_take(&f, 0);
			for (unsigned i = 0; i < 10; i++)
				cr_assert_eq(idle_keep(&f, used[i]), TP_KEPT);
			tick();
			gone += idle_released(&f);
			idle_assert_leases(&f);
		}
		cr_assert_eq(gone, 30, "the thirty that lay below the working set");
		cr_assert(idle_all(&f, b + 30, 10, true), "the working set of a stack is its top");
		idle_end(&f);
	}
}

Test(age, a_depot_keeps_what_came_since_the_last_tick)
{
	tierpool_buf *older, *newer;

	idle_new(&f, PLENTY, NULL, DEPOT_ONLY, 1024);
	older = idle_keep_new(&f, 0, 1);
	tick();
	newer = idle_keep_new(&f, 0, 2);
	tick();
	cr_assert_eq(idle_released(&f), 1);
	cr_assert(idle_all(&f, older, 1, false) && idle_all(&f, newer, 2, true));
	tick();
	cr_assert_eq(idle_released(&f), 2);
	idle_assert_leases(&f);
	idle_end(&f);
}

/* Leaves a half in the depot and an empty stack with room. Returns: how many. */
static unsigned only_depot_filled(bool cache)
{
	unsigned slots = cache ? TP_AGES_SLOTS : IDLE_SLOTS, flushed = (slots + 1) / 2;

	layer_new(cache);
	idle_keep_new(&f, 0, slots + 1);
	for (unsigned i = 0; i < slots + 1 - flushed; i++)
		cr_assert_not_null(idle_take(&f, 0));
	cr_assert_eq(idle_depot_count(&f, 0), flushed);
	return flushed;
}

Test(age, an_item_keeps_its_age_on_the_way_from_depot_to_stack)
{
	for (unsigned i = 0; i < 4; i++) {
		unsigned n = only_depot_filled(i % 2), old = i / 2;

		if (old)
			tick();
		cr_assert_not_null(idle_take(&f, 0));
		cr_assert_eq(idle_depth(&f, idle_own_cpu(&f), 0), n - 1, "which nobody has used");
		tick();
		cr_assert_eq(idle_released(&f), old ? n - 1 : 0);
		tick();
		cr_assert_eq(idle_released(&f), old ? 0 : n - 1);
		idle_end(&f);
	}
}

Test(age, an_item_keeps_its_age_on_the_way_from_stack_to_depot)
{
	for (unsigned cache = 0; cache < 2; cache++) {
		unsigned slots = cache ? TP_AGES_SLOTS : IDLE_SLOTS, young = 5;

		layer_new(cache);
		idle_keep_new(&f, 0, slots - young);
		tick();
		idle_keep_new(&f, 0, young);
		cr_assert_eq(idle_depot_count(&f, 0), 0);
		idle_keep_new(&f, 0, 1);
		cr_assert_gt(idle_depot_count(&f, 0), young, "old ones and all of the young ones");
		tick();
		cr_assert_eq(idle_released(&f), slots - young);
		tick();
		cr_assert_eq(idle_released(&f), young + 1);
		idle_end(&f);
	}
}

Test(age, items_for_which_no_stack_has_a_place_keep_their_age_in_the_depot)
{
	layer_new(false);
	idle_depot_new(&f, 0, TP_YOUNG, 9);
	tick();
	map_fails = (struct failing){1, false}; /* for slabs */
	cr_assert_not_null(idle_take(&f, 0));
	cr_assert_eq(idle_depot_count(&f, 0), 8);
	tick();
	cr_assert_eq(idle_released(&f), 8);
	idle_end(&f);
}

Test(age, a_tick_halves_unused_room)
{
	unsigned cpu_id;

	layer_new(false);
	idle_keep_new(&f, 0, 30);
	for (unsigned i = 0; i < 30; i++)
		idle_take(&f, 0);
	cpu_id = idle_own_cpu(&f);
	for (unsigned room = 32; room; room /= 2) {
		cr_assert_eq(idle_room(&f, cpu_id, 0), room);
		cr_assert_eq(f.tiers.retain.leased, room * f.tiers.tier[0].cost);
		tick();
	}
	cr_assert_eq(f.tiers.retain.leased, 0);
	idle_end(&f);
}

Test(age, what_moves_from_an_aged_depot_to_a_cpu_that_owes_is_not_aged_twice)
{
	for (unsigned cache = 0; cache < 2; cache++) {
		unsigned n = only_depot_filled(cache);

		begin();
		cr_assert_not_null(idle_take(&f, 0));
		maintain_all();
		cr_assert_eq(idle_released(&f), 0, "aged in the depot, and on the CPU");
		tick();
		cr_assert_eq(idle_released(&f), n - 1);
		idle_end(&f);
	}
}

static void *begin_in_thread(void *unused)
{
	begin();
	return unused;
}

/* The thread that begins the tick has aged the first depot, and waits for the second one's lock. */
Test(age, all_cpus_owe_a_tick_before_the_first_depot_is_aged)
{
	struct tp_depot *depot;
	pthread_t thread;
	bool aged = false;

	only_depot_filled(false);
	tp_lock_take(&f.tiers.tier[1].depot.lock);
	cr_assert_eq(pthread_create(&thread, NULL, begin_in_thread, NULL), 0);
	for (depot = &f.tiers.tier[0].depot; !aged; sched_yield()) {
		tp_lock_take(&depot->lock);
		aged = depot->old;
		tp_lock_give(&depot->lock);
	}
	cr_assert_not_null(idle_take(&f, 0));
	tp_lock_give(&f.tiers.tier[1].depot.lock);
	pthread_join(thread, NULL);
	maintain_all();
	cr_assert_eq(idle_released(&f), 0, "what came from the depot was aged twice");
	idle_end(&f);
}

/* ---- who does it, and where ---- */

static void others_new(unsigned others, unsigned each)
{
	idle_new(&f, PLENTY, NULL, MANY, 1024, 2048, 4096, 8191, 8192);
	idle_others(&f, others);
	for (unsigned i = 1; i <= others && each; i++)
		idle_place(&f, i, 0, each);
}

static unsigned others_done(unsigned others)
{
	unsigned done = 0;

	for (unsigned i = 1; i <= others; i++)
		done += !idle_owed(&f, i);
	return done;
}

/* In locked mode there are none. */
static void expect_fences(unsigned fences)
{
	cr_assert_eq(f.tiers.cpus.fences, tp_cpu_rseq ? fences : 0, "%lu fences",
		(unsigned long)f.tiers.cpus.fences);
}

Test(age, each_call_does_its_own_cpu_and_a_few_others_and_in_the_end_all_are_done)
{
	unsigned before = 0;

	others_new(OTHERS, EACH);
	idle_keep_new(&f, 0, EACH);
	cr_assert_not(tp_idle_is_due(&f.tiers), "no tick has begun");
	begin();
	for (unsigned calls = 0; tp_idle_is_due(&f.tiers); calls++) {
		maintain();
		cr_assert_eq(idle_owed(&f, 0), 0);
		cr_assert_leq(others_done(OTHERS) - before, STOPS);
		before = others_done(OTHERS);
		cr_assert_leq(calls, OTHERS);
	}
	cr_assert_eq(before, OTHERS);
	expect_fences(OTHERS);
	cr_assert_eq(idle_released(&f), 0);
	tick_by_slow_calls();
	cr_assert_eq(idle_released(&f), EACH * (OTHERS + 1));
	idle_end(&f);
}

Test(age, each_call_looks_at_a_few_empty_cpus_and_stops_none)
{
	others_new(IDLE_OTHERS, 0);
	begin();
	maintain();
	cr_assert_eq(others_done(IDLE_OTHERS), LOOKS);
	maintain_all();
	cr_assert_eq(others_done(IDLE_OTHERS), IDLE_OTHERS);
	expect_fences(0);
	idle_end(&f);
}

Test(age, each_cpu_has_its_turn_though_there_is_one_call_in_each_period)
{
	others_new(OTHERS, EACH);
	for (unsigned n = 0; n < OTHERS / STOPS + 1; n++) {
		begin();
		maintain();
	}
	for (unsigned i = 1; i <= OTHERS; i++)
		cr_assert_gt(f.tiers.decay.per_cpu[f.own + i].aged, 0, "%u was passed by", i);
	idle_end(&f);
}

Test(age, one_call_at_a_time_works_for_others_and_the_rest_do_their_own_cpu)
{
	others_new(1, EACH);
	idle_keep_new(&f, 0, EACH);
	f.tiers.decay.maintaining = 1;
	for (unsigned n = 0; n < 2; n++) {
		begin();
		maintain();
		cr_assert(idle_owed(&f, 0) == 0 && idle_owed(&f, 1) == n + 1);
	}
	cr_assert_eq(idle_released(&f), 0, "nor does it free anything");
	cr_assert_eq(idle_depot_count(&f, 0), EACH);
	f.tiers.decay.maintaining = 0;
	maintain();
	cr_assert_eq(idle_owed(&f, 1), 0);
	cr_assert_eq(idle_released(&f), EACH);
	idle_end(&f);
}

Test(age, a_cpu_that_missed_ticks_does_one_step_for_all_of_them)
{
	for (unsigned way = 0; way < WAYS; way++) {
		tick = ticks[way];
		others_new(1, EACH);
		idle_keep_new(&f, 0, EACH);
		for (unsigned missed = 0; missed < 5; missed++)
			tp_decay_begin(&f.tiers.decay, true);
		tick();
		cr_assert(idle_owed(&f, 0) == 0 && idle_owed(&f, 1) == 0);
		cr_assert_eq(idle_released(&f), 0, "what is not in use shows at the next tick");
		tick();
		cr_assert_eq(idle_released(&f), 2 * EACH);
		idle_end(&f);
	}
}

Test(age, a_cpu_hard_at_work_is_left_to_itself_and_stopped_by_the_next_tick)
{
	for (unsigned way = 0; way < WAYS; way++) {
		tick = ticks[way];
		others_new(2, EACH);
		for (unsigned n = 0; n < 2; n++) {
			idle_work(&f, 1, IDLE_BUSILY);
			idle_work(&f, 2, 10);
			tick();
			cr_assert_eq(
				idle_owed(&f, 1), tp_cpu_rseq && !n, "a lock costs it nothing");
			cr_assert_eq(idle_owed(&f, 2), 0);
		}
		expect_fences(1 + 2);
		cr_assert_eq(idle_released(&f), tp_cpu_rseq ? EACH : 2 * EACH);
		cr_assert(!tp_cpu_rseq || idle_all(&f, f.buffer, EACH, true),
			"what it uses must not go for a tick that it missed");
		idle_end(&f);
	}
}

Test(age, cpus_out_of_reach_do_not_hold_up_the_others)
{
	for (unsigned way = 0; way < WAYS; way++) {
		tick = ticks[way];
		others_new(OTHERS, EACH);
		for (unsigned i = 2; i <= OTHERS; i += 2)
			idle_cpu(&f, i)->closed = 1;
		tick();
		for (unsigned i = 1; i <= OTHERS; i++) {
			cr_assert_eq(idle_owed(&f, i), i % 2 == 0);
			idle_cpu(&f, i)->closed = 0;
		}
		idle_end(&f);
	}
	if (!tp_cpu_rseq)
		return;
	/* The same if the system lets us stop none of them: 128 is membarrier's fence (cpu.c). */
	others_new(OTHERS, EACH);
	idle_keep_new(&f, 0, EACH);
	if (syscall_refuse(SYS_membarrier, UINT32_MAX, 128, EPERM) ||
		syscall_refuse(SYS_sched_setaffinity, 0, 0, EPERM))
		skip("the system takes no filter");
	for (unsigned way = 0; way < WAYS; way++)
		ticks[way]();
	cr_assert_eq(idle_released(&f), EACH, "the own one needs no fence");
	cr_assert_eq(others_done(OTHERS), 0);
}

Test(age, a_slow_call_does_not_wait_for_a_cpu_that_another_call_has_stopped)
{
	others_new(2, EACH);
	cr_assert(tp_spinlock_try(&idle_cpu(&f, 1)->lock));
	tick_by_slow_calls();
	cr_assert(idle_owed(&f, 1) == 1 && idle_owed(&f, 2) == 0);
	tp_spinlock_unlock(&idle_cpu(&f, 1)->lock);
	tick_by_slow_calls();
	cr_assert_eq(idle_owed(&f, 1), 0);
	idle_end(&f);
}

Test(age, a_tick_that_is_asked_for_does_all_at_once_and_puts_off_the_next)
{
	struct tp_released released;

	others_new(OTHERS, EACH);
	f.tiers.decay.ms = 1u << 20;
	for (unsigned n = 0; n < 2; n++) {
		f.tiers.decay.begun_ms -= f.tiers.decay.ms;
		cr_assert(tp_idle_is_due(&f.tiers));
		released = tp_idle_tick(&f.tiers);
		cr_assert_not(tp_decay_is_due(&f.tiers.decay));
		cr_assert_eq(others_done(OTHERS), OTHERS);
		cr_assert_eq(released.count, n * OTHERS * EACH);
		cr_assert_eq(released.bytes, released.count * f.tiers.tier[0].cost);
		cr_assert_eq(idle_released(&f), released.count);
	}
	idle_end(&f);
}

Test(age, all_of_a_cpu_expires_however_much_it_is)
{
	for (unsigned way = 0; way < WAYS; way++) {
		tick = ticks[way];
		others_new(1, 0);
		for (unsigned tier = 0; tier < f.tiers.count; tier++)
			idle_place(&f, 1, tier, IDLE_SLOTS);
		tick();
		tick();
		cr_assert_eq(idle_released(&f), 5 * IDLE_SLOTS);
		idle_assert_leases(&f);
		idle_end(&f);
	}
}

/* ---- what a call frees ---- */

Test(age, each_call_frees_a_few_items_and_bytes_of_larger_tiers_first_until_all_are_gone)
{
	static const struct {
		unsigned expired[3], freed[4]; /* of 1 KiB, 256 KiB, 4 MiB; by each call */
	} cases[] = {{{0, 0, 0}, {0}}, {{256, 0, 0}, {256}}, {{600, 0, 0}, {256, 256, 88}},
		{{0, 16, 0}, {7, 7, 2}}, {{0, 0, 3}, {1, 1, 1}}, {{10, 0, 1}, {1, 10}},
		{{262, 1, 1}, {1, 256, 7}}};

	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		idle_new(&f, PLENTY, NULL, MANY, 1024, 256 * KIB, 4 * MIB);
		for (unsigned n = 0; n < 2; n++)
			tp_decay_begin(&f.tiers.decay, false);
		for (unsigned tier = 0; tier < 3; tier++)
			idle_depot_new(&f, tier, TP_EXPIRED, cases[i].expired[tier]);
		f.tiers.expired = 1;
		for (unsigned call = 0; call < 4; call++) {
			maintain();
			cr_assert_eq(f.released, cases[i].freed[call], "case %u, call %u: %u", i,
				call, f.released);
			idle_released(&f);
		}
		maintain_all();
		idle_assert_leases(&f);
		idle_end(&f);
	}
}

/* ---- threads ---- */

#define THREADS 3
#define ROUNDS 300

static pthread_barrier_t barrier;

/* In each round a tick is due, and all threads notice. Then each does pieces until it is done. */
static void *notice_and_maintain(void *nth)
{
	pin((unsigned)(uintptr_t)nth);
	for (unsigned round = 0; round < ROUNDS; round++) {
		if (!nth)
			f.tiers.decay.begun_ms -= f.tiers.decay.ms;
		for (unsigned i = 1; !nth && round % 2 == 0 && i <= OTHERS; i++) {
			f.made = (i - 1) * EACH;
			idle_place(&f, i, 0, EACH);
		}
		pthread_barrier_wait(&barrier);
		while (tp_idle_is_due(&f.tiers)) {
			maintain();
			sched_yield();
		}
		pthread_barrier_wait(&barrier);
		if (nth)
			continue;
		cr_assert_eq(f.tiers.decay.ticks, round + 1);
		cr_assert_eq(others_done(OTHERS), OTHERS);
		cr_assert_eq(idle_released(&f), round % 2 ? OTHERS * EACH : 0);
		idle_unlease(&f);
	}
	return NULL;
}

Test(age, a_tick_is_begun_once_and_done_once_on_each_cpu_however_many_are_at_it)
{
	pthread_t thread[THREADS];

	pin(0);
	others_new(OTHERS, 0);
	f.threads = true;
	f.tiers.decay.ms = 1u << 30;
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (uintptr_t i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, notice_and_maintain, (void *)i), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	idle_end(&f);
}

/* ---- a pool, on real CPUs ---- */

#define IDLE 8u

/* One buffer, again and again, so that all the others lie untouched. */
static void work_on_first_cpu(tierpool *pool)
{
	pin(0);
	for (unsigned i = 0; i < IDLE_BUSILY; i++)
		cycle(pool, 1024, 1);
}

Test(age, a_cpu_at_work_is_not_fenced_by_ticks_and_ages_itself_as_its_countdowns_expire)
{
	static struct counting_backing counting;
	struct tierpool_stats s;
	tierpool *pool;

	if (!pin(1))
		skip("needs two CPUs");
	pin(0);
	counting_backing_init(&counting);
	pool = pool_on(&counting, .min_size = 1024, .max_size = 4096);
	if (!tp_cpu_rseq)
		skip("in locked mode there are no fences");
	cycle(pool, 1024, IDLE);
	for (unsigned n = 0; n < 2; n++) {
		work_on_first_cpu(pool);
		pin(1);
		tierpool_tick(pool);
		cr_assert_eq(stats_of(pool).drops_decay, 0, "a tick reached a CPU at work");
		work_on_first_cpu(pool);
	}
	s = at_rest(pool);
	cr_assert_eq(s.fences, 0);
	cr_assert_eq(s.drops_decay, IDLE - 1, "all but the one in use have aged");
	cr_assert_eq(s.idle, 1);
	pool_end(pool, &counting);
}
