/* SPDX-License-Identifier: MIT */
/*
 * The profile as a program controls it: what start, stop and write return, and what a profile knows of
 * buffers that grow, or are put when it has ended; and that pools do as ever meanwhile. With threads
 * and forks: test_control_threads.c.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include <tierpool/profile.h>

#include "pool_checks.h"
#include "profile/samples_table.h"
#include "profile/snapshot.h"
#include "profiled_program.h"

#define FORMATS 5

static tierpool_site here = TIERPOOL_SITE_INIT("here");
static tierpool *pool;

static tierpool_buf *get(size_t n)
{
	tierpool_buf *b = tierpool_get_at(pool, n, &here);

	cr_assert_not_null(b);
	return b;
}

static struct tp_snapshot *snapshot(void)
{
	struct tp_snapshot *s = tp_snapshot_take();

	cr_assert_not_null(s);
	return s;
}

/* What it writes, with a NUL behind it; the caller frees it. */
static char *written(enum tierpool_profile_format format)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	cr_assert_not_null(out);
	cr_assert_eq(tierpool_profile_write(out, format), 0);
	cr_assert_eq(fclose(out), 0);
	return text;
}

static void start(void)
{
	pool = pool_new(.name = "pool");
}

static void end(void)
{
	tierpool_destroy(pool);
}

TestSuite(control, .init = start, .fini = end, .timeout = 100);

/* ---- what calls return ---- */

Test(control, starts_once)
{
	cr_assert_eq(tierpool_profile_start(0), 0);
	cr_assert_eq(tierpool_profile_start(0), -EALREADY);
	cr_assert_eq(tierpool_profile_start(1), -EALREADY);
	tierpool_profile_stop();
	tierpool_profile_stop();
	cr_assert_eq(tierpool_profile_start(SIZE_MAX), 0);
	tierpool_put(get(1000));
	tierpool_profile_stop();
}

Test(control, writes_nothing_before_any_start)
{
	FILE *out = tmpfile();

	for (unsigned format = 0; format < FORMATS; format++)
		cr_assert_eq(tierpool_profile_write(out, format), -ENODATA);
	tierpool_profile_stop();
	cr_assert_eq(tierpool_profile_write(out, TIERPOOL_PROFILE_TEXT), -ENODATA);
	cr_assert_eq(ftell(out), 0);
	fclose(out);
}

Test(control, refuses_what_is_no_stream_or_format)
{
	FILE *out = tmpfile();

	cr_assert_eq(tierpool_profile_write(NULL, TIERPOOL_PROFILE_TEXT), -EINVAL);
	cr_assert_eq(tierpool_profile_start(0), 0);
	cr_assert_eq(tierpool_profile_write(NULL, TIERPOOL_PROFILE_TEXT), -EINVAL);
	cr_assert_eq(tierpool_profile_write(out, (enum tierpool_profile_format)FORMATS), -EINVAL);
	cr_assert_eq(tierpool_profile_write(out, (enum tierpool_profile_format) - 1), -EINVAL);
	cr_assert_eq(ftell(out), 0);
	fclose(out);
}

Test(control, reports_a_stream_that_cannot_be_written)
{
	cr_assert_eq(tierpool_profile_start(1), 0);
	tierpool_put(get(1000));
	for (unsigned format = 0; format < FORMATS; format++) {
		FILE *full = fopen("/dev/full", "w"), *closed = fopen("/dev/null", "r");

		cr_assert(full && closed);
		setvbuf(full, NULL, _IONBF, 0);
		cr_assert_eq(tierpool_profile_write(full, format), -EIO, "%u", format);
		cr_assert_eq(tierpool_profile_write(closed, format), -EIO, "%u", format);
		fclose(full);
		fclose(closed);
	}
}

Test(control, writes_when_it_is_empty_while_it_runs_and_after_its_end)
{
	cr_assert_eq(tierpool_profile_start(1), 0);
	for (unsigned format = 0; format < FORMATS; format++)
		free(written(format));
	tierpool_put(get(1000));
	for (unsigned format = 0; format < FORMATS; format++)
		free(written(format));
	tierpool_put(get(1000));
	tierpool_profile_stop();
	for (unsigned i = 0; i < 2; i++) {
		char *text = written(TIERPOOL_PROFILE_TEXT);

		cr_assert(strstr(text, "each of 2 gets recorded"), "%s", text);
		free(text);
	}
}

static void *cancelled_before(void *text)
{
	pthread_cancel(pthread_self());
	*(char **)text = written(TIERPOOL_PROFILE_JSON);
	pthread_testcancel();
	return NULL;
}

Test(control, a_thread_is_not_cancelled_while_it_writes)
{
	pthread_t thread;
	char *text = NULL;
	void *result;

	cr_assert_eq(tierpool_profile_start(1), 0);
	tierpool_put(get(1000));
	cr_assert_eq(pthread_create(&thread, NULL, cancelled_before, &text), 0);
	cr_assert_eq(pthread_join(thread, &result), 0);
	cr_assert_eq(result, PTHREAD_CANCELED);
	cr_assert(text && strstr(text, "\"here\""));
	free(text);
}

