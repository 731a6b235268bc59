/* SPDX-License-Identifier: MIT */
#include "cache_objects.h"

#include <criterion/criterion.h>

#include "base/atomic.h"

struct objects objects;

static void object_goes(struct object *o, enum place from, enum place to)
{
	if (tp_exchange_acq_rel(&o->place, (uint32_t)to) != (uint32_t)from)
		tp_add_relaxed(&objects.faults, 1u);
}

struct object *object_make(enum place place)
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
			tp_cas_strong_acq_rel(&o->place, &gone, (uint32_t)place))
			return o;
	}
	return NULL;
}

void *object_create(void *context)
{
	struct object *o = object_make(NEW);

	(void)context;
	if (o)
		tp_add_relaxed(&objects.created, 1u);
	return o;
}

void object_destroy(void *context, void *object)
{
	(void)context;
	object_goes(object, IDLE, GONE);
	tp_add_relaxed(&objects.destroyed, 1u);
}

struct object *object_get(tierpool_cache *cache)
{
	struct object *o = tierpool_cache_get(cache);
	uint32_t was = o ? tp_exchange_acq_rel(&o->place, (uint32_t)OUT) : IDLE;

	if (was != IDLE && was != NEW)
		tp_add_relaxed(&objects.faults, 1u);
	return o;
}

void object_put(tierpool_cache *cache, struct object *o)
{
	object_goes(o, OUT, IDLE);
	tierpool_cache_put(cache, o);
}

size_t objects_in(enum place place)
{
	size_t count = 0;

	for (unsigned i = 0; i < OBJECTS; i++)
		count += tp_load_relaxed(&objects.object[i].place) == (uint32_t)place;
	return count;
}

tierpool_cache *cache_with(const struct tierpool_cache_options *options)
{
	tierpool_cache *cache;

	cr_assert_eq(tierpool_cache_create(&cache, options), 0);
	cr_assert_not_null(cache);
	return cache;
}

size_t objects_destroyed(void)
{
	return tp_load_relaxed(&objects.destroyed);
}

void objects_give(tierpool_cache *cache, unsigned n)
{
	while (n--)
		object_put(cache, object_make(OUT));
}

void objects_cycle(tierpool_cache *cache, unsigned n)
{
	static struct object *out[OBJECTS];

	for (unsigned i = 0; i < n; i++)
		cr_assert_not_null(out[i] = object_get(cache));
	while (n--)
		object_put(cache, out[n]);
}

void cache_end(tierpool_cache *cache)
{
	tierpool_cache_destroy(cache);
	cr_assert_eq(objects_in(IDLE), 0, "an idle object was lost");
	if (objects.made <= OBJECTS)
		cr_assert_eq(objects_in(GONE), objects.destroyed);
	cr_assert_eq(objects.faults, 0, "an object was given or destroyed that was not idle");
}
