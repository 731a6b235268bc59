/* SPDX-License-Identifier: MIT */
/*
 * Appends below and above max_size: appends.h.
 */
#include "appends.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include <tierpool.h>

#include "support/measure.h"
#include "support/turns.h"

#define LARGEST ((size_t)1 << 20) /* max_size, whatever its default */
#define APPENDS 100000
#define PIECE ((size_t)4)

/* The sides: one byte in each of the two buffers, then four. */
enum { BELOW, ABOVE, BUFFERS };
#define APPENDS_SIDES (2 * BUFFERS)

struct appends {
	tierpool_buf *buffer[BUFFERS];
	struct turns turns;
};

MEASURED appends_of_bytes(tierpool_buf *b)
{
	for (unsigned i = 0; i < APPENDS; i++)
		tierpool_buf_append_byte(b, (char)i);
}

MEASURED appends_of_pieces(tierpool_buf *b)
{
	static const char piece[PIECE];

	for (unsigned i = 0; i < APPENDS; i++)
		tierpool_buf_append(b, piece, sizeof piece);
}

static double appends_turn(void *context, unsigned side)
{
	struct appends *a = context;
	tierpool_buf *b = a->buffer[side % BUFFERS];
	double start;

	tierpool_buf_reset(b);
	start = now_ns();
	if (side < BUFFERS)
		appends_of_bytes(b);
	else
		appends_of_pieces(b);
	return (now_ns() - start) / APPENDS;
}

static void appends_print(struct appends *a)
{
	printf("\nAn append in a buffer of max_size (1 MiB), and in one above it, in ns (lower "
	       "quartile), how much\nlonger the median is; %u rounds\n"
	       "%6s | %14s | %14s | above / below\n",
		a->turns.rounds, "bytes", "max_size", "above");
	for (unsigned piece = 0; piece < 2; piece++) {
		unsigned below = piece * BUFFERS + BELOW, above = piece * BUFFERS + ABOVE;

		printf("%6zu | %9.2f %3.0f%% | %9.2f %3.0f%% | %6.2f\n", piece ? PIECE : 1,
			turns_quiet(&a->turns, below), turns_spread(&a->turns, below),
			turns_quiet(&a->turns, above), turns_spread(&a->turns, above),
			turns_quiet(&a->turns, above) / turns_quiet(&a->turns, below));
	}
}

int appends_measure(double seconds)
{
	static struct appends a = {.turns = {.sides = APPENDS_SIDES}};
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	double end = now_ns() + seconds * 1e9;
	tierpool *pool;
	int error;

	options.max_size = LARGEST;
	error = tierpool_create(&pool, &options);
	if (error)
		return error;
	for (unsigned i = 0; i < BUFFERS; i++) {
		a.buffer[i] = tierpool_get_sized(pool, LARGEST + (i == ABOVE));
		if (!a.buffer[i])
			error = -errno;
	}
	if (!error) {
		do
			turns_run(&a.turns, appends_turn, &a);
		while (now_ns() < end);
		for (unsigned i = 0; i < BUFFERS && !error; i++)
			error = tierpool_buf_error(a.buffer[i]);
		appends_print(&a);
	}
	for (unsigned i = 0; i < BUFFERS; i++)
		tierpool_put(a.buffer[i]);
	tierpool_destroy(pool);
	return error;
}
