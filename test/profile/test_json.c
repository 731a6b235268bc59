/* SPDX-License-Identifier: MIT */
/*
 * The profile as JSON: jq reads it, and finds all that was in the snapshot, hostile names too.
 */
#include "profile_fixture.h"

#include <stdlib.h>
#include <string.h>

#include <tierpool/version.h>

#include "folder.h"
#include "profile/figures.h"

TestSuite(profile_json, .init = folder_new, .fini = folder_end);

__attribute__((noinline)) static void borrow_here(void)
{
	__asm__ volatile("");
}

static struct tp_snapshot_site sites[] = {
	{.pool = "cheap", .pool_id = 7, .file = "b.c", .line = 2, .label = "g", .gets = {1, 0}},
	{.pool = "web",
		.pool_id = 3,
		.file = "src/log.c",
		.line = 88,
		.label = "log_line",
		.samples = 4123,
		.gets = {1.234e6, 4e8},
		.bytes = {81e9, 1e18},
		.misses = {12345, 1e6},
		.served = {1, 2, 3, 4, 5, 6},
		.growths = {11, 25},
		.regrown = {12, 36},
		.waste = {7.8e10, 49},
		.asked = {65536, 65537, 65538, 65539},
		.capacity = {21, 22, 23, 24},
		.used = {1800, 2048, 2100, 40000},
		.held = {430, 4100, 910000, 2e9},
		.out = {3, 4},
		.out_bytes = {31, 9},
		.out_long = 2,
		.oldest_ns = 64000000000,
		.unwinds = true},
};

/* What jq makes of a file with these bytes; -e: false, null or an error fail. */
static void agrees(const struct tp_snapshot *snapshot, const char *filter)
{
	char command[4096], *text = profile_written(tp_profile_write_json, snapshot, NULL);
	FILE *file = fopen("profile.json", "w");

	cr_assert_not_null(file);
	cr_assert_geq(fputs(text, file), 0);
	cr_assert_eq(fclose(file), 0);
	snprintf(command, sizeof command, "jq -e '%s' profile.json >said 2>&1", filter);
	cr_assert_eq(system(command), 0, "%s\n%s", filter, text);
	free(text);
}

static const uintptr_t unknown[] = {0x10};

Test(profile_json, the_head_has_what_the_profile_is)
{
	struct tp_snapshot_stack stacks[] = {STACK(0, unknown, .gets = 1)};

	agrees(&SNAPSHOT(sites, stacks, .samples = 5000, .dropped = 3, .begun_ns = 1700000000000000,
		       .ns = 61200000000, .complete = true, .sample_bytes = 1),
		"del(.sites, .stacks, .pools) == {version: \"" TIERPOOL_VERSION
		"\", begun_ns: 1700000000000000, ns: 61200000000, samples: 5000, dropped: 3, "
		"complete: true, sample_bytes: 1}");
}

Test(profile_json, a_site_has_all_that_is_known_of_it_the_dearest_first)
{
	struct tp_snapshot_stack stacks[] = {STACK(0, unknown, .gets = 1)};

	agrees(&SNAPSHOT(sites, stacks),
		"[.sites[].line] == [88, 2] and (.sites[0] | del(.hints, .cost_ns) == {"
		"pool: \"web\", pool_id: 3, file: \"src/log.c\", line: 88, label: \"log_line\", "
		"samples: 4123, gets: {sum: 1234000, standard_error: 20000}, "
		"bytes: {sum: 81000000000, standard_error: 1000000000}, "
		"misses: {sum: 12345, standard_error: 1000}, "
		"served: {cpu: 1, depot: 2, other_cpu: 3, larger: 4, new: 5, oversize: 6}, "
		"growths: {sum: 11, standard_error: 5}, regrown: {sum: 12, standard_error: 6}, "
		"waste: {sum: 78000000000, standard_error: 7}, "
		"asked: {p50: 65536, p95: 65537, p99: 65538, max: 65539}, "
		"capacity: {p50: 21, p95: 22, p99: 23, max: 24}, "
		"used: {p50: 1800, p95: 2048, p99: 2100, max: 40000}, "
		"held_ns: {p50: 430, p95: 4100, p99: 910000, max: 2000000000}, "
		"out: {sum: 3, standard_error: 2}, out_bytes: {sum: 31, standard_error: 3}, "
		"out_long: 2, oldest_ns: 64000000000, unwinds: true})");
	agrees(&SNAPSHOT(sites, stacks),
		".sites[0].hints == [\"log.c:88 asks for 64 KiB and uses 2 KiB: ask for less, or "
		"let it learn\", \"log.c:88 holds about 2 buffers for more than a minute, one for "
		"64s\"] and .sites[1].hints == [] and .sites[0].cost_ns > .sites[1].cost_ns");
}

