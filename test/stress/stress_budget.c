/* SPDX-License-Identifier: MIT */
/*
 * A budget of 4 MiB that two pools share, for argv[1] seconds.
 *
 * Take-overs: 8 threads borrow and return buffers of all sizes, more than the budget can keep, from
 * one pool, then from the other one, now and then from both. Never are more bytes kept than the
 * budget allows, by the statistics of the two and by a backing that counts for itself; and a pool
 * whose neighbour has fallen quiet gets nine tenths of the budget. How long that took is printed; it
 * is a finding only if it takes argv[2] seconds, or 20.
 *
 * Cycles: a neighbour that has fallen quiet had the whole budget; 16 threads get and put 1 MiB
 * each. They miss no more often than the budget makes them (stress_replay.h).
 *
 * Exit status 1 and a line that says why when one of them is broken. test/controls.sh builds this
 * with faults in the library and requires that.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <tierpool.h>

#include "base/compiler.h"
#include "counting_backing.h"
#include "stress_finding.h"
#include "stress_replay.h"
#include "stress_threads.h"

#define BUDGET ((size_t)4 << 20)

static struct counting_backing counting;
static struct tierpool_backing calls;
static uint64_t deadline_ms = 20000; /* after which a take-over that has not come is a finding */

static uint64_t now_ms(void)
{
	return now_us() / 1000;
}

static tierpool *pool_new(tierpool_budget *budget)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	tierpool *pool;

	options.budget = budget;
	options.backing = &calls;
	options.decay_ms = UINT_MAX; /* so that what goes, goes for the neighbour's sake */
	if (tierpool_create(&pool, &options)) {
		fprintf(stderr, "stress_budget: no pool\n");
		exit(2);
	}
	return pool;
}

static struct tierpool_stats stats_of(tierpool *pool)
{
	struct tierpool_stats s = {.size = sizeof s};

	if (tierpool_stats_read(pool, &s))
		broke("tierpool_stats_read failed");
	return s;
}

/* ---- take-overs ---- */

#define THREADS 8
#define HELD 64               /* by each: more than the budget in all */
#define DOUBLINGS 12          /* sizes up to 64 << 11, 128 KiB */
#define BOTH 2                /* of the turns: whose that of both pools is, */
#define BOTH_ROUNDS 20        /* and how long it is */
#define TAKE_OVERS_LEAST 4    /* however short the time */
#define TAKE_OVERS_MOST 10000 /* that are written down */

static struct {
	tierpool *pool[2];
	pthread_barrier_t barrier;
	/* Whose turn it is: turn % 3 is the pool, or 2 for both. Changed while all others wait. */
	unsigned turn;
	unsigned rounds; /* of this turn */
	uint64_t began_ms, until_ms;
	bool last_round;
	/* Bytes that threads may have borrowed: raised before, lowered after it is so. */
	uint64_t raised, lowered;
	unsigned take_overs;
	uint64_t took_ms[TAKE_OVERS_MOST];
	uint64_t readings; /* of the watcher, that told something */
} take;

static unsigned busy_in(unsigned turn)
{
	return turn % 3;
}

static tierpool_buf *borrow(tierpool *pool, uint64_t *random)
{
	size_t most = (size_t)64 << next_random(random) % DOUBLINGS;
	size_t n = most / 2 + next_random(random) % (most / 2) + 1;
	tierpool_buf *b;

	/* It may be given one of the next tier. */
	tp_add_relaxed(&take.raised, 2 * most);
	b = tierpool_get_sized(pool, n);
	if (!b)
		broke("get: %s", strerror(errno));
	else if (b->cap < n || b->cap > 2 * most)
		broke("%zu bytes asked for, and %zu given", n, b->cap);
	tp_add_relaxed(&take.lowered, 2 * most - (b ? b->cap : 0));
	return b;
}

static void give_back(tierpool_buf *b)
{
	size_t cap = b ? b->cap : 0;

	tierpool_put(b);
	tp_add_relaxed(&take.lowered, cap);
}

