/* SPDX-License-Identifier: MIT */
/*
 * profile.proto: unzipped by zlib, and decoded by proto_reader.c. What real viewers make of it:
 * test/viewers.sh.
 */
#include "profile_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "folder.h"
#include "profile/figures.h"
#include "profile/gzip.h"
#include "proto_reader.h"

static void written(const struct tp_snapshot *snapshot)
{
	size_t n;
	char *zipped = profile_written(tp_profile_write_proto, snapshot, &n);

	decode(unzipped(zipped, n));
	free(zipped);
}

/* ---- what is in it ---- */

__attribute__((noinline)) static void borrow_here(void)
{
	__asm__ volatile("");
}

__attribute__((noinline)) static void serve(void)
{
	__asm__ volatile("" ::: "memory");
}

static struct tp_snapshot_site sites[] = {
	{.pool = "web", .file = "src/log.c", .line = 88, .label = "log_line"},
	{.pool = "de\xff"
		 "fault",
		.file = "",
		.label = ""}};

static struct tp_snapshot_stack *two_stacks(void)
{
	static uintptr_t frames[3];
	static struct tp_snapshot_stack stacks[2];

	frames[0] = INSIDE(borrow_here);
	frames[1] = INSIDE(serve);
	frames[2] = 0x10;
	stacks[0] = (struct tp_snapshot_stack){.site = 0,
		.frames = frames,
		.depth = 3,
		.gets = 10.2,
		.bytes = 5000,
		.out = 2,
		.out_bytes = 1000,
		.waste = 300,
		.regrown = 1 << 20};
	stacks[1] = (struct tp_snapshot_stack){
		.site = 1, .frames = frames + 1, .depth = 1, .gets = 0.4, .bytes = 64};
	return stacks;
}

static const struct tp_snapshot *two(void)
{
	static struct tp_snapshot snapshot;

	snapshot = (struct tp_snapshot){.site = sites,
		.sites = 2,
		.stack = two_stacks(),
		.stacks = 2,
		.begun_ns = 1700000000000000000,
		.ns = 61200000000,
		.sample_bytes = 524288};
	return &snapshot;
}

Test(profile_proto, sample_types_are_those_of_a_heap_profile_in_its_order_then_our_own)
{
	const char *const names[] = {"alloc_objects", "alloc_space", "inuse_objects", "inuse_space",
		"waste_space", "regrown_space"};

	written(two());
	cr_assert_eq(profile.types, 6);
	for (unsigned i = 0; i < 6; i++) {
		cr_assert_str_eq(string_of(number_of(profile.type[i], 1)), names[i]);
		cr_assert_str_eq(string_of(number_of(profile.type[i], 2)),
			i == 0 || i == 2 ? "count" : "bytes");
	}
	cr_assert_str_eq(string_of(profile.number[14]), "inuse_space", "the default");
}

Test(profile_proto, the_head_says_when_and_how_much_was_sampled)
{
	struct tp_snapshot complete = *two();

	written(two());
	cr_assert_eq(profile.number[9], 1700000000000000000);
	cr_assert_eq(profile.number[10], 61200000000);
	cr_assert_eq(profile.number[12], 524288);
	cr_assert_str_eq(string_of(number_of(profile.period_type, 1)), "space");
	cr_assert_str_eq(string_of(number_of(profile.period_type, 2)), "bytes");
	cr_assert_str_eq(
		string_of(profile.number[13]), "tierpool: estimates from a sample of the gets");
	complete.complete = true;
	written(&complete);
	cr_assert_str_eq(string_of(profile.number[13]), "tierpool: each get was recorded");
}

Test(profile_proto, gets_of_this_library_are_dropped_and_no_function_of_a_program)
{
	written(two());
	cr_assert_str_eq(string_of(profile.number[7]),
		"tierpool_(get|get_sized|get_at|get_at_site|get_calibrated)(\\..*)?");
}

Test(profile_proto, the_first_string_is_empty_and_all_are_UTF_8)
{
	written(two());
	cr_assert_str_eq(string_of(0), "");
	for (size_t i = 0; i < profile.strings; i++)
		for (const char *c = string_of(i); *c; c += tp_figure_character(c))
			cr_assert_neq(tp_figure_character(c), 0, "%s", string_of(i));
}