Test(profile_json, a_stack_names_its_site_by_its_place_in_the_list_and_its_functions)
{
	const uintptr_t frames[] = {INSIDE(borrow_here), 0x10};
	struct tp_snapshot_stack stacks[] = {STACK(1, frames, .samples = 9, .gets = 1.6,
		.bytes = 64, .out = 1, .out_bytes = 63, .waste = 3, .regrown = 4)};

	agrees(&SNAPSHOT(sites, stacks),
		".stacks[0] | del(.frames) == {site: 0, samples: 9, gets: 2, bytes: 64, out: 1, "
		"out_bytes: 63, waste: 3, regrown: 4}");
	agrees(&SNAPSHOT(sites, stacks),
		".stacks[0].frames | length == 2 and .[1] == {address: \"0x10\"} and "
		".[0].function == \"borrow_here\" and "
		"(.[0].file | endswith(\"test_json\")) and (.[0].offset | "
		"startswith(\"0x\"))");
}

Test(profile_json, a_pool_has_what_the_advisor_says_with_the_keys_of_replay_trace)
{
	struct tp_snapshot_advice two[2] = {{.pool = "a\"b",
						    .pool_id = 7,
						    .gets = 12345678901,
						    .windows = 9,
						    .now = {65536, 0.5, 0.25, 0.7500004},
						    .enough_known = true,
						    .enough = 65536},
		{.pool = "new", .windows = 2, .enough_known = true, .enough = 65536}};

	for (unsigned k = 0; k + 1 < TP_SNAPSHOT_BOUNDS; k++)
		two[0].curve[k] = two[1].curve[k] =
			(struct tp_advised){65536 * (k + 1), 0.999, 0.98, 1};
	agrees(&(struct tp_snapshot){.advice = two, .advices = 2},
		".pools | length == 2 and (.[0] | (.curve | length == 16 and .[1] == "
		"{retain: 131072, share: 0.999, low: 0.98, high: 1}) and del(.curve, .advice) == "
		"{pool: \"a\\\"b\", pool_id: 7, gets: 12345678901, windows: 9, now: "
		"{retain: 65536, share: 0.5, low: 0.25, high: 0.75}, target: 0.99, enough: 65536} "
		"and "
		"(.advice | startswith(\"at most 64 KiB would serve 99% of gets\"))) and "
		"(.[1] | .enough == null and .advice == \"not known yet: 2 of 3 windows seen\")");
}

static bool is_utf8(const char *text)
{
	while (*text && tp_figure_character(text))
		text += tp_figure_character(text);
	return !*text;
}

Test(profile_json, hostile_names_come_back_as_they_were_and_invalid_bytes_as_U_FFFD)
{
	struct tp_snapshot_site hostile[] = {{.pool = "\"}],\\ \n\t\r\b\x01\x7f/</script>",
		.file = "\xff\xc0\x80.c",
		.label = "\xc3\xa4\xf0\x9f\x98\x80",
		.out_long = 1}};
	struct tp_snapshot_stack stacks[] = {STACK(0, unknown, .gets = 1)};
	char *text = profile_written(tp_profile_write_json, &SNAPSHOT(hostile, stacks), NULL);

	cr_assert(is_utf8(text));
	for (const char *c = text; *c; c++)
		cr_assert((unsigned char)*c >= ' ' || *c == '\n');
	free(text);
	agrees(&SNAPSHOT(hostile, stacks),
		".sites[0].pool == "
		"([34,125,93,44,92,32,10,9,13,8,1,127,47,60,47] | implode) + \"script>\" and "
		".sites[0].file == ([65533,65533,65533,46,99] | implode) and "
		".sites[0].label == ([228,128512] | implode)");
}

Test(profile_json, what_is_not_a_number_is_0_and_nothing_at_all_is_valid)
{
	struct tp_snapshot_site odd[] = {{.pool = "",
		.file = "",
		.label = "",
		.gets = {0.0 / 0.0, -1},
		.waste = {1.0 / 0.0, 1.0 / 0.0}}};
	struct tp_snapshot_stack stacks[] = {STACK(0, unknown, .gets = 0.0 / 0.0)};

	agrees(&SNAPSHOT(odd, stacks),
		".sites[0].gets == {sum: 0, standard_error: 0} and .stacks[0].gets == 0");
	agrees(&(struct tp_snapshot){.ns = 1}, ".sites == [] and .stacks == [] and .pools == []");
}

Test(profile_json, errors_are_reported)
{
	const uintptr_t frames[] = {INSIDE(borrow_here), 0x10};
	struct tp_snapshot_stack stacks[] = {STACK(1, frames, .gets = 1)};

	profile_reports_errors(tp_profile_write_json, &SNAPSHOT(sites, stacks));
}
