/* SPDX-License-Identifier: MIT */
/*
 * Numbers and names as reports write them. Owns no state. A locale of the program changes nothing:
 * all is written by integers, and neither libm nor printf's %f is used.
 */
#ifndef TP_FIGURES_H
#define TP_FIGURES_H

#include <stddef.h>
#include <stdint.h>

/* Room for one figure. */
struct tp_figure {
	char text[24];
};

/*
 * The nearest integer; 0 of what is negative or no number; at most 2^62, so that two can be added.
 */
int64_t tp_figure_round(double x);

/* Of what is negative or no number: 0. */
double tp_figure_root(double x);

/*
 * Three digits and a unit, in at most 6 characters:
 *
 *   count     12345, 123k (1,000), 1.53M, 2.1G
 *   bytes     512, 64K (1,024), 1.53M
 *   time      of nanoseconds: 430ns, 4.1us, 2ms, 99s, 5m, 3h, 2d
 *   percent   40.1%, 0.02%; of a whole of 0: "-"
 *   ratio     0.25, 1.5, 12
 *   size      as bytes, for a sentence: 512 bytes, 64 KiB, 1.53 MiB (longer)
 */
struct tp_figure tp_figure_count(double n);
struct tp_figure tp_figure_bytes(double n);
struct tp_figure tp_figure_time(double ns);
struct tp_figure tp_figure_percent(double part, double whole);
struct tp_figure tp_figure_ratio(double ratio);
struct tp_figure tp_figure_size(double n);

/* How many bytes the UTF-8 character that begins s has; 0: none, or the end of s. */
size_t tp_figure_character(const char *s);

/*
 * Copies text to a line of its own: what is no UTF-8, or controls a terminal, becomes a question
 * mark. What does not fit is left out.
 */
void tp_figure_line(char *to, size_t size, const char *text);

#endif
