/* SPDX-License-Identifier: MIT */
/*
 * What is kept belongs to CPUs, not to threads: threads that come and go leave no more than one
 * that stays, and a CPU on which no thread runs any more, or may run, keeps nothing after three
 * ticks. (The first one leaves out a CPU that was hard at work.)
 */
#include "pool_checks.h"

#include <pthread.h>
#include <string.h>

#include "cpuset.h"
#include "pool/pool.h"
#include "tasks.h"

static struct counting_backing counting, other; /* each test is a process with its own */

/* ---- threads that come and go ---- */

#define COME_AND_GO (SANITIZED ? 1000 : 4000)
#define HOSTS_MOST 16
#define PAGE_OF_HEADERS 4096

static const size_t sizes[] = {100, KIB, 8 * KIB, 64 * KIB};
#define SIZES (sizeof sizes / sizeof sizes[0])

static unsigned failures; /* of gets and of creating threads */

/* All that a short-lived thread does, and what a thread that stays does again and again. */
static void *visit(void *pool)
{
	tierpool_buf *b[SIZES];

	for (unsigned i = 0; i < SIZES; i++) {
		b[i] = (tierpool_get_sized)(pool, sizes[i]);
		if (!b[i] || tierpool_buf_append(b[i], "visited", 7))
			tp_add_relaxed(&failures, 1u);
	}
	sched_yield(); /* so that others come in between */
	for (unsigned i = 0; i < SIZES; i++)
		tierpool_put(b[i]);
	return NULL;
}

/*
 * Receives visits one after the other, on one CPU: each by a thread of its own, or all by itself.
 */
struct host {
	tierpool *pool;
	unsigned cpu_id;
	unsigned visits;
	bool by_threads;
	pthread_t thread;
};

static void *receive(void *argument)
{
	struct host *host = argument;

	pin(host->cpu_id);
	for (unsigned i = 0; i < host->visits; i++) {
		pthread_t guest; /* inherits the CPU of its host */

		if (!host->by_threads)
			visit(host->pool);
		else if (pthread_create(&guest, NULL, visit, host->pool))
			tp_add_relaxed(&failures, 1u);
		else
			pthread_join(guest, NULL);
	}
	return NULL;
}

/* Visits on each of so many CPUs. Returns the statistics afterwards. */
static struct tierpool_stats receive_all(tierpool *pool, unsigned cpu_count, bool by_threads)
{
	struct host host[HOSTS_MOST];

	for (unsigned i = 0; i < cpu_count; i++) {
		host[i] = (struct host){.pool = pool,
			.cpu_id = i,
			.visits = (unsigned)COME_AND_GO / cpu_count,
			.by_threads = by_threads};
		cr_assert_eq(pthread_create(&host[i].thread, NULL, receive, &host[i]), 0);
	}
	for (unsigned i = 0; i < cpu_count; i++)
		pthread_join(host[i].thread, NULL);
	cr_assert_eq(failures, 0);
	return at_rest(pool);
}

static unsigned cpus_usable(void)
{
	cpu_set_t allowed;

	sched_getaffinity(0, sizeof allowed, &allowed);
	return (unsigned)tp_min((size_t)CPU_COUNT(&allowed), HOSTS_MOST);
}

Test(cpu_count, threads_that_come_and_go_leave_what_one_that_stays_leaves, .timeout = 120)
{
	struct tierpool_stats gone, stayed;
	unsigned cpu_count = cpus_usable();
	tierpool *pool, *like;

	counting_backing_init(&counting);
	counting_backing_init(&other);
	pool = pool_on(&counting, .decay_ms = UINT_MAX, .calibrate_every = TIERPOOL_CALIBRATE_OFF);
	like = pool_on(&other, .decay_ms = UINT_MAX, .calibrate_every = TIERPOOL_CALIBRATE_OFF);
	pin(0); /* which finds out what CPUs there are, also for the threads that follow */
	gone = receive_all(pool, cpu_count, true);
	stayed = receive_all(like, cpu_count, false);
	cr_assert_eq(gone.gets, stayed.gets);
	cr_assert_eq(gone.allocs, cpu_count * SIZES);
	cr_assert_eq(stayed.allocs, cpu_count * SIZES);
	cr_assert_eq(gone.idle_bytes, stayed.idle_bytes);
	/* Two threads that need a page of headers at the same time bring one each. */
	cr_assert_leq(gone.overhead_bytes, stayed.overhead_bytes + cpu_count * PAGE_OF_HEADERS);
	pool_end(pool, &counting);
	pool_end(like, &other);
}

