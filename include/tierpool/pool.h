/* SPDX-License-Identifier: MIT */
/*
 * Pools of byte buffers: where buffers are borrowed from and put back to.
 *
 * A pool has tiers, one for each size of block. A buffer that is put back lies idle in its tier, on
 * the CPU of the put or in a common store, until a get takes it or until it is freed. Freed: its
 * block goes back to the backing. The reasons are a bound, above all that of retain; decay, if it
 * lay idle for some time; or a call that asks for it.
 *
 * The bounds count what an idle buffer takes: its block, with its share of the pages that it lies
 * in, and its header of 64 bytes. So do the calls that return bytes. On libc and on jemalloc that is
 * 1,105 bytes for a buffer of 1 KiB.
 *
 * What is freed goes back to the system: most of it at once, if there is more than 1 MiB of it, the
 * rest with the next decay step or tierpool_trim. A page goes back when every block in it is free.
 * Memory that is locked (mlockall) goes back from Linux 5.18 on.
 *
 * When not to use a pool: if one thread reuses one buffer at one level of nesting, a thread-local
 * buffer serves as well; below a few hundred bytes a modern malloc is as fast.
 *
 * Threads, thread exit, fork, signals, errno: see tierpool.h.
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

/* ---- options ---- */

/*
 * Where blocks and a pool's own tables come from, if not from jemalloc or libc. Headers of buffers,
 * and what each CPU has, are pages from the system in any case.
 *
 * Both functions are called from any thread, and without a lock of the library that another thread
 * waits for. They must be callable until the last buffer of the last pool that uses them is put and
 * that pool is destroyed. They may use other pools, but neither the pool that they serve nor one
 * that shares a budget with it, since a put there may free blocks here. They must not fork: see also
 * "your own functions" in tierpool.h. A block is one allocation; whether its pages go back to the
 * system is the backing's.
 */
struct tierpool_backing {
	size_t size; /* sizeof(struct tierpool_backing) */
	/*
	 * Returns n bytes, which need not be zero, or NULL: out of memory. alignment is a power of
	 * two; n need not be a multiple of it. A block that is not aligned so counts as NULL.
	 */
	void *(*alloc)(void *context, size_t n, size_t alignment);
	/* n: as it was in alloc. */
	void (*free)(void *context, void *block, size_t n);
	void *context; /* passed to both */
};

/* What a pool is made of. In every field but size, 0 and NULL mean the default. Sizes: bytes. */
struct tierpool_options {
	size_t size;      /* sizeof(struct tierpool_options); TIERPOOL_OPTIONS_INIT sets it */
	const char *name; /* in reports; copied; default "tierpool" */

	/* The tiers, at most 254. Either by these three: */
	size_t min_size; /* smallest tier; default 64, or max_size if that is smaller */
	size_t max_size; /* largest tier; default 16 MiB, or min_size if that is larger; larger */
			 /* requests are served, never kept */
	unsigned steps;  /* tiers per doubling: 1 (default), 2 or 4 */
	/* or by these two, and the three are 0: */
	const size_t *tiers; /* an ascending list; copied */
	size_t tier_count;   /* entries of tiers */

	/*
	 * Hard bound on this pool's idle bytes; default 64 MiB; or TIERPOOL_RETAIN_NONE, which a 0
	 * means in tierpool_retain_set. (tierpool_trim down to 0 frees all, once.)
	 */
	size_t retain;
	/* Hard bound on idle bytes of several pools, besides retain; default: none. */
	tierpool_budget *budget;
	/* Bound on idle buffers of each tier; default: bytes alone bound. */
	size_t max_idle;
	/*
	 * Milliseconds between decay steps: a buffer that lies idle through two of them is freed.
	 * Default 10000; TIERPOOL_DECAY_NEVER: none by itself. See tierpool_tick.
	 */
	unsigned decay_ms;
	/*
	 * Puts between calibrations of a site; default 2048, at most 1048576. TIERPOOL_CALIBRATE_OFF:
	 * nothing is learned, tierpool_get lends 1 KiB, and buffers of 64 KiB or more are kept as
	 * smaller ones are. See tierpool_get.
	 */
	unsigned calibrate_every;
	/*
	 * Of data: a power of two up to a page of the system, which O_DIRECT wants; less than 64, the
	 * default, is taken as 64. No larger than needed: blocks that all begin a page compete for the
	 * same places in the cache.
	 */
	size_t alignment;
	/* Copied; default: jemalloc if the process has it, else libc. */
	const struct tierpool_backing *backing;
};

