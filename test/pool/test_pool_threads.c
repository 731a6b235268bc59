/* SPDX-License-Identifier: MIT */
/*
 * The pool through its public interface, in several threads: puts against a destroy, forks,
 * signals.
 */
#include "child.h"
#include "pool_checks.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "pool/pool.h"

static struct counting_backing counting; /* one a process, and each test is one */

/* ---- get here, put there ---- */

#define HANDED 64
#define HANDOVERS 200

static tierpool_buf *handed[HANDED];
static pthread_barrier_t meeting;

static void *put_theirs(void *unused)
{
	for (unsigned i = 0; i < HANDOVERS; i++) {
		pthread_barrier_wait(&meeting);
		for (unsigned n = 0; n < HANDED; n++)
			tierpool_put(handed[n]);
		pthread_barrier_wait(&meeting);
	}
	return unused;
}

Test(pool, get_in_one_thread_and_put_in_another)
{
	unsigned twice = 0, above = 0;
	pthread_t thread;
	tierpool *pool;

	counting_backing_init(&counting);
	pool = pool_on(&counting, .retain = MIB);
	pthread_barrier_init(&meeting, NULL, 2);
	pthread_create(&thread, NULL, put_theirs, NULL);
	for (unsigned i = 0; i < HANDOVERS; i++) {
		for (unsigned n = 0; n < HANDED; n++) {
			handed[n] = tierpool_get_sized(pool, (size_t)64 << n % 10);
			memset(handed[n]->data, (int)n, handed[n]->len = handed[n]->cap);
		}
		for (unsigned n = 0; n < HANDED; n++)
			twice += handed[n]->data[0] != (char)n ||
				 handed[n]->data[handed[n]->cap - 1] != (char)n;
		pthread_barrier_wait(&meeting);
		pthread_barrier_wait(&meeting);
		above += stats_of(pool).idle_bytes > MIB;
	}
	pthread_join(thread, NULL);
	cr_assert_eq(twice, 0, "a buffer was given twice");
	cr_assert_eq(above, 0, "more was kept than may be");
	pool_end(pool, &counting);
}

/* ---- destroy against puts, ticks and statistics ---- */

#define PUTTERS 3
#define EACH 4
#define DESTROYS 3000

static struct {
	tierpool *pool;
	tierpool_buf *b[PUTTERS][EACH];
	pthread_barrier_t start, end;
	unsigned faults;
} fight;

static void *put_against_destroy(void *argument)
{
	tierpool_buf **mine = argument;

	for (unsigned i = 0; i < DESTROYS; i++) {
		struct tierpool_stats s = {.size = sizeof s};
		int error;

		pthread_barrier_wait(&fight.start);
		for (unsigned n = 0; n < EACH; n++) {
			if (tierpool_buf_reserve(mine[n], 100 * n))
				tp_add_relaxed(&fight.faults, 1u);
			tierpool_put(mine[n]);
			switch ((i + n) % 3) {
			case 0:
				tierpool_tick(n & 1 ? fight.pool : NULL);
				break;
			case 1:
				error = tierpool_stats_read(fight.pool, &s);
				if (error && error != -ENOENT)
					tp_add_relaxed(&fight.faults, 1u);
				break;
			default:
				tierpool_trim(fight.pool, 0);
			}
		}
		pthread_barrier_wait(&fight.end);
	}
	return NULL;
}

