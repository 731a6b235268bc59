/* SPDX-License-Identifier: MIT */
/*
 * Object caches under everything at once, for argv[1] seconds: more threads than CPUs that get,
 * put, hand objects to each other and tick; a timer's signals for each; random migrations; and the
 * reaper, which is stopped and started now and then. In rounds, each on a cache of its own that
 * ticks every millisecond.
 *
 * Holds: an object has one owner, a thread or the cache, which gives and destroys nothing but what
 * it owns; what one owner wrote into it the next one reads; and at the end of a round what was
 * created and not destroyed is in the hands of threads, once.
 *
 * Exit status 1 and a line that says why when one of them is broken. test/controls.sh builds this
 * with faults in the library and requires that.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tierpool.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "percpu/cpu.h"
#include "stress_finding.h"
#include "stress_threads.h"

#define HAND 48  /* objects that a thread holds at the most: two threads' fill a stack */
#define SLOTS 16 /* where objects are handed over */
#define ROUND_US 200000

/* ---- objects ---- */

/* Nobody's, there to be created; the cache's; handed over; or, from here on, a thread's. */
enum { FREE, IDLE, HANDED, FIRST_THREAD };

struct object {
	uint32_t owner;
	uint32_t written; /* plain, so that a sanitizer sees who reads it unordered */
} __attribute__((aligned(TP_LINE)));

static struct object *objects;
static unsigned object_count;
static uint64_t created, destroyed;

static __thread uint32_t me;
static __thread struct object *fresh; /* created in the get that is under way */

/*
 * From one owner to another. Relaxed: what orders their accesses is to be the cache, and not this.
 */
static void pass(struct object *o, uint32_t from, uint32_t to, const char *how)
{
	uint32_t was = tp_exchange_relaxed(&o->owner, to);

	if (tp_unlikely(was != from))
		broke("object %td was %s, and its owner was %u, not %u", o - objects, how, was,
			from);
}

static void *object_create(void *unused)
{
	/* Somewhere else each time. */
	unsigned n = (unsigned)(tp_load_relaxed(&created) * 7919 % object_count);

	(void)unused;
	for (unsigned i = 0; i < object_count; i++) {
		struct object *o = &objects[(n + i) % object_count];
		uint32_t nobody = FREE;

		/* Acquire: pairs with the release of its destruction. */
		if (tp_load_relaxed(&o->owner) == FREE &&
			tp_cas_strong_acq_rel(&o->owner, &nobody, me)) {
			tp_add_relaxed(&created, 1u);
			o->written = me;
			fresh = o;
			return o;
		}
	}
	return NULL;
}

static void object_destroy(void *unused, void *object)
{
	struct object *o = object;
	uint32_t was = tp_exchange_acq_rel(&o->owner, FREE);

	(void)unused;
	if (tp_unlikely(was != IDLE))
		broke("object %td was destroyed, and its owner was %u", o - objects, was);
	tp_add_relaxed(&destroyed, 1u);
}

/* ---- threads ---- */

struct thread {
	struct object *hand[HAND];
	unsigned held;
	uint64_t random, gets, migrations;
	pthread_t id;
} __attribute__((aligned(2 * TP_LINE)));

static tierpool_cache *cache;
static struct thread *threads;
static unsigned workers;
static struct object *handed[SLOTS];

static void take(struct thread *t, struct object *o)
{
	if (o->written < FIRST_THREAD)
		broke("object %td has %u written in it", o - objects, o->written);
	o->written = me;
	t->hand[t->held++] = o;
}

static void get(struct thread *t)
{
	struct object *o;

	fresh = NULL;
	o = tierpool_cache_get(cache);
	if (!o)
		return;
	if (tp_unlikely((uintptr_t)o - (uintptr_t)objects >= object_count * sizeof *o)) {
		broke("%p, which is no object, was given", (void *)o);
		return;
	}
	pass(o, o == fresh ? me : IDLE, me, "given");
	take(t, o);
	t->gets++;
}

static struct object *give(struct thread *t, uint32_t to, const char *how)
{
	struct object *o = t->hand[--t->held];

	if (tp_unlikely(o->written != me))
		broke("object %td has %u written in it, and %u had it", o - objects, o->written,
			me);
	pass(o, me, to, how);
	return o;
}

static void put(struct thread *t)
{
	tierpool_cache_put(cache, give(t, IDLE, "put"));
}

static void hand_over(struct thread *t)
{
	struct object **slot = &handed[below(&t->random, SLOTS)];
	struct object *o = tp_exchange_acq_rel(slot, give(t, HANDED, "handed over"));

	if (!o)
		return;
	pass(o, HANDED, me, "taken over");
	take(t, o);
}

/* One at a time, so that each stop is the last one. */
static void reaper_restart(void)
{
	static uint32_t restarting;

	if (tp_exchange_acquire(&restarting, 1u))
		return;
	tierpool_reaper_stop();
	if (tierpool_reaper_start())
		broke("no reaper");
	tp_store_release(&restarting, 0u);
}

