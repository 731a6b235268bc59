/* SPDX-License-Identifier: MIT */
/*
 * tierpool: pools of byte buffers by size class, kept per CPU and bounded in memory.
 *
 *     tierpool_buf *b = tierpool_get(tierpool_default());
 *     tierpool_buf_printf(b, "{\"id\":%d,\"text\":\"", id);
 *     tierpool_buf_append(b, text, length);
 *     tierpool_buf_append_str(b, "\"}\n");
 *     ssize_t n = tierpool_buf_write_fd(b, fd);   // or the first error of all the calls above
 *     tierpool_put(b);
 *
 * This file includes the whole public interface. Each header below may also be included by itself,
 * in any order, in C11 and in C++17. Compile with `pkg-config --cflags --libs tierpool`. What
 * follows holds for every function, unless its comment says otherwise.
 *
 * ---- the labels in a comment ----
 *
 *   Before:   what must be true when the call begins
 *   Blocks:   what the call may wait for. Without this label it waits for no more than a short lock
 *             of the library, or for what your own backing, create or destroy waits for
 *   After:    what is true from then on: who owns what, how long a pointer is valid
 *   Errors:   each error value, with its cause
 *   Returns:  the result
 *
 * ---- failure ----
 *
 *   returns        on failure
 *   int, ssize_t   a negative errno; else 0 or a count. Of this kind are the constructors
 *                  (..._create). They write the new object through their first argument, and NULL
 *                  there on failure
 *   a pointer      NULL. Functions that return a buffer, a pool or a stream set errno too; the
 *                  comments of tierpool_buf_cstr and tierpool_cache_get say what those do
 *   size_t         cannot fail: a count
 *   void           cannot fail, and leaves errno alone, if your own functions that it may call
 *                  (backing, destroy, misuse handler) do so. All other functions may change errno,
 *                  also when they succeed
 *
 * ---- NULL ----
 *
 * A NULL pool, cache, budget or buffer is harmless: -EINVAL, NULL, 0 or nothing, and for a buffer
 * -ENOMEM, as it comes from a get that failed. The one exception is the cache of
 * tierpool_cache_put. Where NULL means something more (every pool, all defaults), the comment of
 * the function says so.
 *
 * ---- misuse ----
 *
 * A second put, and the use of a buffer after its put, are not errors that a caller handles. They
 * are reported, and end the process unless it has installed a handler: see tierpool_on_misuse.
 *
 * ---- threads, thread exit, cancellation ----
 *
 * Every function may be called from any thread at any time. One buffer belongs to one thread at a
 * time: it may be handed to another thread, and be put there. A thread that ends needs to do
 * nothing. A thread may be cancelled in tierpool_buf_read_fd, in tierpool_buf_write_fd, and where
 * the library prints (a warning of tierpool_create, a report of misuse), but must not be cancelled
 * in a function of the program that the library calls.
 *
 * ---- fork ----
 *
 * The child may use every pool and cache at once. Buffers and objects that other threads of the
 * parent held are lost to the child; they are never given out twice. The reaper does not run in the
 * child.
 *
 * ---- signals ----
 *
 * No function is async-signal-safe: do not call any from a signal handler. A signal never corrupts
 * a pool, wherever it comes.
 *
 * ---- units ----
 *
 * Sizes are in bytes, times in milliseconds (..._ms).
 *
 * ---- types ----
 *
 * A typedef (tierpool, tierpool_buf, tierpool_budget, tierpool_cache, tierpool_site) is an object
 * of the library, which a program only points to. A struct (struct tierpool_options, struct
 * tierpool_stats) is the program's own: it fills the struct in, or reads it.
 *
 * ---- ABI ----
 *
 * A struct that begins with size may grow in a later version. The program sets size to the sizeof
 * that it was compiled with, best by the ..._INIT macro. A library that knows less accepts options
 * if all that it does not know is 0; tierpool_stats_read fails then.
 *
 * Fields that begin with tp_ are private. While the soname is the same, what programs have compiled
 * in stays as it is:
 *   - of tierpool_buf the size, 64 bytes, and the place and meaning of data, len, cap and tp_limit,
 *     which the inline functions and programs read;
 *   - of tierpool_site the size and what TIERPOOL_SITE_INIT writes there;
 *   - the values of macros.
 * All the rest of these two types may change with any version.
 *
 * Every inline function is a symbol of the library as well, for dlsym and for other languages.
 */
#ifndef TIERPOOL_H
#define TIERPOOL_H

#include <tierpool/buffer.h>
#include <tierpool/cache.h>
#include <tierpool/pool.h>
#include <tierpool/stats.h>
#include <tierpool/version.h>

#endif
