/* SPDX-License-Identifier: MIT */
/*
 * TIERPOOL_DEBUG=unpooled: each buffer is malloc's, so that the tools that watch malloc find what is
 * wrong with it. MISUSER is a program with one mistake (test/support/misuser.c), which is built as
 * this one is: with AddressSanitizer, which has LeakSanitizer in it, or for Valgrind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "memory/pagemap.h"
#include "noted_misuse.h"
#include "percpu/cpu.h"
#include "pool_checks.h"

/* ---- what a pool does ---- */

static struct counting_backing counting;

static void unpooled_start(void)
{
	/* Of one that cannot be had here the program would say so. */
	cr_assert_eq(setenv("TIERPOOL_PERCPU", tp_cpu_mode(), 1), 0);
	noted_begin("unpooled");
	counting_backing_init(&counting);
}

TestSuite(debug_unpooled, .init = unpooled_start, .timeout = 100);

/* Neither the block nor the header lies in pages of the library's own. */
Test(debug_unpooled, blocks_and_headers_are_malloc_s)
{
	static const size_t sizes[] = {64, 1000, 70000, 1 << 20, 20 << 20};
	tierpool *pool = pool_new(.name = "unpooled");

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		tierpool_buf *b = (tierpool_get_sized)(pool, sizes[i]);

		cr_assert_not_null(b);
		cr_assert_null(tp_pagemap_get(b));
		cr_assert_null(tp_pagemap_get(b->data));
		tierpool_put(b);
	}
	tierpool_destroy(pool);
}

Test(debug_unpooled, each_is_found_by_its_data)
{
	tierpool *pool = pool_new(.name = "unpooled"), *custom = pool_on(&counting);
	tierpool_buf *b[300];

	for (unsigned i = 0; i < 300; i++) {
		b[i] = (tierpool_get_sized)(i % 2 ? custom : pool, 64 + i);
		cr_assert_not_null(b[i]);
	}
	cr_assert_eq(tierpool_buf_reserve(b[7], 100 * KIB), 0);
	for (unsigned i = 0; i < 300; i++)
		cr_assert_eq(tierpool_buf_of(b[i]->data), b[i]);
	for (unsigned i = 0; i < 300; i++) {
		unsigned next = (i * 7 + 3) % 300; /* in another order */

		cr_assert_eq(tierpool_buf_of(b[next]->data), b[next]);
		tierpool_put(b[next]);
	}
	tierpool_destroy(pool);
	tierpool_destroy(custom);
}

static void get_grow_and_put(tierpool *pool)
{
	tierpool_buf *b = (tierpool_get_sized)(pool, 1000);

	cr_assert_not_null(b);
	memset(b->data, 'a', b->cap);
	b->len = b->cap;
	cr_assert_eq(tierpool_buf_append_str(b, "more"), 0);
	cr_assert_eq(b->cap, 2048);
	cr_assert_eq(memcmp(b->data + 1023, "amore", 5), 0);
	tierpool_put(b);
}

static void assert_nothing_kept(const struct tierpool_stats *s, unsigned gets, unsigned grows)
{
	cr_assert_eq(s->gets, gets);
	cr_assert_eq(s->puts, gets);
	cr_assert_eq(s->hits, 0);
	cr_assert_eq(s->grows, grows);
	cr_assert_eq(s->grows_pooled, 0);
	cr_assert_eq(s->allocs, gets + grows);
	cr_assert_eq(s->frees, gets + grows);
	cr_assert(!s->idle && !s->idle_bytes && !s->idle_bytes_peak);
}

Test(debug_unpooled, each_put_and_each_growth_frees_and_each_get_allocates)
{
	tierpool *pool = pool_new(.name = "unpooled");
	struct tierpool_stats s;

	for (unsigned i = 0; i < 100; i++)
		get_grow_and_put(pool);
	s = at_rest(pool);
	assert_nothing_kept(&s, 100, 100);
	cr_assert_eq(s.drops_retain, 200);
	tierpool_put((tierpool_get_sized)(pool, 17 * MIB));
	cr_assert_eq(at_rest(pool).drops_oversize, 1);
	/* Malloc's, whatever the process has. */
	cr_assert_str_eq(s.backing, "libc");
	cr_assert_eq(s.retain, 64 * MIB);
	cr_assert_eq(tierpool_trim(NULL, 0), 0);
	cr_assert_eq(tierpool_destroy(pool), 0);
	expect_none_noted();
}