/* clang-format off */
#ifdef __cplusplus
#define TIERPOOL_OPTIONS_INIT {sizeof(struct tierpool_options), nullptr, 0, 0, 0, nullptr, 0, 0, nullptr, 0, 0, 0, 0, nullptr}
#else
#define TIERPOOL_OPTIONS_INIT {.size = sizeof(struct tierpool_options)}
#endif
/* clang-format on */

/* As a retain: nothing is kept, and every put frees its buffer. */
#define TIERPOOL_RETAIN_NONE ((size_t)1)

/* As a calibrate_every. */
#define TIERPOOL_CALIBRATE_OFF UINT_MAX

/* ---- create and destroy ---- */

/*
 * Makes a pool. options NULL: all defaults. The pool's tables come from its backing.
 *
 * The first call reads, for the whole process, the environment (by secure_getenv):
 *   TIERPOOL_PERCPU=rseq|locked      how CPUs are kept apart. rseq: by restartable sequences, the
 *                                    default if glibc and the kernel have them; locked: by one lock
 *                                    for each CPU
 *   TIERPOOL_BACKING=jemalloc|libc   default: jemalloc if the process has it, but not under ASan or
 *                                    Valgrind. Read by the first call without a backing of its own
 *   TIERPOOL_TRACE=file              writes each get, growth and put to a file, of which
 *                                    benchmarks/replay_trace tells what other options would do. %p
 *                                    in the name is the process id. No pool has a fast path then;
 *                                    the child of a fork writes no more. The file stays open: the
 *                                    trace ends if the program closes it
 *   TIERPOOL_PROFILE=file[:format]   profiles the process, and writes what was found at its exit;
 *   TIERPOOL_PROFILE_SIGNAL=USR2     at this signal too: see tierpool/profile.h
 *   TIERPOOL_DEBUG=word,...          checks: see "debug modes" below
 * and for the default pool what tierpool_default_setup says.
 * A value that is none of these, or that cannot be had, is ignored with a line on stderr.
 *
 * After:   *out is the caller's, until tierpool_destroy; NULL on failure.
 * Errors:  -EINVAL:
 *            - out is NULL; the size of the options, or of a backing, is less than sizeof(size_t);
 *            - min_size > max_size, both given; steps other than 1, 2, 4;
 *            - tiers without tier_count or the reverse; tiers that do not ascend, begin with 0, or
 *              are given with min_size, max_size or steps;
 *            - more than 254 tiers, or one of more than PTRDIFF_MAX / 2;
 *            - an alignment that is no power of two, or larger than a page;
 *            - a backing without alloc or free; a budget that is gone;
 *          -E2BIG: the options, or their backing, are of a newer version, and set what this library
 *          does not know;
 *          -ENOMEM.
 * Returns: 0, or a negative errno.
 */
TIERPOOL_NODISCARD TIERPOOL_API int tierpool_create(
	tierpool **out, const struct tierpool_options *options);

/*
 * Destroys a pool. Its idle buffers are freed at once. Buffers that are still borrowed stay valid:
 * they may grow, and must still be put; the last put frees the pool. The default pool is trimmed,
 * not destroyed.
 *
 * Before:  no get on this pool is running or follows. Puts, ticks, trims and statistics may run
 *          meanwhile.
 * Blocks:  while the reaper, a tick or trim of all pools, or a put that reclaims a shared budget
 *          works on this pool, in which they may call its backing. Stops all CPUs for a moment.
 *          What is idle on one that cannot be stopped stays allocated, with the pool's tables.
 * After:   only calls with this pool or its buffers use its backing. Of the calls that take its
 *          pointer only tick, trim, retain_set, destroy, and those of tierpool/stats.h may still
 *          follow. Once the pool is gone they do nothing, or return -ENOENT; also if an object cache
 *          or a budget lies there by now. But a new pool may have the same pointer, and then they
 *          reach that one.
 * Returns: the number of buffers still borrowed; 0 if pool is NULL.
 */
