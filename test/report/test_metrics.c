/* SPDX-License-Identifier: MIT */
/*
 * Metrics: the text is what the format allows, however pools are named; its numbers are those that the
 * statistics have; and what becomes of it when memory or the stream fails.
 */
#include "pool_checks.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "cache_objects.h"
#include "metrics_text.h"
#include "profile/snapshot.h"

TestSuite(metrics, .timeout = 120);

/* ---- a profile, in place of the real one ---- */

static struct tp_snapshot *profile;
static unsigned profile_taken;

struct tp_snapshot *tp_snapshot_take(void)
{
	profile_taken += profile != NULL;
	return profile;
}

void tp_snapshot_free(struct tp_snapshot *snapshot)
{
	profile_taken -= snapshot != NULL;
}

static struct tp_snapshot_site site_of(
	const char *file, unsigned line, const char *label, double gets)
{
	return (struct tp_snapshot_site){.pool = "profiled",
		.pool_id = 7,
		.file = file,
		.line = line,
		.label = label,
		.gets.sum = gets,
		.misses.sum = gets / 3,
		.out_bytes.sum = gets * 64};
}

/* ---- what is written ---- */

static char *written(void)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	cr_assert_eq(tierpool_metrics_write(out), 0);
	cr_assert_eq(fclose(out), 0);
	cr_assert_eq(strlen(text), size, "a byte 0");
	cr_assert_eq(profile_taken, 0, "the snapshot was not freed");
	return text;
}

/* Read, and found without a fault. */
static struct metrics_text metrics(void)
{
	char *text = written();
	struct metrics_text m = metrics_text_read(text);

	cr_assert_null(m.fault, "line %u: %s: %s", m.line, m.fault, text);
	free(text);
	return m;
}

Test(metrics, a_process_without_a_pool_has_some)
{
	struct metrics_text m = metrics();

	cr_assert_eq(m.families, 7);
	cr_assert_eq(metrics_count(&m, "tierpool_build_info", "version", TIERPOOL_VERSION), 1);
	cr_assert_eq(metrics_count(&m, "tierpool_misuses_total"), 0);
	cr_assert_eq(metrics_count(&m, "tierpool_reaper_running"), 0);
	cr_assert_eq(metrics_count(&m, "tierpool_profile_samples_total"), 0);
	metrics_text_free(&m);
}

Test(metrics, all_families_are_there_once_there_is_something_of_each)
{
	struct tp_snapshot_site site = site_of("log.c", 88, "", 1);
	struct tp_snapshot snapshot = {.site = &site, .sites = 1, .samples = 12, .dropped = 3};
	tierpool_cache *cache = cache_of_objects();
	tierpool_budget *budget;
	struct metrics_text m;
	tierpool *pool;

	cr_assert_eq(tierpool_budget_create(&budget, MIB), 0);
	pool = pool_new(.budget = budget);
	cycle(pool, KIB, 3);
	profile = &snapshot;
	m = metrics();
	cr_assert_eq(m.families, 44);
	cr_assert_eq(metrics_count(&m, "tierpool_profile_samples_total"), 12);
	cr_assert_eq(metrics_count(&m, "tierpool_profile_dropped_samples_total"), 3);
	metrics_text_free(&m);
	tierpool_destroy(pool);
	tierpool_budget_destroy(budget);
	cache_end(cache);
}

/* ---- numbers ---- */

