/* SPDX-License-Identifier: MIT */
/*
 * Runs replay_trace, and reads the comma-separated values that it prints.
 */
#ifndef REPLAY_REPORT_H
#define REPLAY_REPORT_H

#include "folder.h"

/* As folder_new. program: the path of replay_trace, for all that follows. */
void replay_folder_new(const char *program);

/* Asserts that the program ends with this status, and prints the message somewhere. */
void replay_says(const char *arguments, int expected, const char *message);

/* Asserts that it succeeds. The functions below are about the last run. */
void replay_run(const char *arguments);

/* The same with the trace of replay_file.h. */
void record_replay(void);

/*
 * part: "all" or "second"; column: as in the head of the table.
 * Returns: the figure, which is asserted to be there.
 */
double replay_figure(const char *contender, const char *part, const char *column);

/* Asserts that the figure of all gets is the expected one. */
void replay_assert(const char *contender, const char *column, double expected);

/* Returns: a figure of a site, by its place in the table, from 0. */
double replay_site(unsigned site, const char *column);

/* Returns: the words "size@get" of its defaults, in order. */
const char *replay_site_defaults(unsigned site);

#endif