TIERPOOL_API size_t tierpool_destroy(tierpool *pool);

/*
 * Gives the process's own pool, for programs that do not need several, and for libraries. It is made
 * at the first call, as by tierpool_default_setup(NULL), and is never destroyed. A library is linked with
 * libtierpool.so: one that hides the archive in itself has a default pool of its own.
 *
 * Errors:  errno is ENOMEM.
 * Returns: the pool; NULL with errno on failure.
 */
TIERPOOL_API tierpool *tierpool_default(void);

/*
 * Makes the process's own pool with these options. options NULL: all defaults. A program calls it
 * early in main, before the first tierpool_default; a library does not call it.
 *
 * A variable of the environment overrides the option of the same name, also if this is never called:
 *   TIERPOOL_RETAIN=bytes     retain, such as 65536, 64M or 1G (K, M, G, upper case); 0 keeps nothing
 *   TIERPOOL_MAX_SIZE=bytes   max_size; ignored if it does not go with the options, such as tiers
 *   TIERPOOL_DECAY_MS=n       decay_ms, in milliseconds; never: TIERPOOL_DECAY_NEVER
 *
 * Errors:  -EBUSY: the pool exists already, and nothing was changed (tierpool_retain_set changes its
 *          bound); else as tierpool_create.
 * Returns: 0, or a negative errno. If it fails a later call may succeed.
 */
TIERPOOL_NODISCARD TIERPOOL_API int tierpool_default_setup(const struct tierpool_options *options);

/* ---- borrow and put back ---- */

/*
 * A site: a place in the source that borrows, told by file, line and function (two uses in one line
 * are one). Each use of the macros below has a static one; TIERPOOL_SITE_INIT makes one by hand.
 * Several threads and pools may use the same one at once.
 */
typedef struct tierpool_site {
	const char *tp_file;
	const char *tp_label;
	uint64_t tp_word; /* what its gets have to know, of one of the pools that borrow there */
	unsigned tp_line;
	uint32_t tp_number;  /* unique in the process, if not 0 */
	void *tp_reserved_1; /* both 0 */
	uint64_t tp_reserved_2;
} tierpool_site;

/* A site made by hand: static tierpool_site parse = TIERPOOL_SITE_INIT("parse"); */
#define TIERPOOL_SITE_INIT(label)                        \
	{                                                \
		__FILE__, label, 0, __LINE__, 0, NULL, 0 \
	}

/* Private: a static site for the place where this stands. */
#define TIERPOOL_SITE_HERE                                                              \
	(__extension__({                                                                \
		static tierpool_site tierpool_site_here = TIERPOOL_SITE_INIT(__func__); \
		&tierpool_site_here;                                                    \
	}))

/*
 * Borrows a buffer of the size that is calibrated for this site. Before the first put from there:
 * the smallest tier of at least 1 KiB, or the largest tier if none is.
 *
 * Two sizes are calibrated, by what the site's buffers held when they were put: the one that they
 * begin with, and the one that they grow to when that is too small. They are those of least expected
 * cost, with a price for capacity, for a growth, and for a copied byte (lib/DESIGN.md). So messages
 * of 200 bytes with some of 100 KB among them all begin with 256 bytes, and the large ones grow once.
 *
 * A site learns from its first 64 puts; then from each buffer that has grown, and from one get in
 * 256. It calibrates after 1, 2, 4 ... 64 puts, and then about each calibrate_every puts; where
 * buffers grow to, sooner. The same calls on one CPU calibrate alike in every run, if none decays.
 * tierpool_sites_print says what was learned.
 *
 *   - What was there before a tierpool_buf_reset, set or consume counts. A len that the program
 *     lowers itself is seen only where the buffer has grown: use tierpool_buf_reset for that.
 *   - A put with nothing teaches nothing, nor does a buffer of tierpool_get_sized.
 *   - A site that began small keeps its small default when its buffers become larger than 64 KiB:
 *     each then grows once, in one step, which costs a few percent of filling it.
 *   - A pool tells 16,382 sites apart; later ones learn together, with the calls without a site.
 *
 * In C write tierpool_get and tierpool_get_sized, in C++ TIERPOOL_GET and TIERPOOL_GET_SIZED: they
 * are macros, and each use is a site. A wrapper would be one site for all its callers: let it take
 * the tierpool_buf *, or a tierpool_site * for tierpool_get_at. The functions, (tierpool_get)(pool)
 * in C and tierpool_get(pool) in C++, use the pool's own site: for a C inline function that is not
 * static (clang warns of the macro there), and for a wrapper that cannot take a site.
 *
 * After:   the buffer is the caller's until tierpool_put; its len is 0.
 * Errors:  errno is ENOMEM, or EINVAL if pool is NULL.
 * Returns: the buffer; NULL with errno on failure. Every tierpool_buf_ function takes that NULL.
 */
