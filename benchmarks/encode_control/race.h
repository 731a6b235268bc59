/* SPDX-License-Identifier: MIT */
/*
 * The comparison: the same records, encoded by the same code in the same run, with scratch memory
 * in five ways (ways.h).
 *
 * In a round every thread takes a piece of the input, parses it, and encodes it in each of the five
 * ways in turn, all threads in the same way at the same time; only the encoding is timed. The order
 * changes from round to round, so that each way is as often first as last. A ratio is taken within a
 * round; the report has the medians over all rounds, with the quartiles. The ways that borrow for
 * each record have a pool each, whose growths are told by record.
 */
#ifndef RACE_H
#define RACE_H

#include <stdbool.h>
#include <stdio.h>

#include "parse.h"

/*
 * Compares for that time, and prints the result to out.
 * pool: of the way that learns; that which guesses has one of its own.
 * progress: print to stderr, a terminal, how far it is.
 * Returns: 0; 2 after a message.
 */
int race_compare(tierpool *pool, struct slice text, unsigned threads, double seconds, bool progress,
	FILE *out);

#endif
