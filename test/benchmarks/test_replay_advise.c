/* SPDX-License-Identifier: MIT */
/*
 * What replay_trace --advise says of a program, against runs of the program with these bounds. The
 * program has two threads, each on a CPU of its own, which take turns: so each run makes the same calls
 * in the same order, however busy the machine is. REPLAY_TRACE is the path of replay_trace.
 */
#include <criterion/criterion.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "child.h"
#include "pool/pool.h"
#include "pool_checks.h"
#include "replay_report.h"
#include "workloads.h"

#define GETS 40000
#define BOUNDS 5
#define CURVE_MOST 64
#define CALL_NS 100000

/* ---- the program: in a child ---- */

/* What its pool's statistics say at the end; memory that the child has too. */
static struct told {
	uint64_t gets, hits;
} * told;

static struct program {
	const struct workload *work;
	tierpool *pool;
	tierpool_buf *out[SLOTS]; /* of the thread that has its turn */
	sem_t turn[2];
} program;

/*
 * The clock of the program passes by its calls, as if it did a bit of work between any two: so what
 * the pool does once a millisecond comes at the same calls in each run. 0: the system's clock.
 */
static uint64_t program_ns;

int clock_gettime(clockid_t clock, struct timespec *now)
{
	if (!program_ns)
		return (int)syscall(SYS_clock_gettime, clock, now);
	now->tv_sec = (time_t)(program_ns / 1000000000);
	now->tv_nsec = (long)(program_ns % 1000000000);
	return 0;
}

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "the program fails: %s\n", what);
	_exit(1);
}

static void program_call(const struct op *op)
{
	tierpool_buf **b = &program.out[op->slot];

	/* None for a growth: a trace has no time of it. */
	program_ns += op->kind == OP_GROW ? 0 : CALL_NS;
	if (op->kind == OP_GET)
		*b = tierpool_get_sized(program.pool, op->size);
	else if (op->kind == OP_GROW)
		tierpool_buf_reserve(*b, op->size);
	else
		tierpool_put(*b);
	if (!*b)
		fail("no buffer");
}

static void *program_thread(void *argument)
{
	unsigned me = argument ? 1 : 0, i = 0;
	const struct workload *w = program.work;

	if (!pin(me))
		fail("no CPU");
	while (i < w->count) {
		while (sem_wait(&program.turn[me]))
			;
		/* What the other one has just done. */
		while (i < w->count && w->ops[i].thread != me)
			i++;
		while (i < w->count && w->ops[i].thread == me)
			program_call(&w->ops[i++]);
		sem_post(&program.turn[!me]);
	}
	return NULL;
}

static void program_run(const struct workload *w, size_t retain)
{
	struct tierpool_stats s = {.size = sizeof s};
	pthread_t other;

	program.work = w;
	/* The first call at a whole millisecond, as in what is read of the trace. */
	program_ns = 1000000000 - CALL_NS;
	if (tierpool_create(&program.pool,
		    &pool_options(.name = "p", .retain = retain, .decay_ms = TIERPOOL_DECAY_NEVER)))
		fail("no pool");
	for (unsigned i = 0; i < 2; i++)
		if (sem_init(&program.turn[i], 0, w->ops[0].thread == i))
			fail("no semaphore");
	if (pthread_create(&other, NULL, program_thread, &program))
		fail("no thread");
	program_thread(NULL);
	pthread_join(other, NULL);
	if (tierpool_stats_read(program.pool, &s))
		fail("no statistics");
	*told = (struct told){s.gets, s.hits};
}

static double share_measured(const struct workload *w, size_t retain, const char *trace)
{
	struct child child;
	char said[1024];
	int status;

	*told = (struct told){0};
	if (child_begin(&child)) {
		alarm(100);
		if (trace && setenv("TIERPOOL_TRACE", trace, 1))
			fail("setenv");
		program_run(w, retain);
		exit(0);
	}
	status = child_end(&child, said, sizeof said);
	cr_assert_eq(status, 0, "status %#x: %s", (unsigned)status, said);
	cr_assert_eq(told->gets, w->gets);
	return (double)told->hits / (double)told->gets;
}