TIERPOOL_NODISCARD TIERPOOL_API tierpool_buf *tierpool_get(tierpool *pool);

/*
 * Borrows a buffer of at least n bytes, for a program that knows how many it needs. n 0: the same
 * as tierpool_get.
 *
 * If there is no memory for it, each get, and each growth of a buffer, frees all that its pool has
 * idle and tries once more; unless that is less than half of what is wanted.
 *
 * After:   the buffer is the caller's until tierpool_put; its len is 0, its cap is at least n.
 * Errors:  errno is ENOMEM, or EINVAL if pool is NULL.
 * Returns: the buffer; NULL with errno on failure.
 */
TIERPOOL_NODISCARD TIERPOOL_API tierpool_buf *tierpool_get_sized(tierpool *pool, size_t n);

/*
 * Private: tierpool_get_at with a site that is not NULL: with a size, and without one. The inline
 * function calls them.
 */
TIERPOOL_NODISCARD TIERPOOL_API tierpool_buf *tierpool_get_at_site(
	tierpool *pool, size_t n, tierpool_site *site);
TIERPOOL_NODISCARD TIERPOOL_API tierpool_buf *tierpool_get_calibrated(
	tierpool *pool, tierpool_site *site);

/*
 * Borrows as tierpool_get_sized, or as tierpool_get if n is 0, from a site made by hand. site NULL:
 * the pool's own.
 *
 * Before:  the site lives as long as the program, or the plugin, that it stands in.
 * After:   the buffer is the caller's until tierpool_put; its len is 0, its cap is at least n.
 * Errors:  errno is ENOMEM, or EINVAL if pool is NULL.
 * Returns: the buffer; NULL with errno on failure.
 */
TIERPOOL_NODISCARD TIERPOOL_API TIERPOOL_INLINE tierpool_buf *tierpool_get_at(
	tierpool *pool, size_t n, tierpool_site *site)
{
	/* The compiler mostly knows both, and drops the tests. */
	if (!site)
		return tierpool_get_sized(pool, n);
	return n ? tierpool_get_at_site(pool, n, site) : tierpool_get_calibrated(pool, site);
}

/* tierpool_get and tierpool_get_sized with a site of the place where they stand, C and C++. */
#define TIERPOOL_GET(pool) tierpool_get_calibrated((pool), TIERPOOL_SITE_HERE)
#define TIERPOOL_GET_SIZED(pool, n) tierpool_get_at((pool), (n), TIERPOOL_SITE_HERE)

#ifndef __cplusplus
#define tierpool_get(pool) TIERPOOL_GET(pool)
#define tierpool_get_sized(pool, n) TIERPOOL_GET_SIZED(pool, n)
#endif

/*
 * Private: tierpool_put of a buffer that is not NULL. The inline function calls it.
 */
TIERPOOL_API void tierpool_put_buf(tierpool_buf *b);

