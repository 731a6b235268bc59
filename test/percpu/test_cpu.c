/* SPDX-License-Identifier: MIT */
/*
 * CPUs: how many there may be, that the one we are on is one of them, how another one is stopped;
 * how the mode is chosen; and what becomes of calls on a CPU, or in a thread, that has no place.
 */
#include "pool_checks.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "pool/pool.h"

static struct counting_backing counting; /* one a process, and each test is one */

Test(cpu_id, the_count_covers_every_cpu_that_may_come_and_stays)
{
	unsigned count = tp_cpu_count();

	cr_assert_geq(count, 1);
	cr_assert_geq((long)count, sysconf(_SC_NPROCESSORS_ONLN));
	for (int i = 0; i < 100; i++)
		cr_assert_eq(tp_cpu_count(), count);
}

/* Then the C library would count the CPUs of this thread. */
Test(cpu_id, the_count_is_read_once_however_it_would_be_read_later)
{
	struct rlimit files, none;
	tierpool *pool[2];

	if (!pin(1))
		skip("needs two CPUs");
	/* No file can be opened, and this is the only CPU that the thread may use. */
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
	none = (struct rlimit){0, files.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	pool[0] = pool_new(.name = "first");
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
	cr_assert_gt(tp_cpu_count(), (unsigned)sched_getcpu());
	pin(0);
	pool[1] = pool_new(.name = "second");
	for (unsigned i = 0; i < 2; i++) {
		pin(i);
		for (unsigned j = 0; j < 2; j++)
			cycle(pool[j], KIB, 3);
	}
	cr_assert_eq(pool[0]->tiers.cpus.count, pool[1]->tiers.cpus.count);
	for (unsigned j = 0; j < 2; j++) {
		at_rest(pool[j]);
		cr_assert_eq(tierpool_destroy(pool[j]), 0);
	}
}

Test(cpu_id, the_current_cpu_is_below_any_count)
{
	tp_cpu_init();
	for (unsigned count = 1; count < 100; count++)
		cr_assert_lt(tp_cpu_current(count), count);
}

static void *wander(void *unused)
{
	cpu_set_t allowed, one;
	unsigned seen = 0;

	(void)unused;
	sched_getaffinity(0, sizeof allowed, &allowed);
	for (unsigned cpu_id = 0; cpu_id < CPU_SETSIZE; cpu_id++) {
		if (!CPU_ISSET(cpu_id, &allowed))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu_id, &one);
		/* If that is refused, or undone at once, this CPU proves nothing. */
		if (sched_setaffinity(0, sizeof one, &one))
			continue;
		if (tp_cpu_current(CPU_SETSIZE) != cpu_id || tp_cpu_current(cpu_id + 1) != cpu_id ||
			tp_cpu_current(1) != 0)
			return "not the CPU that the thread was bound to";
		if (cpu_id >= tp_cpu_count())
			return "a CPU beyond the count";
		seen++;
	}
	return seen ? NULL : "no CPU to be bound to";
}

static void wander_and_return(void)
{
	pthread_t thread;
	void *complaint;

	cr_assert_eq(pthread_create(&thread, NULL, wander, NULL), 0);
	pthread_join(thread, &complaint);
	cr_assert_null(complaint, "%s", (char *)complaint);
}

Test(cpu_id, a_thread_bound_to_a_cpu_is_on_that_one)
{
	/*
	 * Before the mode is chosen the system is asked, and afterwards the rseq area, where it is.
	 */
	wander_and_return();
	tp_cpu_init();
	wander_and_return();
}

/* ---- fences and visits ---- */

