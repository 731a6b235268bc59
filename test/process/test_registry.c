/* SPDX-License-Identifier: MIT */
/*
 * The list of all pools: who is in it, and that each goes exactly once, when nobody refers to it.
 * Entries that share something: test_registry_groups.c.
 */
#include "process/registry.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/spinlock.h"

#define ENTRIES 5
#define THREADS 4

struct entry {
	struct tp_registered registered; /* first */
	uint32_t deaths;
};

static struct entry entry[ENTRIES];

static void died(struct tp_registered *self)
{
	tp_add_relaxed(&((struct entry *)self)->deaths, 1u);
}

static unsigned listed_count;

static void forked(struct tp_registered *self, enum tp_fork phase)
{
	(void)self;
	listed_count += phase == TP_FORK_PREPARE;
}

static const struct tp_kind kind = {.dead = died, .fork = forked};

static void add(struct entry *e)
{
	e->registered.name = "entry";
	e->registered.kind = &kind;
	tp_registry_add(&e->registered);
}

/* Entries in the list, alive or not. */
static unsigned listed(void)
{
	listed_count = 0;
	tp_registry_fork(TP_FORK_PREPARE);
	tp_registry_fork(TP_FORK_PARENT);
	return listed_count;
}

/* How often a walk meets the entry. */
static unsigned met(const struct entry *e)
{
	unsigned times = 0;

	for (struct tp_registered *at = NULL; (at = tp_registry_next(at));)
		times += at == &e->registered;
	return times;
}

Test(registry, the_last_reference_to_be_dropped_is_the_end)
{
	add(&entry[0]);
	tp_registry_retain(&entry[0].registered);
	cr_assert(tp_registry_hold(&entry[0], TP_KIND_POOL));
	tp_registry_drop(&entry[0].registered);
	tp_registry_drop(&entry[0].registered);
	cr_assert_eq(entry[0].deaths, 0);
	cr_assert_eq(met(&entry[0]), 1);
	tp_registry_drop(&entry[0].registered);
	cr_assert_eq(entry[0].deaths, 1);
	cr_assert_eq(met(&entry[0]), 0);
}

Test(registry, only_what_is_listed_can_be_held)
{
	cr_assert_not(tp_registry_hold(NULL, TP_KIND_POOL));
	/* Addresses that would fault if anything but the address were looked at. */
	cr_assert_not(tp_registry_hold((void *)(uintptr_t)64, TP_KIND_POOL));
	add(&entry[0]);
	cr_assert_not(tp_registry_hold((void *)(uintptr_t)64, TP_KIND_POOL));
	cr_assert_not(tp_registry_hold(NULL, TP_KIND_POOL));
	cr_assert_not(tp_registry_hold(&entry[1], TP_KIND_POOL));
	cr_assert_not(tp_registry_hold((char *)&entry[0] + 8, TP_KIND_POOL));
	cr_assert(tp_registry_hold(&entry[0], TP_KIND_POOL));
	cr_assert_eq(entry[0].registered.references, 2);
	tp_registry_drop(&entry[0].registered);
	tp_registry_drop(&entry[0].registered);
	cr_assert_not(tp_registry_hold(&entry[0], TP_KIND_POOL), "held after its end");
	cr_assert_eq(entry[0].deaths, 1);
}

Test(registry, a_walk_meets_each_once_and_leaves_no_visit)
{
	for (unsigned i = 0; i < ENTRIES; i++)
		add(&entry[i]);
	for (unsigned i = 0; i < ENTRIES; i++) {
		cr_assert_eq(met(&entry[i]), 1);
		cr_assert_eq(entry[i].registered.references, 1);
		cr_assert_eq(entry[i].registered.visits, 0);
	}
	/* Out of the middle, off either end. */
	tp_registry_drop(&entry[2].registered);
	tp_registry_drop(&entry[4].registered);
	tp_registry_drop(&entry[0].registered);
	for (unsigned i = 0; i < ENTRIES; i++)
		cr_assert_eq(met(&entry[i]), i % 2, "entry %u", i);
	add(&entry[2]);
	cr_assert_eq(met(&entry[2]), 1, "an address that comes back is a new pool");
	/* The neighbours of those that went. */
	tp_registry_drop(&entry[1].registered);
	tp_registry_drop(&entry[3].registered);
	for (unsigned i = 0; i < ENTRIES; i++)
		cr_assert_eq(met(&entry[i]), i == 2, "entry %u", i);
	cr_assert_eq(listed(), 1);
}

