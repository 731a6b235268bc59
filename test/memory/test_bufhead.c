/* SPDX-License-Identifier: MIT */
/*
 * Headers: each is given once, can be read until the end whatever became of it, and pages that have
 * none go back to the system.
 */
#include "memory/bufhead.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/resource.h>

#include "base/atomic.h"
#include "base/colour.h"
#include "cpus.h"
#include "memory/bufstate.h"
#include "memory/pages.h"

#define PAGE ((size_t)4096)
#define PER_PAGE 64u
#define FIRST_PAGES 16u /* of the first chunk */
#define CHUNKS 6
#define MANY (48 * PER_PAGE)
#define IDLE_MOST 32
#define THREADS 4

static struct tp_bufheads headers;
static tierpool_buf *all[(16 + 32 + 64 + 128 + 256 + 256) * PER_PAGE];

static void start(void)
{
	tp_bufheads_init(&headers);
}

TestSuite(bufhead, .init = start);

/* A header, which nobody else has now. */
static tierpool_buf *header_alloc(uint64_t colours)
{
	tierpool_buf *b = tp_bufhead_alloc(&headers, colours);

	cr_assert_not_null(b);
	cr_assert_neq(b->tp_state, TP_BUFSTATE_FAST, "given twice");
	b->tp_state = TP_BUFSTATE_FAST;
	return b;
}

/* Headers until the chunk after the newest one begins. Returns: how many, without that one. */
static size_t fill_chunk(tierpool_buf **b)
{
	struct tp_bufhead_chunk *newest = headers.chunks;
	size_t count = 0;

	do
		b[count++] = header_alloc(0);
	while (headers.chunks == newest);
	return count - 1;
}

static void need_small_pages(void)
{
	if (tp_pages_size != PAGE)
		skip("the pages of this system are not 4 KiB");
}

Test(bufhead, a_new_one_is_that_of_no_buffer_and_on_a_line_of_its_own)
{
	for (size_t i = 0; i < MANY; i++) {
		tierpool_buf *b = tp_bufhead_alloc(&headers, 0);

		cr_assert_not_null(b);
		cr_assert_eq((uintptr_t)b % TP_LINE, 0);
		cr_assert_eq(b->tp_state, 0);
		cr_assert_null(b->data);
		b->tp_state = TP_BUFSTATE_FAST;
	}
	cr_assert_eq(sizeof(tierpool_buf), TP_LINE);
}

Test(bufhead, chunks_have_64_kib_and_double_up_to_a_megabyte)
{
	size_t pages = FIRST_PAGES, before = 1, count;

	all[0] = header_alloc(0);
	for (unsigned chunk = 0; chunk < CHUNKS; chunk++) {
		count = before + fill_chunk(all + before);
		/* The chunk's own struct takes the place of some of them. */
		cr_assert_lt(count, pages * PER_PAGE, "chunk %u", chunk);
		cr_assert_geq(count, (pages - 1) * PER_PAGE, "chunk %u: %zu", chunk, count);
		/* The first header of the next one is there already. */
		all[0] = all[count];
		before = 1;
		pages = pages < 256 ? 2 * pages : 256;
	}
}

Test(bufhead, bytes_are_the_pages_that_are_spent)
{
	size_t count;

	cr_assert_eq(headers.bytes, 0);
	for (count = 0; count < 4 * PER_PAGE; count++) {
		cr_assert_leq(headers.bytes, (count / PER_PAGE + 2) * PAGE);
		cr_assert_geq(headers.bytes, count * TP_LINE);
		header_alloc(0);
	}
}

Test(bufhead, what_is_freed_is_used_again_before_anything_new)
{
	size_t bytes;

	for (size_t i = 0; i < 10 * PER_PAGE; i++)
		all[i] = header_alloc(0);
	bytes = headers.bytes;
	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = 0; i < 10 * PER_PAGE; i++)
			tp_bufhead_free(&headers, all[i]);
		for (size_t i = 0; i < 10 * PER_PAGE; i++)
			all[i] = header_alloc(0);
		cr_assert_eq(headers.bytes, bytes);
	}
}