Test(debug_unpooled, blocks_of_the_program_s_backing_go_back_to_it)
{
	tierpool *pool = pool_on(&counting, .name = "unpooled");
	struct tierpool_stats s;
	size_t blocks;

	get_grow_and_put(pool);
	blocks = counting_backing_blocks(&counting);
	for (unsigned i = 0; i < 100; i++)
		get_grow_and_put(pool);
	s = accounted(pool, &counting, 0);
	assert_nothing_kept(&s, 101, 101);
	cr_assert_eq(counting_backing_blocks(&counting), blocks);
	pool_end(pool, &counting);
}

/* If these puts were taken for want of room, it would stay with a smaller default. */
Test(debug_unpooled, a_place_learns_as_ever)
{
	static tierpool_site site = TIERPOOL_SITE_INIT("learns");
	static const char text[5000];
	tierpool *pool = pool_new(.name = "unpooled");
	tierpool_buf *b;

	for (unsigned i = 0; i < 20000; i++) {
		b = tierpool_get_at(pool, 0, &site);
		cr_assert_eq(tierpool_buf_append(b, text, i < 10000 ? 100 : sizeof text), 0);
		tierpool_put(b);
	}
	b = tierpool_get_at(pool, 0, &site);
	cr_assert_eq(b->cap, 8 * KIB);
	tierpool_put(b);
	tierpool_destroy(pool);
}

Test(debug_unpooled, the_last_put_ends_a_destroyed_pool)
{
	tierpool *pool = pool_on(&counting, .name = "unpooled");
	tierpool_buf *b[3];

	for (unsigned i = 0; i < 3; i++)
		b[i] = (tierpool_get_sized)(pool, 1000);
	cr_assert_eq(tierpool_destroy(pool), 3);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(tierpool_buf_reserve(b[i], 3000), 0);
		cr_assert_gt(counting_backing_blocks(&counting), 0);
		tierpool_put(b[i]);
	}
	cr_assert_eq(counting_backing_blocks(&counting), 0);
}

/* ---- what tools find ---- */

static char report[1 << 16];

/*
 * Runs the program with a mistake, behind a command. debug: the value of TIERPOOL_DEBUG. Returns: its exit
 * status; report: all that it said.
 */
static int program_run(const char *debug, const char *behind, const char *mistake)
{
	char command[600];
	FILE *output;
	size_t n;
	int status;

	snprintf(command, sizeof command,
		"ASAN_OPTIONS=detect_leaks=1 TIERPOOL_DEBUG=%s %s %s %s 2>&1", debug, behind,
		MISUSER, mistake);
	output = popen(command, "r");
	cr_assert_not_null(output);
	n = fread(report, 1, sizeof report - 1, output);
	report[n] = '\0';
	status = pclose(output);
	cr_assert(WIFEXITED(status), "status %#x: %s", (unsigned)status, report);
	return WEXITSTATUS(status);
}

static void expect_says(const char *what)
{
	cr_assert_not_null(strstr(report, what), "no \"%s\" in:\n%s", what, report);
}

static void expect_silent(const char *what)
{
	cr_assert_null(strstr(report, what), "\"%s\" in:\n%s", what, report);
}

static void asan(const char *mistake)
{
	int status;

	if (!SANITIZED)
		skip("this program is not built with AddressSanitizer");
	status = program_run("unpooled", "", mistake);
	if (strstr(report, "LeakSanitizer has encountered a fatal error"))
		skip("LeakSanitizer does not work here: another tracer holds this process");
	cr_assert_neq(status, 0, "nothing was found");
}

Test(debug_unpooled, asan_reports_a_use_after_put_with_the_put_and_the_get)
{
	asan("use_after_put");
	expect_says("heap-use-after-free");
	expect_says("1000-byte region");
	expect_says("freed by thread");
	expect_says("in use_after_put");
}

