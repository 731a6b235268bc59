/* SPDX-License-Identifier: MIT */
/*
 * A profile of how buffers are reused: which place in the program borrows how much, what it uses of
 * that, how long it holds it, and what it still holds. lib/PROFILING.md shows it at work.
 *
 * It is off until it is started. Then some of the gets are samples, and what becomes of their buffers
 * is recorded until they are put. Unless the program asks for more, that takes at most about 1 % of one
 * CPU; half of the samples are spread over gets, half over bytes. A sample that was taken with the
 * probability p counts as 1 / p gets; so the sums are estimates without bias, and the text says how far
 * off they may be.
 *
 * A program is profiled without a change by the environment:
 *
 *     TIERPOOL_PROFILE=file[:format]   starts the profile with the first pool, and writes it when the
 *                                      process exits; %p in the name becomes the process id. format:
 *                                      text (the default), pprof, folded, json, proto. Any other
 *                                      word behind a colon is part of the name
 *     TIERPOOL_PROFILE_SIGNAL=USR2     writes it at each such signal, too: one that the program does
 *                                      not use, by its name or number
 *     TIERPOOL_DEBUG=leaks             records each get, whatever the program asks for, and prints what
 *                                      is still borrowed when a pool is destroyed, and when the process
 *                                      exits
 *
 * The file appears whole: it is written under another name, and renamed. A device, a pipe or a symbolic
 * link is written to as it is. A process that ends by _exit or a signal writes and prints nothing.
 *
 * The signal: USR2, SIGUSR2 or its number; so also USR1, HUP, INT, QUIT, ALRM, TERM, URG, VTALRM, PROF,
 * WINCH, IO, PWR; or the number of a real-time signal. The handler is set with the first pool, if the
 * program has none and does not ignore the signal. It wakes a thread, which writes; it leaves errno alone,
 * and calls that it interrupts go on (SA_RESTART), but for those that never do, as poll and nanosleep.
 *
 * A child of a fork goes on with the profile of its parent, samples included. It writes a file only if %p
 * is in the name, and only when it exits: the thread is not there, so the signal does nothing. Of leaks
 * it prints those that it has borrowed itself. Under leaks tierpool_profile_start returns -EALREADY, and
 * tierpool_profile_stop does nothing.
 */
#ifndef TIERPOOL_PROFILE_H
#define TIERPOOL_PROFILE_H

#include <stddef.h>
#include <stdio.h>

#include <tierpool/version.h>

#ifdef __cplusplus
extern "C" {
#endif

enum tierpool_profile_format {
	TIERPOOL_PROFILE_TEXT, /* for people: sites by what they cost, and what to change */
	/*
	 * The classic text heap format, for google-pprof and jeprof. They read names from the
	 * program's file: it must not be stripped, and its path have no space.
	 */
	TIERPOOL_PROFILE_PPROF,
	TIERPOOL_PROFILE_FOLDED, /* a stack and the bytes that it borrowed, a line each: flame graphs */
	TIERPOOL_PROFILE_JSON, /* all that the text has, for programs */
	/*
	 * Gzipped profile.proto: go tool pprof, pprof, Pyroscope, Perfetto. It has the names of
	 * functions in it, if the program is not stripped yet.
	 */
	TIERPOOL_PROFILE_PROTO
};

/*
 * Starts the profile of all pools, those included that exist already. What an earlier profile found is
 * forgotten. Buffers that are borrowed already are not in it, and some gets may be missing until the
 * calls that are under way in other threads have ended.
 *
 * sample_bytes: 0: automatic, at most about 1 % of one CPU; 1: each get is recorded, which takes 0.5 to
 *               1 us for each; else the mean of bytes that are borrowed from one sample to the next
 * Blocks:   while each CPU is stopped once for each pool (pool.h).
 * Errors:   -EALREADY: a profile runs, perhaps the environment's. It goes on as it is, and can be
 *           written; -ENOMEM.
 * Returns:  0, or a negative errno.
 */
TIERPOOL_API int tierpool_profile_start(size_t sample_bytes);

/*
 * Stops the profile, if it runs: no more gets are sampled. What it found can still be written, and the
 * put of a buffer that was sampled is still recorded. Under TIERPOOL_DEBUG=leaks it goes on.
 */
TIERPOOL_API void tierpool_profile_stop(void);

/*
 * Writes what the profile has found so far; it goes on.
 *
 * Errors:   -EINVAL: out is NULL, or there is no such format; -ENODATA: no profile was ever started;
 *           -ENOMEM; -EIO: out reports an error (a buffered stream does so later).
 * Returns:  0, or a negative errno.
 */
TIERPOOL_API int tierpool_profile_write(FILE *out, enum tierpool_profile_format format);

#ifdef __cplusplus
}
#endif

#endif
