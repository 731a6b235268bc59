/* SPDX-License-Identifier: MIT */
/*
 * The version of the library, and the macros that the other headers share.
 */
#ifndef TIERPOOL_VERSION_H
#define TIERPOOL_VERSION_H

#include <limits.h>

/* ---- version of these headers ---- */

#define TIERPOOL_VERSION_MAJOR 0
#define TIERPOOL_VERSION_MINOR 1
#define TIERPOOL_VERSION_PATCH 0
#define TIERPOOL_VERSION "0.1.0"

/* The same as one number, for #if: 1.2.3 is 10203. */
#define TIERPOOL_VERSION_NUMBER \
	(TIERPOOL_VERSION_MAJOR * 10000 + TIERPOOL_VERSION_MINOR * 100 + TIERPOOL_VERSION_PATCH)

/* ---- values that several headers use ---- */

/* As the decay_ms of a pool or of a cache: it never decays by itself. */
#define TIERPOOL_DECAY_NEVER UINT_MAX

/* ---- attributes of declarations ---- */

/* A symbol that the library exports, whatever -fvisibility the program is compiled with. */
#define TIERPOOL_API __attribute__((__visibility__("default")))

#define TIERPOOL_PRINTF(at, first) __attribute__((__format__(__printf__, at, first)))

/*
 * The compiler warns where the result is dropped. The functions that have it are those whose result
 * is the only trace of a new object (a buffer, a pool, a stream) or of a failure: bytes that were
 * not read or not written, a NULL string, a reaper that did not start. The others do without: an
 * error of append, reserve, printf and set sticks to the buffer and can be asked for later, and the
 * counts that destroy, tick and trim return are news, no failure.
 */
#if defined __cplusplus && __cplusplus >= 201703L
#define TIERPOOL_NODISCARD [[nodiscard]]
#else
#define TIERPOOL_NODISCARD __attribute__((__warn_unused_result__))
#endif

/*
 * noexcept in C++, nothing in C. The functions that have it are tierpool_version,
 * tierpool_version_number, tierpool_on_misuse, tierpool_budget_create, tierpool_budget_destroy,
 * tierpool_reaper_start and tierpool_reaper_stop.
 *
 * glibc ends a cancelled thread by an exception, which must not meet a noexcept; nor must one that
 * the program throws. So all the others do without, because they can reach
 *   - a function of the program: get, put, tick, trim, destroy, retain_set, append, reserve and
 *     stats_read may call a backing (stats_read, where it is the last to leave a pool that was
 *     destroyed meanwhile), and the calls of a cache its create and destroy;
 *   - a report of misuse, which calls the program's handler or prints: each tierpool_buf_ function;
 *   - a cancellation point (pthreads(7)): read_fd and write_fd wait for a descriptor, and
 *     tierpool_create, tierpool_cache_create and tierpool_default may print a warning.
 * tierpool_reaper_start and tierpool_reaper_stop open files and wait with cancellation disabled.
 */
#ifdef __cplusplus
#define TIERPOOL_NOEXCEPT noexcept
#else
#define TIERPOOL_NOEXCEPT
#endif

/*
 * Private: a function that is compiled into its caller, and is a symbol of the library too, for
 * calls that are not inlined, and for other languages.
 *
 * In C the definition in the header serves for inlining only, and all other calls go to the
 * library. gnu_inline says that in the same way for each -std, for -fgnu89-inline, and for a
 * program that declares the function once more; with the inline of C99 such a program would define
 * the symbol a second time. In C++ each object file may have a copy, of which the linker keeps one.
 */
#ifndef TIERPOOL_INLINE
#ifdef __cplusplus
#define TIERPOOL_INLINE inline
#else
#define TIERPOOL_INLINE extern __inline__ __attribute__((__gnu_inline__))
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- version of the library that runs ---- */

/*
 * Tells which library the program runs with, which may be newer than the headers that it was
 * compiled with.
 *
 * Returns: the version in the form of TIERPOOL_VERSION, a string that lives as long as the process.
 */
TIERPOOL_API const char *tierpool_version(void) TIERPOOL_NOEXCEPT;

/*
 * The same as a number, to compare with: a program that needs what came with 1.2.0 asks whether it
 * is at least 10200.
 *
 * Returns: the version in the form of TIERPOOL_VERSION_NUMBER.
 */
TIERPOOL_API int tierpool_version_number(void) TIERPOOL_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
