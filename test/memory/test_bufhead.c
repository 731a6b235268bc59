/* SPDX-License-Identifier: MIT */
/*
 * Headers: each given once, never to the backing before the end, readable all their life.
 */
#include "memory/bufhead.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/colour.h"
#include "memory/bufstate.h"

#define PAGE ((size_t)4096)
#define PER_PAGE 63
#define THREADS 4

/* A backing that counts, and that can be out of memory. */
static struct {
	uint64_t allocs, frees;
	bool empty;
} spent;

static void *counted_alloc(void *context, size_t n, size_t alignment)
{
	(void)context;
	if (spent.empty)
		return NULL;
	tp_add_relaxed(&spent.allocs, 1u);
	return aligned_alloc(alignment, tp_round_up(n, alignment));
}

static void counted_free(void *context, void *block, size_t n)
{
	(void)context;
	memset(block, 0xdd, n);
	tp_add_relaxed(&spent.frees, 1u);
	free(block);
}

static struct tp_bufheads headers;
static struct tp_backing backing;

static void start(void)
{
	struct tierpool_backing counted = {sizeof counted, counted_alloc, counted_free, NULL};

	cr_assert_eq(tp_backing_init(&backing, &counted, 0), 0);
	tp_bufheads_init(&headers);
}

static tierpool_buf *header_alloc(void)
{
	return tp_bufhead_alloc(&headers, &backing, 0);
}

TestSuite(header, .init = start);

Test(header, a_new_one_is_ours_released_and_on_a_line_of_its_own)
{
	for (unsigned i = 0; i < 2 * PER_PAGE; i++) {
		tierpool_buf *b = header_alloc();

		cr_assert_not_null(b);
		cr_assert_eq((uintptr_t)b % TP_LINE, 0);
		cr_assert_eq(b->tp_state, tp_bufstate(TP_STATE_RELEASED));
		cr_assert_null(b->data);
	}
	cr_assert_eq(sizeof(tierpool_buf), TP_LINE);
}

Test(header, none_is_given_twice_and_a_page_serves_63)
{
	tierpool_buf *b[4 * PER_PAGE];

	for (unsigned i = 0; i < 4 * PER_PAGE; i++) {
		b[i] = header_alloc();
		cr_assert_eq(spent.allocs, 1 + i / PER_PAGE);
		cr_assert_eq(headers.bytes, spent.allocs * PAGE);
		for (unsigned j = 0; j < i; j++)
			cr_assert_neq(b[i], b[j]);
	}
	tp_bufheads_fini(&headers, &backing);
	cr_assert_eq(spent.frees, 4);
}

Test(header, what_is_freed_is_used_again_before_anything_new)
{
	tierpool_buf *b[2 * PER_PAGE];

	for (unsigned i = 0; i < 2 * PER_PAGE; i++)
		b[i] = header_alloc();
	for (unsigned i = 0; i < 2 * PER_PAGE; i++)
		tp_bufhead_free(&headers, b[i]);
	cr_assert_eq(header_alloc(), b[2 * PER_PAGE - 1], "the one still in the cache");
	for (unsigned i = 1; i < 2 * PER_PAGE; i++)
		header_alloc();
	cr_assert_eq(spent.allocs, 2);
	cr_assert_eq(headers.bytes, 2 * PAGE);
	header_alloc();
	cr_assert_eq(spent.allocs, 3);
}

Test(header, where_there_is_a_choice_it_is_not_in_the_lines_named)
{
	uint64_t lines = UINT64_C(0x0ff0);
	tierpool_buf *b[2 * PER_PAGE];

	for (unsigned i = 0; i < PER_PAGE - 8; i++) {
		b[i] = tp_bufhead_alloc(&headers, &backing, lines);
		cr_assert(!(tp_colour((uintptr_t)b[i]) & lines), "header %u", i);
	}
	/* There are only others left; and nothing was lost by looking. */
	for (unsigned i = PER_PAGE - 8; i < PER_PAGE; i++) {
		b[i] = tp_bufhead_alloc(&headers, &backing, lines);
		for (unsigned j = 0; j < i; j++)
			cr_assert_neq(b[i], b[j]);
	}
	cr_assert_eq(spent.allocs, 1);
}

Test(header, a_freed_one_can_be_read_and_tells_that_it_is_released)
{
	int pool;
	tierpool_buf *b[PER_PAGE];

	for (unsigned i = 0; i < PER_PAGE; i++) {
		b[i] = header_alloc();
		b[i]->tp_state = TP_BUFSTATE_FAST;
		b[i]->tp_pool = (struct tierpool *)&pool;
		b[i]->cap = 100 + i;
	}
	for (unsigned i = 0; i < PER_PAGE; i++)
		tp_bufhead_free(&headers, b[i]);
	for (unsigned i = 0; i < PER_PAGE; i++) {
		cr_assert_eq(b[i]->tp_state, tp_bufstate(TP_STATE_RELEASED));
		/* What a report of a second put names. */
		cr_assert_eq((void *)b[i]->tp_pool, (void *)&pool);
		cr_assert_eq(b[i]->cap, 100 + i);
	}
	cr_assert_eq(spent.frees, 0, "a page went back while its headers may be looked at");
	tp_bufheads_fini(&headers, &backing);
	cr_assert_eq(spent.frees, 1);
}

Test(header, out_of_memory_is_told_and_what_is_spare_still_serves)
{
	tierpool_buf *b;

	spent.empty = true;
	cr_assert_null(header_alloc());
	cr_assert_eq(headers.bytes, 0);
	spent.empty = false;
	b = header_alloc();
	spent.empty = true;
	for (unsigned i = 1; i < PER_PAGE; i++)
		cr_assert_not_null(header_alloc());
	cr_assert_null(header_alloc());
	cr_assert_eq(headers.bytes, PAGE);
	tp_bufhead_free(&headers, b);
	cr_assert_eq(header_alloc(), b);
}

static uint64_t taken_twice;

static void *take_and_free(void *unused)
{
	tierpool_buf *mine[3 * PER_PAGE];

	(void)unused;
	for (unsigned round = 0; round < 3000; round++) {
		for (unsigned i = 0; i < 3 * PER_PAGE; i++) {
			mine[i] = header_alloc();
			/* Nobody writes a header but who holds it: a second holder sees this. */
			if (tp_exchange_acq_rel(&mine[i]->tp_state, TP_BUFSTATE_FAST) !=
				tp_bufstate(TP_STATE_RELEASED))
				tp_add_relaxed(&taken_twice, 1u);
		}
		for (unsigned i = 0; i < 3 * PER_PAGE; i++)
			tp_bufhead_free(&headers, mine[i]);
	}
	return NULL;
}

Test(header, threads_never_share_one)
{
	pthread_t thread[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, take_and_free, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(taken_twice, 0);
	cr_assert_eq(headers.bytes, spent.allocs * PAGE);
	cr_assert_eq(headers.spare.count, spent.allocs * PER_PAGE, "headers were lost");
	/* Two threads may both miss and bring a page; never more than one each beyond the need. */
	cr_assert_leq(spent.allocs, (uint64_t)4 * THREADS);
	tp_bufheads_fini(&headers, &backing);
	cr_assert_eq(spent.frees, spent.allocs);
}