/* ---- one profile after the other ---- */

Test(control, forgets_what_an_earlier_profile_found)
{
	struct tp_snapshot *s;
	tierpool_buf *b;

	cr_assert_eq(tierpool_profile_start(1), 0);
	b = get(1000);
	tierpool_put(get(1000));
	tierpool_profile_stop();
	cr_assert_eq(tierpool_profile_start(1), 0);
	s = snapshot();
	cr_assert_eq(s->samples + s->sites + s->stacks, 0);
	tp_snapshot_free(s);
	tierpool_put(b); /* of the first */
	tierpool_put(get(64));
	s = snapshot();
	cr_assert_eq(s->samples, 1);
	cr_assert_eq(s->sites, 1);
	cr_assert_eq(s->site[0].gets.sum, 1);
	cr_assert_eq(s->site[0].out.sum, 0);
	cr_assert_eq(s->site[0].capacity.max, 64);
	tp_snapshot_free(s);
}

Test(control, follows_buffers_to_their_put_after_its_end)
{
	struct tp_snapshot *s;
	tierpool_buf *b;

	cr_assert_eq(tierpool_profile_start(1), 0);
	b = get(1000);
	tierpool_profile_stop();
	s = snapshot();
	cr_assert_eq(s->site[0].out.sum, 1);
	tp_snapshot_free(s);
	cr_assert_eq(tierpool_buf_reserve(b, 5000), 0);
	b->len = 4000;
	tierpool_put(b);
	tierpool_put(get(1000)); /* is not seen */
	s = snapshot();
	cr_assert_eq(s->samples, 1);
	cr_assert_eq(s->site[0].out.sum, 0);
	cr_assert_eq(s->site[0].growths.sum, 1);
	cr_assert_eq(s->site[0].used.max, 4000);
	tp_snapshot_free(s);
}

/* A program that makes and destroys pools for ever. */
Test(control, has_room_again_when_it_begins_again)
{
	struct tp_snapshot *s;

	for (unsigned round = 0; round < 3; round++) {
		cr_assert_eq(tierpool_profile_start(1), 0);
		for (unsigned i = 0; i < TP_PLACES_MOST + 10; i++) {
			tierpool *one = pool_new(.name = "one of many");

			tierpool_put(tierpool_get_at(one, 1000, &here));
			tierpool_destroy(one);
		}
		s = snapshot();
		cr_assert_eq(s->sites, TP_PLACES_MOST);
		cr_assert_eq(s->samples, TP_PLACES_MOST);
		cr_assert_eq(s->dropped, 10);
		tp_snapshot_free(s);
		tierpool_profile_stop();
	}
}

/* ---- what is known of a buffer ---- */

Test(control, counts_growths_and_what_they_copy)
{
	struct tierpool_stats stats;
	struct tp_snapshot *s;
	tierpool_buf *b;

	cr_assert_eq(tierpool_profile_start(1), 0);
	b = get(100);
	for (unsigned i = 0; i < 100000; i++)
		cr_assert_eq(tierpool_buf_append_byte(b, 'x'), 0);
	tierpool_buf_reset(b);
	cr_assert_eq(tierpool_buf_append_str(b, "short"), 0);
	s = snapshot();
	cr_assert_eq(s->site[0].out_bytes.sum, 128 * KIB);
	tp_snapshot_free(s);
	tierpool_put(b);
	stats = at_rest(pool);
	s = snapshot();
	cr_assert_gt(stats.grows, 3);
	cr_assert_eq(s->site[0].growths.sum, (double)stats.grows);
	cr_assert_eq(s->site[0].regrown.sum, (double)stats.grow_bytes);
	cr_assert_eq(s->site[0].asked.max, 100);
	cr_assert_eq(s->site[0].capacity.max, 128 * KIB);
	cr_assert_eq(s->site[0].used.max, 100000);
	cr_assert_eq(s->site[0].waste.sum, 128 * KIB - 100000);
	cr_assert_eq(s->site[0].bytes.sum, 128 * KIB);
	tp_snapshot_free(s);
}

Test(control, knows_what_is_larger_than_any_tier)
{
	struct tp_snapshot *s;
	tierpool_buf *b;

	cr_assert_eq(tierpool_profile_start(1), 0);
	b = get(17 * MIB);
	cr_assert_eq(tierpool_buf_reserve(b, 30 * MIB), 0);
	tierpool_put(b);
	s = snapshot();
	cr_assert_eq(s->site[0].served[TP_SERVED_OVERSIZE], 1);
	cr_assert_eq(s->site[0].misses.sum, 1);
	cr_assert_eq(s->site[0].growths.sum, 1);
	cr_assert_geq(s->site[0].capacity.max, 30.0 * (double)MIB);
	cr_assert_eq(s->site[0].out.sum, 0);
	tp_snapshot_free(s);
}

