/* SPDX-License-Identifier: MIT */
/*
 * A sandbox comes up after the pool, and refuses the fence by which another CPU is stopped: then the
 * stopper goes to that CPU. Where no thread may choose its CPUs either, what lies there stays there,
 * whole. One test for each way to stop a CPU: all at once (a trim), one after the other (a tick),
 * for ever (destroy), and one on the way of a get.
 */
#include "pool_checks.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pool/pool.h"
#include "syscall_filter.h"
#include "syscall_hook.h"

#define RETAIN (32 * MIB)
#define WORKERS 4
#define MANY 400

static struct counting_backing counting; /* one a process, and each test is one */
static unsigned here, there;
static tierpool *pool;

/* ---- the sandbox ---- */

static void refuse(uint32_t call, uint32_t mask, uint32_t command)
{
	if (syscall_refuse(call, mask, command, EPERM))
		skip("there are no seccomp filters");
}

static void refuse_fences(void)
{
	refuse(SYS_membarrier, UINT32_MAX, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ);
}

/* ---- two CPUs ---- */

static bool may_be_on(unsigned cpu_id)
{
	cpu_set_t now, expected;

	CPU_ZERO(&expected);
	CPU_SET(cpu_id, &expected);
	return !sched_getaffinity(0, sizeof now, &now) && CPU_EQUAL(&now, &expected);
}

/* A pool, and two CPUs to use it on; we are on the first. */
static void start(void)
{
	counting_backing_init(&counting);
	pool = pool_on(&counting, .retain = RETAIN, .calibrate_every = TIERPOOL_CALIBRATE_OFF);
	if (!tp_cpu_rseq)
		skip("only rseq mode has fences to lose");
	if (!pin(1))
		skip("needs two CPUs");
	there = tp_cpu_id();
	pin(0);
	here = tp_cpu_id();
	cr_assert_eq(stats_of(pool).fence_lost, 0);
}

/* A call that waits for a CPU which cannot be stopped would wait for ever. */
TestSuite(fence_lost, .init = start, .timeout = 60);

/* What lies in a CPU's stacks. */
static size_t lying(unsigned cpu_id, size_t *bytes)
{
	size_t n = 0;

	*bytes = 0;
	for (unsigned tier = 0; tier < pool->sizes.count; tier++) {
		unsigned depth = tp_tiers_depth(&pool->tiers, cpu_id, tier);

		n += depth;
		*bytes += depth * pool->tiers.tier[tier].cost;
	}
	return n;
}

/* Idle buffers on both CPUs and in the depots; the statistics then. */
static struct tierpool_stats fill_both(void)
{
	size_t bytes;

	pin(1);
	fill(pool);
	pin(0);
	fill(pool);
	cr_assert(lying(here, &bytes) && lying(there, &bytes));
	return accounted(pool, &counting, 0);
}

/* The statistics after something was to stop CPUs without a fence; out as in accounted. */
static struct tierpool_stats after_a_stop(size_t out)
{
	cr_assert_eq(stats_of(pool).fence_lost, 1);
	cr_assert(may_be_on(here), "the thread may not go where it might");
	for (unsigned cpu_id = 0; cpu_id < pool->tiers.cpus.count; cpu_id++) {
		const struct tp_cpu *cpu = &pool->tiers.cpus.cpu[cpu_id];

		cr_assert(!cpu->lock && !tp_cpu_is_stopped(cpu), "CPU %u is stopped", cpu_id);
	}
	return accounted(pool, &counting, out);
}

/* ---- without fences ---- */

Test(fence_lost, a_trim_reaches_every_cpu)
{
	struct tierpool_stats s = fill_both();

	refuse_fences();
	cr_assert_eq(tierpool_trim(pool, 0), s.idle_bytes);
	cr_assert_eq(after_a_stop(0).idle, 0);
	/* And so does the next one. */
	s = fill_both();
	cr_assert_eq(tierpool_trim(NULL, 0), s.idle_bytes);
	cr_assert_eq(after_a_stop(0).idle, 0);
	pool_end(pool, &counting);
}

Test(fence_lost, two_ticks_reach_every_cpu)
{
	struct tierpool_stats s = fill_both();
	size_t bytes;

	refuse_fences();
	bytes = tierpool_tick(pool);
	cr_assert_eq(after_a_stop(0).idle_bytes, s.idle_bytes - bytes);
	cr_assert_eq(bytes + tierpool_tick(pool), s.idle_bytes);
	cr_assert_eq(after_a_stop(0).idle, 0);
	cr_assert_eq(stats_of(pool).drops_decay, s.allocs);
	pool_end(pool, &counting);
}