Test(bufhead, where_there_is_a_choice_it_is_not_in_the_colours_named)
{
	uint64_t colours = UINT64_C(0x0ff0);
	size_t count = 0;

	/* Four pages are looked at. */
	for (; count < 4 * (PER_PAGE - 8) - 8; count++) {
		all[count] = header_alloc(colours);
		cr_assert(!(tp_colour((uintptr_t)all[count]) & colours), "header %zu", count);
	}
	/* None is lost in the search. */
	count += fill_chunk(all + count);
	cr_assert_geq(count, (FIRST_PAGES - 1) * PER_PAGE);
	header_alloc(UINT64_MAX);
}

Test(bufhead, a_freed_one_can_be_read_and_tells_that_it_is_released)
{
	int pool;

	for (size_t i = 0; i < MANY / 2; i++) {
		all[i] = header_alloc(0);
		all[i]->tp_pool = (struct tierpool *)&pool;
		all[i]->cap = 100 + i;
	}
	for (size_t i = 0; i < MANY / 2; i++)
		tp_bufhead_free(&headers, all[i]);
	for (size_t i = 0; i < MANY / 2; i++) {
		cr_assert_eq(all[i]->tp_state, tp_bufstate(TP_STATE_RELEASED));
		/* What a report of a second put names. */
		cr_assert_eq((void *)all[i]->tp_pool, (void *)&pool);
		cr_assert_eq(all[i]->cap, 100 + i);
		cr_assert_not(tp_bufhead_is_gone(all[i]));
	}
}

Test(bufhead, a_purge_gives_back_all_pages_without_a_buffer_and_no_other)
{
	size_t gone = 0;
	tierpool_buf *kept, outside = {0};

	need_small_pages();
	for (size_t i = 0; i < MANY / 2; i++)
		all[i] = header_alloc(0);
	kept = all[MANY / 4];
	for (size_t i = 0; i < MANY / 2; i++)
		if (all[i] != kept)
			tp_bufhead_free(&headers, all[i]);
	tp_bufheads_purge(&headers);
	cr_assert_eq(headers.idle, 0);
	cr_assert_eq(kept->tp_state, TP_BUFSTATE_FAST);
	for (size_t i = 0; i < MANY / 2; i++) {
		bool beside = (uintptr_t)all[i] / PAGE == (uintptr_t)kept / PAGE;

		gone += tp_bufhead_is_gone(all[i]);
		cr_assert(!beside || !tp_bufhead_is_gone(all[i]), "header %zu", i);
		cr_assert(tp_bufhead_is_gone(all[i]) || all[i] == kept ||
			  all[i]->tp_state == tp_bufstate(TP_STATE_RELEASED));
	}
	/* Left: the page of the kept one, and where the structs of two chunks are. */
	cr_assert_geq(gone, MANY / 2 - 3 * PER_PAGE);
	cr_assert_leq(headers.bytes, 3 * PAGE);
	cr_assert_not(tp_bufhead_is_gone(&outside), "no header was ever there");
	for (size_t i = 0; i < MANY / 2; i++)
		header_alloc(0);
}

Test(bufhead, a_free_gives_back_the_pages_that_are_more_than_32)
{
	enum { COUNT = 100 * PER_PAGE };

	need_small_pages();
	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = 0; i < COUNT; i++)
			all[i] = header_alloc(0);
		cr_assert_geq(headers.bytes, 100 * PAGE);
		for (size_t i = 0; i < COUNT; i++) {
			tp_bufhead_free(&headers, all[i]);
			cr_assert_leq(headers.idle, IDLE_MOST);
		}
		cr_assert_eq(headers.idle, IDLE_MOST);
		/* The structs of three chunks. */
		cr_assert_eq(headers.bytes, (IDLE_MOST + 3) * PAGE);
	}
	tp_bufheads_purge(&headers);
	cr_assert_eq(headers.bytes, 3 * PAGE);
}

