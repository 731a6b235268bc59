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
 * The compiler warns if the result is dropped: it is the only trace of a new object, or of a
 * failure, or all that the call is made for. Functions whose error sticks to the buffer do without,
 * and so do the counts of destroy, tick and trim.
 */
#if defined __cplusplus && __cplusplus >= 201703L
#define TIERPOOL_NODISCARD [[nodiscard]]
#else
#define TIERPOOL_NODISCARD __attribute__((__warn_unused_result__))
#endif

/*
 * noexcept in C++, nothing in C. A function has it only if it calls no function of the program,
 * reports no misuse, and cannot be cancelled (glibc cancels a thread by an exception): see
 * tierpool.h.
 */
#ifdef __cplusplus
#define TIERPOOL_NOEXCEPT noexcept
#else
#define TIERPOOL_NOEXCEPT
#endif

/*
 * Private: a function that is compiled into its caller, and is a symbol of the library too. In C
 * the header has no symbol of it: gnu_inline says so for each -std, and if the program declares the
 * function once more.
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