static void work_rarely(struct thread *t)
{
	switch (below(&t->random, 16)) {
	case 0:
		tierpool_cache_tick(cache);
		break;
	case 1:
		reaper_restart();
		break;
	case 2:
	case 3:
		usleep(below(&t->random, 3000)); /* so that what others have there ages */
		break;
	default:
		t->migrations += migrate(&t->random);
	}
}

static void *worker(void *argument)
{
	struct thread *t = argument;
	bool filling = true;
	timer_t timer;
	bool alarms = alarms_start(&timer);

	me = FIRST_THREAD + (uint32_t)(t - threads);
	if (!alarms)
		broke("no timer for a thread");
	while (!tp_load_relaxed(&stop)) {
		uint64_t dice = next_random(&t->random);

		/* Now more and more, now less and less: so that stacks overflow and run dry. */
		if (dice % 256 == 0)
			filling = !filling;
		if (!t->held || (t->held < HAND && (dice >> 8) % 4 < (filling ? 3 : 1)))
			get(t);
		else if ((dice >> 16) % 16 == 0)
			hand_over(t);
		else
			put(t);
		if (tp_unlikely((dice >> 20) % 2048 == 0))
			work_rarely(t);
	}
	if (alarms)
		timer_delete(timer);
	return NULL;
}

/* ---- rounds ---- */

static void round_start(void)
{
	struct tierpool_cache_options options = TIERPOOL_CACHE_OPTIONS_INIT;

	options.create = object_create;
	options.destroy = object_destroy;
	options.decay_ms = 1;
	if (tierpool_cache_create(&cache, &options)) {
		fprintf(stderr, "stress_cache: out of memory\n");
		exit(2);
	}
	stop = 0;
	for (unsigned i = 0; i < workers; i++)
		thread_start(&threads[i].id, worker, &threads[i]);
}

static void round_end(void)
{
	tp_store_relaxed(&stop, 1);
	for (unsigned i = 0; i < workers; i++)
		pthread_join(threads[i].id, NULL);
}

/* Takes an object from the thread that had it at the end. */
static void reclaim(struct object *o, uint32_t owner)
{
	pass(o, owner, FREE, "left over");
	destroyed++;
}

/* Nobody is at work any more, but for the reaper. */
static void round_check(void)
{
	tierpool_cache_destroy(cache);
	for (unsigned i = 0; i < workers; i++)
		while (threads[i].held)
			reclaim(threads[i].hand[--threads[i].held], FIRST_THREAD + i);
	for (unsigned i = 0; i < SLOTS; i++) {
		if (handed[i])
			reclaim(handed[i], HANDED);
		handed[i] = NULL;
	}
	for (unsigned i = 0; i < object_count; i++)
		if (objects[i].owner != FREE)
			broke("object %u is nowhere, and its owner is %u", i, objects[i].owner);
	if (created != destroyed)
		broke("%lu objects were created, and %lu are gone", (unsigned long)created,
			(unsigned long)destroyed);
}

static bool prepare(void)
{
	workers = (unsigned)tp_max(4, tp_cpu_count() + 2);
	object_count = 2 * workers * HAND + 1024;
	objects = aligned_alloc(TP_LINE, object_count * sizeof *objects);
	threads = aligned_alloc(2 * TP_LINE, workers * sizeof *threads);
	if (!objects || !threads)
		return false;
	memset(objects, 0, object_count * sizeof *objects);
	memset(threads, 0, workers * sizeof *threads);
	for (unsigned i = 0; i < workers; i++)
		threads[i].random = i + 1;
	return disturbances_init() && !tierpool_reaper_start();
}

int main(int argc, char **argv)
{
	uint64_t end = now_us() + 1000000 * (uint64_t)(argc > 1 ? atoi(argv[1]) : 4);
	uint64_t random = end, rounds = 0, gets = 0, migrations = 0;

	if (!prepare()) {
		fprintf(stderr, "stress_cache: no memory, or no reaper\n");
		return 2;
	}
	do {
		uint64_t until = now_us() + (ROUND_US >> below(&random, 6));

		round_start();
		while (now_us() < until && !tp_load_relaxed(&stop))
			usleep(1000);
		round_end();
		/* Else nothing is known of what lies there any more. */
		if (!broken)
			round_check();
		rounds++;
	} while (!broken && now_us() < end);
	if (!broken)
		tierpool_reaper_stop();
	for (unsigned i = 0; i < workers; i++) {
		gets += threads[i].gets;
		migrations += threads[i].migrations;
	}
	printf("%s  stress_cache: %u workers, %lu rounds, %lu gets, %lu created, %lu migrations, "
	       "%lu "
	       "signals, %s\n",
		broken ? "FAILED" : "ok", workers, (unsigned long)rounds, (unsigned long)gets,
		(unsigned long)created, (unsigned long)migrations, (unsigned long)alarms_seen(),
		tp_cpu_mode());
	free(objects);
	free(threads);
	return broken;
}
