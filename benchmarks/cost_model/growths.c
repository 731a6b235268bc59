/* SPDX-License-Identifier: MIT */
/*
 * The loops of pairs and growths, and what is made of their times: growths.h.
 *
 * Buffers are borrowed by tierpool_get_sized, which learns nothing: a growth is to the next tier. Only
 * for the cost of a sample they are borrowed without a size, from a pool that learns and from one
 * that does not.
 */
#include "growths.h"

#include <stdio.h>

#include <tierpool.h>

#include "pool/calibrate.h"
#include "support/measure.h"
#include "support/program.h"
#include "support/turns.h"
#include "table.h"

/* What calibration counts with. Its unit is the price of one byte of capacity that is held. */
#define UNIT_NS (1.0 / 160)
#define GROWTH_NS (TP_PRICE_GROWTH * UNIT_NS)
#define COPY_NS (TP_PRICE_COPY * UNIT_NS)
/* What the simulation counts with. */
#define PAIR_NS 6.0

#define SIZE ((size_t)1 << 10)
#define BATCH 2048
#define POOLS 8 /* in turn: where the memory of a pool lies is chance, and may matter */

/*
 * The sides of a buffer of SIZE: 256 bytes are written, alone and between each get and put; then
 * one store in a pair, in one with a growth, and in those without a size.
 */
enum { WORK, USE, PAIR, GROWTH, LEARNED, FIXED, CALLS };

/* SIZE to 256 KiB, each four times the one before. */
#define COPIES 5
#define COPIES_STEP 2
#define COPIED_BYTES ((size_t)1 << 20) /* of a turn */

/* The sides of each: a growth of an empty buffer, and of a full one. */
enum { EMPTY, FULL, COPY_SIDES };

static struct growths {
	tierpool *pools[POOLS], *pool; /* all, and that of this round */
	tierpool *fixed[POOLS];        /* the same, and they learn nothing */
	size_t size;                   /* of the copies that have their turn */
	struct turns calls, copies[COPIES];
} growths;

static size_t growths_size(unsigned copy)
{
	return SIZE << COPIES_STEP * copy;
}

/* ---- the measured loops ---- */

/* In a buffer that stays borrowed. */
MEASURED growths_work(tierpool *pool, unsigned count)
{
	tierpool_buf *b = tierpool_get_sized(pool, SIZE);

	while (count--)
		use_write(b->data, SIZE, count);
	tierpool_put(b);
}

MEASURED growths_use(tierpool *pool, unsigned count)
{
	while (count--) {
		tierpool_buf *b = tierpool_get_sized(pool, SIZE);

		use_write(b->data, SIZE, count);
		tierpool_put(b);
	}
}

MEASURED growths_pair(tierpool *pool, unsigned count)
{
	while (count--) {
		tierpool_buf *b = tierpool_get_sized(pool, SIZE);

		touch(b->data, count);
		tierpool_put(b);
	}
}

MEASURED growths_unsized(tierpool *pool, tierpool_site *site, unsigned count)
{
	while (count--) {
		tierpool_buf *b = tierpool_get_at(pool, 0, site);

		touch(b->data, count);
		b->len = SIZE;
		tierpool_put(b);
	}
}

/* From size to twice that, with len bytes to copy. */
MEASURED growths_grow(tierpool *pool, size_t size, size_t len, unsigned count)
{
	while (count--) {
		tierpool_buf *b = tierpool_get_sized(pool, size);

		touch(b->data, count);
		b->len = len;
		tierpool_buf_reserve(b, size + 1 - len);
		touch(b->data, count);
		tierpool_put(b);
	}
}

/* ---- turns ---- */

static void growths_call(unsigned side, unsigned count)
{
	/* One for each pool: a stub that several use is with one of them. */
	static tierpool_site learned[POOLS], fixed[POOLS];
	unsigned round = growths.calls.rounds % POOLS;

	if (side == WORK)
		growths_work(growths.pool, count);
	else if (side == USE)
		growths_use(growths.pool, count);
	else if (side == PAIR)
		growths_pair(growths.pool, count);
	else if (side == GROWTH)
		growths_grow(growths.pool, SIZE, 0, count);
	else if (side == LEARNED)
		growths_unsized(growths.pool, &learned[round], count);
	else
		growths_unsized(growths.fixed[round], &fixed[round], count);
}