/*
 * Gives a buffer back to its pool, from any thread. NULL: nothing. The pool keeps it for a later
 * get. It is freed instead
 *   - if it is larger than max_size;
 *   - if it has 64 KiB or more, finds no room on its CPU, and its tier was not asked for twice in
 *     this or the last decay step: so one giant does not stay (golang issue 23199);
 *   - if the bounds leave no room for it, or there is no memory for the pool's own tables.
 *
 * A second put of the same buffer is misuse. It is certain to be found while nobody has borrowed
 * the buffer in between, its pool exists, and the two puts do not race. TIERPOOL_DEBUG=check finds it
 * also if others have borrowed the buffer in between. Of a pool that was destroyed the last put frees
 * all headers: a second put after that reads memory that is gone, as a second free may.
 *
 * A len above cap is misuse too: bytes were written behind the block. A put finds it if percpu is
 * locked; in every debug mode, under ASan, Valgrind and TIERPOOL_TRACE; of a buffer that is secret, or to
 * which an error sticks; and of each that has grown at a site that learns, or was sampled. Any other put
 * looks at one number only, and does not see it; the calls of tierpool/buffer.h do.
 *
 * Before:  no stream of the buffer is open (tierpool_buf_open); len is at most cap.
 * After:   the buffer is the pool's.
 */
TIERPOOL_API TIERPOOL_INLINE void tierpool_put(tierpool_buf *b)
{
	if (__builtin_expect(b ? 1 : 0, 1))
		tierpool_put_buf(b);
}

/* ---- idle memory: decay, trim, bound ---- */

/*
 * How CPUs are stopped. To reach what lies idle on another CPU, a call stops the gets and puts of
 * this pool there for a moment:
 *
 *   destroy, trim, retain_set; the reaper, under memory pressure    all CPUs
 *   tierpool_tick, tierpool_cache_tick, the reaper                  each with something idle, but
 *                                                                   busy ones
 *   get and put of a pool or cache, growth                          a few, for decay; for a bound
 *                                                                   or a shared budget; or if a
 *                                                                   large buffer, or an object,
 *                                                                   lies idle only there
 *
 * If percpu is locked, that takes the lock of the CPU. If it is rseq, a CPU is stopped
 *   1. by membarrier(2), which takes some microseconds;
 *   2. if the system refuses that after the first pool was made: by going there, with a change of
 *      the calling thread's affinity for some microseconds;
 *   3. if that is refused too: not at all, and what lies idle there is out of reach.
 */

/*
 * Takes one decay step, to its end: frees each buffer that lay idle through two of them. A buffer
 * on a busy CPU is freed by a third tick at the latest. (Such a CPU is not stopped: it takes the
 * step itself, within 8,191 gets of one size, or the next tick does. Busy: 4,096 gets and puts in
 * this pool since the last look, if percpu is rseq.)
 *
 * A pool that is used takes such steps by itself, one every decay_ms. They are done by each get
 * that finds no idle buffer on its CPU, by each put that finds no room there, and by a get now and
 * then: some 32 times in decay_ms, if there are as many gets, but by one in four thousand of a size
 * on a CPU at most. Such a call frees at most 256 buffers or 2 MiB, or one buffer that is larger. A
 * pool that was busy, and then is used seldom, may be late: up to 8,191 gets of a size on a CPU pass
 * before one looks, which at 10 gets a second takes a quarter of an hour. The reaper is not late.
 *
 * A pool that nobody uses does nothing by itself. It decays by this call, by tierpool_trim, by the
 * reaper (tierpool_reaper_start), or for other pools of a shared budget (tierpool_budget_create).
 *
 * pool:    NULL: every pool, but no cache.
 * Blocks:  other CPUs may be stopped for a moment.
 * Returns: the number of bytes that this call released.
 */
TIERPOOL_API size_t tierpool_tick(tierpool *pool);

/*
 * Brings the idle bytes down to at most keep, and gives all free pages back to the system (not
 * those of a backing of the program's own). What lay idle through a decay step goes first, and of
 * that the largest first. What lies on a CPU that cannot be stopped stays.
 *
 * pool:    NULL: every pool, each down to keep, but no cache.
 * Blocks:  if too much is idle, all CPUs are stopped for a moment; else each CPU that holds nothing
 *          and still has memory for it.
 * Returns: the number of bytes that this call released.
 */
