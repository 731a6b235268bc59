/* SPDX-License-Identifier: MIT */
#include "profile/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "profile/advice.h"
#include "profile/rate.h"
#include "profile/samples_table.h"

/* A buffer that is out so long is worth a word. */
#define LONG_NS UINT64_C(60000000000)

/* The memory of a snapshot: one piece. */
struct snapshot_size {
	size_t sites, stacks, frames, strings;
};

static struct snapshot_size snapshot_measure(void)
{
	struct snapshot_size size = {0, 0, 0, 0};

	for (struct tp_place *place = tp_samples.oldest; place; place = place->newer) {
		if (place->gets.sum <= 0)
			continue;
		place->index = size.sites++;
		size.strings +=
			strlen(place->pool) + strlen(place->file) + strlen(place->label) + 3;
	}
	for (size_t i = 0; i < TP_STACK_BUCKETS; i++)
		for (struct tp_stack_node *stack = tp_samples.stack[i]; stack; stack = stack->next)
			if (stack->samples) {
				stack->index = size.stacks++;
				size.frames += stack->depth;
			}
	return size;
}

static struct tp_snapshot_site snapshot_site(const struct tp_place *place, char **strings)
{
	struct tp_snapshot_site site = {.pool = tp_samples_copy(strings, place->pool),
		.pool_id = place->pool_id,
		.file = tp_samples_copy(strings, place->file),
		.label = tp_samples_copy(strings, place->label),
		.line = place->line,
		.gets = place->gets,
		.bytes = place->bytes,
		.misses = place->misses,
		.growths = place->growths,
		.regrown = place->regrown,
		.waste = place->waste,
		.asked = tp_sketch_quantiles(&place->asked),
		.capacity = tp_sketch_quantiles(&place->capacity),
		.used = tp_sketch_quantiles(&place->used),
		.held = tp_sketch_quantiles(&place->held),
		.unwinds = tp_load_relaxed(&place->unwinds)};

	memcpy(site.served, place->served, sizeof site.served);
	return site;
}

/* What is out, from the samples of it. */
static void snapshot_add_out(
	struct tp_snapshot *snapshot, const struct tp_sample *sample, uint64_t now_ns)
{
	struct tp_snapshot_stack *stack = &snapshot->stack[sample->stack->index];
	struct tp_snapshot_site *site = &snapshot->site[stack->site];
	double w = sample->weight, cap = (double)sample->cap;
	uint64_t age = now_ns > sample->begun_ns ? now_ns - sample->begun_ns : 0;

	stack->out += w;
	stack->out_bytes += w * cap;
	site->out.sum += w;
	site->out.variance += w * (w - 1);
	site->out_bytes.sum += w * cap;
	site->out_bytes.variance += cap * cap * w * (w - 1);
	if (age >= LONG_NS)
		site->out_long += w;
	if (age > site->oldest_ns)
		site->oldest_ns = age;
}

static void snapshot_fill(struct tp_snapshot *snapshot, const struct snapshot_size *size)
{
	uint64_t now_ns = tp_clock_ns();
	uintptr_t *frames = (uintptr_t *)(void *)(snapshot->stack + size->stacks);
	char *strings = (char *)(frames + size->frames);

	for (const struct tp_place *place = tp_samples.oldest; place; place = place->newer)
		if (place->gets.sum > 0)
			snapshot->site[place->index] = snapshot_site(place, &strings);
	for (size_t i = 0; i < TP_STACK_BUCKETS; i++)
		for (struct tp_stack_node *stack = tp_samples.stack[i]; stack;
			stack = stack->next) {
			if (!stack->samples)
				continue;
			snapshot->stack[stack->index] = (struct tp_snapshot_stack){
				.site = stack->place->index,
				.frames =
					memcpy(frames, stack->frame, stack->depth * sizeof *frames),
				.depth = stack->depth,
				.samples = stack->samples,
				.gets = stack->gets,
				.bytes = stack->bytes,
				.waste = stack->waste,
				.regrown = stack->regrown};
			snapshot->site[stack->place->index].samples += stack->samples;
			frames += stack->depth;
		}
	for (size_t i = 0; i < tp_samples.out_buckets; i++)
		for (const struct tp_sample *sample = tp_samples.out[i]; sample;
			sample = sample->next)
			snapshot_add_out(snapshot, sample, now_ns);
	snapshot->samples = tp_samples.samples;
	snapshot->dropped = tp_samples.dropped;
	snapshot->sample_bytes = tp_samples.sample_bytes;
	snapshot->begun_ns = tp_samples.begun_real_ns;
	snapshot->ns = (tp_samples.ended_ns ? tp_samples.ended_ns : now_ns) - tp_samples.begun_ns;
	snapshot->complete = tp_rate_is_complete();
}

struct tp_snapshot *tp_snapshot_take(void)
{
	struct tp_snapshot *snapshot;
	struct snapshot_size size;

	tp_lock_take(&tp_samples.lock);
	size = snapshot_measure();
	snapshot = calloc(1, sizeof *snapshot + size.sites * sizeof *snapshot->site +
				     size.stacks * sizeof *snapshot->stack +
				     size.frames * sizeof(uintptr_t) + size.strings);
	if (snapshot) {
		snapshot->site = (struct tp_snapshot_site *)(snapshot + 1);
		snapshot->sites = size.sites;
		snapshot->stack = (struct tp_snapshot_stack *)(void *)(snapshot->site + size.sites);
		snapshot->stacks = size.stacks;
		snapshot_fill(snapshot, &size);
	}
	tp_lock_give(&tp_samples.lock);
	if (snapshot && !tp_advice_snapshot(snapshot)) {
		tp_snapshot_free(snapshot);
		snapshot = NULL;
	}
	return snapshot;
}

void tp_snapshot_free(struct tp_snapshot *snapshot)
{
	for (size_t i = 0; snapshot && i < snapshot->advices; i++)
		free(snapshot->advice[i].pool);
	if (snapshot)
		free(snapshot->advice);
	free(snapshot);
}
