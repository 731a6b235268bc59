/* SPDX-License-Identifier: MIT */
#include "report/gather.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "percpu/cpu.h"
#include "pool/misuse.h"
#include "pool/pool.h"
#include "process/reaper.h"
#include "profile/figures.h"
#include "profile/snapshot.h"

/* ---- labels ---- */

/*
 * Appends a value as it stands between quotes. What is no UTF-8, which Prometheus refuses, becomes the
 * replacement character. Returns: the end.
 */
static char *gather_escape(char *to, const char *value)
{
	static const char unknown[] = "\xef\xbf\xbd";

	while (*value) {
		size_t length = tp_figure_character(value);

		if (*value == '\n') {
			to = stpcpy(to, "\\n");
		} else if (*value == '\\' || *value == '"') {
			*to++ = '\\';
			*to++ = *value;
		} else if (length) {
			to = mempcpy(to, value, length);
		} else {
			to = stpcpy(to, unknown);
		}
		value += length ? length : 1;
	}
	*to = 0;
	return to;
}

/* Bytes of one label behind others, at most. */
static size_t gather_label_bytes(const char *key, const char *value)
{
	return strlen(key) + 3 * strlen(value) + sizeof ",=\"\"";
}

/* Writes the labels so far, and one more. */
static void gather_label(char *to, const char *so_far, const char *key, const char *value)
{
	to = stpcpy(to, so_far);
	if (*so_far)
		*to++ = ',';
	to = stpcpy(stpcpy(to, key), "=\"");
	stpcpy(gather_escape(to, value), "\"");
}

/* ---- objects ---- */

/* Adds an object in front, all 0. Returns: NULL: out of memory. */
static struct tp_gathered_object *gather_add(
	struct tp_gathered_object **first, enum tp_gathered class, size_t label_bytes)
{
	struct tp_gathered_object *object = calloc(1, sizeof *object + label_bytes + 1);

	if (!object)
		return NULL;
	object->class = class;
	object->next = *first;
	*first = object;
	return object;
}

/* The same, with the labels so far, and one more. */
static struct tp_gathered_object *gather_add_labelled(struct tp_gathered_object **first,
	enum tp_gathered class, const char *so_far, const char *key, const char *value)
{
	struct tp_gathered_object *object =
		gather_add(first, class, strlen(so_far) + gather_label_bytes(key, value));

	if (object)
		gather_label(object->labels, so_far, key, value);
	return object;
}

/* The same, with two labels. */
static struct tp_gathered_object *gather_add_twice_labelled(struct tp_gathered_object **first,
	enum tp_gathered class, const char *key, const char *value, const char *second_key,
	const char *second_value)
{
	char *labels = malloc(gather_label_bytes(key, value));
	struct tp_gathered_object *object;

	if (!labels)
		return NULL;
	gather_label(labels, "", key, value);
	object = gather_add_labelled(first, class, labels, second_key, second_value);
	free(labels);
	return object;
}

/* The same, with the name and the id of an entry. */
static struct tp_gathered_object *gather_add_named(struct tp_gathered_object **first,
	enum tp_gathered class, const char *key, const char *name, uint64_t id)
{
	char number[24];

	snprintf(number, sizeof number, "%" PRIu64, id);
	return gather_add_twice_labelled(first, class, key, name, "pool_id", number);
}

void tp_gather_free(struct tp_gathered_object *first)
{
	while (first) {
		struct tp_gathered_object *next = first->next;

		free(first);
		first = next;
	}
}

/* ---- entries ---- */

static bool gather_tier_is_used(const struct tierpool_tier_stats *s)
{
	return s->gets || s->puts || s->allocs || s->grows || s->leased_peak || s->idle;
}

