/* SPDX-License-Identifier: MIT */
/*
 * Pools of byte buffers: where buffers are borrowed from and put back to.
 *
 * Threads: every function may be called from any thread at any time. Get in one thread and put in
 * another is normal. Thread exit needs nothing. Signals: none of these functions is
 * async-signal-safe, but a signal never corrupts a pool. fork: the child may use every pool at
 * once; buffers that other threads of the parent held are lost to it, never given twice.
 *
 * When not to use a pool: where one thread reuses one buffer at one level of nesting, a
 * thread-local buffer serves as well; below a few hundred bytes a modern malloc is as fast.
 */
#ifndef TIERPOOL_POOL_H
#define TIERPOOL_POOL_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include <tierpool/buffer.h>
#include <tierpool/version.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tierpool tierpool;
typedef struct tierpool_budget tierpool_budget;

/* A place in a program that borrows. Private; one static object a place, see tierpool_get. */
typedef struct tierpool_site {
	const char *tp_file;
	const char *tp_label;
	uint64_t tp_state;
	unsigned tp_line;
} tierpool_site;

/*
 * Where blocks and a pool's own tables come from. Must be callable, from any thread, until the last
 * buffer of the last pool that uses it is put and that pool is destroyed. No lock of the library is
 * held while it is called; it may use other pools, but neither the one it serves nor one that
 * shares a budget with it, since a put there may free blocks here. It must not fork, and neither be
 * a place where a thread is cancelled nor be left otherwise than by its return.
 */
struct tierpool_backing {
	size_t size; /* sizeof(struct tierpool_backing) */
	void *(*alloc)(void *context, size_t n, size_t alignment); /* NULL: out of memory */
	void (*free)(void *context, void *block, size_t n);
	void *context;
};

/* In every field but size, 0 and NULL mean the default. Sizes are in bytes. */
struct tierpool_options {
	size_t size;      /* sizeof(struct tierpool_options); TIERPOOL_OPTIONS_INIT sets it */
	const char *name; /* in reports; copied; default "tierpool" */
	size_t min_size;  /* smallest tier; default 64 */
	size_t max_size;  /* largest tier, default 1 MiB; larger requests are served, never kept */
	unsigned steps;   /* tiers per doubling: 1 (default), 2 or 4 */
	const size_t *tiers; /* or an ascending list; copied; excludes min_size, max_size, steps */
	size_t tier_count;   /* entries of tiers; 254 tiers at the most, however they are given */
	size_t retain;       /* hard bound on this pool's idle bytes; default 64 MiB */
	tierpool_budget *budget; /* hard bound shared by several pools, on top of retain; none */
	size_t max_idle;         /* bound on idle buffers per tier; default: bytes alone bound */
	unsigned decay_ms; /* milliseconds; what lay idle through two of these is freed; 10000; */
			   /* UINT_MAX: never by itself */
	unsigned calibrate_every; /* puts between calibrations; without effect as yet */
	const struct tierpool_backing *backing; /* default: jemalloc where the process has it, */
						/* else libc; copied */
};

/* clang-format off */
#ifdef __cplusplus
#define TIERPOOL_OPTIONS_INIT {sizeof(struct tierpool_options), nullptr, 0, 0, 0, nullptr, 0, 0, nullptr, 0, 0, 0, nullptr}
#else
#define TIERPOOL_OPTIONS_INIT {.size = sizeof(struct tierpool_options)}
#endif
/* clang-format on */

/* As a retain: keep nothing; every put gives its block back. */
#define TIERPOOL_RETAIN_NONE ((size_t)1)

/*
 * Makes a pool. options NULL: all defaults. *out is the caller's, to be given to tierpool_destroy;
 * NULL on failure. The pool's tables come from its backing.
 *
 * The first call settles for the process what the environment says (secure_getenv):
 * TIERPOOL_PERCPU=rseq|locked, how CPUs are kept apart (default: restartable sequences where glibc
 * and the kernel have them, else a lock a CPU); and the first without a backing of its own,
 * TIERPOOL_BACKING=jemalloc|libc (default: jemalloc where the process has it). What cannot be had,
 * or is neither, is told on stderr once.
 *
 * 0; -EINVAL: out is NULL, options->size is 0, min_size > max_size, a list that does not ascend or
 * begins with 0 or stands beside min_size, max_size or steps, steps other than 1, 2, 4, more than
 * 254 tiers, sizes that overflow, a backing without alloc or free; -E2BIG: options (or its backing)
 * are larger than this library knows, with a tail that is not zero; -ENOMEM.
 */
