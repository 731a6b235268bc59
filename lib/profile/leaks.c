/* SPDX-License-Identifier: MIT */
/* What is out, for TIERPOOL_DEBUG=leaks: by site and stack. */
#include <inttypes.h>
#include <pthread.h>

#include "base/debug.h"
#include "base/keep_errno.h"
#include "profile/control.h"
#include "profile/figures.h"
#include "profile/write.h"

/* Frames of a stack that are printed. */
#define FRAMES 16

/* symbols NULL: there was no memory for names. */
static void leaks_write_frame(FILE *out, const struct tp_symbols *symbols, uintptr_t frame)
{
	char text[1024];

	if (symbols)
		tp_profile_frame(text, sizeof text, symbols, frame);
	else
		snprintf(text, sizeof text, "0x%" PRIxPTR, frame);
	fputs("      ", out);
	tp_profile_write_line(out, text);
	fputc('\n', out);
}

static void leaks_write_stack(FILE *out, const struct tp_snapshot *snapshot,
	const struct tp_snapshot_stack *stack, const struct tp_symbols *symbols)
{
	const struct tp_snapshot_site *site = &snapshot->site[stack->site];
	char text[1024];

	tp_profile_place(text, sizeof text, site, true);
	fprintf(out, "  %s out, %s bytes, from ", tp_figure_count(stack->out).text,
		tp_figure_bytes(stack->out_bytes).text);
	tp_profile_write_line(out, text);
	fputs(" of ", out);
	tp_profile_write_line(out, site->pool);
	fputc('\n', out);
	for (unsigned i = 0; i < stack->depth && i < FRAMES; i++)
		leaks_write_frame(out, symbols, stack->frames[i]);
}

/* pool: its name; "": not known; NULL: of all. */
static void leaks_write_head(FILE *out, const struct tp_snapshot *snapshot, double buffers,
	double bytes, const char *pool)
{
	fputs("tierpool: ", out);
	if (pool) {
		fputs(*pool ? "pool " : "a pool", out);
		tp_profile_write_line(out, pool);
		fputs(" is destroyed", out);
	} else {
		fputs("at the end of the process", out);
	}
	fprintf(out, ": %s %s out, %s bytes\n", tp_figure_count(buffers).text,
		buffers == 1 ? "buffer is" : "buffers are", tp_figure_bytes(bytes).text);
	if (snapshot->dropped)
		fprintf(out, "  and what is out of %s more gets: they are not recorded\n",
			tp_figure_count((double)snapshot->dropped).text);
}

/* What is out of a pool, or of all (0), by stack. Nothing is written if nothing is. */
static void leaks_write(FILE *out, const struct tp_snapshot *snapshot, uint64_t pool_id)
{
	const char *pool = pool_id ? "" : NULL;
	struct tp_symbols *symbols;
	double buffers = 0, bytes = 0;

	for (size_t i = 0; i < snapshot->sites; i++)
		if (!pool_id || snapshot->site[i].pool_id == pool_id) {
			buffers += snapshot->site[i].out.sum;
			bytes += snapshot->site[i].out_bytes.sum;
			pool = pool_id ? snapshot->site[i].pool : NULL;
		}
	if (buffers < 1 && !snapshot->dropped)
		return;
	tp_profile_symbols(&symbols, snapshot);
	leaks_write_head(out, snapshot, buffers, bytes, pool);
	for (size_t i = 0; i < snapshot->stacks; i++) {
		const struct tp_snapshot_stack *stack = &snapshot->stack[i];

		if (stack->out > 0 && (!pool_id || snapshot->site[stack->site].pool_id == pool_id))
			leaks_write_stack(out, snapshot, stack, symbols);
	}
	tp_symbols_free(symbols);
}

void tp_profile_leaks_print(uint64_t pool_id)
{
	TP_KEEP_ERRNO;
	struct tp_snapshot *snapshot;
	int cancel;

	if (!tp_debug.leaks)
		return;
	/* Else the snapshot would be lost, and a destroy would end half way. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	snapshot = tp_snapshot_take();
	flockfile(stderr); /* two pools may be destroyed at once */
	if (snapshot)
		leaks_write(stderr, snapshot, pool_id);
	else
		fputs("tierpool: TIERPOOL_DEBUG=leaks: no memory to report what is out\n", stderr);
	funlockfile(stderr);
	tp_snapshot_free(snapshot);
	pthread_setcancelstate(cancel, NULL);
}