Test(debug_unpooled, asan_reports_the_first_byte_beyond_the_capacity)
{
	asan("write_too_far");
	expect_says("heap-buffer-overflow");
	expect_says("1000-byte region");
	expect_says("in write_too_far");
}

Test(debug_unpooled, asan_reports_the_first_byte_beyond_the_capacity_of_a_large_one)
{
	asan("write_too_far_in_a_large_one");
	expect_says("heap-buffer-overflow");
	expect_says("100000-byte region");
	expect_says("in write_too_far");
}

Test(debug_unpooled, asan_reports_a_second_put)
{
	asan("put_again");
	expect_says("heap-use-after-free");
	expect_says("64-byte region");
	expect_says("in put_again");
}

Test(debug_unpooled, lsan_reports_a_forgotten_buffer_with_its_borrower_and_none_that_is_reachable)
{
	asan("forget");
	expect_says("Direct leak of 64 byte(s) in 1 object(s)");
	expect_says("Indirect leak of 1000 byte(s) in 1 object(s)");
	expect_says("in forget_a_buffer");
	expect_says("1064 byte(s) leaked in 2 allocation(s)");
	expect_silent("in keep_a_buffer");
}

Test(debug_unpooled, asan_and_lsan_report_nothing_of_a_program_that_does_no_wrong)
{
	if (!SANITIZED)
		skip("this program is not built with AddressSanitizer");
	cr_assert_eq(program_run("unpooled", "", "none"), 0, "%s", report);
	cr_assert_str_eq(report, "");
}

/* It has no rseq mode, and the library would say so. */
#define VALGRIND "TIERPOOL_PERCPU=locked valgrind -q --leak-check=full --error-exitcode=9"

/* debug: as above. */
static void valgrind(const char *debug, const char *mistake)
{
	int status;

	if (SANITIZED || under_valgrind())
		skip("this program is built with a sanitizer, or runs under Valgrind");
	if (system("command -v valgrind >/dev/null"))
		skip("Valgrind is not installed");
	status = program_run(debug, VALGRIND, mistake);
	if (strstr(report, "Valgrind: debuginfo reader"))
		skip("this Valgrind cannot read what this compiler writes for debuggers");
	cr_assert_eq(status, strcmp(mistake, "none") ? 9 : 0, "status %d: %s", status, report);
}

Test(debug_unpooled, valgrind_reports_a_use_after_put_with_the_put_and_the_get)
{
	valgrind("unpooled", "use_after_put");
	expect_says("Invalid write of size 1");
	expect_says("0 bytes inside a block of size 1,000 free'd");
	expect_says("use_after_put (misuser.c");
}

/* The pool has the block then, and tells Valgrind. */
Test(debug_unpooled, valgrind_reports_a_use_after_put_in_a_pool_too)
{
	valgrind("", "use_after_put");
	expect_says("Invalid write of size 1");
	expect_says("0 bytes inside a block of size 1,000 alloc'd");
	expect_says("use_after_put (misuser.c");
}

Test(debug_unpooled, valgrind_reports_the_first_byte_beyond_the_capacity)
{
	valgrind("unpooled", "write_too_far");
	expect_says("0 bytes after a block of size 1,000 alloc'd");
	expect_says("write_too_far (misuser.c");
}

Test(debug_unpooled, valgrind_reports_the_first_byte_beyond_the_capacity_of_a_large_one)
{
	valgrind("unpooled", "write_too_far_in_a_large_one");
	expect_says("0 bytes after a block of size 100,000 alloc'd");
	expect_says("write_too_far (misuser.c");
}

Test(debug_unpooled,
	valgrind_reports_a_forgotten_buffer_with_its_borrower_and_none_that_is_reachable)
{
	valgrind("unpooled", "forget");
	expect_says("1,064 (64 direct, 1,000 indirect) bytes in 1 blocks are definitely lost");
	expect_says("forget_a_buffer (misuser.c");
	expect_silent("keep_a_buffer");
}

Test(debug_unpooled, valgrind_reports_nothing_of_a_program_that_does_no_wrong)
{
	valgrind("unpooled", "none");
	cr_assert_str_eq(report, "");
}