static void growths_copy(unsigned side, unsigned count)
{
	growths_grow(growths.pool, growths.size, side == FULL ? growths.size : 0, count);
}

/* Each round has its stack elsewhere in the page. Returns: ns a call. */
static double growths_time(const struct turns *t, void (*run)(unsigned side, unsigned count),
	unsigned side, unsigned count)
{
	char shift[stack_shift(t->rounds)];
	double start;

	__asm__ volatile("" : : "r"(shift) : "memory"); /* keep it */
	run(side, count / WARM_UP + 1);
	start = now_ns();
	run(side, count);
	return (now_ns() - start) / count;
}

static double growths_call_turn(void *context, unsigned side)
{
	(void)context;
	return growths_time(&growths.calls, growths_call, side, BATCH);
}

static double growths_copy_turn(void *context, unsigned side)
{
	return growths_time(context, growths_copy, side, (unsigned)(COPIED_BYTES / growths.size));
}

void growths_round(void)
{
	growths.pool = growths.pools[growths.calls.rounds % POOLS];
	turns_run(&growths.calls, growths_call_turn, NULL);
	for (unsigned i = 0; i < COPIES; i++) {
		growths.size = growths_size(i);
		turns_run(&growths.copies[i], growths_copy_turn, &growths.copies[i]);
	}
}

/* ---- the rows ---- */

static double growths_copied(unsigned copy)
{
	struct turns *t = &growths.copies[copy];

	return turns_quiet(t, FULL) - turns_quiet(t, EMPTY);
}

/* Returns: by least squares, ns a byte, over all sizes. */
static double growths_slope(void)
{
	double sizes = 0, times = 0, products = 0, squares = 0;

	for (unsigned i = 0; i < COPIES; i++) {
		sizes += (double)growths_size(i) / COPIES;
		times += growths_copied(i) / COPIES;
	}
	for (unsigned i = 0; i < COPIES; i++) {
		double size = (double)growths_size(i) - sizes;

		products += size * (growths_copied(i) - times);
		squares += size * size;
	}
	return products / squares;
}

void growths_print(void)
{
	table_side_print(
		"a get and put in use, net of the use", &growths.calls, USE, WORK, PAIR_NS);
	table_side_print("a growth, nothing to copy, net of get and put", &growths.calls, GROWTH,
		PAIR, GROWTH_NS);
	table_row_print("a sample, with what it makes judged",
		TP_SAMPLE *
			(turns_quiet(&growths.calls, LEARNED) - turns_quiet(&growths.calls, FIXED)),
		turns_spread(&growths.calls, LEARNED), 0);
	table_row_print("a byte that a growth copies: the slope over", growths_slope(),
		turns_spread(&growths.copies[COPIES - 1], FULL), COPY_NS);
	for (unsigned i = 0; i < COPIES; i++) {
		char text[32];

		snprintf(text, sizeof text, "    %s", size_text(growths_size(i)));
		table_row_print(text, growths_copied(i) / (double)growths_size(i),
			turns_spread(&growths.copies[i], FULL), 0);
	}
}

int growths_begin(void)
{
	struct tierpool_options fixed = TIERPOOL_OPTIONS_INIT;
	int error = 0;

	fixed.calibrate_every = TIERPOOL_CALIBRATE_OFF;
	growths.calls.sides = CALLS;
	for (unsigned i = 0; i < COPIES; i++)
		growths.copies[i].sides = COPY_SIDES;
	for (unsigned i = 0; i < POOLS && !error; i++)
		error = tierpool_create(&growths.pools[i], NULL);
	for (unsigned i = 0; i < POOLS && !error; i++)
		error = tierpool_create(&growths.fixed[i], &fixed);
	return error;
}

void growths_end(void)
{
	for (unsigned i = 0; i < POOLS; i++)
		tierpool_destroy(growths.pools[i]);
	for (unsigned i = 0; i < POOLS; i++)
		tierpool_destroy(growths.fixed[i]);
}
