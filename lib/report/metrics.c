/* SPDX-License-Identifier: MIT */
/*
 * Metrics: the numbers of all pools, caches and budgets in the text format of Prometheus, 0.0.4. Owns
 * the names of the families and how numbers are written; what is written is gather.c's.
 *
 * The format wants all samples of a family together. So each family is written of each object, after
 * all were read.
 */
#include <tierpool/stats.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "report/gather.h"

#define COUNTER "counter"
#define GAUGE "gauge"

#define AT(field) offsetof(struct tp_gathered_object, field)
#define FIGURE(which) (AT(figure) + (which) * sizeof(uint64_t))
/* The reasons of drops, in the statistics of a pool or of a tier. */
#define DROPS(stats)                                                                        \
	{                                                                                   \
		{"oversize", AT(stats.drops_oversize)}, {"retain", AT(stats.drops_retain)}, \
			{"idle_count", AT(stats.drops_idle_count)},                         \
			{"decay", AT(stats.drops_decay)}, {"trim", AT(stats.drops_trim)},   \
			{"destroy", AT(stats.drops_destroy)},                               \
	}

/* A sample: what the family's key is in it, and where its number stands; 0: no more. */
struct metrics_series {
	const char *value;
	size_t at;
};

static const struct metrics_family {
	enum tp_gathered class;
	const char *name, *type, *help;
	const char *key; /* of one more label; NULL: none */
	struct metrics_series series[7];
} metrics_families[] = {
	{TP_GATHERED_INFO, "build_info", GAUGE, "What this library is and how it runs; always 1.",
		.series[0].at = AT(one)},

	{TP_GATHERED_POOL_INFO, "pool_info", GAUGE, "What a pool was made with; always 1.",
		.series[0].at = AT(one)},
	{TP_GATHERED_POOL, "gets_total", COUNTER, "Borrows that succeeded.",
		.series[0].at = AT(pool.stats.gets)},
	{TP_GATHERED_POOL, "puts_total", COUNTER, "Returns that succeeded.",
		.series[0].at = AT(pool.stats.puts)},
	{TP_GATHERED_POOL, "hits_total", COUNTER,
		"Borrows served from an idle buffer, by the layer it lay in.", "layer",
		{{"cpu", AT(pool.stats.hits_cpu)}, {"depot", AT(pool.stats.hits_depot)},
			{"other_cpu", AT(pool.stats.hits_other_cpu)},
			{"larger_tier", AT(pool.stats.hits_larger)}}},
	{TP_GATHERED_POOL, "blocks_allocated_total", COUNTER,
		"Blocks taken from the backing, growth included.",
		.series[0].at = AT(pool.stats.allocs)},
	{TP_GATHERED_POOL, "blocks_freed_total", COUNTER, "Blocks given back to the backing.",
		.series[0].at = AT(pool.stats.frees)},
	{TP_GATHERED_POOL, "drops_total", COUNTER, "Blocks given back to the backing, by reason.",
		"reason", DROPS(pool.stats)},
	{TP_GATHERED_POOL, "growths_total", COUNTER,
		"Growths, by where the larger block came from.", "source",
		{{"pool", AT(pool.stats.grows_pooled)}, {"backing", AT(pool.grows_backing)}}},
	{TP_GATHERED_POOL, "growth_copied_bytes_total", COUNTER, "Bytes copied by growth.",
		.series[0].at = AT(pool.stats.grow_bytes)},
	{TP_GATHERED_POOL, "borrowed_buffers", GAUGE, "Buffers out now.",
		.series[0].at = AT(pool.stats.borrowed)},
	{TP_GATHERED_POOL, "idle_buffers", GAUGE, "Buffers kept now.",
		.series[0].at = AT(pool.stats.idle)},
	{TP_GATHERED_POOL, "idle_bytes", GAUGE,
		"Bytes of the buffers kept now, as the backing spends them.",
		.series[0].at = AT(pool.stats.idle_bytes)},
	{TP_GATHERED_POOL, "leased_bytes_max", GAUGE, "The most ever set aside for idle buffers.",
		.series[0].at = AT(pool.stats.idle_bytes_peak)},
	{TP_GATHERED_POOL, "retain_bytes", GAUGE, "The bound on idle bytes.",
		.series[0].at = AT(pool.stats.retain)},
	{TP_GATHERED_POOL, "overhead_bytes", GAUGE,
		"Bytes of the pool's own tables, and of free blocks that still spend memory.",
		.series[0].at = AT(pool.stats.overhead_bytes)},
	{TP_GATHERED_POOL, "default_size_bytes", GAUGE,
		"Capacity of a borrow without a size or a site, as calibrated now.",
		.series[0].at = AT(pool.stats.default_size)},
	{TP_GATHERED_POOL, "max_size_bytes", GAUGE,
		"Largest capacity that is kept, as calibrated now.",
		.series[0].at = AT(pool.stats.max_size)},
	{TP_GATHERED_POOL, "calibrations_total", COUNTER, "Evaluations of the sizes.",
		.series[0].at = AT(pool.stats.calibrations)},
	{TP_GATHERED_POOL, "ticks_total", COUNTER, "Decay steps begun.",
		.series[0].at = AT(pool.stats.ticks)},
	{TP_GATHERED_POOL, "fences_total", COUNTER, "Stops of other CPUs.",
		.series[0].at = AT(pool.stats.fences)},

	{TP_GATHERED_TIER, "tier_gets_total", COUNTER, "Borrows of a tier.",
		.series[0].at = AT(tier.stats.gets)},
	{TP_GATHERED_TIER, "tier_hits_total", COUNTER,
		"Borrows of a tier served from an idle buffer.", .series[0].at = AT(tier.hits)},
	{TP_GATHERED_TIER, "tier_blocks_allocated_total", COUNTER,
		"Blocks of a tier taken from the backing.", .series[0].at = AT(tier.stats.allocs)},
	{TP_GATHERED_TIER, "tier_drops_total", COUNTER, "Blocks of a tier given back, by reason.",
		"reason", DROPS(tier.stats)},
	{TP_GATHERED_TIER, "tier_borrowed_buffers", GAUGE, "Buffers of a tier out now.",
		.series[0].at = AT(tier.stats.borrowed)},
	{TP_GATHERED_TIER, "tier_idle_buffers", GAUGE, "Buffers of a tier kept now.",
		.series[0].at = AT(tier.stats.idle)},
	{TP_GATHERED_TIER, "tier_block_cost_bytes", GAUGE,
		"What one idle buffer of a tier takes of the bound, header included.",
		.series[0].at = AT(tier.stats.cost)},

	{TP_GATHERED_BUDGET, "budget_bytes", GAUGE, "The bound that several pools share.",
		.series[0].at = FIGURE(TP_FIGURE_BOUND)},
	{TP_GATHERED_BUDGET, "budget_leased_bytes", GAUGE,
		"What pools have leased of a shared bound.",
		.series[0].at = FIGURE(TP_FIGURE_LEASED)},

	{TP_GATHERED_SITE, "site_gets_estimated_total", COUNTER,
		"Borrows of a place in the source, estimated from samples.",
		.series[0].at = AT(site.gets)},
	{TP_GATHERED_SITE, "site_misses_estimated_total", COUNTER,
		"Borrows of a place that took a new block, estimated.",
		.series[0].at = AT(site.misses)},
	{TP_GATHERED_SITE, "site_borrowed_bytes_estimated", GAUGE,
		"Capacity that a place has out now, estimated.",
		.series[0].at = AT(site.borrowed_bytes)},

	{TP_GATHERED_CACHE, "cache_gets_total", COUNTER, "Objects handed out.",
		.series[0].at = FIGURE(TP_FIGURE_GETS)},
	{TP_GATHERED_CACHE, "cache_puts_total", COUNTER, "Objects put back.",
		.series[0].at = FIGURE(TP_FIGURE_PUTS)},
	{TP_GATHERED_CACHE, "cache_creates_total", COUNTER, "Objects made.",
		.series[0].at = FIGURE(TP_FIGURE_CREATES)},
	{TP_GATHERED_CACHE, "cache_destroys_total", COUNTER, "Objects destroyed.",
		.series[0].at = FIGURE(TP_FIGURE_DESTROYS)},
	{TP_GATHERED_CACHE, "cache_idle_objects", GAUGE, "Objects kept now.",
		.series[0].at = FIGURE(TP_FIGURE_IDLE)},

	{TP_GATHERED_PROCESS, "misuses_total", COUNTER, "Misuses reported.",
		.series[0].at = AT(process.misuses)},
	{TP_GATHERED_PROCESS, "reaper_running", GAUGE, "1: the reaper runs.",
		.series[0].at = AT(process.reaper_running)},
	{TP_GATHERED_PROCESS, "reaper_ticks_total", COUNTER, "Ticks by the reaper.",
		.series[0].at = AT(process.reaper_ticks)},
	{TP_GATHERED_PROCESS, "reaper_pressure_trims_total", COUNTER, "Trims for memory pressure.",
		.series[0].at = AT(process.pressure_trims)},
	{TP_GATHERED_PROCESS, "profile_samples_total", COUNTER, "Samples taken.",
		.series[0].at = AT(process.samples)},
	{TP_GATHERED_PROCESS, "profile_dropped_samples_total", COUNTER,
		"Samples that found no place.", .series[0].at = AT(process.dropped_samples)},
};

