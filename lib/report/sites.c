/* SPDX-License-Identifier: MIT */
/*
 * Sites: what each place that borrows from a pool has learned, for people to read. Reads what gets
 * and puts count while they go on.
 */
#include <tierpool/stats.h>

#include <errno.h>
#include <inttypes.h>

#include "base/atomic.h"
#include "pool/pool.h"

/* What was counted of a site, at some moment. */
struct sites_view {
	const struct tp_classes *classes;
	const struct tp_calibration *sizes;
	uint64_t count[TP_CLASSES + 1], puts;
};

static struct sites_view sites_look(const tierpool *pool, const struct tp_site *site)
{
	struct sites_view v = {.classes = &pool->sites.options.classes, .sizes = &site->sizes};

	for (unsigned class = 0; class <= v.classes->count; class ++) {
		v.count[class] = tp_load_relaxed(&site->sizes.count[class]);
		v.puts += v.count[class];
	}
	return v;
}

static void sites_print_size(FILE *out, size_t size, int width)
{
	static const char *const unit[] = {"", "K", "M", "G", "T"};
	unsigned i = 0;

	/* Rounded up, if it is no tier's and long. */
	for (; size >= 1024 && (size % 1024 == 0 || size >= 100000) && i < 4; i++)
		size = (size + 1023) / 1024;
	fprintf(out, "%*zu%s", width - (i > 0), size, unit[i]);
}

/* The size of a class; of what no tier holds, the one that is typical there. */
static size_t sites_class_size(const struct sites_view *v, unsigned class)
{
	return class == v->classes->count ? tp_load_relaxed(&v->sizes->beyond)
					  : tp_class_size(v->classes, class);
}

/* The class by which this many percent of the puts are reached. */
static unsigned sites_quantile(const struct sites_view *v, unsigned percent)
{
	uint64_t sum = 0;
	unsigned class = 0;

	for (; class < v->classes->count; class ++) {
		sum += v->count[class];
		if (100 * sum >= percent * v->puts)
			break;
	}
	return class;
}

static bool sites_outgrown(const struct sites_view *v, unsigned class)
{
	uint64_t above = 0;

	while (class ++ < v->classes->count)
		above += v->count[class];
	return above;
}

/* Where a buffer of the default grows to, and on from there. */
static void sites_print_steps(FILE *out, const struct sites_view *v)
{
	unsigned class = tp_class_of(v->classes, tp_calibration_tier(v->sizes));

	for (const char *before = ", grows to "; sites_outgrown(v, class); before = ", ") {
		unsigned step = class + 1;

		if (step < v->classes->count)
			step = tp_load_relaxed(&v->sizes->step[class]);
		fputs(before, out);
		sites_print_size(out, sites_class_size(v, step), 1);
		class = step;
	}
}

static void sites_print_one(FILE *out, const tierpool *pool, const struct tp_site *site)
{
	struct sites_view v = sites_look(pool, site);
	uint64_t gets = tp_load_relaxed(&site->gets), growths = tp_load_relaxed(&site->growths);

	fprintf(out, "%12" PRIu64, gets);
	if (v.puts) {
		sites_print_size(out, pool->sizes.size[tp_calibration_tier(v.sizes)], 9);
		fprintf(out, "%9" PRIu64 "%9.4f", tp_load_relaxed(&v.sizes->changes),
			gets ? (double)growths / (double)gets : 0);
		sites_print_size(out, sites_class_size(&v, sites_quantile(&v, 50)), 9);
		sites_print_size(out, sites_class_size(&v, sites_quantile(&v, 95)), 9);
	} else {
		fprintf(out, "%9s%9s%9s%9s%9s", "-", "-", "-", "-", "-");
	}
	if (site == &pool->sites.own)
		fputs("  (calls without a site)", out);
	else
		fprintf(out, "  %s:%u %s", site->file, site->line, site->label);
	sites_print_steps(out, &v);
	fputc('\n', out);
}

int tierpool_sites_print(tierpool *pool, FILE *out)
{
	size_t count;
	int cancel;

	if (!pool || !out)
		return -EINVAL;
	if (!tp_registry_hold(pool, TP_KIND_POOL))
		return -ENOENT;
	/* Else the reference would be lost. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	/* Acquire: pairs with the release in site_add. */
	count = tp_load_acquire(&pool->sites.count) + TP_SITE_OWN;
	fprintf(out, "%12s%9s%9s%9s%9s%9s  sites of %s\n", "gets", "default", "changes", "growths",
		"p50", "p95", pool->registered.name);
	for (uint32_t number = TP_SITE_OWN; number <= count; number++) {
		const struct tp_site *site = tp_site_of_number(&pool->sites, number);

		if (number != TP_SITE_OWN || tp_load_relaxed(&site->gets))
			sites_print_one(out, pool, site);
	}
	tp_registry_let_go(&pool->registered);
	pthread_setcancelstate(cancel, NULL);
	return ferror(out) ? -EIO : 0;
}