/* ---- a CPU that is left ---- */

#define WORKERS 4
#define WANDERING 3 /* buffers that each has while it may change CPUs */
#define ROUNDS (SANITIZED ? 400u : 4000u)
#define TICKS 3
#define PAIRS 1000 /* between two ticks */
#define BOUND (8 * MIB)
#define TRIES 1000

/* The threads that work until a CPU is left and afterwards, and the pool that they use. */
static struct {
	tierpool *pool;
	bool flip;   /* they change CPUs by themselves, until they settle */
	bool settle; /* from here on each borrows one buffer of 1 KiB, again and again */
	bool over;
	unsigned stays; /* the CPU that is not left */
	unsigned rounds, begun, settled;
	uint64_t pairs, strayed; /* of those that settled; and of them, from another CPU */
} left;

static void wander(uint64_t *random)
{
	tierpool_buf *b[WANDERING];

	for (unsigned i = 0; i < WANDERING; i++) {
		b[i] = (tierpool_get_sized)(left.pool, (size_t)64 << next_random(random) % 14);
		if (!b[i])
			tp_add_relaxed(&failures, 1u);
		if (left.flip && next_random(random) % 4 == 0)
			pin(next_random(random) % 2);
	}
	for (unsigned i = 0; i < WANDERING; i++)
		tierpool_put(b[i]);
	tp_add_relaxed(&left.rounds, 1u);
}

static void *work(void *number)
{
	uint64_t random = (uintptr_t)number * UINT64_C(0x9e3779b97f4a7c15);

	pin((uintptr_t)number % 2);
	tp_add_relaxed(&left.begun, 1u);
	while (!tp_load_acquire(&left.settle))
		wander(&random);
	if (left.flip)
		pin(0);
	tp_add_relaxed(&left.settled, 1u);
	while (!tp_load_relaxed(&left.over)) {
		tierpool_buf *b = (tierpool_get_sized)(left.pool, KIB);

		if (!b)
			tp_add_relaxed(&failures, 1u);
		tierpool_put(b);
		tp_add_relaxed(&left.pairs, 1u);
		if ((unsigned)sched_getcpu() != left.stays)
			tp_add_relaxed(&left.strayed, 1u);
	}
	return NULL;
}

static void await_pairs(void)
{
	uint64_t from = tp_load_relaxed(&left.pairs);

	while (tp_load_relaxed(&left.pairs) < from + PAIRS)
		sched_yield();
}

static size_t idle_elsewhere(void)
{
	const struct tp_tiers *tiers = &left.pool->tiers;
	size_t sum = 0;

	for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++)
		for (unsigned tier = 0; tier < tiers->count; tier++)
			if (cpu_id != left.stays)
				sum += tp_tiers_depth(tiers, cpu_id, tier);
	return sum;
}

/* Of tiers that are not used. A get that finds nothing in its own tier uses the next one. */
static size_t idle_unused(void)
{
	const struct tp_tiers *tiers = &left.pool->tiers;
	unsigned used = tp_sizeclass_of(&left.pool->sizes, KIB);
	size_t sum = 0;

	for (unsigned tier = 0; tier < tiers->count; tier++)
		if (tier != used && tier != used + 1)
			sum += tp_tiers_count(tiers, tier);
	return sum;
}

/* What is idle at each turn. */
struct course {
	size_t elsewhere, elsewhere_later; /* in other CPUs' stacks: before, and after the ticks */
	size_t later, unused_later;        /* then: in all, and of tiers that are not used */
	const char *obstacle;              /* why the CPU could not be left, or NULL */
};

/*
 * Fills the second CPU, lets threads work there and elsewhere, and makes them leave it by a call
 * that returns NULL, or why it cannot. Then the ticks, while they work on the first CPU.
 */
static struct course leave_second_cpu(const char *(*leave)(void))
{
	pthread_t thread[WORKERS];
	struct course c = {0};