/* ---- find ---- */

Test(bufhead, find_sees_the_data_of_each_borrowed_buffer_and_nothing_else)
{
	enum { CAP = 100 };
	static char blocks[MANY][CAP];

	for (size_t i = 0; i < MANY; i++) {
		all[i] = header_alloc(0);
		tp_bufhead_block_set(all[i], blocks[i], CAP);
		all[i]->tp_state = tp_bufstate(i % 3 ? TP_STATE_BORROWED : TP_STATE_IDLE);
	}
	for (size_t i = 1; i < MANY; i += 2)
		tp_bufhead_free(&headers, all[i]);
	for (size_t i = 0; i < MANY; i++) {
		cr_assert_eq(
			tp_bufheads_find(&headers, blocks[i]), i % 2 || !(i % 3) ? NULL : all[i]);
		cr_assert_null(tp_bufheads_find(&headers, blocks[i] + 1));
	}
	cr_assert_null(tp_bufheads_find(&headers, NULL));
	cr_assert_null(tp_bufheads_find(&headers, all[0]));
}

/* ---- out of memory ---- */

Test(bufhead, out_of_memory_is_told_and_what_is_spare_still_serves)
{
	struct rlimit limit, none;
	size_t count = 0;

	if (SANITIZED || under_valgrind())
		skip("a sanitizer or Valgrind needs address space of its own");
	getrlimit(RLIMIT_AS, &limit);
	none = limit;
	none.rlim_cur = 1;
	setrlimit(RLIMIT_AS, &none);
	tierpool_buf *b = tp_bufhead_alloc(&headers, 0);
	setrlimit(RLIMIT_AS, &limit);
	cr_assert_null(b);
	cr_assert_eq(headers.bytes, 0);

	all[count++] = header_alloc(0);
	setrlimit(RLIMIT_AS, &none);
	while ((b = tp_bufhead_alloc(&headers, 0)))
		all[count++] = b;
	setrlimit(RLIMIT_AS, &limit);
	cr_assert_geq(count, (FIRST_PAGES - 1) * PER_PAGE);
	tp_bufhead_free(&headers, all[7]);
	setrlimit(RLIMIT_AS, &none);
	b = tp_bufhead_alloc(&headers, 0);
	setrlimit(RLIMIT_AS, &limit);
	cr_assert_eq(b, all[7]);
	tp_bufhead_block_set(b, (char *)all, 1);
	b->tp_state = tp_bufstate(TP_STATE_BORROWED);
	cr_assert_eq(tp_bufheads_find(&headers, all), b, "with %zu others", count);
}

/* ---- threads ---- */

static uint64_t taken_twice;

static void *take_and_free(void *unused)
{
	enum { MINE = 15 * PER_PAGE };
	tierpool_buf *mine[MINE];

	(void)unused;
	for (unsigned round = 0; round < 300; round++) {
		for (unsigned i = 0; i < MINE; i++) {
			mine[i] = tp_bufhead_alloc(&headers, 0);
			/* Only its holder writes a header, so a second holder sees this. */
			if (tp_exchange_acq_rel(&mine[i]->tp_state, TP_BUFSTATE_FAST) ==
				TP_BUFSTATE_FAST)
				tp_add_relaxed(&taken_twice, 1u);
		}
		for (unsigned i = 0; i < MINE; i++)
			tp_bufhead_free(&headers, mine[i]);
		if (round % 16 == 0)
			tp_bufheads_purge(&headers);
	}
	return NULL;
}

Test(bufhead, threads_never_share_one)
{
	pthread_t thread[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, take_and_free, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(taken_twice, 0);
	tp_bufheads_purge(&headers);
	cr_assert_leq(headers.bytes, CHUNKS * tp_max(tp_pages_size, 4096), "headers were lost");
	tp_bufheads_fini(&headers);
}
