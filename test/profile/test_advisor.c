/* SPDX-License-Identifier: MIT */
/*
 * The online advisor against the model of all that happened: it sees a tenth of the events in windows, of
 * which the second half counts, and polls. Figures of each workload, of several seeds.
 */
#include "pool_checks.h"

#include <errno.h>

#include "pool/model_options.h"
#include "profile/advisor.h"
#include "workloads.h"

#define GETS 150000
#define SEEDS 4
#define BOUNDS 16
#define CALL_NS 100000
#define HIGH 0.95 /* from this share on the estimate itself is good */

/*
 * Events: of a window, from the begin of a window to that of the next, between two polls; and of a window
 * those that do not count.
 */
struct pace {
	unsigned window, windows, poll, settle;
};

static size_t bounds[BOUNDS];
static struct tp_model_tier tiers[TP_TIERS_MAX];
static struct tp_model_options options;
static tierpool *pool;

/* From 50 KiB on, each a third larger than the one before. */
static void start(void)
{
	double bound = 50 * KIB;

	for (unsigned k = 0; k < BOUNDS; k++, bound *= 1.38)
		bounds[k] = (size_t)bound;
	pool = pool_new(.decay_ms = TIERPOOL_DECAY_NEVER);
	options = tp_model_options_of(pool, tiers, bounds, BOUNDS);
	options.cpus = 2;
}

static void end(void)
{
	tierpool_destroy(pool);
}

TestSuite(advisor, .init = start, .fini = end, .timeout = 200);

/* ---- one run: all events to a model, and what is seen of them to an advisor ---- */

struct run {
	struct tp_model *model;
	struct tp_advisor *advisor;
	const struct pace *pace;
	unsigned tier[SLOTS];
	size_t out[TP_TIERS_MAX];
	uint64_t gets, ns, random;
	unsigned begin; /* of the window of this period */
	bool in_window;
};

static void run_event(struct run *r, const struct op *op)
{
	unsigned *tier = &r->tier[op->slot], to = 0;

	r->ns += CALL_NS;
	if (op->kind != OP_PUT)
		to = tp_sizeclass_of(&pool->sizes, op->size);
	if (op->kind == OP_GET) {
		r->gets++;
		tp_model_get(r->model, to, op->thread, r->ns);
		if (r->in_window)
			tp_advisor_get(r->advisor, to, op->thread, r->ns);
	} else if (op->kind == OP_PUT) {
		tp_model_put(r->model, *tier, op->thread, r->ns);
		if (r->in_window)
			tp_advisor_put(r->advisor, *tier, op->thread, r->ns);
	} else {
		tp_model_grow(r->model, *tier, to, op->thread, r->ns);
		if (r->in_window)
			tp_advisor_grow(r->advisor, *tier, to, op->thread, r->ns);
	}
	if (op->kind != OP_GET)
		r->out[*tier]--;
	if (op->kind != OP_PUT)
		r->out[to]++;
	*tier = to;
}

/* Before event i. Each period has one window, at a place by chance. */
static void run_watch(struct run *r, unsigned i)
{
	unsigned in_period = i % r->pace->windows;

	if (in_period == 0)
		r->begin =
			(unsigned)(next_random(&r->random) % (r->pace->windows - r->pace->window));
	if (r->pace->window && in_period == r->begin) {
		tp_advisor_window_begin(r->advisor, r->out, r->gets, r->ns);
		r->in_window = true;
	} else if (r->in_window && in_period == r->begin + r->pace->window) {
		tp_advisor_window_end(r->advisor, r->out, r->gets, r->ns);
		r->in_window = false;
	} else if (r->pace->settle && r->in_window && in_period == r->begin + r->pace->settle) {
		tp_advisor_window_count(r->advisor, r->out, r->gets, r->ns);
	} else if (i % r->pace->poll == 0) {
		tp_advisor_poll(r->advisor, r->out, r->gets, r->ns);
	}
}

static struct run run(void (*make)(struct workload *), const struct pace *pace, uint64_t seed)
{
	struct workload *w = workload_new(GETS, seed);
	struct run r = {.pace = pace, .random = seed};