	pin(1);
	fill(left.pool);
	pin(0);
	left.stays = (unsigned)sched_getcpu();
	for (uintptr_t i = 0; i < WORKERS; i++)
		pthread_create(&thread[i], NULL, work, (void *)(i + 1));
	while (tp_load_relaxed(&left.begun) < WORKERS || tp_load_relaxed(&left.rounds) < ROUNDS)
		sched_yield();
	c.obstacle = leave ? leave() : NULL;
	tp_store_release(&left.settle, true);
	while (tp_load_relaxed(&left.settled) < WORKERS)
		sched_yield();
	c.elsewhere = idle_elsewhere();
	for (unsigned i = 0; i < TICKS; i++) {
		tierpool_tick(left.pool);
		if (i < TICKS - 1)
			await_pairs();
	}
	c.elsewhere_later = idle_elsewhere();
	c.later = stats_of(left.pool).idle;
	c.unused_later = idle_unused();
	tp_store_relaxed(&left.over, true);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(thread[i], NULL);
	return c;
}

/* The CPU that was left holds no leases: the whole bound can be used from the other one. */
static void expect_whole_bound(void)
{
	size_t size = 16 * KIB, most = BOUND / (size + HEADER), idle = 0;

	for (unsigned i = 0; i < TRIES && idle != most; i++) {
		cycle(left.pool, size, (unsigned)most + 10);
		idle = stats_of(left.pool).idle;
		usleep(1000); /* leases of others are taken back once a millisecond */
	}
	cr_assert_eq(idle, most, "%zu of %zu", idle, most);
}

static void expect_left(const struct course *c)
{
	struct tierpool_stats s = accounted(left.pool, &counting, 0);

	cr_assert_eq(failures, 0);
	if (s.fence_lost && left.strayed)
		skip("fences are refused, and a visit instead gave a thread its affinity back");
	cr_assert_eq(left.strayed, 0, "the CPU has to be left");
	cr_assert_gt(c->elsewhere, 0, "there has to be something to free");
	cr_assert_eq(c->unused_later, 0, "after %u ticks", TICKS);
	/* In locked mode a get or put that finds its own CPU's lock taken goes to the next CPU. */
	if (strcmp(s.percpu, "locked")) {
		cr_assert_eq(c->elsewhere_later, 0, "after %u ticks", TICKS);
		cr_assert_leq(c->later, 2 * WORKERS, "they use one each: %zu", c->later);
	}
	tierpool_tick(left.pool);
	tierpool_tick(left.pool);
	cr_assert_eq(accounted(left.pool, &counting, 0).idle, 0);
	expect_whole_bound();
	pool_end(left.pool, &counting);
}

/*
 * leave: as for leave_second_cpu; NULL: the threads change CPUs until then, and leave by
 * themselves.
 */
static void strands_nothing(const char *(*leave)(void), bool visits_undo_it)
{
	struct course c;

	if (!pin(1))
		skip("needs two CPUs");
	counting_backing_init(&counting);
	left.pool = pool_on(&counting, .retain = BOUND, .decay_ms = UINT_MAX);
	left.flip = !leave;
	c = leave_second_cpu(leave);
	if (c.obstacle)
		skip(c.obstacle);
	if (visits_undo_it && stats_of(left.pool).fence_lost)
		skip("fences are refused, and a cpuset is not to be left for a visit");
	expect_left(&c);
}

/* All threads of the process, as they are now, go to the CPU where this one is. */
static const char *affinity_shrink(void)
{
	const char *obstacle = access("/proc/self/task", F_OK) ? "/proc is not mounted" : NULL;
	DIR *tasks = NULL;
	cpu_set_t here;

	sched_getaffinity(0, sizeof here, &here);
	for (int tid; (tid = task_next(&tasks));)
		if (sched_setaffinity(tid, sizeof here, &here))
			obstacle = "sched_setaffinity is refused";
	return obstacle;
}

/* All threads of the process, at once, may use only the CPU where this one is. */
static const char *cpuset_shrink(void)
{
	return cpuset_enter(left.stays);
}

TestSuite(cpu_count, .timeout = 120);

Test(cpu_count, flips_of_affinity_strand_nothing_beyond_three_ticks)
{
	strands_nothing(NULL, false);
}

Test(cpu_count, an_affinity_of_one_cpu_strands_nothing_on_the_others)
{
	strands_nothing(affinity_shrink, false);
}

Test(cpu_count, a_cpuset_of_one_cpu_strands_nothing_on_the_others, .fini = cpuset_leave)
{
	strands_nothing(cpuset_shrink, true);
}
