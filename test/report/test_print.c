/* SPDX-License-Identifier: MIT */
/*
 * The statistics of a pool as a page for people: what stands there is what the pool did. Numbers that
 * no pool of a test has: test_print_page.c.
 */
#include "pool_checks.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "process/registry.h"

#define LINES 64
#define COLUMNS 80

struct page {
	char *text, *line[LINES];
	unsigned lines;
};

static struct page printed(tierpool *pool)
{
	struct page p = {0};
	size_t size;
	FILE *out = open_memstream(&p.text, &size);
	char *at;

	cr_assert_eq(tierpool_stats_print(pool, out), 0);
	fclose(out);
	at = p.text;
	for (char *end; (end = strchr(at, '\n')); at = end + 1) {
		*end = 0;
		cr_assert_lt(p.lines, LINES);
		p.line[p.lines++] = at;
		cr_assert_leq(strlen(at), COLUMNS, "%s", at);
		cr_assert(end == at || end[-1] != ' ', "a space at the end: '%s'", at);
		for (const char *c = at; *c; c++)
			cr_assert_not(iscntrl((unsigned char)*c));
	}
	cr_assert_eq(*at, 0, "the last line does not end");
	return p;
}

/* The words of the line that begins so, behind that; "": there is none. */
static const char *line_of(const struct page *p, const char *what)
{
	for (unsigned i = 0; i < p->lines; i++) {
		const char *text = p->line[i] + strspn(p->line[i], " ");

		if (!strncmp(text, what, strlen(what)) && text[strlen(what)] == ' ')
			return text + strlen(what) + strspn(text + strlen(what), " ");
	}
	return "";
}

#define LINE(p, what, ...)                                                         \
	do {                                                                       \
		char expected[128];                                                \
                                                                                   \
		snprintf(expected, sizeof expected, __VA_ARGS__);                  \
		cr_assert_str_eq(line_of((p), (what)), expected, "%s", (p)->text); \
	} while (0)

Test(print, print_refuses_NULL_a_pool_that_is_gone_and_reports_a_stream_that_fails)
{
	tierpool *pool = pool_new(.name = "refuses");
	FILE *full = fopen("/dev/full", "w");

	setvbuf(full, NULL, _IONBF, 0);
	cr_assert_eq(tierpool_stats_print(NULL, full), -EINVAL);
	cr_assert_eq(tierpool_stats_print(pool, NULL), -EINVAL);
	cr_assert_eq(tierpool_stats_print(pool, full), -EIO);
	tierpool_destroy(pool);
	cr_assert_eq(tierpool_stats_print(pool, stderr), -ENOENT);
	fclose(full);
}

Test(print, a_pool_that_nobody_used_has_no_table)
{
	tierpool *pool = pool_new(.name = "unused", .retain = MIB);
	struct page p = printed(pool);

	cr_assert_eq(p.lines, 10);
	LINE(&p, "gets", "0       - %% hit: own CPU -, depot -, other -, larger -");
	LINE(&p, "freed", "0       -");
	LINE(&p, "idle", "0       0 B, 0 %% of 1 MiB; leased 0 B, at most 0 B");
	cr_assert_str_eq(line_of(&p, "tier"), "");
	cr_assert_str_eq(line_of(&p, "above"), "");
	LINE(&p, "sizes", "1 KiB without a site; kept up to 32 KiB; 0 calibrations");
	free(p.text);
}

Test(print, the_name_comes_first_on_one_line_with_its_id_and_the_ways_of_the_pool)
{
	static const char long_name[] = "forty bytes of this name are shown, and \xc3\xa9 is not";
	tierpool *pool[] = {pool_new(.name = "kitchen"), pool_new(.name = "q\"u\\o\n\tte\x7f"),
		pool_new(.name = long_name), pool_new(.name = long_name + 1)};
	struct tierpool_stats s = stats_of(pool[0]);
	static const char *const shown[] = {"kitchen", "q\"u\\o??te?",
		"forty bytes of this name are shown, and ...",
		"orty bytes of this name are shown, and ..."};

	for (unsigned i = 0; i < 4; i++) {
		struct page p = printed(pool[i]);
		char expected[128];

		snprintf(expected, sizeof expected, "pool %s (%u), %s, %s", shown[i], i + 1,
			s.backing, s.percpu);
		cr_assert_str_eq(p.line[0], expected);
		free(p.text);
	}
}

