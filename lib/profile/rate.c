/* SPDX-License-Identifier: MIT */
#include "profile/rate.h"

#include <string.h>

#include "base/random.h"

/*
 * Time that samples may take of one CPU: with the polls and windows of advice.c some 1 %. An interval
 * between two settings of the rate.
 */
#define BUDGET 0.003
#define INTERVAL_NS 50e6

/* A sample that seems to take longer was preempted. */
#define COST_MOST_NS 32000

/* What a sample takes beside what is measured: its countdown, the slow put; a guess on the high side. */
#define OTHER_COST_NS 400

/* The rate rises by this factor at most from one interval to the next. */
#define RISE 4.0

/* How many intervals the usual cost follows. */
#define USUAL 8

/* Of gets, while the profile is a sample: below 1. */
#define GETS_MOST 0.999

#define STEPS_PER_HALF 8
#define STEP_MOST (TP_RATE_OFF - 1)

uint32_t tp_rate_running, tp_rate_starts;

/* By anyone, relaxed: both are drawn from while they change, and any value is a valid rate. */
static uint64_t rate_of_gets, rate_of_bytes; /* doubles, as bits */
static uint64_t rate_random;

/* In the lock of samples.c. */
static struct {
	bool automatic;
	uint64_t since_ns;
	double gets, bytes, cost_ns, samples; /* in this interval */
	double usual_cost_ns; /* of a sample, over some intervals; 0: not known yet */
} rate;

/* ---- a little arithmetic: lib/ does without libm ---- */

static double rate_from_bits(uint64_t bits)
{
	double x;

	memcpy(&x, &bits, sizeof x);
	return x;
}

static uint64_t rate_to_bits(double x)
{
	uint64_t bits;

	memcpy(&bits, &x, sizeof bits);
	return bits;
}

/*
 * The binary logarithm of a positive normal number: its exponent, and of the mantissa the series of
 * ln((1 + s) / (1 - s)) (Abramowitz and Stegun, 4.1.27), with an error of 1e-9 at most.
 */
static double rate_log2(double x)
{
	uint64_t bits = rate_to_bits(x);
	int exponent = (int)(bits >> 52) - 1023;
	double mantissa = rate_from_bits((bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1023) << 52);
	double s, square, sum = 0;

	if (mantissa > 1.4142135623730951) {
		mantissa /= 2;
		exponent++;
	}
	s = (mantissa - 1) / (mantissa + 1);
	square = s * s;
	for (int n = 11; n > 0; n -= 2)
		sum = sum * square + 1.0 / n;
	return exponent + 2 * s * sum * 1.4426950408889634;
}

/* 1 - exp(-x) for x from 0 on, by halving x until a few terms of the series do. */
static double rate_reached(double x)
{
	unsigned halvings = 0;
	double reached;

	if (x > 40)
		return 1;
	while (x > 0.01) {
		x /= 2;
		halvings++;
	}
	reached = x * (1 - x / 2 * (1 - x / 3 * (1 - x / 4)));
	while (halvings--)
		reached *= 2 - reached;
	return reached;
}

/* ---- steps ---- */

bool tp_rate_is_complete(void)
{
	return rate_from_bits(tp_load_relaxed(&rate_of_gets)) >= 1;
}

unsigned tp_rate_step(size_t bytes, bool slow)
{
	double of_gets = rate_from_bits(tp_load_relaxed(&rate_of_gets)), p;
	int step;

	if (!tp_load_relaxed(&tp_rate_running))
		return TP_RATE_OFF;
	if (of_gets >= 1)
		return 0;
	p = of_gets + rate_reached((double)bytes / rate_from_bits(tp_load_relaxed(&rate_of_bytes)));
	if (slow)
		p *= TP_RATE_SLOW;
	if (p >= 1)
		return 0;
	step = (int)(-STEPS_PER_HALF * rate_log2(p) + 0.5);
	return step < (int)STEP_MOST ? (unsigned)step : STEP_MOST;
}