/* ---- numbers ---- */

_Static_assert(sizeof(size_t) == sizeof(uint64_t), "all counts are read as one type");

/* The shortest that reads back as the same, and with a point, whatever the program's locale has. */
static void metrics_write_estimate(FILE *out, double value)
{
	char text[48];
	int digits = 15;

	if (!(value - value == 0)) { /* no sum of weights is; the format has words for it */
		fputs(value != value ? "NaN" : value > 0 ? "+Inf" : "-Inf", out);
		return;
	}
	do
		snprintf(text, sizeof text, "%.*g", digits, value);
	while (strtod(text, NULL) != value && digits++ < 17);
	for (const char *c = text; *c; c++)
		if (strchr("0123456789+-e", *c))
			putc(*c, out);
		else if (strchr("0123456789", c[1]))
			putc('.', out); /* the last byte of the locale's decimal point */
}

static void metrics_write_number(FILE *out, const struct tp_gathered_object *object, size_t at)
{
	uint64_t count;
	double estimate;

	if (object->class == TP_GATHERED_SITE) {
		memcpy(&estimate, (const char *)object + at, sizeof estimate);
		metrics_write_estimate(out, estimate);
	} else {
		memcpy(&count, (const char *)object + at, sizeof count);
		fprintf(out, "%" PRIu64, count);
	}
}