Test(print, each_line_says_what_the_pool_did)
{
	tierpool *pool =
		pool_new(.name = "busy", .max_idle = 50, .retain = MIB, .max_size = 64 * KIB);
	tierpool_buf *out[3];
	struct tierpool_stats s;
	struct page p;

	stay_on_this_cpu();
	cycle(pool, KIB, 60);
	cycle(pool, 100 * KIB, 4);
	cycle(pool, KIB, 40);
	tierpool_trim(pool, 30 * KIB);
	for (unsigned i = 0; i < 3; i++)
		out[i] = tierpool_get_sized(pool, 100);
	cr_assert_eq(tierpool_buf_append(out[0], "copied", 6), 0);
	cr_assert_eq(tierpool_buf_reserve(out[0], 1000), 0);
	cr_assert_eq(tierpool_buf_reserve(out[1], 5000), 0);
	tierpool_tick(pool);
	s = at_rest(pool);
	p = printed(pool);
	cr_assert(s.gets == 107 && s.hits && s.grows == 2 && s.grow_bytes);
	LINE(&p, "borrowed", "3       buffers");
	LINE(&p, "above", "4       gets above the largest tier, whose buffers are not kept");
	LINE(&p, "new", "%zu      blocks: %zu for gets, 1 for growths", (size_t)s.allocs,
		(size_t)(s.gets - s.hits));
	LINE(&p, "growths", "2       50.0 %% by exchange with an idle buffer; %zu B copied",
		(size_t)s.grow_bytes);
	LINE(&p, "freed", "%zu      oversize %zu, max_idle %zu, trim %zu", (size_t)s.frees,
		(size_t)s.drops_oversize, (size_t)s.drops_idle_count, (size_t)s.drops_trim);
	LINE(&p, "ticks", "1       %zu stops of CPUs by membarrier%s", (size_t)s.fences,
		s.fence_lost ? ", refused by now" : "");
	cr_assert_not_null(strstr(line_of(&p, "idle"), "of 1 MiB; leased "));
	free(p.text);
	for (unsigned i = 0; i < 3; i++)
		tierpool_put(out[i]);
	tierpool_destroy(pool);
}

Test(print, a_line_of_the_table_has_what_its_tier_counted_and_unused_tiers_have_none)
{
	tierpool *pool = pool_new(.name = "tiers");
	struct tierpool_tier_stats tier[32];
	unsigned lines = 0;
	struct page p;
	int tiers;

	fill(pool);
	cycle(pool, KIB, 300);
	cycle(pool, KIB, 200);
	tierpool_trim(pool, 100 * KIB);
	tiers = tierpool_stats_tiers(pool, tier, 32, sizeof tier[0]);
	p = printed(pool);
	for (int i = 0; i < tiers; i++) {
		size_t kib = tier[i].block_size / KIB, gets, new, freed, idle, leased, peak;
		char size[24], shares[4][8];

		snprintf(size, sizeof size,
			kib >= KIB ? "%zu MiB"
			: kib      ? "%zu KiB"
				   : "%zu B",
			kib >= KIB ? kib / KIB
			: kib      ? kib
				   : tier[i].block_size);
		if (!tier[i].gets && !tier[i].allocs) {
			cr_assert_str_eq(line_of(&p, size), "", "%s", size);
			continue;
		}
		lines++;
		cr_assert_eq(
			sscanf(line_of(&p, size), "%zu %*s %7s %7s %7s %7s %zu %zu %zu %zu %zu",
				&gets, shares[0], shares[1], shares[2], shares[3], &new, &freed,
				&idle, &leased, &peak),
			10, "%s: %s", size, line_of(&p, size));
		cr_assert_eq(gets, tier[i].gets);
		cr_assert_eq(!strcmp(shares[0], "0"), !tier[i].hits_cpu);
		cr_assert_eq(!strcmp(shares[1], "0"), !tier[i].hits_depot);
		cr_assert_eq(!strcmp(shares[2], "0"), !tier[i].hits_other_cpu);
		cr_assert_eq(!strcmp(shares[3], "0"), !tier[i].hits_larger);
		cr_assert_eq(new, tier[i].allocs);
		cr_assert_eq(freed, tier[i].drops_trim + tier[i].drops_oversize);
		cr_assert_eq(idle, tier[i].idle);
		cr_assert_eq(leased, tier[i].leased);
		cr_assert_eq(peak, tier[i].leased_peak);
	}
	cr_assert_gt(lines, 2);
	cr_assert_lt(lines, (unsigned)tiers);
	free(p.text);
	tierpool_destroy(pool);
}

Test(print, a_destroyed_pool_can_be_printed_while_a_buffer_is_out)
{
	tierpool *pool = pool_new(.name = "late");
	tierpool_buf *b = tierpool_get(pool);
	struct page p;

	tierpool_destroy(pool);
	p = printed(pool);
	LINE(&p, "borrowed", "1       buffers");
	free(p.text);
	tierpool_put(b);
}

#if !SANITIZED
static __thread bool no_memory;

void *calloc(size_t count, size_t n)
{
	static __typeof__(calloc) *next;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "calloc");
	return no_memory ? NULL : next(count, n);
}

Test(print, without_memory_nothing_is_printed_and_no_reference_is_kept)
{
	tierpool *pool = pool_new(.name = "poor");
	int error;

	no_memory = true;
	error = tierpool_stats_print(pool, stderr);
	no_memory = false;
	cr_assert_eq(error, -ENOMEM);
	cr_assert_eq(((struct tp_registered *)pool)->references, 1);
	tierpool_destroy(pool);
}
#endif