	make(w);
	r.model = tp_model_create(&options);
	r.advisor = tp_advisor_create(&options);
	cr_assert(r.model && r.advisor);
	for (unsigned i = 0; i < w->count; i++) {
		run_watch(&r, i);
		run_event(&r, &w->ops[i]);
	}
	if (r.in_window)
		tp_advisor_window_end(r.advisor, r.out, r.gets, r.ns);
	tp_advisor_poll(r.advisor, r.out, r.gets, r.ns);
	cr_assert_eq(tp_advisor_gets(r.advisor), GETS);
	workload_free(w);
	return r;
}

static void run_end(struct run *r)
{
	tp_model_free(r->model);
	tp_advisor_free(r->advisor);
}

static double truth_of(const struct run *r, unsigned k)
{
	return 1 - (double)tp_model_misses(r->model, k) / (double)tp_model_gets(r->model);
}

/* ---- verdicts ---- */

/* In points: the worst estimate where the share is high; the worst elsewhere, and its interval. */
struct verdict {
	double high, low, width;
	unsigned highs, outside;
};

static double apart(double a, double b)
{
	return 100 * (a > b ? a - b : b - a);
}

static void verdict_add(struct verdict *v, const struct run *r)
{
	struct tp_advised curve[BOUNDS];

	tp_advisor_curve(r->advisor, curve);
	for (unsigned k = 0; k < BOUNDS; k++) {
		double truth = truth_of(r, k), error = apart(truth, curve[k].share);
		double *worst = truth >= HIGH ? &v->high : &v->low;

		cr_assert_eq(curve[k].retain, bounds[k]);
		*worst = error > *worst ? error : *worst;
		v->highs += truth >= HIGH;
		v->outside += truth < curve[k].low || truth > curve[k].high;
		if (curve[k].high - curve[k].low > v->width && truth >= 0.9)
			v->width = curve[k].high - curve[k].low;
	}
}

static struct verdict verdict_of(
	void (*make)(struct workload *), const struct pace *pace, const char *name)
{
	struct verdict v = {0};

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct run r = run(make, pace, seed);

		verdict_add(&v, &r);
		run_end(&r);
	}
	printf("%-10s a poll each %4u: from 95 %% on %.2f points off at most, else %.2f; outside "
	       "the "
	       "interval %u of %u; from 90 %% on it is %.1f wide at most\n",
		name, pace->poll, v.high, v.low, v.outside, SEEDS * BOUNDS, 100 * v.width);
	cr_assert_gt(v.highs, 2 * SEEDS);
	cr_assert_lt(v.highs, (BOUNDS - 2) * SEEDS);
	return v;
}

static void assert_good(void (*make)(struct workload *), const char *name)
{
	static const struct pace paces[] = {
		{3000, 30000, 100, 1500}, {3000, 30000, 500, 1500}, {6000, 60000, 2000, 3000}};

	for (unsigned i = 0; i < 3; i++) {
		struct verdict v = verdict_of(make, &paces[i], name);

		cr_expect_lt(v.high, 3);
		/* Of two standard errors one in 20 may. */
		cr_expect_leq(v.outside, 1);
	}
}

Test(advisor, is_right_of_a_steady_program)
{
	assert_good(workload_steady, "steady");
}

Test(advisor, is_right_of_bursts)
{
	assert_good(workload_bursty, "bursts");
}

Test(advisor, is_right_of_two_phases)
{
	assert_good(workload_two_phases, "two phases");
}

/* ---- controls ---- */

/* Without a window polls are all there is: they miss too little, and the interval says nothing. */
Test(advisor, with_polls_alone_is_wrong_and_says_so)
{
	const struct pace polls = {0, 30000, 500, 0};
	struct verdict v = verdict_of(workload_steady, &polls, "polls");
	struct run r = run(workload_steady, &polls, 1);
	struct tp_advised curve[BOUNDS];

	cr_expect_gt(v.high, 2);
	cr_expect_gt(v.low, 20);
	tp_advisor_curve(r.advisor, curve);
	cr_expect_eq(tp_advisor_windows(r.advisor), 0);
	for (unsigned k = 0; k < BOUNDS; k++)
		cr_expect(curve[k].low <= 0 && curve[k].high >= 1);
	run_end(&r);
}

/*
 * All is in windows, but an event between two of them; by so little the room of stacks comes to lie
 * otherwise, and that is worth up to a point.
 */