Test(control, leaves_errno_alone_where_nothing_is_returned)
{
	tierpool_buf *b;

	cr_assert_eq(tierpool_profile_start(1), 0);
	b = get(1000);
	errno = 12345;
	tierpool_put(b);
	cr_assert_eq(errno, 12345);
	tierpool_profile_stop();
	cr_assert_eq(errno, 12345);
}

/* ---- a coroutine, whose stack is not that of its thread ---- */

static ucontext_t thread_context, coroutine_context;

__attribute__((noinline)) static void borrows_in_a_coroutine(void)
{
	tierpool_put(get(1000));
	__asm__ volatile("" ::: "memory");
}

static void coroutine(void)
{
	borrows_in_a_coroutine();
	swapcontext(&coroutine_context, &thread_context);
	borrows_in_a_coroutine();
}

static const char *folded_names(void)
{
	static char names[4096];
	char *text = written(TIERPOOL_PROFILE_FOLDED);

	snprintf(names, sizeof names, "%s", text);
	free(text);
	return names;
}

Test(control, samples_a_coroutine)
{
	static char stack[1 << 16];
	struct tp_snapshot *s;

	cr_assert_eq(getcontext(&coroutine_context), 0);
	coroutine_context.uc_stack.ss_sp = stack;
	coroutine_context.uc_stack.ss_size = sizeof stack;
	coroutine_context.uc_link = &thread_context;
	makecontext(&coroutine_context, coroutine, 0);
	cr_assert_eq(tierpool_profile_start(1), 0);
	cr_assert_eq(swapcontext(&thread_context, &coroutine_context), 0);
	tierpool_put(get(1000));
	cr_assert_eq(swapcontext(&thread_context, &coroutine_context), 0);
	s = snapshot();
	cr_assert_eq(s->site[0].gets.sum, 3);
	cr_assert_eq(s->site[0].unwinds, 0, "of the thread frame pointers do");
	tp_snapshot_free(s);
	cr_assert(strstr(folded_names(), "borrows_in_a_coroutine"), "%s", folded_names());
}

/* ---- pools do as ever ---- */

static unsigned toggles; /* each so many gets the profile is started or stopped; 0: never */

static void writes_what_it_did(tierpool *used)
{
	struct tierpool_stats s = {.size = sizeof s};
	FILE *out = fopen("did", "w");

	NEED(out && !tierpool_sites_print(used, out) && !tierpool_stats_read(used, &s));
	fprintf(out, "%lu %lu %lu %lu %lu %lu %lu %lu %lu %lu %zu %zu %zu %zu\n", s.gets, s.puts,
		s.hits, s.hits_cpu, s.allocs, s.frees, s.grows, s.grows_pooled, s.grow_bytes,
		s.calibrations, s.borrowed, s.idle, s.idle_bytes, s.default_size);
	NEED(!fclose(out));
}

/* Three places, one of which asks for sizes; holds some buffers; nothing goes by the clock. */
static void works(void)
{
	static tierpool_site sites[3] = {TIERPOOL_SITE_INIT("small"), TIERPOOL_SITE_INIT("large"),
		TIERPOOL_SITE_INIT("sized")};
	tierpool *used = MAKE(.name = "pool", .decay_ms = TIERPOOL_DECAY_NEVER);
	tierpool_buf *held[20] = {NULL};
	uint64_t random = 1;

	for (unsigned i = 0; i < 150000; i++) {
		tierpool_buf **slot = &held[next_random(&random) % 20];
		unsigned which = (unsigned)(next_random(&random) % 3);
		size_t n = next_random(&random) % (which ? 9000 : 700) + 1;

		if (toggles && i % toggles == 0 && i / toggles % 2)
			tierpool_profile_stop();
		else if (toggles && i % toggles == 0)
			NEED(!tierpool_profile_start(i / toggles % 3));
		tierpool_put(*slot);
		*slot = tierpool_get_at(used, which == 2 ? n : 0, &sites[which]);
		NEED(*slot && !tierpool_buf_reserve(*slot, n));
		(*slot)->len = n;
	}
	writes_what_it_did(used);
}

static char did[1 << 16];

static void assert_does_the_same(const char *variable)
{
	program_run_in(works, variable);
	cr_assert_str_eq(program_said, "");
	cr_assert_str_eq(file_text("did"), did);
}

Test(control, does_not_change_what_is_learned_or_counted, .init = folder_new, .fini = folder_end)
{
	stay_on_this_cpu();
	program_run_in(works, "TIERPOOL_PROFILE");
	snprintf(did, sizeof did, "%s", file_text("did"));
	cr_assert(strstr(did, "small") && strstr(did, "large"), "%s", did);
	assert_does_the_same("TIERPOOL_PROFILE");
	assert_does_the_same("TIERPOOL_PROFILE=out");
	toggles = 1000;
	assert_does_the_same("TIERPOOL_PROFILE");
	toggles = 37;
	assert_does_the_same("TIERPOOL_PROFILE");
}