Test(registry, an_entry_that_waits_to_leave_the_list_is_neither_held_nor_met)
{
	for (unsigned i = 0; i < 3; i++)
		add(&entry[i]);
	/* As between the end of the last reference and the lock in which it leaves. */
	entry[1].registered.references = 0;
	cr_assert_not(tp_registry_hold(&entry[1], TP_KIND_POOL));
	cr_assert_eq(met(&entry[0]), 1);
	cr_assert_eq(met(&entry[1]), 0);
	cr_assert_eq(met(&entry[2]), 1);
	cr_assert_eq(entry[1].registered.references, 0);
	cr_assert_eq(entry[1].deaths, 0);
}

Test(registry, the_list_can_be_walked_while_it_is_held_still)
{
	for (unsigned i = 0; i < ENTRIES; i++)
		add(&entry[i]);
	cr_assert_eq(listed(), ENTRIES);
	cr_assert_eq(met(&entry[0]), 1, "the lock was not given back");
}

Test(registry, of_many_each_is_found_until_it_goes_though_its_memory_is_used_again)
{
	enum { MANY = 20000 }; /* more than there are buckets */
	struct entry *many = calloc(MANY, sizeof *many);

	for (unsigned i = 0; i < MANY; i++)
		add(&many[i]);
	/* First, last and in the middle of what lies in one bucket. */
	for (unsigned i = 0; i < MANY; i += 3) {
		tp_registry_drop(&many[i].registered);
		cr_assert_eq(many[i].deaths, 1);
		memset(&many[i], 0xff, sizeof many[i]);
	}
	for (unsigned i = 0; i < MANY; i++) {
		cr_assert_eq(tp_registry_hold(&many[i], TP_KIND_POOL), i % 3 != 0, "entry %u", i);
		if (i % 3) {
			cr_assert_eq(many[i].registered.references, 2, "another one was held");
			tp_registry_drop(&many[i].registered);
		}
	}
	memset(&many[0], 0, sizeof many[0]);
	add(&many[0]);
	cr_assert(tp_registry_hold(&many[0], TP_KIND_POOL),
		"an address that comes back is a new pool");
	cr_assert_eq(many[0].registered.references, 2);
}

Test(registry, ids_count_from_1_and_are_never_given_again)
{
	for (unsigned i = 0; i < ENTRIES; i++) {
		add(&entry[i]);
		cr_assert_eq(entry[i].registered.id, i + 1);
	}
	tp_registry_drop(&entry[ENTRIES - 1].registered);
	tp_registry_drop(&entry[0].registered);
	add(&entry[0]);
	cr_assert_eq(entry[0].registered.id, ENTRIES + 1);
}

/* ---- what is closed ---- */

static struct tp_group group;

static uint32_t has_closed;

static void *end(void *e)
{
	tp_registry_close(&((struct entry *)e)->registered);
	tp_store_release(&has_closed, 1u);
	tp_registry_drop(&((struct entry *)e)->registered);
	return NULL;
}

Test(registry, what_is_closed_is_met_by_no_walk_and_can_be_held_still)
{
	add(&entry[0]);
	add(&entry[1]);
	tp_registry_close(&entry[0].registered);
	cr_assert_eq(entry[0].deaths, 0);
	cr_assert_eq(met(&entry[0]), 0);
	cr_assert_eq(met(&entry[1]), 1);
	cr_assert(tp_registry_hold(&entry[0], TP_KIND_POOL));
	tp_registry_drop(&entry[0].registered);
	tp_registry_drop(&entry[0].registered);
	cr_assert_eq(entry[0].deaths, 1);
	cr_assert_eq(listed(), 1);
}