/* ---- advice ---- */

struct served {
	size_t retain;
	double share;
};

static struct served curve[CURVE_MOST];
static unsigned curve_count;

static void curve_read(void)
{
	FILE *out = popen("\"$replay\" --advise --csv trace", "r");
	char line[256];

	cr_assert_not_null(out);
	for (curve_count = 0; fgets(line, sizeof line, out);)
		curve_count += sscanf(line, "p,curve,%zu,%lf", &curve[curve_count].retain,
				       &curve[curve_count].share) == 2;
	cr_assert_eq(pclose(out), 0);
	cr_assert_gt(curve_count, BOUNDS);
}

/* The first bound of the curve, from this one on, that serves such a share. */
static unsigned curve_find(unsigned k, double share)
{
	cr_assert_lt(k, curve_count);
	while (k + 1 < curve_count && curve[k].share < share)
		k++;
	return k;
}

/* ---- the control: one list a tier, and what is put when it is full is dropped ---- */

static double share_of_lists(const struct workload *w, size_t retain)
{
	tierpool *pool = pool_new(.name = "tiers");
	const struct tp_sizeclass *sizes = &pool->sizes;
	size_t idle[TP_TIERS_MAX] = {0}, used = 0;
	unsigned tier[SLOTS], hits = 0;

	for (unsigned i = 0; i < w->count; i++) {
		const struct op *op = &w->ops[i];
		unsigned t = op->kind == OP_GET ? tp_sizeclass_of(sizes, op->size) : tier[op->slot];
		size_t cost = pool->tiers.tier[t].cost;

		if (op->kind == OP_GET) {
			tier[op->slot] = t;
			hits += idle[t] > 0;
			used -= idle[t] ? cost : 0;
			idle[t] -= idle[t] > 0;
		} else if (op->kind == OP_PUT && used + cost <= retain) {
			used += cost;
			idle[t]++;
		}
	}
	tierpool_destroy(pool);
	return (double)hits / (double)w->gets;
}

/* ---- tests ---- */

static void start(void)
{
	if (!pin(1))
		skip("there is only one CPU");
	replay_folder_new(REPLAY_TRACE);
	told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(told, MAP_FAILED);
}

TestSuite(replay_advise, .init = start, .fini = folder_end, .timeout = 300);

/* In points. */
static double apart(double a, double b)
{
	return 100 * (a > b ? a - b : b - a);
}

static void assert_advice(void (*make)(struct workload *w), double points)
{
	static const double shares[BOUNDS] = {0.5, 0.65, 0.8, 0.92, 0.98};
	struct workload *w = workload_new(GETS, 1);
	double lists_worst = 0;

	make(w);
	share_measured(w, 256 * MIB, "trace");
	curve_read();
	for (unsigned i = 0, k = 0; i < BOUNDS; i++, k++) {
		const struct served *s = &curve[k = curve_find(k, shares[i])];
		double measured = share_measured(w, s->retain, NULL);
		double lists = apart(share_of_lists(w, s->retain), measured);

		lists_worst = lists > lists_worst ? lists : lists_worst;
		printf("%9zu bytes: measured %.2f %%, predicted %+.2f, by lists %.2f off\n",
			s->retain, 100 * measured, 100 * (s->share - measured), lists);
		fflush(stdout); /* or a child prints it again */
		cr_expect_lt(apart(s->share, measured), points,
			"%zu bytes: predicted %.2f %%, measured %.2f %%", s->retain, 100 * s->share,
			100 * measured);
	}
	cr_expect_gt(
		lists_worst, 2 * points, "one list does as well: %.2f points off", lists_worst);
	workload_free(w);
}

Test(replay_advise, of_a_steady_program_is_true)
{
	assert_advice(workload_steady, 1);
}

Test(replay_advise, of_bursts_is_true)
{
	assert_advice(workload_bursty, 1);
}

Test(replay_advise, of_two_phases_is_true)
{
	assert_advice(workload_two_phases, 3);
}
