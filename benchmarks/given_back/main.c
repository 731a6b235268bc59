/* SPDX-License-Identifier: MIT */
/*
 * given_back: what of a burst stays resident when the pool keeps nothing of it any more, and whether
 * the bound on idle bytes is true. Both are questions to a pool and the malloc below it, so the
 * program is run with several; see benchmarks/README.md. It calls nothing but the public interface.
 *
 * Every figure comes from a process of its own.
 *
 * Exit status: 0, whatever the figures; 2: wrong usage, or something failed; 77: the system does not
 * tell what is resident.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <tierpool.h>

#include "bound.h"
#include "left.h"
#include "process.h"
#include "support/child.h"
#include "support/program.h"

#define DECAY_DEFAULT 400
#define BOUND_LEAST ((size_t)64)
#define BOUND_MOST ((size_t)8 << 20)
#define BOUND_ALONE ((size_t)33000) /* just above what many allocators round to */

#define LEFT_SIZES 8

static const size_t left_sizes[LEFT_SIZES] = {
	512, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 8 << 20};

/* ---- the setting ---- */

/* In a process of its own, since the parent of all must not have a pool. */
static void setting_show(const void *job, void *result)
{
	const double *decay = job;

	(void)result;
	setting_print(
		"given_back", LEFT_SIZES * 2 * LEFT_DECAYS * *decay / 1000, tierpool_default());
	printf("malloc: %s\n", library_of(dlsym(RTLD_DEFAULT, "malloc")));
	fflush(stdout);
}

/* ---- what is left of a burst ---- */

static void left_head_print(double decay)
{
	printf("\nWhat is left of a burst of %zu MiB, all put back: resident, in %% of what\n"
	       "it took; the pool's tables (overhead_bytes) and idle_bytes, in KiB. Decay:\n"
	       "%.0f ms; the pool has %.2f of them, two and a margin. kept: how much of the\n"
	       "burst was idle after the puts, in %%.\n",
		LEFT_BURST >> 20, decay, LEFT_DECAYS);
	printf("  %6s %6s %6s  %26s  %26s  %26s\n", "", "", "", "tierpool_trim(pool, 0)",
		"two decays, the reaper", "two decays, 1 KiB in use");
	printf("  %6s %6s %6s", "bytes", "MiB", "kept");
	for (unsigned way = 0; way < LEFT_WAYS; way++)
		printf("  %7s %8s %9s", "left", "tables", "idle");
	putchar('\n');
}

static void left_row_print(size_t size, const struct left left[LEFT_WAYS])
{
	double kept = left[0].kept;

	for (unsigned way = 1; way < LEFT_WAYS; way++)
		if (left[way].kept < kept)
			kept = left[way].kept;
	printf("  %6s %6.1f %6.1f", size_text(size), left[0].burst / MIB, 100 * kept);
	for (unsigned way = 0; way < LEFT_WAYS; way++)
		printf("  %6.1f%% %8.1f %9.1f", 100 * left[way].part, left[way].tables / KIB,
			left[way].idle / KIB);
	putchar('\n');
}

/* Returns: as child_run. */
static int left_show(double decay)
{
	left_head_print(decay);
	for (unsigned i = 0; i < LEFT_SIZES; i++) {
		struct left left[LEFT_WAYS];
		int error = 0;

		for (unsigned way = 0; way < LEFT_WAYS && !error; way++)
			error = left_measure(&left[way], left_sizes[i], way, decay);
		if (error)
			return error;
		left_row_print(left_sizes[i], left);
	}
	return 0;
}

/* ---- whether the bound is true ---- */

/* The worst of all tiers. */
struct worst {
	double ratio, highest;
};

static double bound_ratio(const struct bound *b)
{
	return b->resident / (b->counted + b->tables);
}

static void bound_row_print(const char *size, const struct bound *b, struct worst *worst)
{
	if (!b->idle) {
		printf("  %6s nothing is kept\n", size);
		return;
	}
	printf("  %6s %8zu %6llu %9.1f %8.1f %9.2f %9.2f %8.3f %9.4f\n", size, b->idle,
		(unsigned long long)b->freed, b->counted / (double)b->idle, b->tables / KIB,
		b->counted / MIB, b->resident / MIB, bound_ratio(b), b->highest);
	if (bound_ratio(b) > worst->ratio)
		worst->ratio = bound_ratio(b);
	if (b->highest > worst->highest)
		worst->highest = b->highest;
}

static int bound_row_show(size_t size, bool alone, struct worst *worst)
{
	struct bound bound;
	char text[24];
	int error = bound_measure(&bound, size, alone);

	if (error)
		return error;
	snprintf(text, sizeof text, "%zu", size);
	bound_row_print(alone ? text : size_text(size), &bound, worst);
	return 0;
}

/* Returns: as child_run. */
static int bound_show(void)
{
	struct worst worst = {0, 0};
	int error = 0;

	printf("\nA pool that keeps as many buffers of a tier as its retain of %zu MiB holds,\n"
	       "all written. freed: at the puts; a buffer: what one counts; counted:\n"
	       "idle_bytes; tables: overhead_bytes; resident: more than before the pool was\n"
	       "made; ratio: resident / (counted + tables), true up to 1.02; highest: the\n"
	       "most idle_bytes read during puts, also of more buffers than fit, by retain.\n"
	       "%zu: the only tier of its pool.\n",
		BOUND_RETAIN >> 20, BOUND_ALONE);
	printf("  %6s %8s %6s %9s %8s %9s %9s %8s %9s\n", "bytes", "kept", "freed", "a buffer",
		"tables", "counted", "resident", "ratio", "highest");
	printf("  %6s %8s %6s %9s %8s %9s %9s\n", "", "", "", "bytes", "KiB", "MiB", "MiB");
	for (size_t size = BOUND_LEAST; size <= BOUND_MOST && !error; size *= 2)
		error = bound_row_show(size, false, &worst);
	if (!error)
		error = bound_row_show(BOUND_ALONE, true, &worst);
	if (!error)
		printf("The largest ratio is %.3f, the largest idle_bytes %.6f of retain.\n",
			worst.ratio, worst.highest);
	return error;
}

/* ---- the program ---- */

static const char usage[] =
	"Usage: given_back [option]...\n"
	"Measures what of a burst stays resident after it, and whether the bound is true.\n"
	"\n"
	"  -d, --decay MS  the pools' decay in milliseconds, 50 to 100000; by default 400\n"
	"  -h, --help      show this\n";

int main(int argc, char **argv)
{
	double decay = DECAY_DEFAULT;
	const struct choice choices[] = {{"decay", .number = &decay, 50, 1e5, .whole = true}};
	int status = options_read("given_back", usage, choices, 1, NULL, argc, argv), error;

	if (status)
		return status < 0 ? 0 : status;
	if (!process_resident_known()) {
		puts("given_back: skipped: this kernel has no /proc/self/smaps_rollup");
		return SKIPPED;
	}
	error = child_run(setting_show, &decay, NULL, 0);
	if (!error)
		error = left_show(decay);
	if (!error)
		error = bound_show();
	if (!error && fflush(stdout))
		error = -errno;
	if (!error)
		return 0;
	if (error != -ECANCELED)
		fprintf(stderr, "given_back: %s\n", strerror(-error));
	return FAILED;
}