/* All is back, and all others wait. */
static void check_at_rest(void)
{
	struct tierpool_stats s[2] = {stats_of(take.pool[0]), stats_of(take.pool[1])};
	size_t live = counting_backing_live(&counting), idle = s[0].idle_bytes + s[1].idle_bytes;
	size_t headers = (s[0].idle + s[1].idle) * sizeof(tierpool_buf);
	size_t tables =
		counting_backing_tables(take.pool[0]) + counting_backing_tables(take.pool[1]);

	if (idle > BUDGET)
		broke("%zu bytes idle, %zu and %zu", idle, s[0].idle_bytes, s[1].idle_bytes);
	if (live + headers != idle + tables || s[0].borrowed || s[1].borrowed)
		broke("%zu bytes live, but %zu idle, %zu of it headers, and %zu of tables", live,
			idle, headers, tables);
}

static void turn_next(void)
{
	take.rounds = 0;
	take.began_ms = now_ms();
	tp_store_release(&take.turn, take.turn + 1);
}

/* Whether the pool whose turn it is has what it should get. */
static void judge_turn(void)
{
	unsigned busy = busy_in(take.turn);
	uint64_t took_ms = now_ms() - take.began_ms;
	size_t idle;

	take.rounds++;
	if (busy == BOTH) {
		if (take.rounds == BOTH_ROUNDS)
			turn_next();
		return;
	}
	idle = stats_of(take.pool[busy]).idle_bytes;
	if (idle >= BUDGET / 10 * 9) {
		if (take.take_overs < TAKE_OVERS_MOST)
			take.took_ms[take.take_overs++] = took_ms;
		turn_next();
	} else if (took_ms > deadline_ms) {
		broke("take-over %u: %zu bytes idle after %lu ms, its quiet neighbour has %zu",
			take.take_overs, idle, (unsigned long)took_ms,
			stats_of(take.pool[!busy]).idle_bytes);
	}
}

static void *borrower(void *argument)
{
	uint64_t me = (uintptr_t)argument, random = me * UINT64_C(0x9e3779b97f4a7c15);

	while (!take.last_round) {
		unsigned busy = busy_in(tp_load_relaxed(&take.turn));
		tierpool *pool = take.pool[busy == BOTH ? me % 2 : busy];
		tierpool_buf *held[HELD];

		for (unsigned i = 0; i < HELD; i++)
			held[i] = borrow(pool, &random);
		for (unsigned i = 0; i < HELD; i++)
			give_back(held[i]);
		/* One of the threads looks while all others wait at the second barrier. */
		int mine = pthread_barrier_wait(&take.barrier);

		if (mine == PTHREAD_BARRIER_SERIAL_THREAD) {
			check_at_rest();
			judge_turn();
			take.last_round =
				tp_load_relaxed(&stop) ||
				(now_ms() >= take.until_ms && take.take_overs >= TAKE_OVERS_LEAST);
		}
		pthread_barrier_wait(&take.barrier);
	}
	return NULL;
}

/*
 * By the statistics. What the quiet pool has idle does not grow: read after that of the busy one it
 * is no more than it was at that moment, and the two together are what was idle then, or less. So
 * only readings of one and the same turn count, and none while both are busy.
 */
static void watch_statistics(void)
{
	unsigned turn = tp_load_acquire(&take.turn), busy = busy_in(turn);
	size_t used, quiet;

	if (busy == BOTH)
		return;
	used = stats_of(take.pool[busy]).idle_bytes;
	quiet = stats_of(take.pool[!busy]).idle_bytes;
	if (tp_load_acquire(&take.turn) != turn)
		return;
	take.readings++;
	if (used + quiet > BUDGET)
		broke("%zu bytes idle, %zu in use and %zu quiet", used + quiet, used, quiet);
}