Test(fence_lost, destroy_frees_what_lies_on_every_cpu)
{
	tierpool_buf *b;

	fill_both();
	refuse_fences();
	cr_assert_not_null(b = tierpool_get_sized(pool, KIB));
	cr_assert_eq(tierpool_destroy(pool), 1);
	cr_assert_eq(after_a_stop(b->cap).idle, 0);
	tierpool_put(b);
	cr_assert_eq(counting_backing_blocks(&counting), 0);
	cr_assert_eq(counting_backing_live(&counting), 0);
}

Test(fence_lost, a_large_buffer_is_taken_from_another_cpu)
{
	tierpool_buf *b, *stolen;
	size_t bytes;

	pin(1);
	tierpool_put(b = tierpool_get_sized(pool, MIB));
	cr_assert_eq(lying(there, &bytes), 1);
	pin(0);
	refuse_fences();
	usleep(20000); /* until busy CPUs may be stopped again */
	cr_assert_not_null(stolen = tierpool_get_sized(pool, MIB));
	cr_assert_eq(stolen, b);
	cr_assert_eq(lying(there, &bytes), 0);
	cr_assert_eq(after_a_stop(stolen->cap).hits, 1);
	tierpool_put(stolen);
	cr_assert_eq(lying(here, &bytes), 1);
	tierpool_trim(pool, 0);
	cr_assert_eq(after_a_stop(0).idle, 0);
	pool_end(pool, &counting);
}

/* ---- a system without memory for a fence of all CPUs ---- */

static unsigned fences_of_all;

static void fail_fences_of_all(long number, const long argument[6])
{
	if (number == SYS_membarrier && !argument[1]) {
		fences_of_all++;
		syscall_error = ENOMEM;
	}
}

Test(fence_lost, want_of_memory_loses_no_fence)
{
	struct tierpool_stats s = fill_both();

	if (tp_cpu_fence(TP_CPU_ALL))
		skip("fences are refused");
	tp_store_release(&syscall_before, fail_fences_of_all);
	cr_assert_eq(tierpool_trim(pool, 0), s.idle_bytes);
	cr_assert_gt(fences_of_all, 0);
	cr_assert_eq(accounted(pool, &counting, 0).idle, 0);
	cr_assert_gt(stats_of(pool).fences, s.fences, "each CPU was fenced");
	cr_assert_eq(stats_of(pool).fence_lost, 0);
	tp_store_release(&syscall_before, NULL);
	pool_end(pool, &counting);
}

/* ---- while others are at work there ---- */

static bool stop;
static unsigned faults;

/* On the CPU that is given, all sizes; takes from the other one where that is worth it. */
static void *borrow_and_return(void *argument)
{
	unsigned cpu_id = *(const unsigned *)argument;
	uint64_t random = (uintptr_t)&random | 1;
	tierpool_buf *held[6] = {0};

	pin(cpu_id == there);
	while (!tp_load_relaxed(&stop)) {
		tierpool_buf **b = &held[next_random(&random) % 6];

		if (!*b) {
			*b = tierpool_get_sized(pool, (size_t)64 << next_random(&random) % 15);
			memcpy((*b)->data, &b, sizeof b);
			continue;
		}
		tp_add_relaxed(&faults, !!memcmp((*b)->data, &b, sizeof b));
		if (next_random(&random) % 8 == 0)
			tp_add_relaxed(&faults, !!tierpool_buf_reserve(*b, 2 * (*b)->cap));
		tierpool_put(*b);
		*b = NULL;
	}
	for (unsigned i = 0; i < 6; i++)
		tierpool_put(held[i]);
	tp_add_relaxed(&faults, !may_be_on(cpu_id));
	return NULL;
}

Test(fence_lost, nothing_is_lost_or_doubled_while_busy_cpus_are_stopped)
{
	time_t end = time(NULL) + 2;
	pthread_t thread[WORKERS];
	struct tierpool_stats s;

	for (unsigned i = 0; i < WORKERS; i++)
		pthread_create(&thread[i], NULL, borrow_and_return, i % 2 ? &here : &there);
	usleep(20000);
	refuse_fences();
	/* For one or two seconds: how long a visit takes, the scheduler decides. */
	for (unsigned i = 0; time(NULL) < end && !tp_load_relaxed(&faults); i++) {
		i % 4 ? tierpool_tick(pool) : tierpool_trim(pool, 0);
		cr_assert_leq(stats_of(pool).idle_bytes, RETAIN);
		usleep(i % 3 * 300);
	}
	tp_store_relaxed(&stop, true);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(faults, 0);
	s = after_a_stop(0);
	cr_assert_eq(tierpool_trim(pool, 0), s.idle_bytes);
	cr_assert_eq(after_a_stop(0).idle, 0);
	pool_end(pool, &counting);
}

/* ---- without fences, and nobody may go anywhere ---- */

/* A thread that stays on the other CPU to the end of the test, and does what the test says. */
static struct {
	pthread_barrier_t begin, end;
	void (*job)(void);
} resident;