/* ---- samples ---- */

Test(profile_proto, a_sample_has_six_integers_and_where_there_are_bytes_there_is_a_buffer)
{
	const uint64_t first[] = {10, 5000, 2, 1000, 300, 1 << 20}, second[] = {1, 64, 0, 0, 0, 0};

	written(two());
	cr_assert_eq(profile.samples, 2);
	for (unsigned i = 0; i < 6; i++) {
		cr_assert_eq(packed_count(profile.sample[i % 2], 2), 6);
		cr_assert_eq(packed(profile.sample[0], 2, i), first[i]);
		cr_assert_eq(packed(profile.sample[1], 2, i), second[i]);
	}
}

Test(profile_proto, a_stack_begins_with_the_borrower_and_has_addresses_and_names)
{
	written(two());
	cr_assert_eq(packed_count(profile.sample[0], 1), 3);
	cr_assert_eq(packed_count(profile.sample[1], 1), 1);
	cr_assert_eq(number_of(location_of(0, 0), 3), INSIDE(borrow_here));
	cr_assert_str_eq(function_of(location_of(0, 0)), "borrow_here");
	cr_assert_eq(number_of(location_of(0, 1), 3), INSIDE(serve));
	cr_assert_str_eq(function_of(location_of(0, 1)), "serve");
	cr_assert_eq(number_of(location_of(0, 2), 3), 0x10);
	cr_assert_null(function_of(location_of(0, 2)));
	cr_assert_eq(number_of(location_of(0, 2), 2), 0, "no mapping");
	cr_assert_eq(packed(profile.sample[0], 1, 1), packed(profile.sample[1], 1, 0),
		"an address is one location");
}

Test(profile_proto, the_borrower_has_the_file_and_line_of_its_site_and_its_callers_have_none)
{
	struct bytes line, function;

	written(two());
	line = bytes_of(location_of(0, 0), 4, 0);
	function = by_id(profile.function, profile.functions, number_of(line, 1));
	cr_assert_eq(number_of(line, 2), 88);
	cr_assert_str_eq(string_of(number_of(function, 4)), "src/log.c");
	line = bytes_of(location_of(0, 1), 4, 0);
	function = by_id(profile.function, profile.functions, number_of(line, 1));
	cr_assert_eq(number_of(line, 2), 0);
	cr_assert_eq(number_of(function, 4), 0);
}

Test(profile_proto, labels_are_the_site_and_the_pool)
{
	struct bytes label;

	written(two());
	label = bytes_of(profile.sample[0], 3, 0);
	cr_assert_str_eq(string_of(number_of(label, 1)), "site");
	cr_assert_str_eq(string_of(number_of(label, 2)), "src/log.c:88 log_line");
	label = bytes_of(profile.sample[0], 3, 1);
	cr_assert_str_eq(string_of(number_of(label, 1)), "pool");
	cr_assert_str_eq(string_of(number_of(label, 2)), "web");
	label = bytes_of(profile.sample[1], 3, 0);
	cr_assert_str_eq(string_of(number_of(label, 2)), "(calls without a site)");
	label = bytes_of(profile.sample[1], 3, 1);
	cr_assert_str_eq(string_of(number_of(label, 2)), "de?fault");
}

/* A mapping is one of the kernel's, and the program's has its file, build id and names. */
Test(profile_proto, a_mapping_is_the_kernels_and_says_that_its_functions_are_named)
{
	struct bytes mapping;
	const char *file;

	written(two());
	mapping = by_id(profile.mapping, profile.mappings, number_of(location_of(0, 0), 2));
	cr_assert_leq(number_of(mapping, 2), INSIDE(borrow_here));
	cr_assert_gt(number_of(mapping, 3), INSIDE(serve));
	file = string_of(number_of(mapping, 5));
	cr_assert_not_null(strstr(file, "/test_proto"), "%s", file);
	cr_assert_eq(number_of(mapping, 7), 1, "has_functions");
	for (size_t i = 0; i < profile.mappings; i++) {
		cr_assert_eq(number_of(profile.mapping[i], 1), i + 1);
		cr_assert_lt(number_of(profile.mapping[i], 2), number_of(profile.mapping[i], 3));
	}
}

