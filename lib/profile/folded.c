/* SPDX-License-Identifier: MIT */
/*
 * The profile as folded stacks, for flamegraph.pl, inferno and speedscope: a line is the functions
 * of a stack, main first, and the site, with ';' between them; then a space, and the bytes that
 * were borrowed there (of each buffer its largest capacity).
 *
 *   main;serve;log_line;log.c:88 65536
 *
 * A function without a name is "file+0x1234", its place in the file.
 */
#include "profile/write.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "profile/figures.h"

/* Without what parts frames and lines. */
static void folded_write_name(FILE *out, const char *name)
{
	while (*name) {
		size_t length = tp_figure_character(name);

		if (!length || (unsigned char)*name < ' ' || *name == '\x7f' || *name == ';')
			fputc(*name == ';' ? ':' : '?', out);
		else
			fwrite(name, 1, length, out);
		name += length ? length : 1;
	}
}

int tp_profile_write_folded(FILE *out, const struct tp_snapshot *snapshot)
{
	struct tp_symbols *symbols;
	int error = tp_profile_symbols(&symbols, snapshot);

	if (error)
		return error;
	for (size_t i = 0; i < snapshot->stacks; i++) {
		const struct tp_snapshot_stack *stack = &snapshot->stack[i];
		int64_t bytes = tp_profile_values(stack).alloc_space;
		char place[4096], name[4096];

		if (!bytes)
			continue;
		for (unsigned frame = stack->depth; frame--;) {
			tp_profile_frame(name, sizeof name, symbols, stack->frames[frame]);
			folded_write_name(out, name);
			fputc(';', out);
		}
		tp_profile_place(place, sizeof place, &snapshot->site[stack->site], false);
		folded_write_name(out, place);
		fprintf(out, " %" PRId64 "\n", bytes);
	}
	tp_symbols_free(symbols);
	return ferror(out) ? -EIO : 0;
}
