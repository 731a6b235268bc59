/* SPDX-License-Identifier: MIT */
/*
 * Stacks by frame pointers and by the unwinder: of functions that have a frame pointer (those that ask
 * for their frame), and of one that has none in between.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "cpus.h"
#include "profile/stacktrace.h"

static struct tp_stacktrace by_frames, by_unwinder;
static bool found_by_frames, found_by_unwinder;
static uintptr_t call[3]; /* into the innermost first */

/* Keeps a call from being the last thing that a function does, which compilers turn into a jump. */
#define STAYS() __asm__ volatile("" ::: "memory")

static __attribute__((noinline)) void capture(void)
{
	const void *frame = __builtin_frame_address(0);

	call[0] = (uintptr_t)__builtin_return_address(0) - 1;
	found_by_frames = tp_stacktrace_by_frames(&by_frames, frame);
	found_by_unwinder = tp_stacktrace_by_unwinder(&by_unwinder, frame);
	STAYS();
}

static __attribute__((noinline)) void framed_inner(void)
{
	STAYS();
	call[1] = (uintptr_t)__builtin_return_address(0) - 1;
	(void)*(volatile char *)__builtin_frame_address(0);
	capture();
	STAYS();
}

static __attribute__((noinline)) void framed_outer(void (*inner)(void))
{
	call[2] = (uintptr_t)__builtin_return_address(0) - 1;
	(void)*(volatile char *)__builtin_frame_address(0);
	inner();
	STAYS();
}

Test(stacktrace, by_frame_pointers_is_the_calls_that_were_made)
{
	framed_outer(framed_inner);
	cr_assert(found_by_frames);
	cr_assert_geq(by_frames.depth, 3);
	cr_assert(!memcmp(by_frames.frame, call, sizeof call));
}

Test(stacktrace, by_the_unwinder_is_the_same_where_there_is_one)
{
	framed_outer(framed_inner);
	if (!found_by_unwinder)
		skip("no unwinder here");
	cr_assert_geq(by_unwinder.depth, 3);
	cr_assert(!memcmp(by_unwinder.frame, call, sizeof call));
}

/* ---- where they differ ---- */

Test(stacktrace, agree_if_only_the_start_of_the_thread_is_missing)
{
	struct tp_stacktrace less;

	framed_outer(framed_inner);
	if (!found_by_unwinder)
		skip("no unwinder here");
	cr_assert(tp_stacktrace_agree(&by_unwinder, &by_unwinder));
	less = by_unwinder;
	less.depth = 1;
	cr_assert_not(
		tp_stacktrace_agree(&less, &by_unwinder), "this test's functions are missing");
	less = by_unwinder;
	less.frame[1] = less.frame[2];
	cr_assert_not(tp_stacktrace_agree(&less, &by_unwinder), "one was left out");
	less = by_unwinder;
	less.frame[less.depth < TP_STACKTRACE_MOST ? less.depth++ : less.depth - 1] = 1;
	cr_assert(less.depth == by_unwinder.depth || tp_stacktrace_agree(&less, &by_unwinder),
		"the unwinder stopped early");
}

static struct tp_stacktrace in_thread[2];

static void *thread(void *unused)
{
	framed_outer(framed_inner);
	in_thread[0] = by_frames;
	in_thread[1] = by_unwinder;
	return unused;
}

Test(stacktrace, of_a_thread_ends_with_what_started_it)
{
	pthread_t id;

	cr_assert_eq(pthread_create(&id, NULL, thread, NULL), 0);
	pthread_join(id, NULL);
	cr_assert(found_by_frames);
	cr_assert(!memcmp(in_thread[0].frame, call, sizeof call));
	if (!found_by_unwinder)
		skip("no unwinder here");
	cr_assert_lt(in_thread[1].depth, 10, "no frame beyond the thread's first");
}

/* ---- another stack than the thread's ---- */

static ucontext_t here, there;

static void coroutine(void)
{
	framed_outer(framed_inner);
}

Test(stacktrace, on_a_coroutines_stack_frame_pointers_are_not_followed)
{
	size_t size = (size_t)1 << 18;
	char *stack = malloc(size);

	cr_assert_not_null(stack);
	getcontext(&there);
	there.uc_stack.ss_sp = stack;
	there.uc_stack.ss_size = size;
	there.uc_link = &here;
	makecontext(&there, coroutine, 0);
	swapcontext(&here, &there);
	cr_assert_not(found_by_frames);
	if (!found_by_unwinder)
		skip("no unwinder here");
	cr_assert(!memcmp(by_unwinder.frame, call, sizeof call));
	free(stack);
}

/* ---- frames that are none ---- */

static bool walk(const uintptr_t *frame)
{
	return tp_stacktrace_by_frames(&by_frames, frame);
}

Test(stacktrace, a_chain_that_does_not_lead_outwards_ends_there)
{
	uintptr_t frame[8] = {0};

	frame[0] = 12345; /* no address of this stack */
	frame[1] = 101;
	cr_assert(walk(frame));
	cr_assert_eq(by_frames.depth, 1);
	cr_assert_eq(by_frames.frame[0], 100);
	frame[0] = (uintptr_t)&frame[2];
	frame[2] = (uintptr_t)&frame[0]; /* back */
	frame[3] = 201;
	cr_assert(walk(frame));
	cr_assert_eq(by_frames.depth, 2);
	frame[2] = (uintptr_t)&frame[4] + 1; /* not aligned */
	cr_assert(walk(frame));
	cr_assert_eq(by_frames.depth, 2);
	frame[2] = (uintptr_t)&frame[4];
	frame[4] = UINTPTR_MAX - 7; /* beyond the stack's end */
	frame[5] = 301;
	cr_assert(walk(frame));
	cr_assert_eq(by_frames.depth, 3);
	frame[1] = 0;
	cr_assert_not(walk(frame), "no return address");
}

Test(stacktrace, is_cut_where_it_is_too_deep)
{
	uintptr_t frame[4 * TP_STACKTRACE_MOST];

	for (unsigned i = 0; i < 2 * TP_STACKTRACE_MOST; i++) {
		frame[2 * i] = (uintptr_t)&frame[2 * i + 2];
		frame[2 * i + 1] = i + 2;
	}
	cr_assert(walk(frame));
	cr_assert_eq(by_frames.depth, TP_STACKTRACE_MOST);
}
