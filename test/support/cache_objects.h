/* SPDX-License-Identifier: MIT */
/*
 * Objects for tests of object caches, each of which knows where it is: one that a cache gives
 * twice, or destroys while it is out or a second time, is a fault. They come from an array, so that
 * one that is destroyed can still be looked at.
 */
#ifndef CACHE_OBJECTS_H
#define CACHE_OBJECTS_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tierpool/cache.h>

#include "base/atomic.h"
#include "cpus.h"

#define OBJECTS 8192

enum place { NOWHERE, NEW, OUT, IDLE, GONE };

struct object {
	uint32_t place;
};

/* All the objects there are; each test is a process of its own. */
static struct {
	struct object object[OBJECTS];
	unsigned made, faults;
	size_t created, destroyed; /* by caches */
} objects;

static inline void object_goes(struct object *o, enum place from, enum place to)
{
	if (tp_exchange_acq_rel(&o->place, (uint32_t)to) != (uint32_t)from)
		tp_add_relaxed(&objects.faults, 1u);
}

/*
 * One that no cache has seen, or, when all have been, one that was destroyed. NULL: there is none.
 */
static inline struct object *object_make(enum place place)
{
	unsigned n = tp_add_relaxed(&objects.made, 1u);

	if (n < OBJECTS) {
		object_goes(&objects.object[n], NOWHERE, place);
		return &objects.object[n];
	}
	for (unsigned i = 0; i < OBJECTS; i++) {
		struct object *o = &objects.object[(n + i) % OBJECTS];
		uint32_t gone = GONE;

		if (tp_load_relaxed(&o->place) == GONE &&
			tp_publish(&o->place, &gone, (uint32_t)place))
			return o;
	}
	return NULL;
}

/* For the options of a cache. */
static inline void *object_create(void *context)
{
	struct object *o = object_make(NEW);

	(void)context;
	if (o)
		tp_add_relaxed(&objects.created, 1u);
	return o;
}

static inline void object_destroy(void *context, void *object)
{
	(void)context;
	object_goes(object, IDLE, GONE);
	tp_add_relaxed(&objects.destroyed, 1u);
}

static inline struct object *object_get(tierpool_cache *cache)
{
	struct object *o = tierpool_cache_get(cache);
	uint32_t was = o ? tp_exchange_acq_rel(&o->place, (uint32_t)OUT) : IDLE;

	if (was != IDLE && was != NEW)
		tp_add_relaxed(&objects.faults, 1u);
	return o;
}

static inline void object_put(tierpool_cache *cache, struct object *o)
{
	object_goes(o, OUT, IDLE);
	tierpool_cache_put(cache, o);
}

/* Objects in a place now. */
static inline size_t objects_in(enum place place)
{
	size_t count = 0;

	for (unsigned i = 0; i < OBJECTS; i++)
		count += tp_load_relaxed(&objects.object[i].place) == (uint32_t)place;
	return count;
}

/* A cache with these options. */
#define cache_new(...)                               \
	cache_with(&(struct tierpool_cache_options){ \
		.size = sizeof(struct tierpool_cache_options), __VA_ARGS__})

/* The same, of objects from here, which it creates and destroys. */
#define cache_of_objects(...) \
	cache_new(.create = object_create, .destroy = object_destroy, __VA_ARGS__)

static inline tierpool_cache *cache_with(const struct tierpool_cache_options *options)
{
	tierpool_cache *cache;

	cr_assert_eq(tierpool_cache_create(&cache, options), 0);
	cr_assert_not_null(cache);
	return cache;
}

/* Gives n objects, which come from elsewhere, to a cache. */
static inline void objects_give(tierpool_cache *cache, unsigned n)
{
	while (n--)
		object_put(cache, object_make(OUT));
}

/* Takes n, all at once, and gives them back. */
static inline void objects_cycle(tierpool_cache *cache, unsigned n)
{
	static struct object *out[OBJECTS];

	for (unsigned i = 0; i < n; i++)
		cr_assert_not_null(out[i] = object_get(cache));
	while (n--)
		object_put(cache, out[n]);
}

/* Destroys a cache; then all objects that were idle are gone, each of them once. */
static inline void cache_end(tierpool_cache *cache)
{
	tierpool_cache_destroy(cache);
	cr_assert_eq(objects_in(IDLE), 0, "an idle object was lost");
	if (objects.made <= OBJECTS)
		cr_assert_eq(objects_in(GONE), objects.destroyed);
	cr_assert_eq(objects.faults, 0, "an object was given or destroyed that was not idle");
}

#endif
