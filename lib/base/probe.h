/* SPDX-License-Identifier: MIT */
/*
 * USDT probes, of provider tierpool: places where bpftrace, perf, SystemTap or gdb may look on. They
 * stand on slow paths, one place each, and are built in if the compiler finds <sys/sdt.h>, which is
 * a header only. lib/PROFILING.md shows them at work.
 *
 *   name       fires when                                   arguments
 *   get_miss   a get finds no idle buffer, before it makes  pool, bytes asked for (by default: those
 *              a block                                      of the default), file, line, idle, retain
 *   drop       a buffer is about to be freed                pool, capacity, reason, idle, retain
 *   grow       a buffer has a larger block                  pool, old capacity, new capacity, bytes
 *                                                           copied, file, line
 *   tick       a whole tick has ended; or a slow call       pool, number of the tick, bytes released
 *              begins one, which others then do             by it, 1: whole or 0: begun
 *   learn      the default of a site changes                pool, file, line, old size, new size
 *   misuse     misuse is found, before it is reported       pool, what, capacity
 *
 * pool, file, reason and what are strings. pool is the pool's name. file and line are where the buffer
 * was borrowed; "" and 0 if that is not known: calls without a site and, of grow, gets with a size. idle
 * and retain are the pool's idle bytes and its bound. All else is a number; of bytes and lines 64 and
 * 32 bits without a sign.
 *
 * A probe has a semaphore, which a tool raises while it listens (kernel 4.20 does so for bpftrace).
 * While it is 0, no argument is read or made: a probe is a comparison and a jump that is not taken.
 */
#ifndef TP_PROBE_H
#define TP_PROBE_H

#include "base/atomic.h"
#include "base/compiler.h"

#ifdef __has_include
#if __has_include(<sys/sdt.h>)
#define TP_PROBES
#endif
#endif

#ifdef TP_PROBES

#define SDT_USE_VARIADIC
#define _SDT_HAS_SEMAPHORES 1
/* Arguments in registers, or constants: not every tool reads each way to address memory. */
#define STAP_SDT_ARG_CONSTRAINT nr
#include <sys/sdt.h>

/* The semaphores have the names that sdt.h gives them. Written by tools only. */
#define TP_PROBE_SEMAPHORE(name) extern tp_hidden unsigned short tierpool_##name##_semaphore
TP_PROBE_SEMAPHORE(get_miss);
TP_PROBE_SEMAPHORE(drop);
TP_PROBE_SEMAPHORE(grow);
TP_PROBE_SEMAPHORE(tick);
TP_PROBE_SEMAPHORE(learn);
TP_PROBE_SEMAPHORE(misuse);

/* Whether anyone listens. Relaxed: who begins to listen may miss an event that is under way. */
#define tp_probe_wanted(name) tp_unlikely(tp_load_relaxed(&tierpool_##name##_semaphore))

/* Fires if anyone listens; only then are the arguments evaluated. */
#define tp_probe(name, ...)                                       \
	do {                                                      \
		if (tp_probe_wanted(name))                        \
			STAP_PROBEV(tierpool, name, __VA_ARGS__); \
	} while (0)

/* Reads a string, so that it is in memory: a probe cannot wait for a page. Returns: it. */
const char *tp_probe_text(const char *text);

#else

#define tp_probe_wanted(name) false
#define tp_probe(name, ...)                            \
	do {                                           \
		if (tp_probe_wanted(name))             \
			tp_probe_nothing(__VA_ARGS__); \
	} while (0)
#define tp_probe_text(text) (text)

static inline void tp_probe_nothing(const char *pool, ...)
{
	(void)pool;
}

#endif

#endif