static void *reside(void *unused)
{
	pin(1);
	while (pthread_barrier_wait(&resident.begin) <= 0) {
		resident.job();
		pthread_barrier_wait(&resident.end);
	}
	return unused;
}

static void do_there(void (*job)(void))
{
	resident.job = job;
	pthread_barrier_wait(&resident.begin);
	pthread_barrier_wait(&resident.end);
}

static void fill_there(void)
{
	fill(pool);
}

/* Idle buffers on both CPUs, and neither can be reached from the other one. */
static struct tierpool_stats part(void)
{
	pthread_t thread;

	pthread_barrier_init(&resident.begin, NULL, 2);
	pthread_barrier_init(&resident.end, NULL, 2);
	pthread_create(&thread, NULL, reside, NULL);
	do_there(fill_there);
	fill(pool);
	refuse_fences();
	refuse(SYS_sched_setaffinity, 0, 0);
	return accounted(pool, &counting, 0);
}

/* All that lies there, and more, is borrowed at once, and nobody else has any of it. */
static void borrow_all(void)
{
	static const size_t sizes[] = {64, KIB, 20 * KIB, MIB};
	tierpool_buf *b[MANY];

	for (unsigned i = 0; i < MANY; i++) {
		b[i] = tierpool_get_sized(pool, sizes[i % 4]);
		memcpy(b[i]->data, &i, sizeof i);
	}
	for (unsigned i = 0; i < MANY; i++) {
		faults += !!memcmp(b[i]->data, &i, sizeof i);
		tierpool_put(b[i]);
	}
}

static size_t released_there;

static void release_there(void)
{
	released_there = tierpool_tick(pool);
	released_there += tierpool_trim(pool, 0);
}

Test(fence_lost, what_cannot_be_reached_stays_whole_and_of_use_on_its_cpu)
{
	size_t n, bytes, reached, left;
	struct tierpool_stats s = part();
	static char before[TP_SLAB_BYTES_MAX];

	n = lying(there, &bytes);
	cr_assert(n && bytes < s.idle_bytes);
	memcpy(before, pool->tiers.cpus.cpu[there].slab, pool->tiers.slab_bytes);
	reached = tierpool_tick(pool) + tierpool_tick(pool);
	reached += tierpool_trim(pool, 0);
	cr_assert_eq(reached, s.idle_bytes - bytes);
	cr_assert_eq(after_a_stop(0).idle, n);
	cr_assert_eq(stats_of(pool).idle_bytes, bytes);
	cr_assert(!memcmp(before, pool->tiers.cpus.cpu[there].slab, pool->tiers.slab_bytes),
		"the slab of a CPU that was not stopped was written");

	s = stats_of(pool);
	do_there(borrow_all);
	borrow_all();
	cr_assert_eq(faults, 0);
	cr_assert_geq(after_a_stop(0).hits, s.hits + n);

	/* Each CPU can release what is its own. */
	s = stats_of(pool);
	lying(here, &left);
	do_there(release_there);
	cr_assert_eq(released_there, s.idle_bytes - left);
	cr_assert_eq(stats_of(pool).idle_bytes, left);
	cr_assert_eq(tierpool_trim(pool, 0), left);
	cr_assert_eq(after_a_stop(0).idle, 0);
	pool_end(pool, &counting);
}

static tierpool_buf *held;

static void borrow_there(void)
{
	held = tierpool_get_sized(pool, KIB);
}

static void return_there(void)
{
	tierpool_put(held);
	/* What is left of the pool is nobody's any more. */
	tierpool_tick(NULL);
	tierpool_trim(NULL, 0);
}

Test(fence_lost, destroy_leaves_behind_what_it_cannot_reach_and_the_pool_with_it)
{
	tierpool *other = pool_new(.name = "other");
	size_t n, bytes;
	tierpool_buf *b;

	part();
	do_there(borrow_there);
	cr_assert_not_null(b = tierpool_get_sized(pool, 20 * KIB));
	n = lying(there, &bytes);
	cr_assert(held && n);
	/* Those that are borrowed, and not those that are left behind. */
	cr_assert_eq(tierpool_destroy(pool), 2);
	cr_assert_eq(tp_counts_sum(&pool->tiers, TP_ALLOCS) - tp_counts_drops(&pool->tiers), n + 2);
	cr_assert(!tierpool_buf_append(b, "still mine", 10) && !tierpool_buf_reserve(b, 50 * KIB));
	tierpool_put(b);
	do_there(return_there);
	tierpool_trim(NULL, 0);
	/* The buffers themselves, and not one of the tables that know of them. */
	cr_assert_eq(tp_counts_sum(&pool->tiers, TP_ALLOCS) - tp_counts_drops(&pool->tiers), n);
	after_a_stop(0);
	/* Nor is any of it given to anybody again. */
	cycle(other, KIB, 100);
	cr_assert_eq(tierpool_destroy(other), 0);
}