TIERPOOL_API int tierpool_create(tierpool **out, const struct tierpool_options *options);

/*
 * Destroys a pool: what is idle is freed at once. Buffers still borrowed stay good, may grow, and
 * must still be put; the last put frees the rest. No get may be under way or follow; puts, ticks,
 * trims and statistics may. On the default pool: trims it.
 *
 * Waits for whoever is amid work on this pool without having been given it: the reaper, a neighbour
 * on a budget, a tick or trim of every pool. So then nothing but calls with this pool and its
 * buffers uses its backing any more; and the caller must not hold a lock that the backing takes.
 * What lies on a CPU that cannot be stopped (see tierpool_retain_set) stays allocated, and the
 * pool's tables with it.
 * The number of buffers still borrowed; 0 for NULL.
 */
TIERPOOL_API size_t tierpool_destroy(tierpool *pool);

/* The process's own pool, with all defaults, created at first use; NULL with errno ENOMEM. */
TIERPOOL_API tierpool *tierpool_default(void);

/*
 * Borrows a buffer with len 0 and the capacity calibrated for this place in the source; until
 * calibration exists that is 1 KiB, rounded to a tier. The caller owns it until tierpool_put.
 * NULL with errno: ENOMEM; EINVAL when pool is NULL.
 *
 * In C, tierpool_get and tierpool_get_sized are macros as well, whose each use is a site of its
 * own. (tierpool_get)(pool) is the function, which uses the pool's own site: for inline functions,
 * and for wrappers that would otherwise be one site.
 */
TIERPOOL_API tierpool_buf *tierpool_get(tierpool *pool);

/* As tierpool_get, with cap >= n bytes; n 0: as tierpool_get. Does not train the calibration. */
TIERPOOL_API tierpool_buf *tierpool_get_sized(tierpool *pool, size_t n);

/*
 * Both of them, with a site made by hand, which must live as long as its program or plugin; NULL:
 * the pool's own. n 0: the calibrated capacity.
 */
TIERPOOL_API tierpool_buf *tierpool_get_at(tierpool *pool, size_t n, tierpool_site *site);

/* A site made by hand: static tierpool_site parse = TIERPOOL_SITE_INIT("parse"); */
#define TIERPOOL_SITE_INIT(label)            \
	{                                    \
		__FILE__, label, 0, __LINE__ \
	}

/* Private: a static site for the place where this stands. */
#define TIERPOOL_SITE_HERE                                                                   \
	(__extension__({                                                                     \
		static tierpool_site tierpool_site_here = {__FILE__, __func__, 0, __LINE__}; \
		&tierpool_site_here;                                                         \
	}))

/* The macros for C++, where tierpool_get and tierpool_get_sized are functions only. */
#define TIERPOOL_GET(pool) tierpool_get_at((pool), 0, TIERPOOL_SITE_HERE)
#define TIERPOOL_GET_SIZED(pool, n) tierpool_get_at((pool), (n), TIERPOOL_SITE_HERE)

#ifndef __cplusplus
#define tierpool_get(pool) TIERPOOL_GET(pool)
#define tierpool_get_sized(pool, n) TIERPOOL_GET_SIZED(pool, n)
#endif

/*
 * Gives a buffer back to its pool, from any thread; NULL: nothing. The buffer is the pool's from
 * here on. A buffer above max_size, or one for which the bounds leave no room, is freed.
 * A second put of the same buffer is misuse, certain to be found while nobody has borrowed it in
 * between and the two puts do not race.
 */
TIERPOOL_API void tierpool_put(tierpool_buf *b);

/*
 * One decay step of the pool, to its end: a buffer that lay idle through two of them is freed.
 *
 * While a pool is used it takes such steps by itself, one every decay_ms, in small pieces: a call
 * that is not served from its CPU's own stack looks at the clock, and so does one get in four
 * thousand, more often where gets are few; and such a call then frees up to 64 buffers or 2 MiB. A
 * pool that nobody touches does nothing by itself: it decays by this call, by tierpool_trim, or by
 * the reaper (tierpool_reaper_start).
 *
 * In rseq mode a CPU that is hard at work in this pool is not disturbed but takes its step itself,
 * within at most 8,191 gets of one size, or in its next call that is not served from its own stack.
 * Had it come to neither by the next tick, then that tick does one step for both, so that what lies
 * idle there may live until a third.
 * pool NULL: every pool. The number of bytes released by this call.
 */
