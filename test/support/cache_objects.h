/* SPDX-License-Identifier: MIT */
/*
 * Objects for tests of object caches, each of which knows where it is: one that a cache gives
 * twice, or destroys while it is out or a second time, is a fault. They come from an array, so that
 * one that is destroyed can still be looked at.
 */
#ifndef CACHE_OBJECTS_H
#define CACHE_OBJECTS_H

#include <stddef.h>
#include <stdint.h>

#include <tierpool/cache.h>

#define OBJECTS 8192

enum place { NOWHERE, NEW, OUT, IDLE, GONE };

struct object {
	uint32_t place;
};

/* All the objects there are; each test is a process of its own. */
struct objects {
	struct object object[OBJECTS];
	unsigned made, faults;
	size_t created, destroyed; /* by caches */
};
extern struct objects objects;

/* One that no cache has seen, or, when all have been, one that was destroyed. NULL: there is none. */
struct object *object_make(enum place place);

/* For the options of a cache. */
void *object_create(void *context);
void object_destroy(void *context, void *object);

struct object *object_get(tierpool_cache *cache);
void object_put(tierpool_cache *cache, struct object *o);

/* Objects in a place now. */
size_t objects_in(enum place place);

/* Objects that caches have destroyed so far, where another thread may destroy more. */
size_t objects_destroyed(void);

/* Gives n objects, which come from elsewhere, to a cache. */
void objects_give(tierpool_cache *cache, unsigned n);

/* Takes n, all at once, and gives them back. */
void objects_cycle(tierpool_cache *cache, unsigned n);

/* A cache with these options; the same, of objects from here, which it creates and destroys. */
#define cache_new(...)                               \
	cache_with(&(struct tierpool_cache_options){ \
		.size = sizeof(struct tierpool_cache_options), __VA_ARGS__})
#define cache_of_objects(...) \
	cache_new(.create = object_create, .destroy = object_destroy, __VA_ARGS__)
tierpool_cache *cache_with(const struct tierpool_cache_options *options);

/* Destroys a cache; then all objects that were idle are gone, each of them once. */
void cache_end(tierpool_cache *cache);

#endif