/* By the backing: more than what may have been borrowed at that moment is kept, or tables. */
static void watch_backing(void)
{
	uint64_t lowered = tp_load_acquire(&take.lowered), held;
	size_t live, tables = 0, before[2];

	for (unsigned i = 0; i < 2; i++)
		before[i] = counting_backing_tables(take.pool[i]);
	live = counting_backing_live(&counting);
	for (unsigned i = 0; i < 2; i++)
		tables += tp_max(before[i], counting_backing_tables(take.pool[i]));
	held = tp_load_acquire(&take.raised) - lowered;
	if (live > BUDGET + tables + held)
		broke("%zu bytes live; the budget %zu, tables %zu, borrowed %lu", live, BUDGET,
			tables, (unsigned long)held);
}

static void *watcher(void *unused)
{
	while (!tp_load_relaxed(&stop)) {
		for (unsigned i = 0; i < 10; i++)
			watch_statistics();
		watch_backing();
		sched_yield();
	}
	return unused;
}

static void take_overs(uint64_t ms)
{
	pthread_t threads[THREADS], watching;
	tierpool_budget *budget;

	if (tierpool_budget_create(&budget, BUDGET))
		exit(2);
	for (unsigned i = 0; i < 2; i++)
		take.pool[i] = pool_new(budget);
	tierpool_budget_destroy(budget);
	take.began_ms = now_ms();
	take.until_ms = take.began_ms + ms;
	pthread_barrier_init(&take.barrier, NULL, THREADS);
	pthread_create(&watching, NULL, watcher, NULL);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, borrower, (void *)(i + 1));
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	tp_store_relaxed(&stop, 1);
	pthread_join(watching, NULL);
	for (unsigned i = 0; i < 2; i++)
		tierpool_destroy(take.pool[i]);
	pthread_barrier_destroy(&take.barrier);
}

static int by_size(const void *a, const void *b)
{
	uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;

	return (one > other) - (one < other);
}

/* ---- cycles ---- */

#define CYCLERS 16
#define CYCLED ((size_t)1 << 20)
#define CYCLES_MOST 10000 /* of each, that are written down */
#define CYCLES_LEAST 200

static struct {
	tierpool *pool;
	uint64_t until_ms, whole_ms;
	struct replay_log log[CYCLERS];
} cycle;

/* Their backing tells the replay when a call was decided. */
static void *alloc_noting(void *context, size_t n, size_t alignment)
{
	if (n == CYCLED)
		replay_decided(false);
	return counting_backing_alloc(context, n, alignment);
}

static void free_noting(void *context, void *block, size_t n)
{
	if (n == CYCLED)
		replay_decided(true);
	counting_backing_free(context, block, n);
}

static void *cycler(void *argument)
{
	struct replay_log *log = argument;
	uint64_t random = (uintptr_t)log, dice;

	while (!tp_load_relaxed(&stop) && replay_begin(log, false)) {
		tierpool_buf *b = tierpool_get_sized(cycle.pool, CYCLED);

		replay_end();
		if (!b) {
			broke("get: %s", strerror(errno));
			break;
		}
		/* Others come in between, so that now more of them hold one, now fewer. */
		dice = next_random(&random);
		if (dice % 4 == 0)
			sched_yield();
		replay_begin(log, true);
		tierpool_put(b);
		replay_end();
		if (dice % 4 == 1)
			sched_yield();
		if (log->count >= 2 * (size_t)CYCLES_LEAST && now_ms() >= cycle.until_ms)
			break;
	}
	return NULL;
}

static void fill_budget(tierpool *pool, size_t size)
{
	tierpool_buf *b[128];
	unsigned n = (unsigned)(BUDGET / size) + 1;

	for (unsigned i = 0; i < n; i++)
		b[i] = tierpool_get_sized(pool, size);
	for (unsigned i = 0; i < n; i++)
		tierpool_put(b[i]);
}

/* Has the pool fill the budget, against its neighbour. How many buffers that is; 0: a finding. */
static size_t await_whole(void)
{
	uint64_t began_ms = now_ms();
	struct tierpool_stats s;

	do {
		fill_budget(cycle.pool, CYCLED);
		s = stats_of(cycle.pool);
		cycle.whole_ms = now_ms() - began_ms;
		if (cycle.whole_ms > deadline_ms) {
			broke("%zu of 1 MiB are idle after %lu ms", s.idle,
				(unsigned long)cycle.whole_ms);
			return 0;
		}
	} while (!s.idle || s.idle < BUDGET / (s.idle_bytes / s.idle));
	return s.idle;
}

