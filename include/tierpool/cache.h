/* SPDX-License-Identifier: MIT */
/*
 * Object caches: what tierpool is to byte buffers, for objects of any kind, as Go's sync.Pool is. A
 * cache keeps idle objects per CPU and hands them out again. It is not bounded in bytes, since it
 * does not know what an object takes; an object that nobody takes through two ticks is destroyed.
 *
 * When not to use one: for bytes, which a pool bounds and counts; for objects that must not be lost
 * (a cache may destroy whatever is idle at any time), or of which there is a fixed number.
 *
 * Threads, signals and fork: as for pools (pool.h). Get in one thread and put in another is normal.
 */
#ifndef TIERPOOL_CACHE_H
#define TIERPOOL_CACHE_H

#include <stddef.h>

#include <tierpool/version.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tierpool_cache tierpool_cache;

/*
 * In every field but size, 0 and NULL mean the default.
 *
 * Both functions are called without a lock of the library held, from any thread, the reaper's
 * included; they may use other caches and pools, and this cache, but must neither destroy it
 * nor fork, nor be left otherwise than by their return (by a cancelled thread, a jump, an
 * exception). tierpool_cache_destroy destroys what destroy puts back as well: where that always
 * puts something back it never ends.
 */
struct tierpool_cache_options {
	size_t size; /* sizeof(struct tierpool_cache_options); the macro below sets it */
	void *(*create)(void *context); /* a new object, or NULL; NULL: get gives NULL when empty */
	void (*destroy)(void *context, void *object); /* NULL: nothing has to be done */
	void *context;                                /* handed to both */
	unsigned decay_ms; /* milliseconds between ticks; 10000; UINT_MAX: none by itself */
};

/* clang-format off */
#ifdef __cplusplus
#define TIERPOOL_CACHE_OPTIONS_INIT {sizeof(struct tierpool_cache_options), nullptr, nullptr, nullptr, 0}
#else
#define TIERPOOL_CACHE_OPTIONS_INIT {.size = sizeof(struct tierpool_cache_options)}
#endif
/* clang-format on */

/*
 * Makes a cache. options NULL: all defaults, with neither create nor destroy. *out is the caller's,
 * to be given to tierpool_cache_destroy; NULL on failure.
 * 0; -EINVAL: out is NULL or options->size is 0; -E2BIG: options are larger than this library
 * knows, with a tail that is not zero; -ENOMEM.
 */
TIERPOOL_API int tierpool_cache_create(
	tierpool_cache **out, const struct tierpool_cache_options *options);

/*
 * Takes an idle object, as its last user left it, or creates one. The object is the caller's. NULL
 * when there is none and create gave none, or with errno EINVAL when cache is NULL. Any thread.
 */
TIERPOOL_API void *tierpool_cache_get(tierpool_cache *cache);

/*
 * Gives an object to a cache, which may but need not have come from it, and which must not be put
 * twice: that is not found out. From here on it is the cache's. object NULL: nothing. cache must
 * not be NULL. Any thread. Where there is no memory for the cache's own tables the object is
 * destroyed.
 */
TIERPOOL_API void tierpool_cache_put(tierpool_cache *cache, void *object);

/*
 * One decay step: an object that nobody took through two of them is destroyed, by this call. While
 * a cache is used it takes such steps by itself, one every decay_ms, in small pieces; one that
 * nobody touches decays only by this call or by the reaper (tierpool_reaper_start). A CPU that is
 * hard at work takes its step itself, as with tierpool_tick. cache NULL: nothing.
 * The number of objects destroyed by this call. Any thread.
 */
TIERPOOL_API size_t tierpool_cache_tick(tierpool_cache *cache);

/*
 * Destroys a cache and what is idle in it; objects that are out are the program's. No call with
 * this cache may be under way or follow. Waits for the reaper where it is amid work on
 * this cache; so the caller must not hold a lock that destroy takes. NULL: nothing.
 */
TIERPOOL_API void tierpool_cache_destroy(tierpool_cache *cache);

#ifdef __cplusplus
}
#endif

#endif
