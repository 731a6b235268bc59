/* SPDX-License-Identifier: MIT */
#include "profile/samples.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/debug.h"
#include "base/keep_errno.h"
#include "profile/rate.h"
#include "profile/samples_table.h"
#include "profile/stacktrace.h"

/* One sample in so many of a site is taken both by frame pointers and by the unwinder. */
#define CHECK_EVERY 64

struct tp_samples_table tp_samples = {.lock = TP_LOCK_INIT};

TP_LOCK_AT_LOAD static void samples_lock_init(void)
{
	tp_lock_init(&tp_samples.lock);
}

/* Adds x to an estimate of which a sample already gave before. */
static void samples_estimate(struct tp_estimate *estimate, double weight, double before, double x)
{
	double now = before + x;

	estimate->sum += weight * x;
	estimate->variance += (now * now - before * before) * weight * (weight - 1);
}

/* ---- the stack of a sample ---- */

/* Without the lock, by a user of the place. */
static void samples_trace(struct tp_place *place, const void *frame, struct tp_stacktrace *trace)
{
	struct tp_stacktrace unwound;
	bool unwinds = tp_load_relaxed(&place->unwinds);
	bool check = tp_add_relaxed(&place->traces, 1u) % CHECK_EVERY == 0;

	if (!unwinds && !tp_stacktrace_by_frames(trace, frame))
		unwinds = true; /* a coroutine: this once */
	else if (!unwinds && !check)
		return;
	if (!tp_stacktrace_by_unwinder(&unwound, frame)) {
		if (unwinds && !tp_stacktrace_by_frames(trace, frame))
			trace->depth = 0;
		return;
	}
	if (!unwinds && tp_stacktrace_agree(trace, &unwound))
		return;
	if (!unwinds)
		tp_store_relaxed(&place->unwinds, true);
	*trace = unwound;
}

/* ---- records ---- */

static void samples_record(struct tp_sample *sample, const struct tp_sampled_get *get)
{
	struct tp_place *place = sample->stack->place;
	double w = sample->weight;
	bool missed = get->served == TP_SERVED_NEW || get->served == TP_SERVED_OVERSIZE;

	samples_estimate(&place->gets, w, 0, 1);
	samples_estimate(&place->bytes, w, 0, (double)get->cap);
	samples_estimate(&place->misses, w, 0, missed);
	place->served[get->served] += w;
	if (get->asked)
		tp_sketch_add(&place->asked, get->asked, w);
	sample->stack->samples++;
	sample->stack->gets += w;
	sample->stack->bytes += w * (double)get->cap;
}

/* In the lock. NULL: out of memory. */
static struct tp_sample *samples_enter(
	const struct tp_sampled_get *get, struct tp_place *place, const struct tp_stacktrace *trace)
{
	struct tp_stack_node *stack = tp_samples_stack(place, trace);
	struct tp_sample *sample = stack ? tp_samples_new(get->buffer) : NULL;

	if (!sample)
		return NULL;
	sample->stack = stack;
	/* If each get is: also one that was drawn when the profile before this one ran. */
	sample->weight = tp_rate_is_complete() ? 1 : tp_rate_weight(get->step);
	sample->cap = sample->most = get->cap;
	samples_record(sample, get);
	return sample;
}

tp_cold bool tp_samples_get(const struct tp_sampled_get *get)
{
	TP_KEEP_ERRNO;
	uint64_t begun_ns = tp_clock_ns(), now_ns;
	struct tp_sample *sample = NULL;
	struct tp_stacktrace trace;
	struct tp_place *place;
	uint64_t profile_ns;
	bool same;

	tp_lock_take(&tp_samples.lock);
	profile_ns = tp_samples.begun_ns;
	place = tp_samples_place(get);
	if (place)
		place->users++;
	tp_lock_give(&tp_samples.lock);
	if (place)
		samples_trace(place, get->frame, &trace);
	now_ns = tp_clock_ns();
	tp_lock_take(&tp_samples.lock);
	/* Else another profile was begun meanwhile, of which the get is not: its weight may be any. */
	same = tp_samples.begun_ns == profile_ns;
	if (place)
		place->users--;
	if (place && same)
		sample = samples_enter(get, place, &trace);
	if (sample)
		sample->begun_ns = now_ns;
	tp_samples.samples += sample != NULL;
	tp_samples.dropped += !sample && same;
	if (same)
		tp_rate_note(get->step, get->cap, now_ns - begun_ns, now_ns);
	tp_lock_give(&tp_samples.lock);
	return sample;
}

tp_cold void tp_samples_grow(const void *buffer, size_t cap, size_t copied)
{
	struct tp_sample *sample;

	tp_lock_take(&tp_samples.lock);
	sample = tp_samples_find(buffer);
	if (sample) {
		struct tp_place *place = sample->stack->place;
		double w = sample->weight;

		samples_estimate(&place->growths, w, sample->growths, 1);
		samples_estimate(&place->regrown, w, sample->copied, (double)copied);
		sample->stack->regrown += w * (double)copied;
		sample->growths++;
		sample->copied += (double)copied;
		sample->cap = cap;
		if (cap > sample->most) {
			double more = (double)(cap - sample->most);

			samples_estimate(&place->bytes, w, (double)sample->most, more);
			sample->stack->bytes += w * more;
			sample->most = cap;
		}
	}
	tp_lock_give(&tp_samples.lock);
}

tp_cold void tp_samples_put(const void *buffer, size_t used)
{
	uint64_t now_ns = tp_clock_ns();
	struct tp_sample *sample;

	tp_lock_take(&tp_samples.lock);
	sample = tp_samples_take(buffer);
	if (sample) {
		struct tp_place *place = sample->stack->place;
		double w = sample->weight,
		       waste = (double)(sample->most - tp_min(used, sample->most));

		samples_estimate(&place->waste, w, 0, waste);
		sample->stack->waste += w * waste;
		tp_sketch_add(&place->capacity, sample->most, w);
		tp_sketch_add(&place->used, used, w);
		tp_sketch_add(&place->held, now_ns - sample->begun_ns, w);
		tp_samples_give(sample);
	}
	tp_lock_give(&tp_samples.lock);
}

/* ---- the profile begins and ends ---- */

bool tp_samples_begin(size_t sample_bytes)
{
	bool ready;

	tp_lock_take(&tp_samples.lock);
	ready = tp_samples_forget();
	tp_samples.samples = tp_samples.dropped = 0;
	tp_samples.sample_bytes = sample_bytes;
	tp_samples.begun_ns = tp_clock_ns();
	tp_samples.begun_real_ns = tp_clock_ns_of(CLOCK_REALTIME);
	tp_samples.ended_ns = 0;
	if (ready)
		tp_rate_start(sample_bytes);
	tp_lock_give(&tp_samples.lock);
	return ready;
}

void tp_samples_end(void)
{
	tp_lock_take(&tp_samples.lock);
	tp_rate_stop();
	tp_samples.ended_ns = tp_clock_ns();
	tp_lock_give(&tp_samples.lock);
}

void tp_samples_fork(enum tp_fork phase)
{
	if (phase == TP_FORK_PREPARE)
		tp_lock_take(&tp_samples.lock);
	/* What is out is the parent's to report. */
	if (phase == TP_FORK_CHILD && tp_debug.leaks)
		tp_samples_forget_out();
	if (phase == TP_FORK_PARENT || phase == TP_FORK_CHILD)
		tp_lock_give(&tp_samples.lock);
}
