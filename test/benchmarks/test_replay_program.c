/* SPDX-License-Identifier: MIT */
/*
 * A program that is traced, and its trace that is replayed: both tell the same, to the last growth.
 * A program is a child, as the trace is whole only once it has ended; it borrows on one CPU, as a
 * replay does, and no pool of it decays. REPLAY_TRACE is the path of replay_trace.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <tierpool.h>

#include "child.h"
#include "cpus.h"
#include "pool_checks.h"
#include "random.h"
#include "replay_report.h"

#define GETS 60000

/* What the pools' statistics say when the program is done; memory that the child has too. */
static struct told {
	uint64_t gets, grows, blocks, drops;
} * told;

static void start(void)
{
	replay_folder_new(REPLAY_TRACE);
	stay_on_this_cpu();
	told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(told, MAP_FAILED);
}

TestSuite(replay_program, .init = start, .fini = folder_end, .timeout = 60);

/* ---- in the child ---- */

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "the program fails: %s\n", what);
	_exit(1);
}

#define POOL(...) program_pool(&pool_options(.decay_ms = TIERPOOL_DECAY_NEVER, __VA_ARGS__))

static tierpool *program_pool(const struct tierpool_options *options)
{
	tierpool *pool = NULL;

	if (tierpool_create(&pool, options))
		fail("no pool");
	return pool;
}

/* Pieces of a line, as an encoder appends them. */
static void fill_and_put(tierpool_buf *b, size_t len)
{
	static const char text[700];

	for (size_t piece; len; len -= piece) {
		piece = len < sizeof text ? len : sizeof text;
		if (tierpool_buf_append(b, text, piece))
			fail("no growth");
	}
	tierpool_put(b);
}

static void tell(tierpool *pool)
{
	struct tierpool_stats s = {.size = sizeof s};

	if (tierpool_stats_read(pool, &s))
		fail("no statistics");
	told->gets += s.gets;
	told->grows += s.grows;
	told->blocks += s.allocs;
	told->drops += s.frees;
	tierpool_destroy(pool);
}

/* ---- runs ---- */

static void run(const char *trace, void (*program)(void))
{
	struct child child;
	char said[1024];
	int status;

	*told = (struct told){0};
	if (child_begin(&child)) {
		alarm(50);
		if (trace && setenv("TIERPOOL_TRACE", trace, 1))
			fail("setenv");
		program();
		exit(0);
	}
	status = child_end(&child, said, sizeof said);
	cr_assert_eq(status, 0, "status %#x: %s", (unsigned)status, said);
}

static void assert_same(void (*program)(void))
{
	struct told untraced;

	run(NULL, program);
	untraced = *told;
	run("trace", program);
	cr_assert(told->gets == untraced.gets && told->grows == untraced.grows &&
			  told->blocks == untraced.blocks && told->drops == untraced.drops,
		"%zu growths and %zu blocks if it is traced, else %zu and %zu", (size_t)told->grows,
		(size_t)told->blocks, (size_t)untraced.grows, (size_t)untraced.blocks);
	replay_run("trace");
	replay_assert("tierpool", "gets", (double)told->gets);
	replay_assert("tierpool", "growths", (double)told->grows / (double)told->gets);
	replay_assert("tierpool", "blocks", (double)told->blocks / (double)told->gets);
	replay_assert("tierpool", "drops", (double)told->drops);
}

/* ---- programs ---- */

/* What four places use: a mix, powers of two, a size that is asked for, and two at once. */
static void several_sites(void)
{
	tierpool *pool = POOL(.name = "several");
	uint64_t random = 1;
	tierpool_buf *b;

	for (int i = 0; i < GETS; i++) {
		size_t len = next_random(&random) % 300;

		switch (next_random(&random) % 4) {
		case 0:
			b = tierpool_get(pool);
			fill_and_put(b, next_random(&random) % 100 < 6 ? 100000 : len);
			break;
		case 1:
			fill_and_put(tierpool_get(pool), (size_t)1 << next_random(&random) % 18);
			break;
		case 2:
			fill_and_put(tierpool_get_sized(pool, 5000), 10 * len + 2900);
			break;
		default:
			b = tierpool_get_sized(pool, 200);
			fill_and_put((tierpool_get)(pool), 16 * len);
			fill_and_put(b, len);
		}
	}
	tell(pool);
}

Test(replay_program, of_several_sites_is_replayed_exactly)
{
	assert_same(several_sites);
	cr_assert_gt(told->grows, 1000);
}

/* The default goes up in the middle. Gets see that only after a while, each pool's at its own time. */
static void phases_in_two_pools(void)
{
	static tierpool_site site = TIERPOOL_SITE_INIT("both");
	tierpool *pool[2] = {POOL(.name = "one"), POOL(.name = "other")};

	for (int i = 0; i < GETS; i++)
		fill_and_put(
			tierpool_get_at(pool[i % 3 == 0], 0, &site), i < GETS / 2 ? 200 : 20000);
	tell(pool[0]);
	tell(pool[1]);
}

Test(replay_program, whose_sizes_change_is_replayed_exactly)
{
	assert_same(phases_in_two_pools);
	cr_assert_gt(told->grows, 10000);
}

/* Each of eight buffers with a block; two may stay. Beyond the tiers pages are moved. */
static void other_options(void)
{
	static const size_t tiers[] = {1000, 3000, 50000};
	tierpool *few = POOL(.name = "few", .tiers = tiers, .tier_count = 3, .max_idle = 2,
		.calibrate_every = TIERPOOL_CALIBRATE_OFF);
	tierpool *often = POOL(.name = "often", .calibrate_every = 64);
	tierpool *none = POOL(.name = "none", .max_size = MIB, .steps = 4, .alignment = 256,
		.retain = TIERPOOL_RETAIN_NONE, .calibrate_every = TIERPOOL_CALIBRATE_OFF);
	tierpool_buf *b[8];

	for (int i = 0; i < 500; i++) {
		for (int j = 0; j < 8; j++)
			b[j] = tierpool_get_sized(few, 2000);
		for (int j = 0; j < 8; j++)
			tierpool_put(b[j]);
		fill_and_put(tierpool_get(few), 40000);
		fill_and_put(tierpool_get(none), 5000);
		fill_and_put(tierpool_get(often), (size_t)i / 50 % 2 ? 20000 : 3000);
	}
	for (int i = 0; i < 10; i++)
		fill_and_put(tierpool_get_sized(none, 3 * MIB), 5 * MIB);
	tell(few);
	tell(often);
	tell(none);
}

Test(replay_program, with_other_options_is_replayed_exactly_with_the_same)
{
	assert_same(other_options);
	cr_assert_gt(told->drops, 3000);
}