double tp_rate_weight(unsigned step)
{
	/* 2 to the power of n / 8. */
	static const double part[STEPS_PER_HALF] = {1, 1.0905077326652577, 1.1892071150027210,
		1.2968395546510096, 1.4142135623730951, 1.5422108254079407, 1.6817928305074290,
		1.8340080864093424};

	return (double)(UINT64_C(1) << step / STEPS_PER_HALF) * part[step % STEPS_PER_HALF];
}

/* ---- draws ---- */

/* Uniform between 0 and 1, neither of them. */
static double rate_uniform(void)
{
	return ((double)(tp_random_independent(&rate_random) >> 12) + 0.5) * 0x1p-52;
}

bool tp_rate_draw(unsigned step)
{
	return step == 0 || (step != TP_RATE_OFF && rate_uniform() * tp_rate_weight(step) < 1);
}

uint32_t tp_rate_gap(unsigned step)
{
	double gap;

	if (step == 0)
		return 1;
	if (step == TP_RATE_OFF)
		return TP_RATE_GAP_MOST + 1;
	/* By inversion: Devroye, Non-Uniform Random Variate Generation, X.2. */
	gap = rate_log2(rate_uniform()) / rate_log2(1 - 1 / tp_rate_weight(step));
	return gap < TP_RATE_GAP_MOST ? (uint32_t)gap + 1 : TP_RATE_GAP_MOST + 1;
}

/* ---- the rate ---- */

static void rate_set(double of_gets, double of_bytes)
{
	tp_store_relaxed(&rate_of_gets, rate_to_bits(of_gets));
	tp_store_relaxed(&rate_of_bytes, rate_to_bits(of_bytes));
}

static void rate_interval_begin(uint64_t now_ns)
{
	rate.since_ns = now_ns;
	rate.gets = rate.bytes = rate.cost_ns = rate.samples = 0;
}

void tp_rate_start(size_t sample_bytes)
{
	rate.automatic = !sample_bytes;
	rate_interval_begin(0);
	rate.usual_cost_ns = 0;
	/* Automatic: every get, until it is known how many there are; so a short run is complete. */
	rate_set(rate.automatic      ? GETS_MOST
		 : sample_bytes == 1 ? 1
				     : 0,
		rate.automatic ? 1 : (double)sample_bytes);
	tp_add_relaxed(&tp_rate_starts, 1u);
	tp_store_relaxed(&tp_rate_running, 1u);
}

void tp_rate_stop(void)
{
	tp_store_relaxed(&tp_rate_running, 0u);
}

/* Shares what the budget allows a second among gets and bytes as they came in the interval. */
static void rate_adjust(double seconds)
{
	double cost_ns = rate.cost_ns / rate.samples, samples, of_gets, of_bytes;
	double most = RISE * rate_from_bits(rate_of_gets);
	double least = rate_from_bits(rate_of_bytes) / RISE;

	if (rate.usual_cost_ns > 0)
		cost_ns = rate.usual_cost_ns + (cost_ns - rate.usual_cost_ns) / USUAL;
	rate.usual_cost_ns = cost_ns;
	samples = BUDGET * 1e9 / cost_ns;
	of_gets = samples / 2 / (rate.gets / seconds);
	of_bytes = rate.bytes / seconds / (samples / 2);
	of_gets = of_gets < most ? of_gets : most;
	of_bytes = of_bytes > least ? of_bytes : least;
	rate_set(of_gets < GETS_MOST ? of_gets : GETS_MOST, of_bytes > 1 ? of_bytes : 1);
}

void tp_rate_note(unsigned step, size_t bytes, uint64_t cost_ns, uint64_t now_ns)
{
	double weight = tp_rate_weight(step), passed;

	if (!rate.automatic)
		return;
	if (!rate.since_ns)
		rate.since_ns = now_ns - cost_ns;
	rate.gets += weight;
	rate.bytes += weight * (double)bytes;
	rate.cost_ns += (double)tp_min(cost_ns, COST_MOST_NS) + OTHER_COST_NS;
	rate.samples++;
	passed = (double)(now_ns - rate.since_ns);
	/* Early, if the interval's budget is spent. */
	if (passed < INTERVAL_NS && rate.cost_ns < BUDGET * INTERVAL_NS)
		return;
	rate_adjust((passed > 1 ? passed : 1) * 1e-9);
	rate_interval_begin(now_ns);
}
