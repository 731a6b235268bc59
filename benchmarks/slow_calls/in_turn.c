/* SPDX-License-Identifier: MIT */
/*
 * The pairs through one place and through two: in_turn.h.
 */
#include "in_turn.h"

#include <stdio.h>

#include <tierpool.h>

#include "support/measure.h"
#include "support/turns.h"

#define PAIRS 2048 /* of a turn */
#define WANTED 1.3 /* two pools through one place, times one pool, at most */

enum { ONE_POOL, TWO_PLACES, ONE_PLACE, SIDES };

static const char *const names[SIDES] = {
	"one pool, one place", "two pools, a place each", "two pools, one place"};

struct in_turn {
	tierpool *pool[2];
	struct turns turns;
};

/* Each is used by its own side. */
static tierpool_site in_turn_sites[SIDES][2] = {
	{TIERPOOL_SITE_INIT("one pool")},
	{TIERPOOL_SITE_INIT("even"), TIERPOOL_SITE_INIT("odd")},
	{TIERPOOL_SITE_INIT("in turn")},
};

static void in_turn_pair(tierpool *pool, tierpool_site *site, unsigned i)
{
	tierpool_buf *b = tierpool_get_at(pool, 0, site);

	touch(b->data, i);
	b->len = sizeof(uint64_t); /* a place learns of buffers that were used */
	tierpool_put(b);
}

/* The first pool and site serve the even pairs, the others the odd ones. */
MEASURED in_turn_pairs(tierpool *even, tierpool_site *even_site, tierpool *odd,
	tierpool_site *odd_site, unsigned count)
{
	for (unsigned i = 0; i < count; i += 2) {
		in_turn_pair(even, even_site, i);
		in_turn_pair(odd, odd_site, i + 1);
	}
}

/* Each round has its stack elsewhere in the page. */
static double in_turn_turn(void *context, unsigned side)
{
	struct in_turn *t = context;
	tierpool *odd = t->pool[side != ONE_POOL];
	tierpool_site *site = in_turn_sites[side], *odd_site = &site[side == TWO_PLACES];
	char shift[stack_shift(t->turns.rounds)];
	double start;

	__asm__ volatile("" : : "r"(shift) : "memory"); /* keep it */
	in_turn_pairs(t->pool[0], site, odd, odd_site, PAIRS / WARM_UP);
	start = now_ns();
	in_turn_pairs(t->pool[0], site, odd, odd_site, PAIRS);
	return (now_ns() - start) / PAIRS;
}

static void in_turn_print(struct turns *t)
{
	printf("\nPools in turn: tierpool_get, one store and put, in ns (lower quartile), and how "
	       "much longer the\nmedian is; %u rounds; through one place at most %.1f times one "
	       "pool is wanted\n",
		t->rounds, WANTED);
	for (unsigned i = 0; i < SIDES; i++)
		printf("  %-32s %7.1f %4.0f%%   times one pool %.2f\n", names[i], turns_quiet(t, i),
			turns_spread(t, i), turns_quiet(t, i) / turns_quiet(t, ONE_POOL));
}

int in_turn_measure(double seconds)
{
	static struct in_turn t = {.turns = {.sides = SIDES}};
	double end = now_ns() + seconds * 1e9;
	int error = tierpool_create(&t.pool[0], NULL);

	if (!error)
		error = tierpool_create(&t.pool[1], NULL);
	if (!error) {
		do
			turns_run(&t.turns, in_turn_turn, &t);
		while (now_ns() < end);
		in_turn_print(&t.turns);
	}
	tierpool_destroy(t.pool[1]);
	tierpool_destroy(t.pool[0]);
	return error;
}
