/* SPDX-License-Identifier: MIT */
/*
 * One pool under everything at once, for argv[1] seconds: 8 threads that borrow all sizes and
 * beyond, grow, hold several at a time, hand buffers over to each other and change CPUs; a timer's
 * signals for each; ticks and trims; and a watcher that reads the statistics. Holds: no buffer has two
 * owners, idle bytes stay within retain and counters only grow at every reading, all identities are
 * exact at the end.
 *
 * Exit status 1 and a line that says why when one of them is broken. test/controls.sh builds this
 * with faults in the library and requires that.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tierpool.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "pool/pool.h"
#include "stress_finding.h"
#include "stress_threads.h"

#define THREADS 8
#define HELD 6
#define SLOTS 16
#define RETAIN ((size_t)8 << 20)
#define LARGEST ((size_t)3 << 20) /* thrice the largest tier */
#define EXCHANGED_MOST ((size_t)16 << 10)
#define FULL 256 /* buffers that the second pool may keep */
#define FULL_TAKEN 8

static tierpool *pool;
/*
 * A second pool, of one tier, whose one borrower takes a few and now and then all, and puts them
 * back at once; so it is full most of the time, while its buffers go from the depot to the stacks
 * and back. A reading that counts one of them twice has too many.
 */
static tierpool *full;
static tierpool_buf *handed_over[SLOTS];

/* Every magnitude as often as any other. */
static size_t random_size(uint64_t *random)
{
	size_t most = (size_t)1 << next_random(random) % 22;

	return tp_min(most + next_random(random) % most, LARGEST);
}

/* Whose buffer it is stands in its first and last bytes, as far as it is long. */
static void stamp(tierpool_buf *b, uint64_t owner)
{
	size_t n = tp_min(b->cap, sizeof owner);

	memcpy(b->data + b->cap - n, &owner, n);
	memcpy(b->data, &owner, n);
}

static void stamp_check(const tierpool_buf *b, uint64_t owner)
{
	uint64_t first = owner, last = owner;

	memcpy(&first, b->data, tp_min(b->cap, sizeof first));
	if (b->cap >= 2 * sizeof last)
		memcpy(&last, b->data + b->cap - sizeof last, sizeof last);
	if (first != owner || last != owner)
		broke("buffer %p of owner %lx is stamped %lx … %lx", (const void *)b,
			(unsigned long)owner, (unsigned long)first, (unsigned long)last);
}

/* Appends pieces; what was there is there afterwards. */
static void grow(tierpool_buf *b, uint64_t *random)
{
	static const char piece[4096];
	size_t n = random_size(random), before = b->cap;

	b->len = tp_min(b->cap, 16);
	while (b->len < n && !tierpool_buf_error(b))
		tierpool_buf_append(b, piece, tp_min(n - b->len, sizeof piece));
	if (tierpool_buf_error(b))
		broke("append to %zu bytes: %s", n, strerror(-tierpool_buf_error(b)));
	if (b->cap < before)
		broke("growth made %zu bytes of %zu", b->cap, before);
}

/*
 * Exchanges of small blocks, for which the own CPU's stacks have all that it takes: the content goes
 * along, and nobody else has it.
 */
static void grow_by_exchange(tierpool_buf *b, uint64_t owner, uint64_t *random)
{
	for (unsigned i = below(random, 4); b->cap < EXCHANGED_MOST; i--) {
		size_t before = b->cap;
		uint64_t last = 0;

		b->len = before;
		if (tierpool_buf_reserve(b, 1) || b->cap < 2 * before)
			broke("growth of %zu bytes to %zu", before, b->cap);
		memcpy(&last, b->data + before - sizeof last, sizeof last);
		if (last != owner)
			broke("a block of %zu bytes of owner %lx has %lx at its end", before,
				(unsigned long)owner, (unsigned long)last);
		stamp(b, owner);
		if (!i)
			break;
	}
}

static void *borrower(void *argument)
{
	uint64_t me = (uintptr_t)argument, random = me * UINT64_C(0x9e3779b97f4a7c15);
	tierpool_buf *held[HELD] = {0};
	timer_t timer;
	bool alarms = alarms_start(&timer);

	if (!alarms)
		broke("no timer for a thread");
	while (!tp_load_relaxed(&stop)) {
		tierpool_buf **place = &held[next_random(&random) % HELD];
		uint64_t dice = next_random(&random);

		if (dice % 512 == 0)
			migrate(&random);
		if (!*place) {
			*place = dice % 8 ? tierpool_get(pool)
					  : tierpool_get_sized(pool, random_size(&random));
			if (!*place) {
				broke("get: %s", strerror(errno));
				break;
			}
			stamp(*place, me);
			continue;
		}
		stamp_check(*place, me);
		if (dice % 64 == 1) {
			grow(*place, &random);
		} else if (dice % 16 < 6 && (*place)->cap < EXCHANGED_MOST) {
			grow_by_exchange(*place, me, &random);
		} else if (dice % 4 == 2) {
			tierpool_buf **slot = &handed_over[next_random(&random) % SLOTS];

			tierpool_put(tp_exchange_acq_rel(slot, *place));
			*place = NULL;
			continue;
		} else {
			tierpool_put(*place);
			*place = NULL;
			continue;
		}
		stamp(*place, me);
	}
	for (unsigned i = 0; i < HELD; i++)
		tierpool_put(held[i]);
	if (alarms)
		timer_delete(timer);
	return NULL;
}

