/* SPDX-License-Identifier: MIT */
/*
 * What replay_trace prints: tables to read, or comma-separated values.
 */
#ifndef REPORT_H
#define REPORT_H

#include "replay.h"
#include "sites.h"

/* Prints a name of a trace; what a terminal or a table could take for something else is '?'. */
void report_text(const char *text);

/* What was played; records 0: it was generated. */
void report_title(const char *what, size_t records, const struct trace *t, bool one_site);

void report_print(const struct trace *t, const struct result *results, size_t count,
	const struct sites_seen *seen, bool csv);

#endif