/* ---- large, empty, hostile ---- */

#define MANY 3000

Test(profile_proto, a_large_one_is_several_blocks_and_whole)
{
	struct tp_snapshot_stack *stacks = calloc(MANY, sizeof *stacks);
	uintptr_t *frames = calloc(MANY + 64, sizeof *frames);
	struct tp_snapshot snapshot = *two();

	cr_assert(stacks && frames);
	for (unsigned i = 0; i < MANY + 64; i++)
		frames[i] = UINTPTR_MAX - 7919 * i % MANY;
	for (unsigned i = 0; i < MANY; i++)
		stacks[i] = (struct tp_snapshot_stack){
			.frames = frames + i, .depth = 64, .gets = i + 1, .bytes = 1e18};
	snapshot.stack = stacks;
	snapshot.stacks = MANY;
	written(&snapshot);
	cr_assert_eq(profile.samples, MANY);
	for (unsigned i = 0; i < MANY; i++) {
		cr_assert_eq(packed(profile.sample[i], 2, 0), i + 1);
		cr_assert_eq(packed_count(profile.sample[i], 1), 64);
	}
	free(stacks);
	free(frames);
}

Test(profile_proto, gzip_is_right_at_each_length_around_that_of_a_block)
{
	static unsigned char plain[2 * TP_GZIP_BLOCK + 2];
	static struct tp_gzip gzip;

	for (size_t i = 0; i < sizeof plain; i++)
		plain[i] = (unsigned char)(i * i >> 7);
	for (size_t block = 0; block <= 2; block++)
		for (size_t n = block * TP_GZIP_BLOCK - (block > 0); n <= block * TP_GZIP_BLOCK + 1;
			n++) {
			char *zipped;
			size_t size;
			FILE *out = open_memstream(&zipped, &size);
			struct bytes b;

			cr_assert_not_null(out);
			tp_gzip_begin(&gzip, out);
			tp_gzip_write(&gzip, plain, n / 3);
			tp_gzip_write(&gzip, plain + n / 3, n - n / 3);
			tp_gzip_end(&gzip);
			cr_assert_eq(fclose(out), 0);
			b = unzipped(zipped, size);
			cr_assert_eq(b.n, n);
			cr_assert_arr_eq(b.at, plain, n);
			free(zipped);
		}
}

Test(profile_proto, without_samples_or_frames_it_is_still_valid)
{
	struct tp_snapshot_stack bare[] = {{.gets = 1, .bytes = 64}};

	written(&(struct tp_snapshot){.sites = 0});
	cr_assert_eq(profile.samples, 0);
	cr_assert_eq(profile.types, 6);
	written(&SNAPSHOT(sites, bare));
	cr_assert_eq(profile.samples, 1);
	cr_assert_eq(packed_count(profile.sample[0], 1), 0);
}

/* Skipped where there is no Go. */
Test(profile_proto, go_tool_pprof_reads_it, .init = folder_new, .fini = folder_end)
{
	size_t n;
	char *zipped = profile_written(tp_profile_write_proto, two(), &n);
	FILE *file = fopen("profile.gz", "w");

	cr_assert_not_null(file);
	cr_assert_eq(fwrite(zipped, 1, n, file), n);
	cr_assert_eq(fclose(file), 0);
	free(zipped);
	if (system("go version >said 2>&1"))
		cr_skip_test("no go here");
	cr_assert_eq(system("HOME=. PPROF_TMPDIR=. go tool pprof -raw profile.gz >raw 2>said"), 0);
	cr_assert_eq(system("grep -q '10 *5000 *2 *1000 *300 *1048576: ' raw"), 0);
	cr_assert_eq(system("grep -q 'borrow_here src/log.c:88' raw"), 0);
	cr_assert_eq(system("grep -q 'inuse_space/bytes.dflt.' raw"), 0);
}

Test(profile_proto, errors_are_reported)
{
	profile_reports_errors(tp_profile_write_proto, two());
}
