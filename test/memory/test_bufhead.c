/* SPDX-License-Identifier: MIT */
/*
 * Headers: each is given once, goes to the backing at the end only, and can be read until then.
 */
#include "memory/bufhead.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdint.h>

#include "base/colour.h"
#include "counting_backing.h"
#include "memory/bufstate.h"

#define PAGE ((size_t)4096)
#define PER_PAGE 63
#define THREADS 4

static struct counting_backing counting;
static struct tp_bufheads headers;
static struct tp_backing backing;

static void start(void)
{
	struct tierpool_backing calls;

	counting_backing_init(&counting);
	calls = counting_backing_calls(&counting);
	cr_assert_eq(tp_backing_init(&backing, &calls, 0), 0);
	tp_bufheads_init(&headers);
}

static tierpool_buf *header_alloc(void)
{
	return tp_bufhead_alloc(&headers, &backing, 0);
}

TestSuite(bufhead, .init = start);

Test(bufhead, a_new_one_is_ours_released_and_on_a_line_of_its_own)
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

Test(bufhead, none_is_given_twice_and_a_page_serves_63)
{
	tierpool_buf *b[4 * PER_PAGE];

	for (unsigned i = 0; i < 4 * PER_PAGE; i++) {
		b[i] = header_alloc();
		cr_assert_eq(counting_backing_allocs(&counting), 1 + i / PER_PAGE);
		cr_assert_eq(headers.bytes, counting_backing_allocs(&counting) * PAGE);
		for (unsigned j = 0; j < i; j++)
			cr_assert_neq(b[i], b[j]);
	}
	tp_bufheads_fini(&headers, &backing);
	cr_assert_eq(counting_backing_blocks(&counting), 0);
}

Test(bufhead, what_is_freed_is_used_again_before_anything_new)
{
	tierpool_buf *b[2 * PER_PAGE];

	for (unsigned i = 0; i < 2 * PER_PAGE; i++)
		b[i] = header_alloc();
	for (unsigned i = 0; i < 2 * PER_PAGE; i++)
		tp_bufhead_free(&headers, b[i]);
	cr_assert_eq(header_alloc(), b[2 * PER_PAGE - 1], "the one still in the cache");
	for (unsigned i = 1; i < 2 * PER_PAGE; i++)
		header_alloc();
	cr_assert_eq(counting_backing_allocs(&counting), 2);
	cr_assert_eq(headers.bytes, 2 * PAGE);
	header_alloc();
	cr_assert_eq(counting_backing_allocs(&counting), 3);
}

Test(bufhead, where_there_is_a_choice_it_is_not_in_the_lines_named)
{
	uint64_t lines = UINT64_C(0x0ff0);
	tierpool_buf *b[2 * PER_PAGE];

	for (unsigned i = 0; i < PER_PAGE - 8; i++) {
		b[i] = tp_bufhead_alloc(&headers, &backing, lines);
		cr_assert(!(tp_colour((uintptr_t)b[i]) & lines), "header %u", i);
	}
	/* Only headers in these lines are left; and none was lost in the search. */
	for (unsigned i = PER_PAGE - 8; i < PER_PAGE; i++) {
		b[i] = tp_bufhead_alloc(&headers, &backing, lines);
		for (unsigned j = 0; j < i; j++)
			cr_assert_neq(b[i], b[j]);
	}
	cr_assert_eq(counting_backing_allocs(&counting), 1);
}

Test(bufhead, a_freed_one_can_be_read_and_tells_that_it_is_released)
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
	cr_assert_eq(counting_backing_blocks(&counting), 1,
		"a page went back while its headers may be looked at");
	tp_bufheads_fini(&headers, &backing);
	cr_assert_eq(counting_backing_blocks(&counting), 0);
}

Test(bufhead, out_of_memory_is_told_and_what_is_spare_still_serves)
{
	tierpool_buf *b;

	counting_backing_fail(&counting, 1, true);
	cr_assert_null(header_alloc());
	cr_assert_eq(headers.bytes, 0);
	counting_backing_fail(&counting, 0, false);
	b = header_alloc();
	counting_backing_fail(&counting, 1, true);
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
	for (unsigned round = 0; round < 1500; round++) {
		for (unsigned i = 0; i < 3 * PER_PAGE; i++) {
			mine[i] = header_alloc();
			/* Only its holder writes a header, so a second holder sees this. */
			if (tp_exchange_acq_rel(&mine[i]->tp_state, TP_BUFSTATE_FAST) !=
				tp_bufstate(TP_STATE_RELEASED))
				tp_add_relaxed(&taken_twice, 1u);
		}
		for (unsigned i = 0; i < 3 * PER_PAGE; i++)
			tp_bufhead_free(&headers, mine[i]);
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
	cr_assert_eq(headers.bytes, counting_backing_allocs(&counting) * PAGE);
	cr_assert_eq(headers.spare.count, counting_backing_allocs(&counting) * PER_PAGE,
		"headers were lost");
	/* Threads that miss at the same time bring a page each: one more than needed, at most. */
	cr_assert_leq(counting_backing_allocs(&counting), (size_t)4 * THREADS);
	tp_bufheads_fini(&headers, &backing);
	cr_assert_eq(counting_backing_blocks(&counting), 0);
}
