/* SPDX-License-Identifier: MIT */
/*
 * Object caches: what pools are for byte buffers, for objects of any kind, as Go's sync.Pool is. A
 * cache keeps idle objects per CPU and gives them out again. It is not bounded in bytes, since it
 * does not know how large an object is. An object that nobody takes through two ticks is destroyed.
 *
 * When not to use one: for bytes, which a pool bounds and counts; for objects that must not be lost
 * (a cache may destroy an idle object at any time), or of which there is a fixed number.
 *
 * Threads, thread exit, fork, signals: see tierpool.h.
 */
#ifndef TIERPOOL_CACHE_H
#define TIERPOOL_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include <tierpool/version.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tierpool_cache tierpool_cache;

/* ---- options ---- */

/*
 * What a cache is made of. In every field but size, 0 and NULL mean the default.
 *
 * create and destroy are called from any thread, the reaper's included, and without a lock of the
 * library held. They may use other caches and pools, and this cache. They must not destroy this
 * cache, or fork: see also "your own functions" in tierpool.h. If destroy puts an object back into
 * this cache, tierpool_cache_destroy destroys that too; if it always puts one back,
 * tierpool_cache_destroy never ends.
 */
struct tierpool_cache_options {
	size_t size; /* sizeof(struct tierpool_cache_options); the macro below sets it */
	void *(*create)(void *context); /* returns a new object, or NULL; default: there is none, */
					/* and a get from an empty cache returns NULL */
	void (*destroy)(void *context, void *object); /* default: nothing has to be done */
	void *context;                                /* passed to both */
	unsigned decay_ms; /* milliseconds between ticks; default 10000; TIERPOOL_DECAY_NEVER: */
			   /* none by itself */
	const char *name;  /* in reports; copied; default "cache" */
};

/* clang-format off */
#ifdef __cplusplus
#define TIERPOOL_CACHE_OPTIONS_INIT {sizeof(struct tierpool_cache_options), nullptr, nullptr, nullptr, 0, nullptr}
#else
#define TIERPOOL_CACHE_OPTIONS_INIT {.size = sizeof(struct tierpool_cache_options)}
#endif
/* clang-format on */

/* ---- create and destroy ---- */

/*
 * Makes a cache. options NULL: all defaults, so neither create nor destroy. The options are copied.
 * The first call of a process reads TIERPOOL_PERCPU, and may print, as tierpool_create.
 *
 * After:   *out is the caller's, until tierpool_cache_destroy; NULL on failure.
 * Errors:  -EINVAL: out is NULL, or options->size is less than sizeof(size_t); -E2BIG: the options
 *          are of a newer version, and set what this library does not know; -ENOMEM.
 * Returns: 0, or a negative errno.
 */
TIERPOOL_NODISCARD TIERPOOL_API int tierpool_cache_create(
	tierpool_cache **out, const struct tierpool_cache_options *options);

/*
 * Destroys a cache and the objects that are idle in it. Objects that were taken and not put back
 * are the program's. NULL: nothing.
 *
 * Before:  no call with this cache is running; no get and no put follows.
 * Blocks:  while the reaper works on this cache, in which it may call destroy. No CPU is stopped.
 * After:   of the calls that take its pointer only tick, stats_read and destroy may still follow.
 *          Once the cache is gone they do nothing, or return -ENOENT; also if a pool or a budget lies
 *          there by now. But a new cache may have the same pointer, and then they reach that one.
 */
TIERPOOL_API void tierpool_cache_destroy(tierpool_cache *cache);

/* ---- take and put back ---- */

/*
 * Takes an idle object, as its last user left it; if there is none, calls create.
 *
 * Blocks:  a few CPUs may be stopped for a moment (pool.h), also by a put.
 * After:   the object is the caller's.
 * Errors:  errno is EINVAL if cache is NULL, and what create left there if create returned NULL. If
 *          there is no create it says nothing.
 * Returns: the object; NULL if none is idle and there is no create or it returned NULL, or if cache
 *          is NULL.
 */
TIERPOOL_NODISCARD TIERPOOL_API void *tierpool_cache_get(tierpool_cache *cache);

/*
 * Gives an object to a cache, which keeps it for a later get. The object may come from this cache
 * or from elsewhere. If there is no memory for the cache's own tables, the object is destroyed.
 * object NULL: nothing.
 *
 * Before:  cache is not NULL; the object is not in the cache already. A second put is not noticed.
 * After:   the object is the cache's.
 */
TIERPOOL_API void tierpool_cache_put(tierpool_cache *cache, void *object);

/* ---- decay ---- */

/*
 * Takes one decay step: an object that nobody took through two steps is destroyed, by this call.
 *
 * A cache that is used takes such steps by itself, one every decay_ms; late, as a pool does, if it
 * has few gets, each of which finds an object (see tierpool_tick). A cache
 * that nobody uses decays only by this call or by the reaper (tierpool_reaper_start in pool.h). An
 * object on a busy CPU is destroyed by a third step at the latest, as in tierpool_tick.
 *
 * Blocks:  other CPUs may be stopped for a moment (pool.h).
 * Returns: the number of objects that this call destroyed; 0 if cache is NULL, or destroyed.
 */
TIERPOOL_API size_t tierpool_cache_tick(tierpool_cache *cache);

/* ---- statistics ---- */

/*
 * A cache's numbers, in objects, counted since it was made. While calls run no counter goes
 * backwards. While no call runs all are exact: puts + creates == gets + destroys + idle, counted
 * independently of each other.
 */
struct tierpool_cache_stats {
	size_t size;             /* sizeof(struct tierpool_cache_stats), set by the caller */
	uint64_t gets;           /* gets that returned an object: the sum of the next four */
	uint64_t hits_cpu;       /* gets of an object that lay idle on the CPU of the get */
	uint64_t hits_depot;     /* in the store that all CPUs share */
	uint64_t hits_other_cpu; /* on another CPU */
	uint64_t creates;        /* gets of an object that create made */
	uint64_t puts;
	uint64_t destroys;     /* objects that left for good, also if there is no destroy */
	size_t idle;           /* objects that are kept now */
	uint64_t ticks;        /* decay steps: by itself, tierpool_cache_tick, the reaper */
	size_t overhead_bytes; /* the cache's own tables */
	const char *percpu;    /* "rseq" or "locked": see tierpool_create in pool.h */
};

/*
 * Reads a cache's numbers. No get waits for this.
 *
 * Before:  out->size is set to sizeof(struct tierpool_cache_stats).
 * After:   out->size bytes of *out are written; none on failure. The string lives as long as the
 *          process.
 * Errors:  -EINVAL: cache or out is NULL, or out->size is less than sizeof(size_t) or more than this
 *          library knows; -ENOENT: the cache is destroyed.
 * Returns: 0, or a negative errno.
 */
TIERPOOL_NODISCARD TIERPOOL_API int tierpool_cache_stats_read(
	tierpool_cache *cache, struct tierpool_cache_stats *out);

#ifdef __cplusplus
}
#endif

#endif