TIERPOOL_API size_t tierpool_trim(tierpool *pool, size_t keep);

/*
 * Sets the bound on a pool's idle bytes. 0 is taken as TIERPOOL_RETAIN_NONE. pool NULL: nothing.
 *
 * Blocks:  until idle bytes above the bound that are in the hands of another thread's call are
 *          freed, in which that call may use the pool's backing. If too much is idle, all CPUs are
 *          stopped for a moment.
 * After:   the bound holds, or, if a CPU cannot be stopped, as soon as that CPU has used what lies
 *          there. Until then tierpool_stats.retain is the bound that does hold.
 */
TIERPOOL_API void tierpool_retain_set(tierpool *pool, size_t bytes);

/* ---- the reaper ---- */

/*
 * Starts the reaper: one thread for the process that ticks every pool and every object cache at its
 * decay_ms, also those that nobody uses (not at TIERPOOL_DECAY_NEVER), and gives free pages back to
 * the system. While all of them are empty it sleeps and does not wake.
 *
 * When memory is short in the system or in the process's cgroup, the reaper frees all that is idle,
 * in every pool and cache. While anything is idle it wakes every 2 s and reads how long some task
 * has waited for memory (PSI: /proc/pressure/memory, and memory.pressure of a cgroup of version 2).
 * A tenth of the time is pressure. If neither file can be read at the start, a line on stderr says
 * so once; the reaper then ticks, and tries to read them at later ticks.
 *
 * The thread is named tierpool-reaper, and all signals are blocked in it. No file stays open: at the
 * start, and every 2 s while anything is idle, up to four files are opened, read and closed, one after
 * the other. A sandbox must go on allowing that. The program may close all files at any time
 * (closefrom(3)); the reaper goes on. It then touches no file of the program, but for one case that
 * no system call excludes: if the program closes all files and opens one within the few microseconds
 * between two system calls of the reaper, that file may be closed again.
 *
 * The reaper does not run in the child of a fork, where starts count from 0. main may return while
 * it runs.
 *
 * After:   the thread runs until there were as many stops as starts that succeeded.
 * Errors:  -EAGAIN, -ENOMEM: no thread or no memory could be had. The start is not counted.
 * Returns: 0, or a negative errno.
 */
TIERPOOL_NODISCARD TIERPOOL_API int tierpool_reaper_start(void) TIERPOOL_NOEXCEPT;

/*
 * Takes back one start; if there is none, nothing. The last stop ends the thread before it returns.
 *
 * Blocks:  until a call that the reaper is making, of a backing or of a cache's destroy, returns.
 *          If stop is called from such a call in the reaper itself it does not wait: the thread
 *          ends after that call.
 */
TIERPOOL_API void tierpool_reaper_stop(void) TIERPOOL_NOEXCEPT;

/* ---- a bound for several pools ---- */

/*
 * Makes a budget: one bound on idle bytes for several pools, besides the retain of each. Pools name
 * it in their options.
 *
 * The budget goes to the pools in which buffers are borrowed and put. When a put finds it exhausted
 * by other pools, that put takes from them
 *   - at once, the bytes that they have reserved for puts to come;
 *   - while the budget stays exhausted, what has lain idle in them for 100 to 200 ms, by decay
 *     steps whatever their decay_ms, also at TIERPOOL_DECAY_NEVER.
 * At most one put a millisecond does so. It visits at most eight pools, stops at most eight other
 * CPUs of each, and frees at most 256 buffers or 2 MiB of each, until there is room. So a put may
 * call the backing of another pool. A growth, which puts its old block back, does the same.
 *
 * bytes:   the bound, not 0; counted as tierpool_stats.idle_bytes
 * After:   *out is the caller's, until tierpool_budget_destroy; NULL on failure.
 * Errors:  -EINVAL: out is NULL or bytes is 0; -ENOMEM.
 * Returns: 0, or a negative errno.
 */
TIERPOOL_NODISCARD TIERPOOL_API int tierpool_budget_create(
	tierpool_budget **out, size_t bytes) TIERPOOL_NOEXCEPT;

