/* SPDX-License-Identifier: MIT */
/*
 * The profile in its formats, and what these share. Each function writes one snapshot and keeps
 * nothing.
 *
 *   file       read by
 *   text.c     people; advice_text.c: what the advisor says; leaks.c: of what is out
 *   proto.c    go tool pprof, pprof, Pyroscope, Perfetto, speedscope
 *   pprof.c    google-pprof (gperftools), jeprof (jemalloc); go tool pprof and pprof too
 *   folded.c   flamegraph.pl, inferno, speedscope
 *   json.c     jq, and programs
 *
 * Each writer:
 *
 * Before:   the thread cannot be cancelled.
 * Blocks:   while files are read that are mapped (all but the text).
 * Errors:   -ENOMEM; -EIO: out reports an error. What was written then is not whole.
 * Returns:  0, or a negative errno.
 */
#ifndef TP_WRITE_H
#define TP_WRITE_H

#include <stdio.h>

#include "profile/snapshot.h"
#include "profile/symbols.h"

int tp_profile_write_text(FILE *out, const struct tp_snapshot *snapshot);
int tp_profile_write_pprof(FILE *out, const struct tp_snapshot *snapshot);
int tp_profile_write_folded(FILE *out, const struct tp_snapshot *snapshot);
int tp_profile_write_json(FILE *out, const struct tp_snapshot *snapshot);
int tp_profile_write_proto(FILE *out, const struct tp_snapshot *snapshot);

/* ---- what they share ---- */

/* A number of buffers and their bytes, as viewers take them: see tp_profile_values. */
struct tp_profile_values {
	int64_t alloc_objects, alloc_space, inuse_objects, inuse_space, waste_space, regrown_space;
};

/*
 * Integers. Where there are bytes there is a buffer, and no more is in use than was borrowed: Go's
 * pprof rejects a file in which rounding has made it otherwise.
 */
struct tp_profile_values tp_profile_values(const struct tp_snapshot_stack *stack);

/*
 * "log.c:88", or what stands for calls without a site; and, if that is asked for, the label behind
 * it.
 */
void tp_profile_place(char *to, size_t size, const struct tp_snapshot_site *site, bool with_label);

/*
 * The function of a frame, whose name was looked up; or "file+0x1234", its place in the file; or the
 * address.
 */
void tp_profile_frame(char *to, size_t size, const struct tp_symbols *symbols, uintptr_t address);

/* Of all pools, for people. */
void tp_profile_write_advice(FILE *out, const struct tp_snapshot *snapshot);

/* What the advisor says of a pool: a sentence without its name and without a full stop. */
void tp_advice_sentence(char *to, size_t size, const struct tp_snapshot_advice *advice);

/* Writes text that a program has given, as tp_figure_line makes a line of it. */
void tp_profile_write_line(FILE *out, const char *text);

/* The names of all frames. Returns: as tp_symbols_find. */
int tp_profile_symbols(struct tp_symbols **out, const struct tp_snapshot *snapshot);

#endif
