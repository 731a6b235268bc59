/* SPDX-License-Identifier: MIT */
/*
 * The profile under everything at once, for argv[1] seconds: more threads than CPUs that borrow, grow,
 * hand on and put; a timer's signals for each; random migrations; and one that starts, writes and stops
 * the profile all the time, at rates of all kinds. In rounds, each on a pool of its own that ticks every
 * millisecond.
 *
 * Holds: a profile of each get has each get that began after its start, when the calls that were under
 * way then had ended, and ended before its end; and none that ended before its start or began after its
 * end; each is found by its stack too. When all is put nothing is out,
 * and the pool's counts are those of a pool at rest.
 *
 * Exit status 1 and a line that says why when one of them is broken. test/controls.sh builds this
 * with faults in the library and requires that.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tierpool.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "percpu/cpu.h"
#include "profile/snapshot.h"
#include "stress_finding.h"
#include "stress_threads.h"

#define HAND 12 /* buffers that a thread holds at the most */
#define SLOTS 8 /* where buffers are handed over */
#define ROUND_US 100000
#define FORMATS 5

/* ---- threads ---- */

struct thread {
	tierpool_buf *hand[HAND];
	unsigned held;
	uint64_t random, migrations;
	uint64_t begun, ended; /* gets; these three are read by the one that profiles */
	uint64_t calls;        /* of all kinds, that have ended */
	pthread_t id;
} __attribute__((aligned(2 * TP_LINE)));

static tierpool *pool;
static struct thread *threads;
static unsigned workers;
static tierpool_buf *handed[SLOTS];
static tierpool_site site[4] = {TIERPOOL_SITE_INIT("a"), TIERPOOL_SITE_INIT("b"),
	TIERPOOL_SITE_INIT("c"), TIERPOOL_SITE_INIT("d")};

static void get(struct thread *t)
{
	size_t n = below(&t->random, 4) ? 0 : 1 + below(&t->random, 4000);
	tierpool_buf *b;

	/* Release, both: who reads the second sees the get that came before it, and the first. */
	tp_store_release(&t->begun, t->begun + 1);
	b = tierpool_get_at(pool, n, &site[below(&t->random, 4)]);
	tp_store_release(&t->ended, t->ended + 1);
	if (b)
		t->hand[t->held++] = b;
	else
		broke("a get failed");
}

static void put(struct thread *t)
{
	tierpool_buf *b = t->hand[--t->held];

	if (below(&t->random, 8) == 0 && tierpool_buf_reserve(b, b->cap + below(&t->random, 9000)))
		broke("a growth failed");
	if (below(&t->random, 8) == 0)
		b = tp_exchange_acq_rel(&handed[below(&t->random, SLOTS)], b);
	tierpool_put(b);
}

static void *worker(void *argument)
{
	struct thread *t = argument;
	timer_t timer;
	bool alarms = alarms_start(&timer);

	if (!alarms)
		broke("no timer for a thread");
	while (!tp_load_relaxed(&stop)) {
		unsigned dice = below(&t->random, 4096);

		if (!t->held || (t->held < HAND && dice % 2))
			get(t);
		else
			put(t);
		tp_store_release(&t->calls, t->calls + 1);
		if (tp_unlikely(dice == 0))
			t->migrations += migrate(&t->random);
	}
	if (alarms)
		timer_delete(timer);
	return NULL;
}

/* ---- the profile ---- */

struct gets {
	uint64_t begun, ended;
};

/* Acquire: partner is get. */
static struct gets gets_now(void)
{
	struct gets sum = {0, 0};

	for (unsigned i = 0; i < workers; i++)
		sum.ended += tp_load_acquire(&threads[i].ended);
	for (unsigned i = 0; i < workers; i++)
		sum.begun += tp_load_acquire(&threads[i].begun);
	return sum;
}

/* Waits until the calls that are under way have ended. */
static void await_calls(void)
{
	for (unsigned i = 0; i < workers; i++) {
		uint64_t now = tp_load_acquire(&threads[i].calls);

		while (tp_load_acquire(&threads[i].calls) == now && !tp_load_relaxed(&stop))
			usleep(50);
	}
}

/*
 * Gets of a size that no other thread borrows, each of which finds the buffer of the one before: so its
 * stack still has the gap of the last profile when this one begins, on a busy machine too.
 */
#define OWN 3
static tierpool_site own_site = TIERPOOL_SITE_INIT("own");

static void get_own(void)
{
	for (unsigned i = 0; i < OWN; i++) {
		tierpool_buf *b = tierpool_get_at(pool, 30000, &own_site);

		if (!b)
			broke("a get failed");
		tierpool_put(b);
	}
}

static double own_recorded(const struct tp_snapshot *s)
{
	double gets = 0;

	for (size_t i = 0; i < s->sites; i++)
		if (strcmp(s->site[i].label, "own") == 0)
			gets += s->site[i].gets.sum;
	return gets;
}