/* The same. name: in reports; copied; NULL: "budget", as tierpool_budget_create has it. */
TIERPOOL_NODISCARD TIERPOOL_API int tierpool_budget_create_named(
	tierpool_budget **out, size_t bytes, const char *name) TIERPOOL_NOEXCEPT;

/*
 * Gives a budget up. Pools whose options named it keep it alive, and go on sharing it. NULL, and a
 * budget that was given up: nothing; but a new budget may have the same pointer.
 *
 * Before:  no tierpool_create with this budget is running or follows. (One that follows returns -EINVAL
 *          if no pool keeps the budget any more.)
 */
TIERPOOL_API void tierpool_budget_destroy(tierpool_budget *budget) TIERPOOL_NOEXCEPT;

/* ---- misuse ---- */

/*
 * Debug modes: words of the variable TIERPOOL_DEBUG, between commas. They slow every get, growth and put
 * down. Object caches know none of them.
 *
 *   check      A put, or any other call, on a buffer that was put is found, though others have borrowed
 *              it since: when a buffer is lent it is another tierpool_buf, and one that was put is not lent
 *              again before 16,384 others of its pool. That many are 1 MiB of a pool.
 *   poison     A write to the block of a buffer that was put is found: the block is filled at the put, and
 *              is looked at when it is lent again or freed. tierpool_trim(NULL, 0) looks at all.
 *   leaks      What is still borrowed when a pool is destroyed, and when the process ends, is printed to
 *              stderr, by site and stack. Each get is recorded for the profile (tierpool/profile.h).
 *   unpooled   Nothing is kept: each put frees, and each get allocates the tierpool_buf and its block by
 *              posix_memalign(3), so that the tools which watch malloc find what is wrong with them. ASan
 *              and Valgrind report a use after the put and the first byte beyond cap; LeakSanitizer and
 *              Valgrind a buffer that nobody has a pointer to, with the stack of its get. (If the library
 *              is built without frame pointers: ASAN_OPTIONS=fast_unwind_on_malloc=0.) After a put the
 *              tierpool_buf is free memory, too. So a second put reads what was freed: Valgrind reports
 *              it. The library itself still finds it while that memory was not allocated again.
 *              Blocks of a backing of the program's own still come from there. check and poison have
 *              nothing to do then. The puts count as drops_retain, as if retain were
 *              TIERPOOL_RETAIN_NONE.
 *
 * Without any of them ASan and Valgrind report the use of a block that lies idle in a pool.
 */

/*
 * What is called when the library finds a misuse, in the thread that made it. The library holds no
 * lock then and no reference, and has changed nothing: so the handler may call the library, destroy the
 * pool, and need not return. It may leave by longjmp(3), an exception of C++ or pthread_exit(3); the
 * buffer is then as it was. Where a stream wrote to the buffer, the C library is left as well: the stream
 * must not be used any more. Only from a late write it must return, or end the process: that is found by
 * the call that lends or frees the block, in the thread of that call, which then goes on.
 *
 * pool:    the name of the buffer's pool, up to 255 bytes of it; "unknown pool" if the header was
 *          overwritten, or if the buffer was put long ago and its header's page was given back; valid
 *          until the handler ends
 * what:    "its header was overwritten"; "put twice"; "used after it was put";
 *          "its length is beyond its capacity"; "put while its stream is open"; under
 *          TIERPOOL_DEBUG=poison "written after it was put, at byte 17", which is the first one that
 *          was. For people: the words may change
 * b:       the buffer. Use it as an address only: any field may be overwritten
 * After:   when the handler returns, the call that was misuse does nothing and returns -EINVAL or
 *          NULL.
 */
typedef void tierpool_misuse_handler(const char *pool, const char *what, const tierpool_buf *b);

/*
 * Installs a handler of misuse for the process. NULL: the one at the start, which prints the pool,
 * the misuse and the buffer's size to stderr and ends the process by SIGABRT.
 *
 * Returns: the handler until now; NULL: the one at the start.
 */
TIERPOOL_API tierpool_misuse_handler *tierpool_on_misuse(
	tierpool_misuse_handler *handler) TIERPOOL_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