static void *disturber(void *unused)
{
	uint64_t random = 88172645463325252;

	while (!tp_load_relaxed(&stop)) {
		if (next_random(&random) % 4)
			tierpool_tick(pool);
		else
			tierpool_trim(next_random(&random) & 1 ? pool : NULL,
				next_random(&random) % RETAIN);
		usleep((useconds_t)(next_random(&random) % 2000));
	}
	return unused;
}

static void *filler(void *unused)
{
	uint64_t random = 2463534242;
	tierpool_buf *b[FULL];

	while (!tp_load_relaxed(&stop)) {
		uint64_t n = next_random(&random) % 16 ? next_random(&random) % FULL_TAKEN : FULL;

		if (next_random(&random) % 16 == 0)
			migrate(&random);
		for (uint64_t i = 0; i < n; i++)
			b[i] = tierpool_get(full);
		for (uint64_t i = 0; i < n; i++)
			tierpool_put(b[i]);
	}
	return unused;
}

static struct tierpool_stats read_statistics(tierpool *of)
{
	struct tierpool_stats s = {.size = sizeof s};
	int error = tierpool_stats_read(of, &s);

	if (error)
		broke("tierpool_stats_read: %s", strerror(-error));
	return s;
}

static void full_check(void)
{
	struct tierpool_stats s = read_statistics(full);

	if (s.idle_bytes > s.retain)
		broke("%zu idle bytes of a full pool, above %zu", s.idle_bytes, s.retain);
}

/* One tier, and room for FULL of it. False: out of memory. */
static bool full_create(void)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	const size_t tiers[] = {64};

	options.tiers = tiers;
	options.tier_count = 1;
	if (tierpool_create(&full, &options))
		return false;
	tierpool_retain_set(full, FULL * full->tiers.tier[0].cost);
	return true;
}

static void *watcher(void *unused)
{
	struct tierpool_stats before = read_statistics(pool), now;

	for (; !tp_load_relaxed(&stop); before = now) {
		/* gets to drops_destroy are one run of counters (tierpool/stats.h). */
		const uint64_t *was = &before.gets, *is = &now.gets;

		now = read_statistics(pool);
		for (; is <= &now.drops_destroy; was++, is++)
			if (*is < *was)
				broke("counter %td went back from %lu to %lu", is - &now.gets,
					(unsigned long)*was, (unsigned long)*is);
		if (now.idle_bytes > RETAIN || now.idle_bytes_peak > RETAIN)
			broke("%zu idle bytes, %zu at peak, above %zu", now.idle_bytes,
				now.idle_bytes_peak, RETAIN);
		if (now.gets < now.hits)
			broke("%lu hits in %lu gets", (unsigned long)now.hits,
				(unsigned long)now.gets);
		for (unsigned i = 0; i < 100; i++)
			full_check();
		sched_yield();
	}
	return unused;
}

static void identities(const char *when)
{
	struct tierpool_stats s = read_statistics(pool);
	uint64_t drops = s.drops_oversize + s.drops_retain + s.drops_idle_count + s.drops_decay +
			 s.drops_trim + s.drops_destroy;

	if (s.gets != s.puts || s.borrowed || s.allocs - s.frees != s.idle || s.frees != drops)
		broke("%s: %lu gets, %lu puts, %zu borrowed, %lu allocs, %lu frees, %lu drops, "
		      "%zu idle",
			when, (unsigned long)s.gets, (unsigned long)s.puts, s.borrowed,
			(unsigned long)s.allocs, (unsigned long)s.frees, (unsigned long)drops,
			s.idle);
}

static void run(unsigned seconds)
{
	uint64_t end = now_us() + seconds * UINT64_C(1000000);
	pthread_t threads[THREADS + 3];

	for (uintptr_t i = 0; i < THREADS; i++)
		thread_start(&threads[i], borrower, (void *)(i + 1));
	thread_start(&threads[THREADS], disturber, NULL);
	thread_start(&threads[THREADS + 1], watcher, NULL);
	thread_start(&threads[THREADS + 2], filler, NULL);
	while (now_us() < end && !tp_load_relaxed(&stop))
		usleep(1000);
	tp_store_relaxed(&stop, 1);
	for (unsigned i = 0; i < THREADS + 3; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < SLOTS; i++)
		tierpool_put(handed_over[i]);
}

int main(int argc, char **argv)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	struct tierpool_stats s;

	options.retain = RETAIN;
	options.name = "stress";
	if (!disturbances_init() || tierpool_create(&pool, &options) || !full_create()) {
		fprintf(stderr, "stress_pool: no signals, or no memory\n");
		return 2;
	}
	run(argc > 1 ? (unsigned)atoi(argv[1]) : 4);
	identities("at the end");
	s = read_statistics(pool);
	tierpool_trim(pool, 0);
	identities("after a trim to nothing");
	if (read_statistics(pool).idle)
		broke("%zu buffers are idle after a trim to nothing", read_statistics(pool).idle);
	if (pool->tiers.retain.leased)
		broke("%zu bytes are leased for nothing", pool->tiers.retain.leased);
	if (tierpool_destroy(full) || tierpool_destroy(pool))
		broke("buffers are borrowed at destroy");
	printf("%s  stress_pool: %lu gets, %lu hits, %lu growths (%lu pooled), %lu ticks, %s, %s\n",
		broken ? "FAILED" : "ok", (unsigned long)s.gets, (unsigned long)s.hits,
		(unsigned long)s.grows, (unsigned long)s.grows_pooled, (unsigned long)s.ticks,
		s.percpu, s.backing);
	return broken;
}
