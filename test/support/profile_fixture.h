/* SPDX-License-Identifier: MIT */
/*
 * Snapshots of a profile made by hand, and what a writer makes of them. For tests that use
 * Criterion.
 */
#ifndef PROFILE_FIXTURE_H
#define PROFILE_FIXTURE_H

#include <criterion/criterion.h>

#include "profile/write.h"

typedef int profile_writer(FILE *out, const struct tp_snapshot *snapshot);

/* What it writes, with a NUL behind it; the length is in *length, if that is not NULL. */
char *profile_written(profile_writer *write, const struct tp_snapshot *snapshot, size_t *length);

/* A snapshot of arrays. */
#define SNAPSHOT(site_array, stack_array, ...)                         \
	((struct tp_snapshot){.site = (site_array),                    \
		.sites = sizeof(site_array) / sizeof *(site_array),    \
		.stack = (stack_array),                                \
		.stacks = sizeof(stack_array) / sizeof *(stack_array), \
		__VA_ARGS__})

/* A stack of calls whose addresses are an array. */
#define STACK(site_index, address_array, ...)                             \
	((struct tp_snapshot_stack){.site = (site_index),                 \
		.frames = (address_array),                                \
		.depth = sizeof(address_array) / sizeof *(address_array), \
		__VA_ARGS__})

/* An address inside a function. */
#define INSIDE(function) ((uintptr_t)(function))

/* Finds that a writer reports a stream that fails, and an allocation that does. */
void profile_reports_errors(profile_writer *write, const struct tp_snapshot *snapshot);

#endif