Test(cpu_id, a_fence_is_answered_for_every_cpu_those_that_are_not_there_too)
{
	unsigned count = tp_cpu_count();

	tp_cpu_init();
	if (!tp_cpu_rseq)
		skip("only rseq mode has fences");
	if (tp_cpu_fence(TP_CPU_ALL)) {
		/* Then each is, with the reason of the first. */
		for (int cpu_id = TP_CPU_ALL; cpu_id < (int)count; cpu_id++)
			cr_assert_lt(tp_cpu_fence(cpu_id), 0);
		skip("fences are refused");
	}
	for (int cpu_id = 0; cpu_id < (int)count; cpu_id++)
		cr_assert_eq(tp_cpu_fence(cpu_id), 0);
	cr_assert_eq(tp_cpu_fence((int)count), 0);
	cr_assert_eq(tp_cpu_fence(INT_MAX), 0);
}

struct call {
	unsigned cpu_id, calls;
	bool there, answer;
};

static bool look_around(void *context)
{
	struct call *call = context;

	call->calls++;
	call->there = (unsigned)sched_getcpu() == call->cpu_id;
	return call->answer;
}

/* Whether the visit took place. */
static bool visit(unsigned cpu_id, bool answer)
{
	struct call call = {.cpu_id = cpu_id, .answer = answer};
	cpu_set_t before, after;

	sched_getaffinity(0, sizeof before, &before);
	cr_assert_eq(tp_cpu_visit(cpu_id, look_around, &call), call.calls && answer);
	sched_getaffinity(0, sizeof after, &after);
	cr_assert(
		CPU_EQUAL(&before, &after), "CPU %u: the thread may not go where it might", cpu_id);
	cr_assert(!call.calls || (call.calls == 1 && call.there));
	return call.calls;
}

Test(cpu_id, a_visit_calls_on_that_cpu_once_and_lets_the_thread_go_where_it_might)
{
	unsigned seen = 0;

	for (unsigned cpu_id = 0; cpu_id < tp_cpu_count(); cpu_id++) {
		seen += visit(cpu_id, true);
		visit(cpu_id, false);
	}
	if (!pin(0))
		skip("no thread may choose its CPU here");
	cr_assert(seen);
	stay_on_this_cpu();
	for (unsigned cpu_id = 0; cpu_id < tp_cpu_count(); cpu_id++)
		seen -= visit(cpu_id, true);
	cr_assert_eq(seen, 0);
	/* Beyond what a set of ours can name, and what any machine has. */
	cr_assert_not(visit(8191, true) || visit(8192, true) || visit(UINT_MAX, true));
}

/* ---- the choice ---- */

static bool privileged; /* as a program with the set-user-ID bit is */

/* In place of the C library's. */
char *secure_getenv(const char *name)
{
	return privileged ? NULL : getenv(name);
}

struct heard {
	bool rseq;
	char report[400]; /* on stderr */
};

/* What a process chooses that finds wish in its environment; NULL: nothing there. */
static struct heard hear(const char *wish)
{
	struct heard heard = {0};
	struct child child;
	int status;

	if (child_begin(&child)) {
		if (wish ? setenv("TIERPOOL_PERCPU", wish, 1) : unsetenv("TIERPOOL_PERCPU"))
			_exit(2);
		/* The first call chooses; what is in the environment later is too late. */
		tp_cpu_init();
		setenv("TIERPOOL_PERCPU", "too late", 1);
		tp_cpu_init();
		if (tp_cpu_rseq && tp_cpu_rseq != tp_cpu_rseq_area)
			_exit(3);
		if (strcmp(tp_cpu_mode(), tp_cpu_rseq ? "rseq" : "locked"))
			_exit(4);
		_exit(!!tp_cpu_rseq);
	}
	status = child_end(&child, heard.report, sizeof heard.report);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) <= 1, "status %x", (unsigned)status);
	heard.rseq = WEXITSTATUS(status);
	return heard;
}

static void expect_heard(const char *wish, bool rseq, const char *report)
{
	struct heard heard = hear(wish);

	cr_assert_eq(heard.rseq, rseq, "%s: %s", wish, heard.rseq ? "rseq" : "locked");
	cr_assert_str_eq(heard.report, report, "%s", wish);
}

Test(cpu_id, locked_is_had_wherever_it_is_asked_for)
{
	expect_heard("locked", false, "");
}

