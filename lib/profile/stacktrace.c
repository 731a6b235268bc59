/* SPDX-License-Identifier: MIT */
#include "profile/stacktrace.h"

#include <link.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/compiler.h"

/* musl has none. Weak: nothing but this needs it. */
#if __has_include(<execinfo.h>)
#include <execinfo.h>
#pragma weak backtrace
#else
static int (*const backtrace)(void **, int) = NULL;
#endif

#define NO_SANITIZE __attribute__((no_sanitize("address", "thread")))

/* What a frame begins with on each of the architectures: the caller's frame, the return address. */
struct stacktrace_frame {
	uintptr_t next, back;
};

struct stacktrace_bounds {
	uintptr_t low, end;
};

/* Of the caller's thread; 0 and 0: not known. */
static struct stacktrace_bounds stacktrace_bounds(void)
{
	/* Found once for each thread: for the main thread the C library reads /proc. */
	static _Thread_local
		__attribute__((tls_model("initial-exec"))) struct stacktrace_bounds known;
	pthread_attr_t attributes;
	size_t size = 0;
	void *low = NULL;

	if (known.end || pthread_getattr_np(pthread_self(), &attributes))
		return known;
	if (!pthread_attr_getstack(&attributes, &low, &size))
		known = (struct stacktrace_bounds){(uintptr_t)low, (uintptr_t)low + size};
	pthread_attr_destroy(&attributes);
	return known;
}

NO_SANITIZE bool tp_stacktrace_by_frames(struct tp_stacktrace *trace, const void *frame)
{
	struct stacktrace_bounds stack = stacktrace_bounds();
	uintptr_t at = (uintptr_t)frame, end = stack.end;

	trace->depth = 0;
	if (at < stack.low || at >= end)
		return false;
	while (trace->depth < TP_STACKTRACE_MOST && end - at >= sizeof(struct stacktrace_frame)) {
		const struct stacktrace_frame *one = (const void *)at;

		if (!one->back)
			break;
		trace->frame[trace->depth++] = one->back - 1;
		/* Towards the end, else it is no frame: so the walk ends. */
		if (one->next <= at || one->next >= end || one->next % sizeof(uintptr_t))
			break;
		at = one->next;
	}
	return trace->depth;
}

NO_SANITIZE bool tp_stacktrace_by_unwinder(struct tp_stacktrace *trace, const void *frame)
{
	enum { OWN = 16 }; /* calls of the library, below the borrower's */
	uintptr_t first = ((const struct stacktrace_frame *)frame)->back;
	void *back[OWN + TP_STACKTRACE_MOST];
	int count = backtrace ? backtrace(back, OWN + TP_STACKTRACE_MOST) : 0, i = 0;

	while (i < count && (uintptr_t)back[i] != first)
		i++;
	trace->depth = 0;
	for (; i < count && trace->depth < TP_STACKTRACE_MOST; i++)
		trace->frame[trace->depth++] = (uintptr_t)back[i] - 1;
	return trace->depth;
}

/*
 * Where the C library lies; of a static program, where the program does: then nobody can say. Found once, as
 * dladdr waits for a lock that a dlopen holds while constructors run.
 */
static struct stacktrace_bounds stacktrace_libc;

static int stacktrace_libc_look(struct dl_phdr_info *object, size_t size, void *unused)
{
	struct stacktrace_bounds its = {UINTPTR_MAX, 0};

	(void)size;
	(void)unused;
	for (unsigned i = 0; i < object->dlpi_phnum; i++) {
		uintptr_t low = object->dlpi_addr + object->dlpi_phdr[i].p_vaddr;

		if (object->dlpi_phdr[i].p_type != PT_LOAD)
			continue;
		its.low = tp_min(its.low, low);
		its.end = tp_max(its.end, low + object->dlpi_phdr[i].p_memsz);
	}
	if ((uintptr_t)&abort < its.low || (uintptr_t)&abort >= its.end)
		return 0;
	stacktrace_libc = its;
	return 1;
}

static void stacktrace_libc_find(void)
{
	dl_iterate_phdr(stacktrace_libc_look, NULL);
}

static bool stacktrace_is_of_libc(uintptr_t address)
{
	static pthread_once_t found = PTHREAD_ONCE_INIT;

	pthread_once(&found, stacktrace_libc_find);
	return address >= stacktrace_libc.low && address < stacktrace_libc.end;
}

bool tp_stacktrace_agree(
	const struct tp_stacktrace *by_frames, const struct tp_stacktrace *by_unwinder)
{
	unsigned both = (unsigned)tp_min(by_frames->depth, by_unwinder->depth);

	if (memcmp(by_frames->frame, by_unwinder->frame, both * sizeof by_frames->frame[0]) != 0)
		return false;
	/* The last of all may be the program's own start. */
	for (unsigned i = both; i < by_unwinder->depth; i++)
		if ((i == both || i + 1 < by_unwinder->depth) &&
			!stacktrace_is_of_libc(by_unwinder->frame[i]))
			return false;
	return true;
}

/*
 * Held while the unwinder's library is loaded: the C library ends a child that was forked meanwhile
 * as soon as that unwinds. Waited for no longer than a second, as threads that load a library, and
 * borrow or fork in its constructors, hold dlopen's lock.
 */
static pthread_mutex_t stacktrace_loading = PTHREAD_MUTEX_INITIALIZER;

static bool stacktrace_hold_loading(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	return pthread_mutex_timedlock(&stacktrace_loading, &until) == 0;
}

void tp_stacktrace_warm(void)
{
	bool held = stacktrace_hold_loading();
	struct tp_stacktrace trace;

	stacktrace_is_of_libc(0);
	tp_stacktrace_by_frames(&trace, __builtin_frame_address(0));
	tp_stacktrace_by_unwinder(&trace, __builtin_frame_address(0));
	if (held)
		pthread_mutex_unlock(&stacktrace_loading);
}

void tp_stacktrace_fork(enum tp_fork phase)
{
	static bool held;

	if (phase == TP_FORK_PREPARE)
		held = stacktrace_hold_loading();
	else if (phase == TP_FORK_CHILD && !held)
		pthread_mutex_init(&stacktrace_loading, NULL);
	else if (phase != TP_FORK_CHILD_FIRST && held)
		pthread_mutex_unlock(&stacktrace_loading);
}