TIERPOOL_API size_t tierpool_tick(tierpool *pool);

/*
 * Brings the idle bytes to at most keep, aged buffers first and the largest of them first, and has
 * the backing give its pages back to the system. pool NULL: every pool, each down to keep. What
 * lies on a CPU that cannot be stopped (see tierpool_retain_set) stays.
 * The number of bytes released.
 */
TIERPOOL_API size_t tierpool_trim(tierpool *pool, size_t keep);

/*
 * Sets the bound on idle bytes, which holds when the call returns; 0 is taken as
 * TIERPOOL_RETAIN_NONE. NULL: nothing.
 *
 * Here as in tick, trim and destroy, and where a pool decays by itself, other CPUs are stopped for
 * a moment, by membarrier(2). Where the system refuses it after the first pool was made, the caller
 * goes there instead, by a change of its affinity for some microseconds. Where that is refused too,
 * what lies idle on another CPU is out of reach: a lower bound then holds once that CPU has used
 * it, and tierpool_stats.retain tells what holds until then.
 */
TIERPOOL_API void tierpool_retain_set(tierpool *pool, size_t bytes);

/*
 * Starts the reaper: one thread for the process, named tierpool-reaper, with all signals blocked.
 * It ticks each pool and each object cache at its decay_ms, also those that nobody touches, and
 * gives pages back to the system. While all of them are empty it sleeps and does not wake. When the
 * system, or the process's cgroup, reports memory pressure (PSI, /proc/pressure/memory: some task
 * waited for memory through a tenth of two seconds) it frees all that is idle; where that cannot be
 * watched it says so once on stderr, and only ticks.
 *
 * It has up to three files open, which the program must not close: else it looks ten times a
 * second. Starts are counted: the thread is there until there were as many stops. It does not run
 * in the child of a fork, where starts count from 0.
 * 0; -EAGAIN, -EMFILE, -ENFILE, -ENOMEM: no thread or no file could be had, and nothing is counted.
 */
TIERPOOL_API int tierpool_reaper_start(void);

/*
 * Takes one start back; without any, nothing. With the last one the thread ends before this
 * returns, and closes its files. It may be amid a call of a backing or of a cache's destroy, whose
 * end is waited for: the caller must not hold a lock that one of these takes. Called from one of
 * these in the reaper itself, this does not wait: the thread ends by itself after it.
 */
TIERPOOL_API void tierpool_reaper_stop(void);

/*
 * A bound on idle bytes for several pools together, on top of each one's retain. A pool that it
 * keeps from keeping a buffer gets from the others what they have leased and do not use, and, while
 * that lasts, what lay idle there for 0.1 to 0.2 seconds, whatever their decay_ms: by one of the
 * calls that are kept out, at most once a millisecond, which looks after up to eight of the others,
 * stops up to eight CPUs of each, and frees up to 64 buffers or 2 MiB of each until there is room.
 * 0; -EINVAL: out is NULL or bytes is 0; -ENOMEM. *out is NULL on failure.
 */
TIERPOOL_API int tierpool_budget_create(tierpool_budget **out, size_t bytes);

/* Gives the budget up; pools that use it keep it alive. NULL: nothing. */
TIERPOOL_API void tierpool_budget_destroy(tierpool_budget *budget);

/*
 * What is told of a misuse: the pool's name, what was done, and the buffer (only its tp_pool has
 * been found good; where the header was overwritten not even that).
 * When no handler is installed the report goes to stderr and the process ends by SIGABRT. After a
 * handler returns, the call that was misuse did nothing and gave -EINVAL or NULL.
 */
typedef void tierpool_misuse_handler(const char *pool, const char *what, const tierpool_buf *b);

/* Installs a handler for the process; NULL: print and abort. The previous one. */
TIERPOOL_API tierpool_misuse_handler *tierpool_on_misuse(tierpool_misuse_handler *handler);

#ifdef __cplusplus
}
#endif

#endif
