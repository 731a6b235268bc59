/* SPDX-License-Identifier: MIT */
/*
 * A child that is forked while other threads are inside of calls: it can use every pool at once,
 * and what the other threads held is lost to it and never given twice.
 */
#include "pool_checks.h"

#include <pthread.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "child.h"
#include "pool/pool.h"

static struct counting_backing counting; /* each test is a process with one of its own */

/* ---- threads that do everything ---- */

#define THREADS 4

struct crew {
	tierpool *pool[2];
	bool stop;
	unsigned faults;
};

static void *do_everything(void *argument)
{
	struct crew *crew = argument;
	uint64_t random = (uintptr_t)&random | 1;
	struct tierpool_stats s = {.size = sizeof s};

	while (!tp_load_relaxed(&crew->stop)) {
		tierpool *pool = crew->pool[next_random(&random) % 2];
		size_t size = (size_t)64 << next_random(&random) % 11;
		tierpool_buf *b = tierpool_get_sized(pool, size);
		char mark = (char)next_random(&random);
		size_t cap;

		/* Growths, which move the words of the stacks and count as neither. */
		if (!b || tierpool_buf_reserve(b, next_random(&random) % (2 * size)) ||
			tierpool_buf_reserve(b, next_random(&random) % (4 * size))) {
			tp_add_relaxed(&crew->faults, 1u);
			continue;
		}
		cap = b->cap;
		b->data[0] = b->data[cap - 1] = mark;
		if (next_random(&random) % 32 == 0)
			sched_yield();
		if (b->cap != cap || b->data[0] != mark || b->data[cap - 1] != mark)
			tp_add_relaxed(&crew->faults, 1u);
		tierpool_put(b);
		/* What was reported holds in the child too: no counter goes back. */
		if (next_random(&random) % 64 == 0 && tierpool_stats_read(pool, &s))
			tp_add_relaxed(&crew->faults, 1u);
		if (next_random(&random) % 128 == 0)
			tierpool_tick(pool);
		if (next_random(&random) % 512 == 0)
			tierpool_trim(pool, next_random(&random) % MIB);
	}
	return NULL;
}

static void crew_start(struct crew *crew, pthread_t *thread)
{
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, do_everything, crew);
}