Test(cpu_id, rseq_is_had_or_the_one_reason_told_once)
{
	static const char *const reasons[] = {"this build has no sequences",
		"glibc has not registered it", "the kernel refused glibc's registration",
		"the kernel has no membarrier for it", "membarrier refused our registration"};
	struct heard heard = hear("rseq");
	bool known = false;
	long commands;

	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
		char wanted[200];

		snprintf(wanted, sizeof wanted, "tierpool: TIERPOOL_PERCPU=rseq: %s; locked\n",
			reasons[i]);
		known |= !strcmp(heard.report, wanted);
	}
	cr_assert(heard.rseq ? !*heard.report : known, "%s", heard.report);
	/*
	 * 0: the query; the bit, as of linux/membarrier.h: MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ.
	 */
	commands = syscall(SYS_membarrier, 0, 0, 0);
	cr_assert(!heard.rseq || (TP_RSEQ_PRESENT && commands > 0 && commands & 1 << 7));
}

Test(cpu_id, without_a_wish_it_is_rseq_where_that_can_be_had_in_silence)
{
	bool rseq = hear("rseq").rseq;

	expect_heard(NULL, rseq, "");
	expect_heard("", rseq, "");
}

Test(cpu_id, any_other_wish_is_told_of_once_and_ignored)
{
	static const char *const wishes[] = {
		"garbage", "RSEQ", "rseq ", " locked", "rseq,locked", "lockedrseq", "1"};
	bool rseq = hear(NULL).rseq;

	for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
		char report[200];

		snprintf(report, sizeof report,
			"tierpool: TIERPOOL_PERCPU=%s: not rseq or locked; ignored\n", wishes[i]);
		expect_heard(wishes[i], rseq, report);
	}
}

Test(cpu_id, a_privileged_program_hears_nobody)
{
	bool rseq = hear(NULL).rseq;

	privileged = true;
	expect_heard("locked", rseq, "");
	expect_heard("garbage", rseq, "");
}

Test(cpu_id, the_pool_goes_the_way_that_was_chosen)
{
	tierpool *pool;

	setenv("TIERPOOL_PERCPU", "locked", 1);
	pool = pool_new(.name = "locked");
	setenv("TIERPOOL_PERCPU", "rseq", 1);
	cr_assert_str_eq(stats_of(pool).percpu, "locked");
	tierpool_destroy(pool);
	pool = pool_new(.name = "locked still");
	cr_assert_str_eq(stats_of(pool).percpu, "locked");
	tierpool_destroy(pool);
}

/* ---- no place in the table ---- */

/* As the kernel's area: cpu_id_start, cpu_id, rseq_cs. */
static struct {
	uint32_t cpu_id_start, cpu_id;
	uint64_t rest[7];
} fake __attribute__((aligned(64)));

/* From here on this thread, which has to be the only one, is on a CPU of our choice. */
static void fake_cpu(uint32_t id)
{
	tp_cpu_init();
	fake.cpu_id = id;
	tp_cpu_rseq_area = (const char *)&fake - (const char *)__builtin_thread_pointer();
	if (tp_cpu_rseq)
		tp_cpu_rseq = tp_cpu_rseq_area;
}

/* A pool's whole life: whatever it does, it keeps and gives buffers, and counts them. */
static void live_on(uint32_t id)
{
	struct tierpool_stats s;
	tierpool_buf *b[3];
	size_t out = 0;
	tierpool *pool;

	fake_cpu(id);
	cr_assert_eq(tp_cpu_id(), id);
	cr_assert_eq(tp_cpu_current(tp_cpu_count()), 0);
	pool = pool_on(&counting, .retain = 16 * MIB);
	fill(pool);
	s = accounted(pool, &counting, 0);
	cr_assert_gt(s.idle, 0);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_not_null(b[i] = tierpool_get_sized(pool, i == 2 ? MIB : 64));
		memset(b[i]->data, (int)i, b[i]->cap);
		out += b[i]->cap;
	}
	cr_assert_eq(accounted(pool, &counting, out).hits, s.hits + 3);
	cr_assert(b[0]->data[63] == 0 && b[1]->data[0] == 1 && b[2]->data[MIB - 1] == 2);
	for (unsigned i = 0; i < 3; i++)
		tierpool_put(b[i]);
	if (tp_cpu_rseq) {
		/* No sequence was entered with success, and so nothing went by the fast path. */
		s = stats_of(pool);
		cr_assert_eq(tp_counts_slow_gets(&pool->tiers), s.gets);
		cr_assert_eq(tp_counts_sum(&pool->tiers, TP_SLOW_PUTS), s.puts);
	}
	s = stats_of(pool);
	cr_assert_eq(tierpool_tick(pool) + tierpool_tick(pool), s.idle_bytes);
	fill(pool);
	cr_assert_eq(tierpool_trim(pool, 0), s.idle_bytes);
	fill(pool);
	pool_end(pool, &counting);
}