Test(lifecycle, destroy_while_others_put_tick_trim_and_read_frees_everything_once)
{
	pthread_t thread[PUTTERS];

	counting_backing_init(&counting);
	pthread_barrier_init(&fight.start, NULL, PUTTERS + 1);
	pthread_barrier_init(&fight.end, NULL, PUTTERS + 1);
	for (unsigned i = 0; i < PUTTERS; i++)
		pthread_create(&thread[i], NULL, put_against_destroy, fight.b[i]);
	for (unsigned i = 0; i < DESTROYS; i++) {
		size_t out;

		tp_store_relaxed(&counting.yields, i % 2);
		fight.pool = pool_on(&counting, .max_size = 4096);
		for (unsigned n = 0; n < PUTTERS * EACH; n++)
			fight.b[n / EACH][n % EACH] =
				tierpool_get_sized(fight.pool, (size_t)64 << n % 8);
		pthread_barrier_wait(&fight.start);
		for (unsigned spin = 0; spin < i % 64; spin++)
			sched_yield();
		out = tierpool_destroy(fight.pool);
		pthread_barrier_wait(&fight.end);
		if (out > PUTTERS * EACH || counting_backing_blocks(&counting))
			tp_add_relaxed(&fight.faults, 1u);
	}
	for (unsigned i = 0; i < PUTTERS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(fight.faults, 0);
}

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

	while (!tp_load_relaxed(&crew->stop)) {
		tierpool *pool = crew->pool[next_random(&random) % 2];
		size_t size = (size_t)64 << next_random(&random) % 11;
		tierpool_buf *b = tierpool_get_sized(pool, size);
		char mark = (char)next_random(&random);
		size_t cap;

		if (!b || tierpool_buf_reserve(b, next_random(&random) % (2 * size))) {
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

/* ---- fork ---- */

#define FORKS 100
#define BUDGET (2 * MIB)
#define FEW 3 /* as max_idle: none of it goes to stacks, so that the depots are busy */

static int child_use(tierpool *pool, size_t least)
{
	struct tierpool_stats s = {.size = sizeof s};
	tierpool_buf *b[40];

	tierpool_trim(NULL, 0);
	if (tierpool_stats_read(pool, &s) || s.idle || s.idle_bytes)
		return 1;
	for (unsigned i = 0; i < 40; i++)
		if (!(b[i] = tierpool_get_sized(pool, 64 * KIB)) ||
			tierpool_buf_append(b[i], "child", 5))
			return 2;
	for (unsigned i = 0; i < 40; i++)
		tierpool_put(b[i]);
	/* What the parent's other threads had leased is free for the child. */
	if (tierpool_stats_read(pool, &s) || s.idle_bytes > BUDGET || s.idle_bytes < least)
		return 3;
	if (tierpool_tick(pool), tierpool_tick(pool) != s.idle_bytes)
		return 4;
	if (tierpool_stats_read(pool, &s) || s.idle || s.idle_bytes)
		return 5;
	/* What the other threads held counts as borrowed for good. */
	if (s.gets - s.puts != s.borrowed || s.allocs - s.frees != s.borrowed)
		return 6;
	return 0;
}

/* What was idle at the fork is gone after two ticks, wherever it lay. */
static int child_decay(tierpool *pool)
{
	struct tierpool_stats s = {.size = sizeof s};

	tierpool_tick(pool);
	tierpool_tick(pool);
	return tierpool_stats_read(pool, &s) || s.idle || s.idle_bytes ? 8 : 0;
}

/* The status of a child that used both pools; every other one lets them decay first. */
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
	 * A child that finds it taken waits for ever: LLVM took it over a fork in 2023 only (PR
	 * 75290).
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

Test(lifecycle, a_child_forked_amid_calls_uses_every_pool)
{
	counting_backing_init(&counting);
	fork_under_load(true);
	cr_assert_eq(counting_backing_blocks(&counting), 0);
}

Test(lifecycle, a_child_forked_amid_calls_uses_every_pool_of_the_default_backing)
{
	fork_under_load(false);
}

/* One of the library's locks, and a thread that is inside of it while another one forks. */
struct inside {
	tierpool *pool;
	unsigned which;
	pthread_barrier_t entered;
};

#define LOCKS 5

static void *stay_inside(void *argument)
{
	struct inside *in = argument;
	pthread_mutex_t *mutex[] = {
		&in->pool->heads.lock, &in->pool->sites.lock, &in->pool->tiers.tier[0].depot.lock};

	if (in->which == 0)
		tp_tiers_lock(&in->pool->tiers);
	else if (in->which == 1)
		tp_registry_fork(TP_FORK_PREPARE);
	else
		pthread_mutex_lock(mutex[in->which - 2]);
	pthread_barrier_wait(&in->entered);
	usleep(20000); /* for the fork to come in between, if it does not wait */
	if (in->which == 0)
		tp_tiers_unlock(&in->pool->tiers);
	else if (in->which == 1)
		tp_registry_fork(TP_FORK_PARENT);
	else
		pthread_mutex_unlock(mutex[in->which - 2]);
	return NULL;
}

static int child_borrow(tierpool *pool)
{
	tierpool_buf *b;

	alarm(10); /* a lock that the fork left taken is waited for in vain */
	b = tierpool_get_sized(pool, KIB);
	if (!b || tierpool_buf_append(b, "child", 5))
		return 1;
	tierpool_put(b);
	tierpool_tick(NULL);
	return tierpool_trim(pool, 0) < KIB;
}

Test(lifecycle, a_fork_waits_for_whoever_is_inside_of_a_lock)
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

/* ---- signals ---- */

static volatile sig_atomic_t strikes;

static void on_signal(int number)
{
	(void)number;
	strikes++;
}

Test(pool, a_storm_of_signals_does_no_harm)
{
	const struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
	struct sigaction action = {.sa_handler = on_signal};
	struct crew crew = {0};
	pthread_t thread[THREADS];

	counting_backing_init(&counting);
	for (unsigned i = 0; i < 2; i++)
		crew.pool[i] = pool_on(&counting, .retain = MIB);
	sigaction(SIGALRM, &action, NULL);
	crew_start(&crew, thread);
	setitimer(ITIMER_REAL, &often, NULL);
	while (strikes < 2000)
		cycle(crew.pool[0], KIB, 10);
	setitimer(ITIMER_REAL, &never, NULL);
	crew_end(&crew, thread);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_leq(at_rest(crew.pool[i]).idle_bytes, MIB);
		cr_assert_eq(tierpool_destroy(crew.pool[i]), 0);
	}
	cr_assert_eq(counting_backing_blocks(&counting), 0);
}