static bool gather_tier(struct tp_gathered_object **first, const char *pool_labels,
	const struct tierpool_tier_stats *stats)
{
	struct tp_gathered_object *object;
	char size[24];

	snprintf(size, sizeof size, "%zu", stats->block_size);
	object = gather_add_labelled(first, TP_GATHERED_TIER, pool_labels, "tier_bytes", size);
	if (!object)
		return false;
	object->tier.stats = *stats;
	object->tier.hits =
		stats->hits_cpu + stats->hits_depot + stats->hits_other_cpu + stats->hits_larger;
	return true;
}

static bool gather_tiers(struct tp_gathered_object **first, const char *pool_labels, tierpool *pool)
{
	struct tierpool_tier_stats *stats;
	int count = tierpool_stats_tiers(pool, NULL, 0, sizeof *stats);
	bool whole = true;

	if (count <= 0)
		return true;
	stats = calloc((size_t)count, sizeof *stats);
	if (!stats)
		return false;
	if (tierpool_stats_tiers(pool, stats, (size_t)count, sizeof *stats) == count)
		for (int i = count; i-- && whole;)
			if (gather_tier_is_used(&stats[i]))
				whole = gather_tier(first, pool_labels, &stats[i]);
	free(stats);
	return whole;
}

static bool gather_pool(struct tp_gathered_object **first, struct tp_registered *entry)
{
	struct tierpool_stats stats = {.size = sizeof stats};
	struct tp_gathered_object *object, *info;

	if (tierpool_stats_read(tp_pool_of(entry), &stats))
		return true;
	object = gather_add_named(first, TP_GATHERED_POOL, "pool", entry->name, entry->id);
	if (!object)
		return false;
	object->pool.stats = stats;
	object->pool.grows_backing = stats.grows - stats.grows_pooled;
	info = gather_add_labelled(
		first, TP_GATHERED_POOL_INFO, object->labels, "backing", stats.backing);
	if (!info)
		return false;
	info->one = 1;
	return gather_tiers(first, object->labels, tp_pool_of(entry));
}

static bool gather_described(struct tp_gathered_object **first, struct tp_registered *entry)
{
	bool is_cache = entry->kind->id == TP_KIND_CACHE;
	struct tp_gathered_object *object =
		gather_add_named(first, is_cache ? TP_GATHERED_CACHE : TP_GATHERED_BUDGET,
			is_cache ? "cache" : "budget", entry->name, entry->id);

	if (object)
		entry->kind->describe(entry, object->figure);
	return object;
}

/* Walks from the newest entry to the oldest, and adds in front. */
static bool gather_entries(struct tp_gathered_object **first)
{
	for (struct tp_registered *entry = NULL; (entry = tp_registry_next(entry));) {
		bool added = entry->kind->id == TP_KIND_POOL ? gather_pool(first, entry)
							     : gather_described(first, entry);

		if (!added) {
			tp_registry_leave(entry);
			return false;
		}
	}
	return true;
}

/* ---- sites ---- */

/* What is written of a site's place. */
static char *gather_site_place(const struct tp_snapshot_site *site)
{
	size_t size = strlen(site->file) + strlen(site->label) + 16;
	char *place = malloc(size);

	if (!place)
		return NULL;
	if (*site->file || *site->label)
		snprintf(place, size, "%s:%u%s%s", site->file, site->line, *site->label ? " " : "",
			site->label);
	else
		stpcpy(place, "no site");
	return place;
}

static bool gather_site(struct tp_gathered_object **first, const struct tp_snapshot_site *site)
{
	struct tp_gathered_object *pool = NULL, *object = NULL;
	char *place = gather_site_place(site);

	if (place)
		gather_add_named(&pool, TP_GATHERED_POOL, "pool", site->pool, site->pool_id);
	if (pool)
		object = gather_add_labelled(first, TP_GATHERED_SITE, pool->labels, "site", place);
	if (object) {
		object->site.gets = site->gets.sum;
		object->site.misses = site->misses.sum;
		object->site.borrowed_bytes = site->out_bytes.sum;
	}
	tp_gather_free(pool);
	free(place);
	return object;
}