Test(cpu_id, on_a_cpu_beyond_the_table_everything_is_done_the_slow_way)
{
	unsigned count = tp_cpu_count();
	/* Those below zero say that the kernel does not know, or refused. */
	const uint32_t ids[] = {count, count + 1, 4095, 8192, INT32_MAX, (uint32_t)INT32_MIN,
		(uint32_t)-2, (uint32_t)-1};

	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		counting_backing_init(&counting);
		live_on(ids[i] < count ? count : ids[i]);
	}
}

/* ---- a thread without rseq, among others ---- */

#ifdef __aarch64__
#define SIGNATURE 0xd428bc00u
#else
#define SIGNATURE 0x53053053u
#endif

/* Undoes glibc's registration of the caller, which has the size of some glibc or other. */
static bool rseq_withdraw(void)
{
	void *area = (char *)__builtin_thread_pointer() + tp_cpu_rseq_area;

	for (unsigned size = 20; size <= 1024; size += 4)
		if (!syscall(SYS_rseq, area, size, 1 /* unregister */, SIGNATURE))
			return true;
	return false;
}

#define PASSES 20000

static tierpool *shared;
static unsigned faults, refused;

/* argument: whether without rseq. */
static void *borrow_and_return(void *argument)
{
	uint64_t random = (uintptr_t)&random | 1, stamp;
	tierpool_buf *b[8];

	if (argument && (!rseq_withdraw() || tp_cpu_id() != UINT_MAX)) {
		tp_store_relaxed(&refused, 1u);
		return NULL;
	}
	for (unsigned i = 0; i < PASSES; i++) {
		unsigned n = (unsigned)next_random(&random) % 9;

		for (unsigned j = 0; j < n; j++) {
			b[j] = tierpool_get_sized(shared, (size_t)64 << next_random(&random) % 8);
			tp_add_relaxed(&faults, !b[j]);
			stamp = (uintptr_t)b + j;
			memcpy(b[j]->data, &stamp, sizeof stamp);
		}
		for (unsigned j = 0; j < n; j++) {
			stamp = (uintptr_t)b + j;
			tp_add_relaxed(&faults, !!memcmp(b[j]->data, &stamp, sizeof stamp));
			tierpool_put(b[j]);
		}
		if (argument && i % 256 == 0)
			i % 1024 ? tierpool_tick(shared) : tierpool_trim(shared, MIB);
	}
	return NULL;
}

Test(cpu_id, a_thread_whose_registration_is_withdrawn_borrows_and_returns_among_others)
{
	pthread_t thread[3];

	counting_backing_init(&counting);
	shared = pool_on(&counting, .retain = 4 * MIB);
	if (!tp_cpu_rseq)
		skip("only in rseq mode does it matter");
	for (uintptr_t i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, borrow_and_return, (void *)(i % 2));
	for (unsigned i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	if (refused)
		skip("the system does not let a thread go back on its registration");
	cr_assert_eq(faults, 0);
	accounted(shared, &counting, 0);
	tierpool_trim(shared, 0);
	cr_assert_eq(accounted(shared, &counting, 0).idle, 0);
	pool_end(shared, &counting);
}