static void check_calls(size_t most, struct replay *sum, uint64_t hits)
{
	if (!replay(cycle.log, CYCLERS, most, sum))
		exit(2);
	if (sum->unexplained_misses || sum->unexplained_frees)
		broke("%zu of 1 MiB may be idle: %lu of %lu gets missed, and %lu of these need "
		      "not; %lu puts freed, and %lu need not",
			most, (unsigned long)sum->misses, (unsigned long)sum->gets,
			(unsigned long)sum->unexplained_misses, (unsigned long)sum->frees,
			(unsigned long)sum->unexplained_frees);
	if (sum->gets - sum->misses != hits)
		broke("%lu hits by the backing, %lu by the statistics",
			(unsigned long)(sum->gets - sum->misses), (unsigned long)hits);
}

static void cycles(uint64_t ms, struct replay *sum)
{
	pthread_t threads[CYCLERS];
	tierpool_budget *budget;
	tierpool *neighbour;
	uint64_t hits;
	size_t most;

	if (tierpool_budget_create(&budget, BUDGET))
		exit(2);
	neighbour = pool_new(budget);
	fill_budget(neighbour, (size_t)64 << 10);
	calls.alloc = alloc_noting;
	calls.free = free_noting;
	cycle.pool = pool_new(budget);
	most = await_whole();
	hits = stats_of(cycle.pool).hits;
	cycle.until_ms = now_ms() + ms;
	for (unsigned i = 0; i < CYCLERS; i++) {
		cycle.log[i].most = 2 * CYCLES_MOST;
		cycle.log[i].call = calloc(cycle.log[i].most, sizeof(struct replay_call));
		if (!cycle.log[i].call)
			exit(2);
		pthread_create(&threads[i], NULL, cycler, &cycle.log[i]);
	}
	for (unsigned i = 0; i < CYCLERS; i++)
		pthread_join(threads[i], NULL);
	if (!tp_load_relaxed(&broken))
		check_calls(most, sum, stats_of(cycle.pool).hits - hits);
	for (unsigned i = 0; i < CYCLERS; i++)
		free(cycle.log[i].call);
	tierpool_destroy(cycle.pool);
	tierpool_destroy(neighbour);
	tierpool_budget_destroy(budget);
}

int main(int argc, char **argv)
{
	uint64_t ms = (argc > 1 ? (uint64_t)atoi(argv[1]) : 4) * 1000;
	struct replay sum = {0};

	if (argc > 2)
		deadline_ms = (uint64_t)atoi(argv[2]) * 1000;
	counting_backing_init(&counting);
	calls = counting_backing_calls(&counting);
	take_overs(ms / 4 * 3);
	qsort(take.took_ms, take.take_overs, sizeof take.took_ms[0], by_size);
	if (!tp_load_relaxed(&broken)) {
		tp_store_relaxed(&stop, 0);
		cycles(ms / 4, &sum);
	}
	if (counting_backing_live(&counting) || counting_backing_blocks(&counting))
		broke("%zu bytes live in the end", counting_backing_live(&counting));
	printf("%s  stress_budget: %u take-overs in %lu ms (median; at most %lu), %lu readings; ",
		broken ? "FAILED" : "ok", take.take_overs,
		(unsigned long)take.took_ms[take.take_overs / 2],
		(unsigned long)(take.take_overs ? take.took_ms[take.take_overs - 1] : 0),
		(unsigned long)take.readings);
	printf("whole after %lu ms, %lu misses in %lu gets, one by one %lu\n",
		(unsigned long)cycle.whole_ms, (unsigned long)sum.misses, (unsigned long)sum.gets,
		(unsigned long)sum.misses_alike);
	return broken;
}