/* An element of an array that is sorted. */
struct gather_site {
	struct tp_gathered_object *object;
};

static int gather_by_labels(const void *a, const void *b)
{
	const struct gather_site *one = a, *other = b;

	return strcmp(one->object->labels, other->object->labels);
}

static int gather_by_gets(const void *a, const void *b)
{
	const struct gather_site *one = a, *other = b;
	double difference = other->object->site.gets - one->object->site.gets;

	return difference > 0 ? 1 : difference < 0 ? -1 : gather_by_labels(a, b);
}

/*
 * Makes those of equal labels one: places that differ may be written alike. Returns: how many are left,
 * at the beginning of site.
 */
static size_t gather_sites_merge(struct gather_site *site, size_t count)
{
	size_t kept = 0;

	qsort(site, count, sizeof *site, gather_by_labels);
	for (size_t i = 0; i < count; i++) {
		struct tp_gathered_object *object = site[i].object,
					  *last = kept ? site[kept - 1].object : NULL;

		if (!last || strcmp(object->labels, last->labels)) {
			site[kept++] = site[i];
			continue;
		}
		last->site.gets += object->site.gets;
		last->site.misses += object->site.misses;
		last->site.borrowed_bytes += object->site.borrowed_bytes;
		free(object);
	}
	return kept;
}

/* Adds the sites of a list, or as many as may be. */
static bool gather_sites_choose(
	struct tp_gathered_object **first, struct tp_gathered_object *sites, size_t count)
{
	struct gather_site *site = malloc((count + 1) * sizeof *site);

	if (!site) {
		tp_gather_free(sites);
		return false;
	}
	for (size_t i = 0; i < count; i++, sites = sites->next)
		site[i].object = sites;
	count = gather_sites_merge(site, count);
	qsort(site, count, sizeof *site, gather_by_gets);
	for (; count > TP_GATHERED_SITES; count--)
		free(site[count - 1].object);
	while (count--) {
		site[count].object->next = *first;
		*first = site[count].object;
	}
	free(site);
	return true;
}

static bool gather_sites(struct tp_gathered_object **first, const struct tp_snapshot *snapshot)
{
	struct tp_gathered_object *sites = NULL;

	for (size_t i = 0; i < snapshot->sites; i++)
		if (!gather_site(&sites, &snapshot->site[i])) {
			tp_gather_free(sites);
			return false;
		}
	return gather_sites_choose(first, sites, snapshot->sites);
}

/* ---- the process ---- */

static bool gather_process(struct tp_gathered_object **first, const struct tp_snapshot *snapshot)
{
	struct tp_reaper_counts reaper = tp_reaper_count();
	struct tp_gathered_object *info = gather_add_twice_labelled(
		first, TP_GATHERED_INFO, "version", tierpool_version(), "percpu", tp_cpu_mode());
	struct tp_gathered_object *process = gather_add(first, TP_GATHERED_PROCESS, 0);

	if (!info || !process)
		return false;
	info->one = 1;
	process->process.misuses = tp_misuse_count();
	process->process.reaper_running = reaper.running;
	process->process.reaper_ticks = reaper.ticks;
	process->process.pressure_trims = reaper.pressure_trims;
	if (snapshot) {
		process->process.samples = snapshot->samples;
		process->process.dropped_samples = snapshot->dropped;
	}
	return true;
}

struct tp_gathered_object *tp_gather(void)
{
	struct tp_gathered_object *first = NULL;
	struct tp_snapshot *snapshot = tp_snapshot_take(); /* NULL: without sites */
	bool whole = (!snapshot || gather_sites(&first, snapshot)) && gather_entries(&first) &&
		     gather_process(&first, snapshot);

	if (snapshot)
		tp_snapshot_free(snapshot);
	if (whole)
		return first;
	tp_gather_free(first);
	return NULL;
}
