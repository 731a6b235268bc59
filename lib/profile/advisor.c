/* SPDX-License-Identifier: MIT */
#include "profile/advisor.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/keep_errno.h"
#include "base/random.h"
#include "memory/sizeclass.h"

/* CPUs of the last events, of which a net change takes one by chance. */
#define RECENT 64

/*
 * The interval: this many standard errors, more if there are few windows; these parts of what windows
 * have added, and of all misses; and at least so much.
 */
#define ERRORS 2
#define ERRORS_FEW 4.6
#define ADDED_PART 0.4
#define MISSED_PART 0.03
#define LEAST 0.005

/* Shares this near are the same. */
#define FLAT 0.0005

/* Of windows, at one bound. */
struct advisor_bound {
	double rate;  /* misses a get that polls do not see, in the last one */
	double added; /* such misses, up to the middle of the last one */
	double jumps; /* sum of squares of rate - that of the window before */
};

struct tp_advisor {
	struct tp_model *model, *copy; /* copy: stepped by polls in a window */
	unsigned tiers, bounds, windows;
	bool begun, in_window;
	uint64_t gets_first, gets, random;
	uint64_t window_gets, window_first; /* in this window; those of the pool when it began */
	uint64_t middle;                    /* of the last window: gets of the pool */
	uint16_t cpu[RECENT];
	unsigned cpus_seen;
	size_t *out;  /* of each tier, as the model has seen it */
	size_t *last; /* as the copy has */
	size_t *late; /* in a window: as both should have at its begin; last has not come so far yet */
	bool settled; /* it has */
	/* Misses at each bound: all that polls see; in this window those of the model, of the copy. */
	uint64_t polled[TP_MODEL_BOUNDS_MAX];
	uint64_t seen[TP_MODEL_BOUNDS_MAX], copied[TP_MODEL_BOUNDS_MAX];
	size_t retain[TP_MODEL_BOUNDS_MAX];
	struct advisor_bound bound[TP_MODEL_BOUNDS_MAX];
};

struct tp_advisor *tp_advisor_create(const struct tp_model_options *o)
{
	struct tp_advisor *a = calloc(1, sizeof *a + 3 * o->tiers * sizeof *a->out);

	if (!a)
		return NULL;
	a->tiers = o->tiers;
	a->bounds = o->bounds;
	a->out = (size_t *)(void *)(a + 1);
	a->last = a->out + o->tiers;
	a->late = a->last + o->tiers;
	memcpy(a->retain, o->bound, o->bounds * sizeof *o->bound);
	a->model = tp_model_create(o);
	a->copy = tp_model_create(o);
	if (a->model && a->copy)
		return a;
	tp_advisor_free(a);
	return NULL;
}

void tp_advisor_free(struct tp_advisor *a)
{
	TP_KEEP_ERRNO;

	if (!a)
		return;
	tp_model_free(a->model);
	tp_model_free(a->copy);
	free(a);
}

/* ---- bounds ---- */

/* The bound whose state is nearest to what another one would have: the next smaller one. */
static uint8_t advisor_nearest(const struct tp_advisor *a, size_t bound)
{
	unsigned best = 0;

	for (unsigned k = 1; k < a->bounds; k++) {
		bool fits = a->retain[k] <= bound, best_fits = a->retain[best] <= bound;

		if (fits != best_fits ? fits : (a->retain[k] > a->retain[best]) == fits)
			best = k;
	}
	return (uint8_t)best;
}

void tp_advisor_bounds_set(struct tp_advisor *a, const size_t *bound)
{
	struct advisor_bound was[TP_MODEL_BOUNDS_MAX];
	uint64_t polled[TP_MODEL_BOUNDS_MAX];
	uint8_t from[TP_MODEL_BOUNDS_MAX];

	memcpy(was, a->bound, sizeof was);
	memcpy(polled, a->polled, sizeof polled);
	for (unsigned k = 0; k < a->bounds; k++) {
		from[k] = advisor_nearest(a, bound[k]);
		a->bound[k] = was[from[k]];
		a->polled[k] = polled[from[k]];
	}
	memcpy(a->retain, bound, a->bounds * sizeof *bound);
	tp_model_bounds_set(a->model, bound, from);
	tp_model_bounds_set(a->copy, bound, from);
}

/* ---- polls ---- */

static unsigned advisor_cpu(struct tp_advisor *a)
{
	return a->cpu[tp_random(&a->random) % tp_max(1, tp_min(a->cpus_seen, RECENT))];
}

/* Counts the misses of one get. */
static void advisor_count(uint64_t *misses, uint64_t missed)
{
	for (; missed; missed &= missed - 1)
		misses[__builtin_ctzll(missed)]++;
}

/*
 * Steps a model by the net change: first what came back, the larger ones first; then what went out.
 * Returns: whether that was all; what is left is for the next call.
 */
