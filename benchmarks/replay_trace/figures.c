/* SPDX-License-Identifier: MIT */
/*
 * Counts, and adds up modelled time: figures.h.
 */
#include "figures.h"

#include "cost.h"

void figures_get(struct figures *f)
{
	f->gets++;
	f->ns += COST_PAIR;
}

void figures_growth(struct figures *f, size_t copied, double cost)
{
	f->growths++;
	f->copied += copied;
	f->ns += cost + COST_COPY * (double)copied;
}

void figures_block(struct figures *f, size_t cap)
{
	f->blocks++;
	f->ns += cap >= BLOCK_LARGE ? COST_BLOCK_LARGE : COST_BLOCK;
}

void figures_freed(struct figures *f, uint64_t blocks, double bytes)
{
	double count = (double)blocks;

	f->ns += count * (bytes >= count * BLOCK_LARGE ? COST_FREE_LARGE : COST_FREE);
}

static size_t pages_of(size_t bytes)
{
	return (bytes + FAULT_PAGE - 1) / FAULT_PAGE;
}

void figures_written(struct figures *f, size_t cap, size_t *written, size_t len)
{
	if (len <= *written)
		return;
	if (cap >= FAULT_LEAST)
		f->ns += COST_FAULT * (double)(pages_of(len) - pages_of(*written));
	*written = len;
}

void figures_idle(struct figures *f, size_t bytes)
{
	if (bytes > f->idle_peak)
		f->idle_peak = bytes;
}

struct figures figures_add(const struct figures *a, const struct figures *b)
{
	struct figures sum = *a;

	sum.gets += b->gets;
	sum.grown += b->grown;
	sum.growths += b->growths;
	sum.blocks += b->blocks;
	sum.copied += b->copied;
	sum.drops += b->drops;
	sum.calibrations += b->calibrations;
	sum.len_sum += b->len_sum;
	sum.cap_sum += b->cap_sum;
	sum.ns += b->ns;
	if (b->idle_peak > sum.idle_peak)
		sum.idle_peak = b->idle_peak;
	if (b->in_use_peak > sum.in_use_peak)
		sum.in_use_peak = b->in_use_peak;
	return sum;
}
