/* SPDX-License-Identifier: MIT */
/*
 * The profile in the classic text format of heap profiles, for google-pprof and jeprof; go tool
 * pprof and pprof read it too. Names come from the program's file, which the viewer reads: it must
 * be where it was, and not stripped; with a space in its path names are lost. go tool pprof names
 * only what DWARF names there: with -g, without -flto. With DWARF viewers show tierpool_get_at,
 * which is inlined, below the borrower: its numbers are cumulative ones. proto.c has no such
 * limits.
 *
 * What viewers are strict about:
 *   - the first line is the head, without a comment before it. Its type is heapprofile: weights
 *     are applied already, and heap_v2/N would scale them again
 *   - no space before a "]"
 *   - numbers are integers, and no line has bytes without a buffer
 *   - Go's pprof has alloc_space only if the totals of the head differ
 *   - the raw /proc/self/maps at the end
 * Addresses lie inside their calls. Viewers subtract 1 of some, which still is the same call.
 */
#include "profile/write.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

static void pprof_write_values(FILE *out, const struct tp_profile_values *v)
{
	fprintf(out, "%" PRId64 ": %" PRId64 " [%" PRId64 ": %" PRId64 "] @", v->inuse_objects,
		v->inuse_space, v->alloc_objects, v->alloc_space);
}

static void pprof_write_head(FILE *out, const struct tp_snapshot *snapshot)
{
	struct tp_profile_values sum = {0};

	for (size_t i = 0; i < snapshot->stacks; i++) {
		struct tp_profile_values v = tp_profile_values(&snapshot->stack[i]);

		sum.inuse_objects += v.inuse_objects;
		sum.inuse_space += v.inuse_space;
		sum.alloc_objects += v.alloc_objects;
		sum.alloc_space += v.alloc_space;
	}
	/* If nothing was put yet the two are the same. No viewer shows the head's totals. */
	if (sum.alloc_space && sum.alloc_space == sum.inuse_space &&
		sum.alloc_objects == sum.inuse_objects)
		sum.alloc_space++;
	fputs("heap profile: ", out);
	pprof_write_values(out, &sum);
	fputs(" heapprofile\n", out);
}

static void pprof_write_stack(FILE *out, const struct tp_snapshot_stack *stack)
{
	struct tp_profile_values v = tp_profile_values(stack);

	if (!v.alloc_objects)
		return;
	pprof_write_values(out, &v);
	for (unsigned i = 0; i < stack->depth; i++)
		fprintf(out, " 0x%" PRIxPTR, stack->frames[i]);
	/* A line without an address is taken for an end. */
	if (!stack->depth)
		fputs(" 0x1", out);
	fputc('\n', out);
}

static void pprof_write_maps(FILE *out)
{
	char bytes[4096];
	ssize_t n;
	int file = open(TP_SYMBOLS_MAPS, O_RDONLY | O_CLOEXEC);

	fputs("\nMAPPED_LIBRARIES:\n", out);
	if (file < 0)
		return;
	while ((n = read(file, bytes, sizeof bytes)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			fwrite(bytes, 1, (size_t)n, out);
	close(file);
}

int tp_profile_write_pprof(FILE *out, const struct tp_snapshot *snapshot)
{
	pprof_write_head(out, snapshot);
	for (size_t i = 0; i < snapshot->stacks; i++)
		pprof_write_stack(out, &snapshot->stack[i]);
	pprof_write_maps(out);
	return ferror(out) ? -EIO : 0;
}