Test(advisor, that_sees_all_is_exact)
{
	const struct pace all = {29999, 30000, 1000000, 0};
	struct run r = run(workload_steady, &all, 1);
	struct tp_advised curve[BOUNDS];

	tp_advisor_curve(r.advisor, curve);
	for (unsigned k = 0; k < BOUNDS; k++)
		cr_expect_lt(apart(curve[k].share, truth_of(&r, k)), 1.5);
	run_end(&r);
}

/* ---- calls ---- */

Test(advisor, counts_from_its_first_poll)
{
	struct tp_advisor *a = tp_advisor_create(&options);
	struct tp_advised curve[BOUNDS];
	size_t out[TP_TIERS_MAX] = {[3] = 7};

	cr_assert_not_null(a);
	tp_advisor_curve(a, curve);
	cr_expect(curve[0].share >= 1 && curve[0].low <= 0, "of no gets nothing is known");
	tp_advisor_poll(a, out, 1000, 1);
	cr_expect_eq(tp_advisor_gets(a), 0);
	/* What was out before comes back, and goes out again: three are new. */
	out[3] = 0;
	tp_advisor_poll(a, out, 1000, 2);
	out[3] = 10;
	tp_advisor_poll(a, out, 1010, 3);
	cr_expect_eq(tp_advisor_gets(a), 10);
	tp_advisor_curve(a, curve);
	cr_expect_float_eq(curve[BOUNDS - 1].share, 0.7, 1e-9);
	tp_advisor_forget(a);
	cr_expect_eq(tp_advisor_gets(a), 0);
	tp_advisor_free(a);
}

enum way { BY_POLLS, BY_A_DROPPED_WINDOW, BY_A_WINDOW };

/* 1,200 buffers go out: what one poll leaves the next one does, and a window before it counts. */
Test(advisor, goes_on_where_a_poll_had_to_stop)
{
	size_t out[TP_TIERS_MAX] = {0};

	for (enum way way = BY_POLLS; way <= BY_A_WINDOW; way++) {
		struct tp_advisor *a = tp_advisor_create(&options);
		struct tp_advised curve[BOUNDS];

		out[3] = 0;
		tp_advisor_poll(a, out, 0, 1);
		out[3] = 2 * TP_ADVISOR_STEPS + 200;
		if (way == BY_POLLS) {
			cr_expect(!tp_advisor_poll(a, out, out[3], 2));
		} else {
			tp_advisor_window_begin(a, out, out[3], 2);
			cr_expect(!tp_advisor_poll(a, out, out[3], 3), "which does nothing");
		}
		if (way == BY_A_DROPPED_WINDOW)
			tp_advisor_window_drop(a, out, out[3], 3);
		if (way == BY_A_WINDOW) {
			cr_expect(!tp_advisor_window_settle(a, 3));
			cr_expect(tp_advisor_window_settle(a, 4));
			cr_expect(tp_advisor_window_settle(a, 5));
			tp_advisor_window_count(a, out, out[3], 6);
			tp_advisor_window_end(a, out, out[3], 7);
		} else {
			cr_expect(!tp_advisor_poll(a, out, out[3], 8));
		}
		cr_expect(tp_advisor_poll(a, out, out[3], 9));
		tp_advisor_curve(a, curve);
		cr_expect_float_eq(curve[BOUNDS - 1].share, 0, 1e-9, "each of them is new");
		tp_advisor_free(a);
	}
}

/* As a poll may read them while a countdown is armed. */
Test(advisor, gets_that_go_back_are_none)
{
	struct tp_advisor *a = tp_advisor_create(&options);
	struct tp_advised curve[BOUNDS];
	size_t out[TP_TIERS_MAX] = {0};
	uint64_t gets = 1000;

	tp_advisor_poll(a, out, gets, 1);
	for (unsigned i = 0; i < 5; i++) {
		tp_advisor_window_begin(a, out, gets, i);
		for (unsigned j = 0; j < 10; j++) {
			tp_advisor_get(a, 3, 0, i);
			tp_advisor_put(a, 3, 0, i);
		}
		gets = i ? gets + 10 : gets - 5;
		tp_advisor_window_end(a, out, gets, i);
	}
	tp_advisor_curve(a, curve);
	cr_expect_gt(curve[BOUNDS - 1].share, 0.9);
	tp_advisor_free(a);
}