Test(registry, a_close_waits_for_all_visits_and_a_walk_goes_on_from_there)
{
	struct tp_registered *one, *other;
	pthread_t thread;

	for (unsigned i = 0; i < 2; i++) {
		entry[i].registered.group = &group;
		add(&entry[i]);
	}
	one = tp_registry_next(NULL);
	other = tp_registry_next_in_group(&entry[0].registered, NULL);
	cr_assert_eq(one, other);
	pthread_create(&thread, NULL, end, one);
	for (unsigned visits = 2; visits; visits--) {
		usleep(30000);
		cr_assert_eq(tp_load_acquire(&has_closed), 0, "%u visits", visits);
		cr_assert_eq(((struct entry *)one)->deaths, 0, "%u visits", visits);
		if (visits == 2)
			tp_registry_leave(other);
		else
			cr_assert_neq(other = tp_registry_next(one), one);
	}
	pthread_join(thread, NULL);
	cr_assert_not_null(other);
	cr_assert_null(tp_registry_next(other));
	cr_assert_eq(((struct entry *)one)->deaths, 1);
}

static void *drop(void *e)
{
	tp_registry_drop(&((struct entry *)e)->registered);
	return NULL;
}

Test(registry, the_last_drop_of_what_is_not_closed_waits_for_its_visits)
{
	struct tp_registered *at;
	pthread_t thread;

	add(&entry[1]);
	add(&entry[0]);
	at = tp_registry_next(NULL);
	cr_assert_eq(at, &entry[0].registered);
	pthread_create(&thread, NULL, drop, &entry[0]);
	usleep(30000);
	cr_assert_eq(tp_load_acquire(&entry[0].deaths), 0);
	at = tp_registry_next(at);
	pthread_join(thread, NULL);
	cr_assert_eq(entry[0].deaths, 1);
	cr_assert_eq(at, &entry[1].registered, "the walk goes on from there");
	tp_registry_leave(at);
	cr_assert_eq(listed(), 1);
}

/* An entry on the heap, so that a thread which reaches it after its end reaches freed memory. */
#define ALIVE UINT64_C(0x616c697665)

struct mortal {
	struct tp_registered registered; /* first */
	uint64_t alive;
};

static struct {
	uint32_t running;
	uint32_t walking; /* the lock of walks of the group */
	uint64_t made, died, ghosts;
} life;

static void mortal_died(struct tp_registered *self)
{
	struct mortal *m = (struct mortal *)self;

	if (tp_load_relaxed(&m->alive) != ALIVE)
		tp_add_relaxed(&life.ghosts, 1u);
	tp_store_relaxed(&m->alive, 0u);
	tp_add_relaxed(&life.died, 1u);
	free(m);
}

static const struct tp_kind mortal_kind = {.dead = mortal_died};

static void meet(struct tp_registered *at)
{
	if (tp_load_relaxed(&((struct mortal *)at)->alive) != ALIVE)
		tp_add_relaxed(&life.ghosts, 1u);
}

static void *live(void *unused)
{
	(void)unused;
	for (unsigned i = 0; i < 5000; i++) {
		struct mortal *m = calloc(1, sizeof *m);

		m->alive = ALIVE;
		m->registered.kind = &mortal_kind;
		m->registered.group = &group;
		tp_add_relaxed(&life.made, 1u);
		tp_registry_add(&m->registered);
		if (i % 2 && tp_registry_hold(m, TP_KIND_POOL))
			tp_registry_drop(&m->registered);
		if (tp_spinlock_try(&life.walking)) {
			for (struct tp_registered *at = NULL;
				(at = tp_registry_next_in_group(&m->registered, at));)
				meet(at);
			tp_spinlock_unlock(&life.walking);
		}
		/* Walks are under way. The last drop closes, too. */
		if (i % 3)
			tp_registry_close(&m->registered);
		tp_registry_drop(&m->registered);
	}
	tp_sub_relaxed(&life.running, 1u);
	return NULL;
}

static void *walk(void *unused)
{
	(void)unused;
	while (tp_load_relaxed(&life.running))
		for (struct tp_registered *at = NULL; (at = tp_registry_next(at));)
			meet(at);
	return NULL;
}

Test(registry, walks_meet_no_entry_after_its_end_and_each_ends_once)
{
	pthread_t thread[THREADS];

	life.running = THREADS / 2;
	for (unsigned i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, i % 2 ? walk : live, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(life.ghosts, 0);
	cr_assert_eq(life.made, 5000u * THREADS / 2);
	cr_assert_eq(life.died, life.made);
	cr_assert_null(tp_registry_next(NULL));
}
