/* SPDX-License-Identifier: MIT */
#include "base/hand_over.h"

/* In this order: both have macros of the same names, and the second one has them only if it is alone. */
#if __has_include(<valgrind/helgrind.h>)
#include <valgrind/drd.h>
#include <valgrind/helgrind.h>
#define DRD(request, memory) VALGRIND_DO_CLIENT_REQUEST_STMT(request, (memory), 0, 0, 0, 0)
#else
#define RUNNING_ON_VALGRIND 0
#define ANNOTATE_HAPPENS_BEFORE(memory) ((void)0)
#define ANNOTATE_HAPPENS_AFTER(memory) ((void)0)
#define DRD(request, memory) ((void)0)
#endif

/* Weak: a program that is built with -fsanitize=thread has them. */
extern void __tsan_acquire(void *address) __attribute__((weak));
extern void __tsan_release(void *address) __attribute__((weak));

bool tp_hand_over_watched;

bool tp_tsan_watches(void)
{
	/* If the library is built with it too, then it sees all, and is to find what is wrong there. */
	return !TP_BUILT_WITH_TSAN && __tsan_acquire && __tsan_release;
}

void tp_hand_over_init(void)
{
	tp_hand_over_watched = tp_tsan_watches() || RUNNING_ON_VALGRIND;
}

tp_cold void tp_hand_over_slow(const void *memory)
{
	if (tp_tsan_watches())
		__tsan_release((void *)memory);
	ANNOTATE_HAPPENS_BEFORE(memory);
	DRD(VG_USERREQ__DRD_ANNOTATE_HAPPENS_BEFORE, memory);
}

tp_cold void tp_take_over_slow(const void *memory)
{
	if (tp_tsan_watches())
		__tsan_acquire((void *)memory);
	ANNOTATE_HAPPENS_AFTER(memory);
	DRD(VG_USERREQ__DRD_ANNOTATE_HAPPENS_AFTER, memory);
}
