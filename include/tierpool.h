/* SPDX-License-Identifier: MIT */
/*
 * tierpool: pools of byte buffers by size class, kept per CPU and bounded in memory.
 *
 *     tierpool_buf *b = tierpool_get(tierpool_default());
 *     tierpool_buf_printf(b, "{\"id\":%d,\"text\":\"", id);
 *     tierpool_buf_append(b, text, length);
 *     tierpool_buf_append_str(b, "\"}\n");
 *     bool sent = tierpool_buf_write_fd(b, fd) == (ssize_t)b->len;   // and all the calls above went well
 *     tierpool_put(b);
 *
 * This file includes the public interface but for <tierpool/chain.h> (output in blocks, for writev),
 * <tierpool/callbacks.h> (write callbacks for other libraries) and <tierpool/tierpool.hpp> (C++ only).
 * Each .h may also be included by itself, in any order, in C11 and in C++17. Compile with
 * `pkg-config --cflags --libs tierpool`. What follows holds for every function, unless its comment says
 * otherwise.
 *
 * ---- the labels in a comment ----
 *
 *   Before:   what must be true when the call begins
 *   Blocks:   what the call may wait for. Without this label it waits for no more than a short lock
 *             of the library, or for what your own functions wait for
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
 *   a pointer      NULL. Functions that return a buffer, a pool, a stream or a copy set errno too; the
 *                  comments of tierpool_buf_cstr, tierpool_buf_of and tierpool_cache_get say what
 *                  those do
 *   size_t         cannot fail: a count
 *   void           cannot fail
 *
 * The callbacks of tierpool/callbacks.h return what the other library expects.
 *
 * Functions that return void or size_t leave errno alone, and so do those that read numbers
 * (tierpool_stats_read, tierpool_stats_tiers, tierpool_cache_stats_read): whatever the system refuses,
 * and whatever your own functions leave there. So a put, or a destroy, may stand between a call that
 * has failed and the look at its errno. All others may change errno, also when they succeed.
 *
 * ---- NULL ----
 *
 * A NULL pool, cache, budget or buffer is harmless:
 *
 *   a buffer        -ENOMEM, NULL or nothing: it is what a get that failed returns; a chain too
 *   all the others  -EINVAL; NULL, with errno EINVAL; 0 or nothing. So tierpool_get(NULL) sets
 *                   EINVAL, and the calls that take its NULL return -ENOMEM
 *
 * The one exception is the cache of tierpool_cache_put. Where NULL means something more (every
 * pool, all defaults), the comment of the function says so.
 *
 * ---- misuse ----
 *
 * A second put, and the use of a buffer after its put, are not errors that a caller handles. They
 * are reported, and end the process unless it has installed a handler: see tierpool_on_misuse.
 *
 * ---- your own functions ----
 *
 * They are those of a backing, create and destroy of a cache, and the handler of misuse. Almost any
 * call may reach one of them, even of another pool, or wait for one. So in no call of the library
 * hold a lock that one of them takes. They must end by their return (or end the process): not by a
 * jump, an exception or the end of their thread. The handler of misuse may, but for late writes: see
 * tierpool_misuse_handler.
 *
 * ---- threads, thread exit, cancellation ----
 *
 * Every function may be called from any thread at any time. One buffer belongs to one thread at a
 * time: it may be handed to another thread, and be put there. A thread that ends needs to do
 * nothing, and main may return while other threads, the reaper too, use the library.
 *
 * Detectors of races know of each buffer and object that changes hands through the library. For TSan,
 * build the program with it; the library need not be. For Helgrind and DRD, use the shared library,
 * built where Valgrind's headers were, and run with --suppressions=LIBDIR/valgrind/tierpool.supp,
 * which hides what these two report inside the library. Under all three the mode is locked.
 *
 * A thread may be cancelled only in
 *   - tierpool_buf_read_fd, tierpool_buf_write_fd, tierpool_buf_write_fd_from and
 *     tierpool_chain_write_fd;
 *   - a call that prints to stderr. The first tierpool_create, tierpool_cache_create,
 *     tierpool_default or tierpool_default_setup of a process reads the environment, and may print a warning. A misuse is
 *     printed if there is no handler. (tierpool_reaper_start may print too, but cannot be cancelled.)
 * Not in the calls that write a report to a stream of the program: tierpool_stats_print,
 * tierpool_sites_print, tierpool_metrics_write, tierpool_profile_write. They may wait for it.
 *
 * The library starts a thread only if it is asked to: by tierpool_reaper_start, and by the
 * environment (TIERPOOL_PROFILE_SIGNAL). No signal of the program is handled in them.
 *
 * ---- fork ----
 *
 * The child may use every pool and cache at once. What the forking thread had borrowed, and what
 * lay in a queue, is then in both processes: each puts its own copy. Buffers and objects that other
 * threads had are lost to the child. They are never given out twice; such buffers count as borrowed
 * there for ever. The reaper does not run in the child.
 *
 * Handlers of pthread_atfork may call everything, and may wait for threads that call the library. But a
 * handler that was registered before the library was loaded (with libtierpool.a: by a constructor of
 * priority 104 or less) may only get, put, use what it got, tick, trim and read statistics. It must not
 * wait for a thread that calls the library, start a thread, or create or destroy anything of the library.
 *
 * ---- real time ----
 *
 * With glibc, a get or put of a thread of real-time priority does not wait behind threads of a priority
 * between its own and that of a thread which holds a lock of the library: it goes elsewhere, or lends
 * the holder its priority for the few instructions that are missing. Other threads, and all threads with
 * musl, wait until the holder runs. Not the library's are the locks of malloc, of a backing, and of the
 * system's memory map: a get that makes a block and a put that frees one may meet these, so retain what
 * is in use at the peak. A get for which the system has no memory trims the pool, and may wait for that.
 *
 * ---- signals ----
 *
 * No function is async-signal-safe: do not call any from a signal handler. A signal never corrupts
 * a pool, wherever it comes.
 *
 * ---- environment ----
 *
 * Variables that begin with TIERPOOL_ choose how the library works, debug and profile: they are
 * listed at tierpool_create.
 *
 * ---- units ----
 *
 * Sizes are in bytes, times in milliseconds (..._ms).
 *
 * ---- types ----
 *
 *   tierpool, tierpool_budget, tierpool_cache   the library's; a program only points to them
 *   tierpool_buf                                the library's; a program reads data, len and cap,
 *                                               and sets len
 *   tierpool_site                               a program defines it, by TIERPOOL_SITE_INIT
 *   tierpool_chain                              a program defines it, by tierpool_chain_init
 *   tierpool_misuse_handler                     a function
 *   struct tierpool_options, _cache_options,    the program's own: it fills them in
 *          _backing
 *   struct tierpool_stats, _cache_stats         the program's own: it sets size, and reads the rest
 *   struct tierpool_tier_stats                  the program's own: an array, which it reads
 *   enum tierpool_profile_format                what tierpool_profile_write writes
 *
 * ---- ABI ----
 *
 * A struct that begins with size may grow in a later version. The program sets size to the sizeof
 * that it was compiled with, by the ..._INIT macro where there is one. An older library accepts
 * options and a backing if all that it does not know is 0; its tierpool_stats_read and
 * tierpool_cache_stats_read fail. A struct tierpool_tier_stats may grow too: its size is the stride
 * of tierpool_stats_tiers.
 *
 * Fields that begin with tp_ are private. While the soname stays the same, so do
 *   - of tierpool_buf the size, and the place and meaning of data, len, cap and tp_limit;
 *   - of tierpool_site the size, and what TIERPOOL_SITE_INIT writes there;
 *   - of tierpool_chain the size, and the place and meaning of tp_room and tp_end; and that one of all
 *     zeros is empty;
 *   - the values of macros.
 * All else in these types may change with any version.
 *
 * Every inline function is a symbol of the library as well, for dlsym and for other languages.
 */
#ifndef TIERPOOL_H
#define TIERPOOL_H

#include <tierpool/buffer.h>
#include <tierpool/cache.h>
#include <tierpool/pool.h>
#include <tierpool/profile.h>
#include <tierpool/stats.h>
#include <tierpool/version.h>

#endif
