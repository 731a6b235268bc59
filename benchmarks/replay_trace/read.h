/* SPDX-License-Identifier: MIT */
/*
 * Reads a trace from a file. benchmarks/README.md has the format.
 */
#ifndef READ_H
#define READ_H

#include <stddef.h>

#include "trace.h"

/* What was read besides the trace itself. */
struct reading {
	size_t records;
	const char *wrong; /* what is impossible; NULL: nothing */
	size_t offset;     /* of what is wrong, or of the record that was cut short */
	bool cut;          /* the last record is incomplete, and was left out */
};

/*
 * Reads the whole file. If something in it is wrong, the trace has what stands before.
 * Returns: 0; -errno: it cannot be read.
 */
int trace_read(struct trace *t, const char *path, struct reading *reading);

#endif