/* ---- samples ---- */

static void metrics_write_labels(FILE *out, const char *labels, const char *key, const char *value)
{
	if (!*labels && !key)
		return;
	fprintf(out, "{%s", labels);
	if (key)
		fprintf(out, "%s%s=\"%s\"", *labels ? "," : "", key, value);
	putc('}', out);
}

static void metrics_write_object(
	FILE *out, const struct metrics_family *family, const struct tp_gathered_object *object)
{
	for (const struct metrics_series *series = family->series; series->at; series++) {
		fprintf(out, "tierpool_%s", family->name);
		metrics_write_labels(out, object->labels, family->key, series->value);
		putc(' ', out);
		metrics_write_number(out, object, series->at);
		putc('\n', out);
	}
}

/* Nothing, if there is no sample. */
static void metrics_write_family(
	FILE *out, const struct metrics_family *family, const struct tp_gathered_object *first)
{
	bool headed = false;

	for (const struct tp_gathered_object *object = first; object; object = object->next) {
		if (object->class != family->class)
			continue;
		if (!headed)
			fprintf(out, "# HELP tierpool_%s %s\n# TYPE tierpool_%s %s\n", family->name,
				family->help, family->name, family->type);
		headed = true;
		metrics_write_object(out, family, object);
	}
}

int tierpool_metrics_write(FILE *out)
{
	struct tp_gathered_object *first;
	int cancel;

	if (!out)
		return -EINVAL;
	/* Else what was gathered would be lost, and a visit never end. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	first = tp_gather();
	if (first) {
		for (size_t i = 0; i < sizeof metrics_families / sizeof metrics_families[0]; i++)
			metrics_write_family(out, &metrics_families[i], first);
		fputs("# EOF\n", out);
	}
	tp_gather_free(first);
	pthread_setcancelstate(cancel, NULL);
	return !first ? -ENOMEM : ferror(out) ? -EIO : 0;
}
