/* SPDX-License-Identifier: MIT */
/*
 * The classic text heap format, word by word, and each thing that viewers are strict about. What
 * real viewers make of it: test/viewers.sh.
 */
#include "profile_fixture.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const uintptr_t first[] = {0x1234, 0x55550000}, second[] = {0xabcdef};
static struct tp_snapshot_site sites[] = {{.pool = "p", .file = "a.c", .line = 1, .label = "f"}};

static char *text;

/* What is written before the mappings. */
static const char *written(const struct tp_snapshot *snapshot)
{
	char *maps;

	free(text);
	text = profile_written(tp_profile_write_pprof, snapshot, NULL);
	maps = strstr(text, "\nMAPPED_LIBRARIES:\n");
	cr_assert_not_null(maps);
	*maps = '\0';
	return text;
}

Test(profile_pprof, a_line_is_in_use_then_borrowed_then_the_stack)
{
	struct tp_snapshot_stack stacks[] = {
		STACK(0, first, .gets = 10.2, .bytes = 5000, .out = 2, .out_bytes = 1000),
		STACK(0, second, .gets = 3, .bytes = 300)};

	cr_assert_str_eq(written(&SNAPSHOT(sites, stacks)),
		"heap profile: 2: 1000 [13: 5300] @ heapprofile\n"
		"2: 1000 [10: 5000] @ 0x1234 0x55550000\n"
		"0: 0 [3: 300] @ 0xabcdef\n");
}

Test(profile_pprof, where_there_are_bytes_there_is_a_buffer_and_no_more_in_use_than_borrowed)
{
	struct tp_snapshot_stack stacks[] = {
		STACK(0, first, .gets = 0.4, .bytes = 64, .out = 0.3, .out_bytes = 48),
		STACK(0, second, .gets = 2.4, .bytes = 64, .out = 2.6, .out_bytes = 65),
		STACK(0, second, .gets = 0.4, .bytes = 64),
		STACK(0, second, .gets = 0.2, .bytes = 0.2)};

	cr_assert_str_eq(written(&SNAPSHOT(sites, stacks)),
		"heap profile: 4: 113 [5: 193] @ heapprofile\n"
		"1: 48 [1: 64] @ 0x1234 0x55550000\n"
		"3: 65 [3: 65] @ 0xabcdef\n"
		"0: 0 [1: 64] @ 0xabcdef\n");
}

Test(profile_pprof, if_nothing_was_put_the_totals_of_the_head_differ_all_the_same)
{
	struct tp_snapshot_stack stacks[] = {
		STACK(0, first, .gets = 10, .bytes = 5000, .out = 10, .out_bytes = 5000)};
	struct tp_snapshot_stack rounded[] = {
		STACK(0, first, .gets = 10.1, .bytes = 5000.1, .out = 10, .out_bytes = 5000)};
	const char *expected = "heap profile: 10: 5000 [10: 5001] @ heapprofile\n"
			       "10: 5000 [10: 5000] @ 0x1234 0x55550000\n";

	cr_assert_str_eq(written(&SNAPSHOT(sites, stacks)), expected);
	cr_assert_str_eq(written(&SNAPSHOT(sites, rounded)), expected);
}

Test(profile_pprof, what_is_not_a_number_or_too_large_for_one_is_still_an_integer)
{
	struct tp_snapshot_stack stacks[] = {
		STACK(0, first, .gets = 1e300, .bytes = 0.0 / 0.0, .out = -5, .out_bytes = -1)};

	cr_assert_str_eq(written(&SNAPSHOT(sites, stacks)),
		"heap profile: 0: 0 [4611686018427387904: 0] @ heapprofile\n"
		"0: 0 [4611686018427387904: 0] @ 0x1234 0x55550000\n");
}

Test(profile_pprof, without_samples_there_is_a_head_and_without_frames_an_address)
{
	struct tp_snapshot_stack stacks[] = {{.gets = 1, .bytes = 64}};

	cr_assert_str_eq(written(&(struct tp_snapshot){.sites = 0}),
		"heap profile: 0: 0 [0: 0] @ heapprofile\n");
	cr_assert_str_eq(written(&SNAPSHOT(sites, stacks)),
		"heap profile: 0: 0 [1: 64] @ heapprofile\n"
		"0: 0 [1: 64] @ 0x1\n");
}

Test(profile_pprof, a_head_begins_the_file_and_no_bracket_has_a_space_before_it)
{
	struct tp_snapshot_stack stacks[] = {STACK(0, first, .gets = 1, .bytes = 64)};

	written(&SNAPSHOT(sites, stacks, .complete = true, .sample_bytes = 524288));
	cr_assert_eq(strncmp(text, "heap profile: ", 14), 0, "no comment");
	cr_assert_null(strstr(text, "heap_v2"), "weights are applied already");
	cr_assert_null(strstr(text, " ]"));
	cr_assert_null(strchr(text, '.'), "no fraction");
}

/* The line of the mapping that has a function of this program, as the kernel has it. */
Test(profile_pprof, the_kernels_list_of_mappings_is_at_the_end_unchanged)
{
	struct tp_snapshot_stack stacks[] = {STACK(0, first, .gets = 1, .bytes = 64)};
	FILE *maps = fopen(TP_SYMBOLS_MAPS, "r");
	uintptr_t here = INSIDE(written), start, limit;
	char line[8192] = "";

	free(text);
	text = profile_written(tp_profile_write_pprof, &SNAPSHOT(sites, stacks), NULL);
	cr_assert_not_null(maps);
	while (fgets(line, sizeof line, maps) &&
		(sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &start, &limit) != 2 || here < start ||
			here >= limit))
		;
	cr_assert_not_null(strstr(strstr(text, "\nMAPPED_LIBRARIES:\n"), line), "%s", line);
	fclose(maps);
}

Test(profile_pprof, errors_are_reported)
{
	struct tp_snapshot_stack stacks[] = {STACK(0, first, .gets = 1, .bytes = 64)};

	profile_reports_errors(tp_profile_write_pprof, &SNAPSHOT(sites, stacks));
}