static bool advisor_step(struct tp_advisor *a, struct tp_model *model, size_t *known,
	const size_t *out, uint64_t ns, uint64_t *misses)
{
	unsigned left = TP_ADVISOR_STEPS;

	for (unsigned tier = a->tiers; tier--;)
		for (; known[tier] > out[tier] && left; known[tier]--, left--)
			tp_model_put(model, tier, advisor_cpu(a), ns);
	for (unsigned tier = 0; tier < a->tiers; tier++)
		for (; known[tier] < out[tier] && left; known[tier]++, left--)
			advisor_count(misses, tp_model_get(model, tier, advisor_cpu(a), ns));
	return memcmp(known, out, a->tiers * sizeof *out) == 0;
}

bool tp_advisor_poll(struct tp_advisor *a, const size_t *out, uint64_t gets, uint64_t ns)
{
	if (!a->begun) {
		a->begun = true;
		a->gets_first = gets;
		memcpy(a->out, out, a->tiers * sizeof *out);
	}
	a->gets = tp_max(a->gets, gets);
	if (a->in_window)
		return a->settled && advisor_step(a, a->copy, a->last, out, ns, a->copied);
	return advisor_step(a, a->model, a->out, out, ns, a->polled);
}

/* ---- windows ---- */

void tp_advisor_window_begin(struct tp_advisor *a, const size_t *out, uint64_t gets, uint64_t ns)
{
	a->settled = tp_advisor_poll(a, out, gets, ns);
	a->in_window = true;
	/* From here on the copy does as polls do. */
	tp_model_copy(a->copy, a->model);
	memcpy(a->last, a->out, a->tiers * sizeof *out);
	memcpy(a->late, out, a->tiers * sizeof *out);
	memcpy(a->out, out, a->tiers * sizeof *out);
	a->window_gets = 0;
	a->window_first = a->gets;
	memset(a->seen, 0, sizeof a->seen);
	memset(a->copied, 0, sizeof a->copied);
}

/* Steps both models by what the poll at the begin has left, which each poll would have seen. */
bool tp_advisor_window_settle(struct tp_advisor *a, uint64_t ns)
{
	uint64_t ignored[TP_MODEL_BOUNDS_MAX] = {0};
	size_t last[TP_TIERS_MAX];

	if (a->settled)
		return true;
	memcpy(last, a->last, a->tiers * sizeof *last);
	advisor_step(a, a->model, last, a->late, ns, ignored);
	a->settled = advisor_step(a, a->copy, a->last, a->late, ns, a->copied);
	return a->settled;
}

/* What was missed so far in the window counts as polls have it. */
static void advisor_count_polled(struct tp_advisor *a)
{
	for (unsigned k = 0; k < a->bounds; k++)
		a->polled[k] += a->copied[k];
}

void tp_advisor_window_count(struct tp_advisor *a, const size_t *out, uint64_t gets, uint64_t ns)
{
	tp_advisor_poll(a, out, gets, ns);
	advisor_count_polled(a);
	memset(a->seen, 0, sizeof a->seen);
	memset(a->copied, 0, sizeof a->copied);
	a->window_gets = 0;
}

/* What a window says of what polls do not see; from the one before to this one in equal parts. */
static void advisor_learn(struct tp_advisor *a)
{
	uint64_t middle = a->window_first + (a->gets - a->window_first) / 2;
	double gets = (double)(middle - (a->windows ? a->middle : a->gets_first));

	if (!a->window_gets)
		return;
	for (unsigned k = 0; k < a->bounds; k++) {
		struct advisor_bound *b = &a->bound[k];
		double more = (double)a->seen[k] - (double)a->copied[k];
		double rate = more / (double)a->window_gets;
		double jump = a->windows ? rate - b->rate : 0;

		b->added += (rate - jump / 2) * gets;
		b->jumps += jump * jump;
		b->rate = rate;
	}
	a->windows++;
	a->middle = middle;
}

/* The copy is not stepped once more: so it has as many polls as come outside in the same time. */
void tp_advisor_window_end(struct tp_advisor *a, const size_t *out, uint64_t gets, uint64_t ns)
{
	a->gets = tp_max(a->gets, gets);
	a->in_window = false;
	advisor_count_polled(a);
	advisor_learn(a);
	/* Nothing, unless events were out of order: what that misses counts nowhere. */
	advisor_step(a, a->model, a->out, out, ns, a->seen);
}

/* The copy goes on. */
void tp_advisor_window_drop(struct tp_advisor *a, const size_t *out, uint64_t gets, uint64_t ns)
{
	tp_advisor_poll(a, out, gets, ns);
	a->in_window = false;
	advisor_count_polled(a);
	tp_model_copy(a->model, a->copy);
	memcpy(a->out, a->last, a->tiers * sizeof *out);
}