static void crew_end(struct crew *crew, pthread_t *thread)
{
	tp_store_relaxed(&crew->stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(crew->faults, 0);
}

/* ---- forks ---- */

#define FORKS 60
#define BUDGET (2 * MIB)
#define CHILD_TIERS 19
#define FEW 3 /* as max_idle: all of it goes to the depots, so that these are busy */

static int child_use(tierpool *pool, size_t least)
{
	struct tierpool_tier_stats before[CHILD_TIERS], after[CHILD_TIERS];
	struct tierpool_stats s = {.size = sizeof s}, first = s;
	unsigned tier = tp_sizeclass_of(&pool->sizes, 64 * KIB);
	tierpool_buf *b[40];

	tierpool_trim(NULL, 0);
	if (tierpool_stats_read(pool, &first) || first.idle || first.idle_bytes)
		return 1;
	/* As exact as ever, from the first reading on. */
	if (first.gets - first.puts != first.borrowed ||
		first.allocs - first.frees != first.borrowed)
		return 9;
	tierpool_stats_tiers(pool, before, CHILD_TIERS, sizeof *before);
	for (unsigned i = 0; i < 40; i++)
		if (!(b[i] = tierpool_get_sized(pool, 64 * KIB)) ||
			tierpool_buf_append(b[i], "child", 5))
			return 2;
	for (unsigned i = 0; i < 40; i++)
		if (tierpool_buf_reserve(b[i], 65 * KIB))
			return 10;
	for (unsigned i = 0; i < 40; i++)
		tierpool_put(b[i]);
	if (tierpool_stats_read(pool, &s) || s.gets != first.gets + 40 ||
		s.puts != first.puts + 40 || s.grows != first.grows + 40)
		return 11;
	tierpool_stats_tiers(pool, after, CHILD_TIERS, sizeof *after);
	if (after[tier].gets != before[tier].gets + 40 || after[tier].grows != before[tier].grows ||
		after[tier + 1].puts != before[tier + 1].puts + 40 ||
		after[tier + 1].grows != before[tier + 1].grows + 40)
		return 12;
	/* What other threads of the parent had leased is free for the child. */
	if (tierpool_stats_read(pool, &s) || s.idle_bytes > BUDGET || s.idle_bytes < least)
		return 3;
	tierpool_tick(pool);
	if (tierpool_tick(pool) + tierpool_tick(pool) != s.idle_bytes)
		return 4;
	if (tierpool_stats_read(pool, &s) || s.idle || s.idle_bytes)
		return 5;
	/* What the other threads held counts as borrowed for ever. */
	if (s.gets - s.puts != s.borrowed || s.allocs - s.frees != s.borrowed)
		return 6;
	return 0;
}

/* What was idle at the fork is gone by the third tick, in every layer and on CPUs that were busy. */
static int child_decay(tierpool *pool)
{
	struct tierpool_stats s = {.size = sizeof s};

	for (unsigned i = 0; i < 3; i++)
		tierpool_tick(pool);
	return tierpool_stats_read(pool, &s) || s.idle || s.idle_bytes ? 8 : 0;
}

/* The status of a child that used both pools; decay: it lets them decay first. */
static int fork_and_use(struct crew *crew, bool decay)
{
	int status = 0;
	pid_t child = fork();

	if (child < 0)
		return -1;
	if (!child) {
		alarm(30);
		for (unsigned i = 0; i < 2 && decay && !status; i++)
			status = child_decay(crew->pool[i]);
		for (unsigned i = 0; i < 2 && !status; i++)
			status = child_use(crew->pool[i], i ? FEW * 64 * KIB : BUDGET - 70 * KIB);
		if (!status && tierpool_trim(NULL, 0))
			status = 7;
		_exit(status);
	}
	return waitpid(child, &status, 0) == child ? status : -1;
}

static void fork_under_load(bool counted)
{
	struct crew crew = {0};
	pthread_t thread[THREADS];
	tierpool_budget *budget;
	int status[FORKS];

	/*
	 * LLVM hands the lock over since 2023 only (PR 75290); without that a child waits for ever.
	 */
	if (SANITIZED)
		skip("the sanitizer's malloc leaves its lock taken in a fork's child");
	cr_assert_eq(tierpool_budget_create(&budget, BUDGET), 0);
	for (unsigned i = 0; i < 2; i++)
		crew.pool[i] =
			counted ? pool_on(&counting, .budget = budget, .max_idle = i ? FEW : 0)
				: pool_new(.budget = budget, .max_idle = i ? FEW : 0);
	tierpool_budget_destroy(budget);
	crew_start(&crew, thread);
	for (unsigned i = 0; i < FORKS; i++)
		status[i] = fork_and_use(&crew, i % 2);
	crew_end(&crew, thread);
	for (unsigned i = 0; i < FORKS; i++)
		cr_assert_eq(status[i], 0, "child %u: exit %d, signal %d", i,
			WEXITSTATUS(status[i]), WTERMSIG(status[i]));
	for (unsigned i = 0; i < 2; i++) {
		at_rest(crew.pool[i]);
		cr_assert_eq(tierpool_destroy(crew.pool[i]), 0);
	}
}

Test(fork, a_child_forked_during_calls_uses_every_pool)
{
	counting_backing_init(&counting);
	counting.yields = true; /* so that slow calls have something in their hands */
	fork_under_load(true);
	cr_assert_eq(counting_backing_blocks(&counting), 0);
}

Test(fork, a_child_forked_during_calls_uses_every_pool_of_the_default_backing)
{
	fork_under_load(false);
}

/* ---- what another thread had half done ---- */

#define PERIOD (1u << 24) /* milliseconds: a period that does not end here */

enum half {
	EXCHANGE_COUNTED,
	EXCHANGE_POPPED,
	EXCHANGE_PUSH_COUNTED,
	ARMED,
	MOVED,
	MAINTAINING,
	HALVES,
};

/* Does, or undoes, half of what a call does, as if another thread were in the middle of it. */
static void half_do(tierpool *pool, enum half half, bool undo)
{
	unsigned tier = tp_sizeclass_of(&pool->sizes, KIB);
	unsigned stack_index = pool->tiers.stack_index[tier];
	struct tp_stack_counters *counters =
		tp_stack_counters(&pool->tiers.cpus, tp_cpu_current(pool->tiers.cpus.count), tier);
	static void *popped;
	bool expired;

	if (half == EXCHANGE_COUNTED)
		counters->owner[TP_EXCHANGE_POPS] += undo ? (uint64_t)-1 : 1;
	if ((half == EXCHANGE_POPPED || half == EXCHANGE_PUSH_COUNTED) && !undo) {
		counters->owner[TP_EXCHANGE_POPS]++;
		cr_assert(popped = tp_stack_pop(&pool->tiers.cpus, stack_index, &expired));
	}
	if (half == EXCHANGE_PUSH_COUNTED ? !undo : half == EXCHANGE_POPPED && undo)
		counters->owner[TP_EXCHANGE_PUSHES]++;
	if ((half == EXCHANGE_POPPED || half == EXCHANGE_PUSH_COUNTED) && undo)
		cr_assert(tp_stack_push(&pool->tiers.cpus, stack_index, popped));
	/* The word has five pops more to go, or two pointers left it, and no counter says so yet. */
	if (half == ARMED)
		counters->armed += undo ? 5 : (uint64_t)-5;
	if (half == MOVED)
		counters->moved_out += undo ? 2 : (uint64_t)-2;
	if (half == MAINTAINING)
		pool->tiers.decay.maintaining = !undo;
}

#define TIERS 32

static struct tierpool_tier_stats tiers_reported[TIERS];

/* No counter of a tier is below what was reported of it. */
static bool child_tiers_go_on(tierpool *pool)
{
	struct tierpool_tier_stats t[TIERS];
	int count = tierpool_stats_tiers(pool, t, TIERS, sizeof *t);

	for (int tier = 0; tier < count; tier++)
		if (t[tier].gets < tiers_reported[tier].gets ||
			t[tier].puts < tiers_reported[tier].puts ||
			t[tier].allocs - t[tier].frees != t[tier].borrowed + t[tier].idle)
			return false;
	return count > 0 && count < TIERS;
}

static bool child_growths_count(tierpool *pool)
{
	struct tierpool_tier_stats before[TIERS], after[TIERS];
	unsigned tier = tp_sizeclass_of(&pool->sizes, 2 * KIB);

	tierpool_stats_tiers(pool, before, TIERS, sizeof *before);
	for (unsigned i = 0; i < 5; i++) {
		tierpool_buf *b = (tierpool_get_sized)(pool, KIB);

		if (tierpool_buf_reserve(b, 2 * KIB))
			return false;
		tierpool_put(b);
	}
	tierpool_stats_tiers(pool, after, TIERS, sizeof *after);
	return after[tier].grows == before[tier].grows + 5 &&
	       after[tier].grows_pooled == before[tier].grows_pooled + 4;
}

/* The child's counters go on from what was reported, exactly; and slow calls do its ticks. */
static int child_goes_on(tierpool *pool, const struct tierpool_stats *reported)
{
	struct tierpool_stats s = {.size = sizeof s}, later = s;

	if (!child_tiers_go_on(pool))
		return 4;

	if (tierpool_stats_read(pool, &s) || s.gets < reported->gets || s.puts < reported->puts ||
		s.allocs - s.frees != s.borrowed + s.idle)
		return 1;
	tierpool_put((tierpool_get_sized)(pool, KIB));
	if (tierpool_stats_read(pool, &later) || later.gets != s.gets + 1 ||
		later.puts != s.puts + 1 || later.hits != s.hits + 1)
		return 2;
	for (unsigned tick = 0; tick < 2; tick++) {
		pool->tiers.decay.begun_ms = tp_clock_ms() - PERIOD;
		tierpool_put((tierpool_get_sized)(pool, 32 * MIB));
	}
	if (tierpool_stats_read(pool, &later) || later.idle || later.drops_decay != s.idle)
		return 3;
	return child_growths_count(pool) ? 0 : 5;
}

Test(fork, what_another_thread_had_half_done_and_half_counted_is_exact_in_the_child)
{
	stay_on_this_cpu();
	for (enum half half = 0; half < HALVES; half++) {
		tierpool *pool = pool_new(.decay_ms = PERIOD);
		struct tierpool_stats reported;
		pid_t child;
		int status;

		cycle(pool, KIB, 3);
		reported = at_rest(pool);
		cr_assert_gt(
			tierpool_stats_tiers(pool, tiers_reported, TIERS, sizeof *tiers_reported),
			0);
		half_do(pool, half, false);
		child = fork();
		if (!child)
			_exit(child_goes_on(pool, &reported));
		status = child_await(child);
		cr_assert_eq(status, 0, "half %u: exit %d, signal %d", half, WEXITSTATUS(status),
			WTERMSIG(status));
		half_do(pool, half, true);
		at_rest(pool);
		cr_assert_eq(tierpool_destroy(pool), 0);
	}
}

/* ---- locks ---- */

/* One of the library's locks, and a thread that holds it while another thread forks. */
struct inside {
	tierpool *pool;
	unsigned which;
	pthread_barrier_t entered;
};

#define LOCKS 5

static void lock_set(struct inside *in, bool taken)
{
	if (in->which == 1) {
		tp_registry_fork(taken ? TP_FORK_PREPARE : TP_FORK_PARENT);
	} else if (in->which == 0) {
		(taken ? tp_tiers_lock : tp_tiers_unlock)(&in->pool->tiers);
	} else {
		struct tp_lock *lock[] = {&in->pool->heads.lock, &in->pool->sites.lock,
			&in->pool->tiers.tier[0].depot.lock};

		(taken ? tp_lock_take : tp_lock_give)(lock[in->which - 2]);
	}
}

static void *stay_inside(void *argument)
{
	struct inside *in = argument;

	lock_set(in, true);
	pthread_barrier_wait(&in->entered);
	usleep(20000); /* time for a fork that does not wait */
	lock_set(in, false);
	return NULL;
}

static int child_borrow(tierpool *pool)
{
	tierpool_buf *b;

	alarm(10); /* a lock that the fork left taken never becomes free */
	b = tierpool_get_sized(pool, KIB);
	if (!b || tierpool_buf_append(b, "child", 5))
		return 1;
	tierpool_put(b);
	tierpool_tick(NULL);
	return tierpool_trim(pool, 0) < KIB;
}

/* A program that starts the reaper, forks workers, and makes pools only there. */
Test(fork, before_the_first_pool_it_waits_for_what_the_reaper_s_walk_holds)
{
	struct inside in = {.which = 1};
	pthread_t thread;
	pid_t child;

	cr_assert_eq(tierpool_reaper_start(), 0);
	pthread_barrier_init(&in.entered, NULL, 2);
	pthread_create(&thread, NULL, stay_inside, &in);
	pthread_barrier_wait(&in.entered);
	child = fork();
	if (!child) {
		alarm(10); /* as in child_borrow */
		_exit(child_borrow(pool_new(.name = "first")));
	}
	pthread_join(thread, NULL);
	cr_assert_eq(child_await(child), 0);
	tierpool_reaper_stop();
}

Test(fork, it_waits_for_a_thread_that_holds_a_lock_of_the_library)
{
	for (unsigned which = 0; which < LOCKS; which++) {
		struct inside in = {.which = which};
		pthread_t thread;
		pid_t child;
		int status;

		in.pool = pool_new(.name = "inside");
		cycle(in.pool, KIB, 1);
		pthread_barrier_init(&in.entered, NULL, 2);
		pthread_create(&thread, NULL, stay_inside, &in);
		pthread_barrier_wait(&in.entered);
		child = fork();
		if (!child)
			_exit(child_borrow(in.pool));
		pthread_join(thread, NULL);
		status = child_await(child);
		cr_assert_eq(status, 0, "lock %u: exit %d, signal %d", which, WEXITSTATUS(status),
			WTERMSIG(status));
		tierpool_destroy(in.pool);
	}
}
