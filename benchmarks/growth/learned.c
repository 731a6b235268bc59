/* SPDX-License-Identifier: MIT */
/*
 * The places, the turns and the table of fillings that were learned: learned.h.
 */
#include "learned.h"

#include <stdbool.h>
#include <stdio.h>

#include <tierpool.h>

#include "encoders.h"
#include "support/allocators.h"
#include "support/measure.h"
#include "support/partner.h"
#include "support/program.h"
#include "support/turns.h"

#define LEARNING 512                 /* fillings before the first turn */
#define REALLOC_FIRST ((size_t)64)   /* what realloc begins with */
#define TURN_BYTES ((size_t)2 << 20) /* that a turn writes */
#define WANTED_OF_GO 0.5             /* times the faster of the two, at most */

/* One place for each size. wanted: times the best allocator, at most. */
static struct place {
	size_t size;
	double wanted;
	tierpool_site site;
} places[] = {
	{256, 0.6, TIERPOOL_SITE_INIT("256 bytes")},
	{(size_t)1 << 10, 0.6, TIERPOOL_SITE_INIT("1 KiB")},
	{(size_t)4 << 10, 0.6, TIERPOOL_SITE_INIT("4 KiB")},
	{(size_t)16 << 10, 0.75, TIERPOOL_SITE_INIT("16 KiB")},
	{(size_t)64 << 10, 0.75, TIERPOOL_SITE_INIT("64 KiB")},
	{(size_t)256 << 10, 0.95, TIERPOOL_SITE_INIT("256 KiB")},
	{(size_t)1 << 20, 0.95, TIERPOOL_SITE_INIT("1 MiB")},
};

#define PLACES (sizeof places / sizeof *places)

/* The sides: the pool, each allocator, and Go's two. */
#define POOL 0
#define GO (1 + ALLOCATORS)
#define GO_PEERS 2
#define SIDES (GO + GO_PEERS)

static const char *const go_names[GO_PEERS] = {"bytebufferpool", "bytes.Buffer"};

struct learned {
	tierpool *pool;
	struct partner go;
	bool with_go;
	int error;
	struct place *place; /* that has its turn */
	struct turns turns[PLACES];
};

/* ---- turns ---- */

static void learned_fill(struct learned *l, unsigned side, unsigned count)
{
	if (side == POOL)
		encode_by_pool(l->pool, 0, &l->place->site, l->place->size, count);
	else
		encode_by_realloc(&allocators[side - 1], REALLOC_FIRST, l->place->size, count);
}

/* Returns: ns a filling. */
static double learned_ask_go(struct learned *l, unsigned peer, unsigned count)
{
	double ns = 0;

	if (l->with_go && !l->error)
		l->error = partner_run(&l->go, &ns, "%u %zu %u", peer, l->place->size, count);
	return ns;
}

/* Each round has its stack elsewhere in the page. Returns: ns a filling. */
static double learned_time(struct learned *l, unsigned side, unsigned count)
{
	char shift[stack_shift(l->turns[0].rounds)];
	double start;

	__asm__ volatile("" : : "r"(shift) : "memory"); /* keep it */
	learned_fill(l, side, count / WARM_UP + 1);
	start = now_ns();
	learned_fill(l, side, count);
	return (now_ns() - start) / count;
}

/* The same; 0: the side is absent. */
static double learned_run(struct learned *l, unsigned side, unsigned count)
{
	if (side >= GO)
		return learned_ask_go(l, side - GO, count);
	if (side != POOL && *allocators[side - 1].absent)
		return 0;
	return learned_time(l, side, count);
}

static double learned_turn(void *context, unsigned side)
{
	struct learned *l = context;

	return learned_run(l, side, (unsigned)(TURN_BYTES / l->place->size));
}

static void learned_rounds(struct learned *l, double seconds)
{
	double end = now_ns() + seconds * 1e9;

	for (unsigned i = 0; i < PLACES; i++) {
		l->turns[i].sides = SIDES;
		l->place = &places[i];
		for (unsigned side = 0; side < SIDES; side++)
			learned_run(l, side, LEARNING);
	}
	do {
		for (unsigned i = 0; i < PLACES; i++) {
			l->place = &places[i];
			turns_run(&l->turns[i], learned_turn, l);
		}
	} while (!l->error && now_ns() < end);
}

/* ---- the table ---- */

static void learned_head_print(const struct learned *l)
{
	printf("\nLearned: tierpool_get, appends of %zu bytes and put, against realloc from %zu "
	       "bytes%s; first:\nwhat a get lends; ns (lower quartile), how much longer the median "
	       "is; times the best, and what is\nwanted at most; %u rounds\n"
	       "%6s %6s | %9s %4s |",
		PIECE, REALLOC_FIRST, l->with_go ? " and Go's pools" : "", l->turns[0].rounds,
		"bytes", "first", "tierpool", "");
	for (unsigned i = 0; i < ALLOCATORS; i++) {
		if (!*allocators[i].absent)
			printf(" %9s", allocators[i].name);
	}
	printf(" | x best wanted");
	if (l->with_go)
		printf(" | %14s %12s | x best wanted", go_names[0], go_names[1]);
	putchar('\n');
}

/* Returns: what a get lends now; 0: there is no memory. */
static size_t learned_first(struct learned *l)
{
	tierpool_buf *b = tierpool_get_at(l->pool, 0, &l->place->site);
	size_t first = b ? b->cap : 0;

	tierpool_put(b);
	return first;
}

static void learned_row_print(struct learned *l, struct turns *t)
{
	double ns[ALLOCATORS], pool = turns_quiet(t, POOL);
	int best;

	printf("%6s", size_text(l->place->size));
	printf(" %6s | %9.1f %3.0f%% |", size_text(learned_first(l)), pool, turns_spread(t, POOL));
	for (unsigned i = 0; i < ALLOCATORS; i++) {
		ns[i] = turns_quiet(t, 1 + i);
		if (!*allocators[i].absent)
			printf(" %9.1f", ns[i]);
	}
	best = allocators_best(ns);
	printf(" | %6.2f %6.2f", best < 0 ? 0 : pool / ns[best], l->place->wanted);
	if (l->with_go) {
		double one = turns_quiet(t, GO), other = turns_quiet(t, GO + 1);

		printf(" | %14.1f %12.1f | %6.2f %6.2f", one, other,
			pool / (one < other ? one : other), WANTED_OF_GO);
	}
	putchar('\n');
}

static void learned_print(struct learned *l)
{
	learned_head_print(l);
	for (unsigned i = 0; i < PLACES; i++) {
		l->place = &places[i];
		learned_row_print(l, &l->turns[i]);
	}
	if (l->with_go)
		printf("bytebufferpool and sync.Pool of bytes.Buffer by %s.\n", l->go.version);
	else
		puts("Go's pools: skipped: no growth_go beside this program; `make bench` builds "
		     "one where there are\nGo and golang-github-valyala-bytebufferpool-dev.");
}

int learned_measure(double seconds, unsigned cpu)
{
	static struct learned l;
	char path[PATH_MAX];

	l.error = tierpool_create(&l.pool, NULL);
	if (l.error)
		return l.error;
	l.with_go = !partner_path(path);
	if (l.with_go)
		l.error = partner_begin(&l.go, path, &cpu, 1);
	if (!l.error) {
		learned_rounds(&l, seconds);
		if (l.with_go)
			partner_end(&l.go);
	}
	if (!l.error)
		learned_print(&l);
	tierpool_destroy(l.pool);
	return l.error;
}