/* ---- events ---- */

static void advisor_cpu_note(struct tp_advisor *a, unsigned cpu)
{
	a->cpu[a->cpus_seen++ % RECENT] = (uint16_t)cpu;
	/* Wraps to what is full. */
	if (a->cpus_seen == 2 * RECENT)
		a->cpus_seen = RECENT;
}

static void advisor_out(struct tp_advisor *a, unsigned tier, bool out)
{
	if (tier < a->tiers && (out || a->out[tier]))
		a->out[tier] = out ? a->out[tier] + 1 : a->out[tier] - 1;
}

void tp_advisor_get(struct tp_advisor *a, unsigned tier, unsigned cpu, uint64_t ns)
{
	advisor_cpu_note(a, cpu);
	advisor_out(a, tier, true);
	a->window_gets++;
	advisor_count(a->seen, tp_model_get(a->model, tier, cpu, ns));
}

void tp_advisor_put(struct tp_advisor *a, unsigned tier, unsigned cpu, uint64_t ns)
{
	advisor_cpu_note(a, cpu);
	advisor_out(a, tier, false);
	tp_model_put(a->model, tier, cpu, ns);
}

void tp_advisor_grow(struct tp_advisor *a, unsigned from, unsigned to, unsigned cpu, uint64_t ns)
{
	advisor_cpu_note(a, cpu);
	advisor_out(a, from, false);
	advisor_out(a, to, true);
	tp_model_grow(a->model, from, to, cpu, ns);
}

/* ---- estimates ---- */

void tp_advisor_forget(struct tp_advisor *a)
{
	a->gets_first = a->window_first = a->gets;
	a->windows = 0;
	memset(a->polled, 0, sizeof a->polled);
	memset(a->bound, 0, sizeof a->bound);
}

uint64_t tp_advisor_gets(const struct tp_advisor *a)
{
	return a->gets - a->gets_first;
}

unsigned tp_advisor_windows(const struct tp_advisor *a)
{
	return a->windows;
}

/* Newton's method: the library uses no libm. */
static double advisor_root(double square)
{
	double root = square > 1 ? square : 1;

	if (square <= 0)
		return 0;
	for (int i = 0; i < 60; i++)
		root = (root + square / root) / 2;
	return root;
}

static double advisor_clamp(double share)
{
	return share < 0 ? 0 : share > 1 ? 1 : share;
}

/*
 * The standard error of what windows have added, per get; times more, the fewer windows there are:
 * nearly Student's t. By the differences of neighbours, since a program has phases: von Neumann, 1941.
 */
static double advisor_error(const struct tp_advisor *a, const struct advisor_bound *b)
{
	double more = a->windows - 1;

	return (ERRORS + ERRORS_FEW / more) *
	       advisor_root(b->jumps / (2 * more) / (double)a->windows);
}

static struct tp_advised advisor_estimate(const struct tp_advisor *a, unsigned k)
{
	const struct advisor_bound *b = &a->bound[k];
	double gets = (double)tp_advisor_gets(a), added = 0, share, wide = 1;

	if (gets > 0 && a->windows)
		added = (b->added + b->rate * (double)(a->gets - a->middle)) / gets;
	share = 1 - added - (gets > 0 ? (double)a->polled[k] / gets : 0);
	if (a->windows >= TP_ADVISOR_WINDOWS_LEAST)
		wide = LEAST + MISSED_PART * (1 - share) +
		       ADDED_PART * (added < 0 ? -added : added) + advisor_error(a, b);
	return (struct tp_advised){a->retain[k], advisor_clamp(share), advisor_clamp(share - wide),
		advisor_clamp(share + wide)};
}

void tp_advisor_curve(const struct tp_advisor *a, struct tp_advised *curve)
{
	for (unsigned k = 0; k < a->bounds; k++)
		curve[k] = advisor_estimate(a, k);
}

/* The first that serves the share; the last one: none does. */
static unsigned advisor_first(const struct tp_advised *curve, unsigned bounds, double share)
{
	unsigned k = 0;

	while (k + 1 < bounds && curve[k].share < share)
		k++;
	return k;
}

bool tp_advised_enough(
	const struct tp_advised *curve, unsigned bounds, double share, size_t *retain)
{
	unsigned k = advisor_first(curve, bounds, share);
	double part;

	if (curve[k].share < share) {
		*retain = curve[advisor_first(curve, bounds, curve[k].share - FLAT)].retain;
		return false;
	}
	*retain = curve[k].retain;
	if (!k)
		return true;
	part = (curve[k].share - share) / (curve[k].share - curve[k - 1].share);
	*retain -= (size_t)(part * (double)(curve[k].retain - curve[k - 1].retain));
	return true;
}