/* Of a window that lost events only the polls count. */
Test(advisor, takes_a_dropped_window_for_polls)
{
	struct tp_advisor *one = tp_advisor_create(&options), *other = tp_advisor_create(&options);
	struct tp_advised a[BOUNDS], b[BOUNDS];
	size_t out[TP_TIERS_MAX] = {0};
	uint64_t gets = 0;

	cr_assert(one && other);
	for (unsigned i = 0; i < 50; i++) {
		tp_advisor_poll(one, out, gets, i);
		tp_advisor_window_begin(other, out, gets, i);
		for (unsigned j = 0; j < 30; j++)
			tp_advisor_get(other, j % 9, 0, i);
		out[i % 9] = i % 7;
		gets += 100;
		tp_advisor_poll(one, out, gets, i);
		tp_advisor_window_drop(other, out, gets, i);
	}
	tp_advisor_curve(one, a);
	tp_advisor_curve(other, b);
	for (unsigned k = 0; k < BOUNDS; k++)
		cr_expect_float_eq(a[k].share, b[k].share, 1e-9);
	cr_expect_eq(tp_advisor_windows(other), 0);
	tp_advisor_free(one);
	tp_advisor_free(other);
}

/* A model remembers what lies idle: what a phase before needed new is there. */
Test(advisor, forgets_counts_and_keeps_what_is_idle)
{
	struct tp_advisor *a = tp_advisor_create(&options);
	struct tp_advised curve[BOUNDS];
	size_t out[TP_TIERS_MAX] = {0};

	for (unsigned i = 0; i < 20; i++) {
		out[2] = i % 2 ? 0 : 5;
		tp_advisor_poll(a, out, 10 * i, i);
	}
	tp_advisor_forget(a);
	for (unsigned i = 20; i < 40; i++) {
		out[2] = i % 2 ? 0 : 5;
		tp_advisor_poll(a, out, 10 * i, i);
	}
	tp_advisor_curve(a, curve);
	cr_expect_float_eq(curve[BOUNDS - 1].share, 1, 1e-9);
	tp_advisor_free(a);
}

Test(advisor, may_forget_in_a_window)
{
	struct tp_advisor *a = tp_advisor_create(&options);
	struct tp_advised curve[BOUNDS];
	size_t out[TP_TIERS_MAX] = {0};

	tp_advisor_poll(a, out, 0, 0);
	for (unsigned i = 0; i < 4; i++) {
		tp_advisor_window_begin(a, out, 100 * i, i);
		for (unsigned j = 0; j < 100; j++) {
			tp_advisor_get(a, 3, 0, i);
			tp_advisor_put(a, 3, 0, i);
			if (j == 50)
				tp_advisor_forget(a);
		}
		tp_advisor_window_end(a, out, 100 * (i + 1), i);
	}
	tp_advisor_curve(a, curve);
	cr_expect_eq(tp_advisor_windows(a), 1);
	cr_expect_eq(tp_advisor_gets(a), 100);
	cr_expect_float_eq(curve[BOUNDS - 1].share, 1, 1e-9);
	tp_advisor_free(a);
}

Test(advisor, finds_the_smallest_bound_for_a_share)
{
	const struct tp_advised rising[3] = {{100, .5, 0, 1}, {200, .9, 0, 1}, {300, 1, 0, 1}};
	const struct tp_advised low[3] = {{100, .5, 0, 1}, {200, .9, 0, 1}, {300, .9, 0, 1}};
	size_t retain = 0;

	cr_expect(tp_advised_enough(rising, 3, 0.95, &retain));
	cr_expect_eq(retain, 250);
	cr_expect(tp_advised_enough(rising, 3, 0.4, &retain));
	cr_expect_eq(retain, 100);
	cr_expect_not(tp_advised_enough(low, 3, 0.99, &retain));
	cr_expect_eq(retain, 200);
}

Test(advisor, leaves_errno_alone)
{
	struct tp_advisor *a = tp_advisor_create(&options);

	errno = EBADF;
	tp_advisor_free(a);
	tp_advisor_free(NULL);
	cr_expect_eq(errno, EBADF);
}
