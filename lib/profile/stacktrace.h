/* SPDX-License-Identifier: MIT */
/*
 * Which calls led to a get. Two ways: by frame pointers, some 30 ns, which is wrong where code was
 * compiled without them; and by the unwinder of the C library, 2 to 20 us, which knows better.
 * Neither takes a lock of this library, once it is warm.
 */
#ifndef TP_STACKTRACE_H
#define TP_STACKTRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "process/atfork.h"

#define TP_STACKTRACE_MOST 64

struct tp_stacktrace {
	unsigned depth;
	uintptr_t frame[TP_STACKTRACE_MOST]; /* inside the call: its return address - 1 */
};

/* Has both ways load and look up what they need once, so that no sample does. */
void tp_stacktrace_warm(void);

/* Before: one thread forks at a time. */
void tp_stacktrace_fork(enum tp_fork phase);

/*
 * By frame pointers, of the calls from the one on whose frame is `frame` (__builtin_frame_address).
 * False: that does not lie in the thread's stack (a coroutine has its own); trace has no meaning.
 */
bool tp_stacktrace_by_frames(struct tp_stacktrace *trace, const void *frame);

/*
 * By the unwinder, of the same calls. False: there is none, or it did not find the first of them.
 */
bool tp_stacktrace_by_unwinder(struct tp_stacktrace *trace, const void *frame);

/*
 * Whether frame pointers found all that the unwinder did, but for the first functions of a thread,
 * which are the C library's.
 */
bool tp_stacktrace_agree(
	const struct tp_stacktrace *by_frames, const struct tp_stacktrace *by_unwinder);

#endif