/* own: of the gets, those of get_own. */
static double recorded(double *out, double *own)
{
	struct tp_snapshot *s = tp_snapshot_take();
	double gets = 0, by_stack = 0;

	*out = *own = 0;
	if (!s) {
		broke("no snapshot");
		return 0;
	}
	for (size_t i = 0; i < s->sites; i++) {
		gets += s->site[i].gets.sum;
		*out += s->site[i].out.sum;
	}
	for (size_t i = 0; i < s->stacks; i++)
		by_stack += s->stack[i].gets;
	/* Weights are no integers: the sums may differ in their last digits. */
	if (by_stack > gets * 1.000001 || by_stack < gets * 0.999999)
		broke("%.3f gets by stacks, and %.3f by sites", by_stack, gets);
	if (s->dropped)
		broke("%lu gets were dropped", (unsigned long)s->dropped);
	*own = own_recorded(s);
	tp_snapshot_free(s);
	return gets - *own;
}

static void write_it(unsigned format)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);
	int error = out ? tierpool_profile_write(out, format) : 0;

	if (error)
		broke("a profile was not written: %d", error);
	if (out)
		fclose(out);
	free(text);
}

/* Each get: at least those that lie within, at most those that touch it. */
static void profile_all(uint64_t *random)
{
	struct gets before = gets_now(), first, last, after;
	double gets, out, own;
	int error;

	get_own();
	error = tierpool_profile_start(1);
	get_own();
	await_calls();
	first = gets_now();
	usleep(below(random, 3000));
	if (below(random, 8) == 0)
		write_it(below(random, FORMATS));
	last = gets_now();
	tierpool_profile_stop();
	after = gets_now();
	gets = recorded(&out, &own);
	if (own != OWN)
		broke("%.3f of %d gets of its own were recorded", own, OWN);
	if (error)
		broke("the profile did not start: %d", error);
	if (gets > (double)(after.begun - before.ended))
		broke("%.0f gets were recorded of %lu", gets,
			(unsigned long)(after.begun - before.ended));
	if (last.ended > first.begun && gets < (double)(last.ended - first.begun))
		broke("only %.0f gets were recorded of %lu", gets,
			(unsigned long)(last.ended - first.begun));
}

static void profile_some(uint64_t *random)
{
	double out, own;

	if (tierpool_profile_start(below(random, 2) ? 0 : (size_t)1 << (1 + below(random, 20))))
		broke("the profile did not start");
	usleep(below(random, 3000));
	recorded(&out, &own);
	tierpool_profile_stop();
}

/* ---- rounds ---- */

static void round_start(void)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;

	options.decay_ms = 1;
	options.retain = 1 << 20;
	if (tierpool_create(&pool, &options)) {
		fprintf(stderr, "stress_profile: out of memory\n");
		exit(2);
	}
	stop = 0;
	for (unsigned i = 0; i < workers; i++)
		thread_start(&threads[i].id, worker, &threads[i]);
}

/* Nobody is at work any more; the last profile goes on. */
static void round_check(void)
{
	struct tierpool_stats s = {.size = sizeof s};
	double out, own;

	for (unsigned i = 0; i < workers; i++)
		while (threads[i].held)
			tierpool_put(threads[i].hand[--threads[i].held]);
	for (unsigned i = 0; i < SLOTS; i++) {
		tierpool_put(handed[i]);
		handed[i] = NULL;
	}
	recorded(&out, &own);
	if (out != 0)
		broke("%.3f buffers are out, and all are put", out);
	if (tierpool_stats_read(pool, &s) || s.borrowed || s.gets != s.puts)
		broke("%zu buffers are borrowed, of %lu gets and %lu puts", s.borrowed,
			(unsigned long)s.gets, (unsigned long)s.puts);
	if (tierpool_destroy(pool))
		broke("a pool was destroyed, and something was borrowed");
}

static void round_end(void)
{
	tp_store_relaxed(&stop, 1);
	for (unsigned i = 0; i < workers; i++)
		pthread_join(threads[i].id, NULL);
}

static bool prepare(void)
{
	workers = (unsigned)tp_max(4, tp_cpu_count() + 2);
	threads = aligned_alloc(2 * TP_LINE, workers * sizeof *threads);
	for (unsigned i = 0; threads && i < workers; i++)
		threads[i] = (struct thread){.random = i + 1};
	return threads && disturbances_init();
}

int main(int argc, char **argv)
{
	uint64_t end = now_us() + 1000000 * (uint64_t)(argc > 1 ? atoi(argv[1]) : 4);
	uint64_t random = end, rounds = 0, profiles = 0, migrations = 0;

	if (!prepare()) {
		fprintf(stderr, "stress_profile: no memory\n");
		return 2;
	}
	do {
		uint64_t until = now_us() + ROUND_US;

		round_start();
		do {
			(below(&random, 3) ? profile_all : profile_some)(&random);
			profiles++;
		} while (now_us() < until && !tp_load_relaxed(&stop));
		if (!broken && tierpool_profile_start(below(&random, 2)))
			broke("the profile did not start");
		usleep(below(&random, 3000));
		round_end();
		/* Else nothing is known of what is there any more. */
		if (!broken)
			round_check();
		tierpool_profile_stop();
		rounds++;
	} while (!broken && now_us() < end);
	for (unsigned i = 0; i < workers; i++)
		migrations += threads[i].migrations;
	printf("%s  stress_profile: %u workers, %lu rounds, %lu profiles of %lu gets, %lu "
	       "migrations, "
	       "%lu signals, %s\n",
		broken ? "FAILED" : "ok", workers, (unsigned long)rounds, (unsigned long)profiles,
		(unsigned long)gets_now().ended, (unsigned long)migrations,
		(unsigned long)alarms_seen(), tp_cpu_mode());
	free(threads);
	return broken;
}