#define POOL_COUNT(m, family, ...) \
	metrics_count((m), "tierpool_" family, "pool", "counted", ##__VA_ARGS__)

static void assert_pool_counted(const struct metrics_text *m, const struct tierpool_stats *s)
{
	cr_assert_eq(POOL_COUNT(m, "pool_info", "backing", s->backing), 1);
	cr_assert_eq(POOL_COUNT(m, "gets_total"), s->gets);
	cr_assert_eq(POOL_COUNT(m, "puts_total"), s->puts);
	cr_assert_eq(POOL_COUNT(m, "hits_total", "layer", "cpu"), s->hits_cpu);
	cr_assert_eq(POOL_COUNT(m, "hits_total", "layer", "depot"), s->hits_depot);
	cr_assert_eq(POOL_COUNT(m, "hits_total", "layer", "other_cpu"), s->hits_other_cpu);
	cr_assert_eq(POOL_COUNT(m, "hits_total", "layer", "larger_tier"), s->hits_larger);
	cr_assert_eq(POOL_COUNT(m, "blocks_allocated_total"), s->allocs);
	cr_assert_eq(POOL_COUNT(m, "blocks_freed_total"), s->frees);
	cr_assert_eq(POOL_COUNT(m, "drops_total", "reason", "oversize"), s->drops_oversize);
	cr_assert_eq(POOL_COUNT(m, "drops_total", "reason", "retain"), s->drops_retain);
	cr_assert_eq(POOL_COUNT(m, "drops_total", "reason", "idle_count"), s->drops_idle_count);
	cr_assert_eq(POOL_COUNT(m, "drops_total", "reason", "decay"), s->drops_decay);
	cr_assert_eq(POOL_COUNT(m, "drops_total", "reason", "trim"), s->drops_trim);
	cr_assert_eq(POOL_COUNT(m, "drops_total", "reason", "destroy"), s->drops_destroy);
	cr_assert_eq(POOL_COUNT(m, "growths_total", "source", "pool"), s->grows_pooled);
	cr_assert_eq(
		POOL_COUNT(m, "growths_total", "source", "backing"), s->grows - s->grows_pooled);
	cr_assert_eq(POOL_COUNT(m, "growth_copied_bytes_total"), s->grow_bytes);
	cr_assert_eq(POOL_COUNT(m, "borrowed_buffers"), s->borrowed);
	cr_assert_eq(POOL_COUNT(m, "idle_buffers"), s->idle);
	cr_assert_eq(POOL_COUNT(m, "idle_bytes"), s->idle_bytes);
	cr_assert_eq(POOL_COUNT(m, "leased_bytes_max"), s->idle_bytes_peak);
	cr_assert_eq(POOL_COUNT(m, "retain_bytes"), s->retain);
	cr_assert_eq(POOL_COUNT(m, "overhead_bytes"), s->overhead_bytes);
	cr_assert_eq(POOL_COUNT(m, "default_size_bytes"), s->default_size);
	cr_assert_eq(POOL_COUNT(m, "max_size_bytes"), s->max_size);
	cr_assert_eq(POOL_COUNT(m, "calibrations_total"), s->calibrations);
	cr_assert_eq(POOL_COUNT(m, "ticks_total"), s->ticks);
	cr_assert_eq(POOL_COUNT(m, "fences_total"), s->fences);
}

#define TIER_COUNT(m, family, ...) POOL_COUNT(m, "tier_" family, "tier_bytes", size, ##__VA_ARGS__)

static void assert_tier_counted(const struct metrics_text *m, const struct tierpool_tier_stats *s)
{
	char size[24];

	snprintf(size, sizeof size, "%zu", s->block_size);
	cr_assert_eq(TIER_COUNT(m, "gets_total"), s->gets);
	cr_assert_eq(TIER_COUNT(m, "hits_total"),
		s->hits_cpu + s->hits_depot + s->hits_other_cpu + s->hits_larger);
	cr_assert_eq(TIER_COUNT(m, "blocks_allocated_total"), s->allocs);
	cr_assert_eq(TIER_COUNT(m, "drops_total", "reason", "oversize"), s->drops_oversize);
	cr_assert_eq(TIER_COUNT(m, "drops_total", "reason", "retain"), s->drops_retain);
	cr_assert_eq(TIER_COUNT(m, "drops_total", "reason", "idle_count"), s->drops_idle_count);
	cr_assert_eq(TIER_COUNT(m, "drops_total", "reason", "decay"), s->drops_decay);
	cr_assert_eq(TIER_COUNT(m, "drops_total", "reason", "trim"), s->drops_trim);
	cr_assert_eq(TIER_COUNT(m, "drops_total", "reason", "destroy"), s->drops_destroy);
	cr_assert_eq(TIER_COUNT(m, "borrowed_buffers"), s->borrowed);
	cr_assert_eq(TIER_COUNT(m, "idle_buffers"), s->idle);
	cr_assert_eq(TIER_COUNT(m, "block_cost_bytes"), s->cost);
}

Test(metrics, numbers_of_a_pool_and_its_tiers_are_its_statistics)
{
	tierpool *pool = pool_new(.name = "counted", .max_idle = 50);
	struct tierpool_tier_stats tier[32] = {0};
	tierpool_buf *out[2];
	struct tierpool_stats s;
	struct metrics_text m;
	unsigned used = 0;
	int tiers;

	fill(pool);
	cycle(pool, KIB, 80);
	cycle(pool, 20 * MIB, 1);
	tierpool_trim(pool, 100 * KIB);
	tierpool_tick(pool);
	cycle(pool, 4 * KIB, 20);
	out[0] = tierpool_get_sized(pool, 100);
	cr_assert_eq(tierpool_buf_append(out[0], "x", 1), 0);
	cr_assert_eq(tierpool_buf_reserve(out[0], 3 * KIB), 0);
	out[1] = tierpool_get_sized(pool, 40 * KIB);
	s = stats_of(pool);
	tiers = tierpool_stats_tiers(pool, tier, 32, sizeof tier[0]);
	cr_assert(tiers > 0 && tiers <= 32);
	m = metrics();
	assert_pool_counted(&m, &s);
	for (int i = 0; i < tiers; i++) {
		char size[24];

		snprintf(size, sizeof size, "%zu", tier[i].block_size);
		if (tier[i].gets || tier[i].allocs || tier[i].idle) {
			assert_tier_counted(&m, &tier[i]);
			used++;
		} else {
			cr_assert_null(metrics_find(
				&m, "tierpool_tier_gets_total", "tier_bytes", size, NULL));
		}
	}
	cr_assert(used > 2 && used < (unsigned)tiers);
	metrics_text_free(&m);
	tierpool_put(out[0]);
	tierpool_put(out[1]);
	tierpool_destroy(pool);
}

Test(metrics, numbers_of_budgets_and_caches_are_theirs)
{
	tierpool_cache *cache = cache_of_objects(.name = "plates");
	struct tierpool_cache_stats s = {.size = sizeof s};
	tierpool_budget *budget;
	struct metrics_text m;
	tierpool *pool;

	cr_assert_eq(tierpool_budget_create_named(&budget, 12345678, "house"), 0);
	pool = pool_new(.name = "counted", .budget = budget);
	cycle(pool, KIB, 5);
	objects_cycle(cache, 300);
	tierpool_cache_tick(cache);
	objects_cycle(cache, 100);
	tierpool_cache_tick(cache);
	cr_assert_eq(tierpool_cache_stats_read(cache, &s), 0);
	cr_assert(s.destroys && s.idle);
	m = metrics();
	cr_assert_eq(metrics_count(&m, "tierpool_budget_bytes", "budget", "house"), 12345678);
	cr_assert_geq(metrics_count(&m, "tierpool_budget_leased_bytes", "budget", "house"),
		stats_of(pool).idle_bytes);
	cr_assert_eq(metrics_count(&m, "tierpool_cache_gets_total", "cache", "plates"), s.gets);
	cr_assert_eq(metrics_count(&m, "tierpool_cache_puts_total", "cache", "plates"), s.puts);
	cr_assert_eq(
		metrics_count(&m, "tierpool_cache_creates_total", "cache", "plates"), s.creates);
	cr_assert_eq(
		metrics_count(&m, "tierpool_cache_destroys_total", "cache", "plates"), s.destroys);
	cr_assert_eq(metrics_count(&m, "tierpool_cache_idle_objects", "cache", "plates"), s.idle);
	metrics_text_free(&m);
	tierpool_destroy(pool);
	tierpool_budget_destroy(budget);
	cache_end(cache);
}

/* ---- names ---- */

Test(metrics, equal_names_stay_apart_by_an_id_that_counts_from_1)
{
	tierpool *pool[2] = {pool_new(.name = "same"), pool_new(.name = "same")};
	tierpool_cache *cache[2] = {
		cache_of_objects(.name = "same"), cache_of_objects(.name = "same")};
	tierpool_budget *budget[2];
	struct metrics_text m;

	for (unsigned i = 0; i < 2; i++)
		cr_assert_eq(tierpool_budget_create_named(&budget[i], 10 + i, "same"), 0);
	cycle(pool[0], KIB, 3);
	cycle(pool[1], KIB, 4);
	objects_cycle(cache[0], 5);
	m = metrics();
	cr_assert_eq(metrics_count(&m, "tierpool_gets_total", "pool", "same", "pool_id", "1"), 3);
	cr_assert_eq(metrics_count(&m, "tierpool_gets_total", "pool", "same", "pool_id", "2"), 4);
	cr_assert_eq(metrics_count(&m, "tierpool_cache_gets_total", "pool_id", "3"), 5);
	cr_assert_eq(metrics_count(&m, "tierpool_cache_gets_total", "pool_id", "4"), 0);
	cr_assert_eq(
		metrics_count(&m, "tierpool_budget_bytes", "budget", "same", "pool_id", "5"), 10);
	cr_assert_eq(
		metrics_count(&m, "tierpool_budget_bytes", "budget", "same", "pool_id", "6"), 11);
	metrics_text_free(&m);
}

Test(metrics, hostile_names_come_back_as_they_were_but_for_what_is_no_UTF_8)
{
#define BAD "\xef\xbf\xbd"
	static const struct {
		const char *name, *read;
	} cases[] = {{"", ""}, {"\"", "\""}, {"\\", "\\"}, {"\n", "\n"}, {"\\n", "\\n"},
		{"\\\\\"\"\n\n\\", "\\\\\"\"\n\n\\"},
		{"a\"} 1\ntierpool_gets_total{pool=\"b", NULL}, {"\r\t\x01 # EOF", NULL},
		{"# EOF\n", NULL}, {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x8d\xb2", NULL},
		{"\xef\xbf\xbf\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80", NULL},
		{"\xff\xfe", BAD BAD}, {"a\x80", "a" BAD}, {"\xc3", BAD}, {"\xe2\x82", BAD BAD},
		{"\xc0\xaf", BAD BAD}, {"\xc1\xbf", BAD BAD}, {"\xe0\x9f\xbf", BAD BAD BAD},
		{"\xed\xa0\x80", BAD BAD BAD}, {"\xf4\x90\x80\x80", BAD BAD BAD BAD},
		{"\xf0\x8f\xbf\xbf", BAD BAD BAD BAD}, {"\xf5\x80", BAD BAD}, {"\xc3\"", BAD "\""},
		{"\xf0\x9f\x8d\n", BAD BAD BAD "\n"}};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const char *read = cases[i].read ? cases[i].read : cases[i].name;
		tierpool *pool = pool_new(.name = cases[i].name);
		tierpool_cache *cache = cache_new(.name = cases[i].name);
		tierpool_budget *budget;
		struct metrics_text m;

		cr_assert_eq(tierpool_budget_create_named(&budget, 3, cases[i].name), 0);
		cycle(pool, KIB, 2);
		m = metrics();
		cr_assert_eq(
			metrics_count(&m, "tierpool_gets_total", "pool", read), 2, "case %zu", i);
		cr_assert_eq(metrics_count(&m, "tierpool_cache_gets_total", "cache", read), 0);
		cr_assert_eq(metrics_count(&m, "tierpool_budget_bytes", "budget", read), 3);
		metrics_text_free(&m);
		tierpool_budget_destroy(budget);
		tierpool_cache_destroy(cache);
		tierpool_destroy(pool);
	}
}

Test(metrics, a_destroyed_pool_is_left_out_though_its_buffers_are_out)
{
	tierpool *pool = pool_new(.name = "gone");
	tierpool_buf *b = tierpool_get(pool);
	struct metrics_text m;

	tierpool_destroy(pool);
	m = metrics();
	cr_assert_eq(m.families, 7);
	metrics_text_free(&m);
	tierpool_put(b);
}

/* ---- sites ---- */

static double estimate(const struct metrics_text *m, const char *family, const char *site)
{
	const struct metrics_sample *sample =
		metrics_find(m, family, "pool", "profiled", "pool_id", "7", "site", site, NULL);

	cr_assert_not_null(sample, "%s", site);
	return strtod(sample->value, NULL);
}

Test(metrics, sites_that_are_written_alike_are_one_and_no_estimate_loses_a_bit)
{
	struct tp_snapshot_site site[] = {site_of("a.c", 1, "x", 5), site_of("", 0, "", 0.1),
		site_of("a.c", 1, "x", 2), site_of("a.c", 1, "y", 1.0 / 3),
		site_of("a.c", 2, "", 1e17 / 3), site_of("a.c:1 b", 2, "c", 10),
		site_of("a.c", 1, "b:2 c", 1), site_of("f\"\n\\", 3, "\xff", 7),
		site_of("f\"\n\\", 3, "\xfe", 8), site_of("big", 9, "", 1e300)};
	struct tp_snapshot snapshot = {.site = site, .sites = sizeof site / sizeof site[0]};
	static const char gets[] = "tierpool_site_gets_estimated_total";
	struct metrics_text m;

	profile = &snapshot;
	m = metrics();
	cr_assert_eq(estimate(&m, gets, "a.c:1 x"), 7);
	cr_assert_eq(estimate(&m, "tierpool_site_borrowed_bytes_estimated", "a.c:1 x"), 7 * 64);
	cr_assert_eq(
		estimate(&m, "tierpool_site_misses_estimated_total", "a.c:1 x"), 5.0 / 3 + 2.0 / 3);
	cr_assert_eq(estimate(&m, gets, "no site"), 0.1);
	cr_assert_eq(estimate(&m, gets, "a.c:1 y"), 1.0 / 3);
	cr_assert_eq(estimate(&m, gets, "a.c:2"), 1e17 / 3);
	cr_assert_eq(estimate(&m, gets, "a.c:1 b:2 c"), 11);
	cr_assert_eq(estimate(&m, gets, "f\"\n\\:3 " BAD), 15);
	cr_assert_eq(estimate(&m, gets, "big:9"), 1e300);
	metrics_text_free(&m);
}

Test(metrics, of_many_sites_the_hundred_with_the_most_gets_are_written)
{
	enum { MANY = 1000 };
	static struct tp_snapshot_site site[MANY];
	struct tp_snapshot snapshot = {.site = site, .sites = MANY};
	struct metrics_text m;
	unsigned written_sites = 0;

	for (unsigned i = 0; i < MANY; i++)
		site[i] = site_of("many.c", i, "", i * 379 % MANY);
	profile = &snapshot;
	m = metrics();
	for (unsigned i = 0; i < m.samples; i++)
		if (!strcmp(m.sample[i].name, "tierpool_site_gets_estimated_total")) {
			cr_assert_geq(strtod(m.sample[i].value, NULL), MANY - 100);
			written_sites++;
		}
	cr_assert_eq(written_sites, 100);
	metrics_text_free(&m);
}

Test(metrics, an_estimate_has_a_point_whatever_the_locale)
{
	static const char *const locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "ps_AF.UTF-8", "de_DE"};
	struct tp_snapshot_site site = site_of("a.c", 1, "", 0.5);
	struct tp_snapshot snapshot = {.site = &site, .sites = 1};
	const struct metrics_sample *sample;
	struct metrics_text m;
	unsigned i = 0;
	char *text;

	while (i < 4 && !setlocale(LC_NUMERIC, locales[i]))
		i++;
	if (i == 4)
		skip("needs a locale with a decimal comma");
	profile = &snapshot;
	text = written();
	setlocale(LC_NUMERIC, "C");
	m = metrics_text_read(text);
	cr_assert_null(m.fault, "line %u: %s", m.line, m.fault);
	sample = metrics_find(&m, "tierpool_site_gets_estimated_total", NULL);
	cr_assert_str_eq(sample->value, "0.5");
	metrics_text_free(&m);
	free(text);
}
