/* SPDX-License-Identifier: MIT */
#include "profile/write.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "profile/figures.h"

static int64_t write_larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

struct tp_profile_values tp_profile_values(const struct tp_snapshot_stack *stack)
{
	struct tp_profile_values v = {
		.alloc_objects = tp_figure_round(stack->gets),
		.alloc_space = tp_figure_round(stack->bytes),
		.inuse_objects = tp_figure_round(stack->out),
		.inuse_space = tp_figure_round(stack->out_bytes),
		.waste_space = tp_figure_round(stack->waste),
		.regrown_space = tp_figure_round(stack->regrown),
	};

	v.inuse_objects = write_larger(v.inuse_objects, v.inuse_space > 0);
	v.alloc_objects = write_larger(v.alloc_objects, v.inuse_objects);
	v.alloc_space = write_larger(v.alloc_space, v.inuse_space);
	v.alloc_objects = write_larger(v.alloc_objects, v.alloc_space > 0);
	return v;
}

void tp_profile_place(char *to, size_t size, const struct tp_snapshot_site *site, bool with_label)
{
	if (!*site->file && !*site->label)
		snprintf(to, size, "(calls without a site)");
	else if (with_label && *site->label)
		snprintf(to, size, "%s:%u %s", site->file, site->line, site->label);
	else
		snprintf(to, size, "%s:%u", site->file, site->line);
}

void tp_profile_frame(char *to, size_t size, const struct tp_symbols *symbols, uintptr_t address)
{
	const struct tp_symbol *symbol = &symbols->symbol[tp_symbols_index(symbols, address)];
	const struct tp_mapping *m =
		symbol->mapping == TP_SYMBOLS_NONE ? NULL : &symbols->mapping[symbol->mapping];
	const char *slash = m ? strrchr(m->file, '/') : NULL;

	if (symbol->function != TP_SYMBOLS_NONE)
		snprintf(to, size, "%s", symbols->function[symbol->function]);
	else if (m && *m->file)
		snprintf(to, size, "%s+0x%" PRIx64, slash ? slash + 1 : m->file,
			(uint64_t)(address - m->start) + m->offset);
	else
		snprintf(to, size, "0x%" PRIxPTR, address);
}

void tp_profile_write_line(FILE *out, const char *text)
{
	char line[1024];

	tp_figure_line(line, sizeof line, text);
	fputs(line, out);
}

int tp_profile_symbols(struct tp_symbols **out, const struct tp_snapshot *snapshot)
{
	size_t frames = 0;
	uintptr_t *address;
	int error;

	*out = NULL;
	for (size_t i = 0; i < snapshot->stacks; i++)
		frames += snapshot->stack[i].depth;
	address = calloc(frames ? frames : 1, sizeof *address);
	if (!address)
		return -ENOMEM;
	frames = 0;
	for (size_t i = 0; i < snapshot->stacks; i++) {
		const struct tp_snapshot_stack *stack = &snapshot->stack[i];

		if (stack->depth)
			memcpy(address + frames, stack->frames, stack->depth * sizeof *address);
		frames += stack->depth;
	}
	error = tp_symbols_find(out, TP_SYMBOLS_MAPS, address, frames);
	free(address);
	return error;
}
