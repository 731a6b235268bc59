/* SPDX-License-Identifier: MIT */
/*
 * TIERPOOL_TRACE: the records of each call, with their numbers. Their order among threads is in
 * test_trace_order.c; test_replay_program.c has what replay_trace makes of a trace.
 */
#include <sched.h>
#include <stdio.h>

#include "traced_program.h"

TestSuite(trace, .init = folder_new, .fini = folder_end, .timeout = 50);

static tierpool_site site = TIERPOOL_SITE_INIT("encode");

static void trace_ends(struct decoder *d)
{
	decoder_take(d, 0);
	decoder_close(d);
}

static void assert_pool(const struct decoded *r, uint64_t retain, uint64_t max_idle,
	uint64_t decay_ms, uint64_t alignment, uint64_t calibrate_every, const char *name)
{
	cr_assert_eq(r->retain, retain);
	cr_assert_eq(r->max_idle, max_idle);
	cr_assert_eq(r->decay_ms, decay_ms);
	cr_assert_eq(r->alignment, alignment);
	cr_assert_eq(r->calibrate_every, calibrate_every);
	cr_assert_str_eq(r->text[0], name);
}

static void assert_site(const struct decoded *r, uint64_t number, unsigned line, const char *file,
	const char *label)
{
	cr_assert_eq(r->site, number);
	cr_assert_eq(r->line, line);
	cr_assert_str_eq(r->text[0], file);
	cr_assert_str_eq(r->text[1], label);
}

/* Returns: the id. */
static uint64_t take_get(struct decoder *d, uint64_t number, size_t n, size_t cap)
{
	struct decoded r = decoder_take(d, 'G');

	cr_assert_eq(r.site, number);
	cr_assert_eq(r.n, n);
	cr_assert_eq(r.cap, cap);
	return r.id;
}

static void take_growth(struct decoder *d, uint64_t id, size_t need, size_t kept)
{
	struct decoded r = decoder_take(d, 'R');

	cr_assert_eq(r.id, id);
	cr_assert_eq(r.need, need);
	cr_assert_eq(r.kept, kept);
}

static void take_put(struct decoder *d, uint64_t id, size_t len, size_t cap)
{
	struct decoded r = decoder_take(d, 'T');

	cr_assert_eq(r.id, id);
	cr_assert_eq(r.len, len);
	cr_assert_eq(r.cap, cap);
}

static void two_buffers(void)
{
	static const char text[2000];
	tierpool *pool = MAKE(TIERS);
	tierpool_buf *b = (tierpool_get)(pool), *c = tierpool_get_at(pool, 2000, &site);

	NEED(b && c && !tierpool_buf_append(b, text, 1000));
	NEED(!tierpool_buf_append(b, text, 500) && !tierpool_buf_reserve(c, 5000));
	c->len = 3;
	tierpool_put(b);
	tierpool_put(c);
	tierpool_put(tierpool_get_at(pool, 0, &site));
	tierpool_put((tierpool_get_sized)(pool, 100));
	NEED(!tierpool_buf_set(b = tierpool_get_at(pool, 1, NULL), text, 1025));
	tierpool_put(b);
	tierpool_destroy(pool);
}

Test(trace, has_each_call_with_its_numbers_and_a_site_once_before_its_first_get)
{
	struct decoder d = program_trace(two_buffers);
	struct decoded r = decoder_take(&d, 'P');
	uint64_t pool = r.pool, b, c;

	cr_assert(
		r.tier_count == 3 && r.tier[0] == 1024 && r.tier[1] == 4096 && r.tier[2] == 16384);
	r = decoder_take(&d, 'S');
	cr_assert_eq(r.pool, pool);
	assert_site(&r, 1, 0, "", "");
	b = take_get(&d, 1, 0, 1024);
	r = decoder_take(&d, 'S');
	cr_assert_eq(r.pool, pool);
	assert_site(&r, 2, site.tp_line, __FILE__, "encode");
	c = take_get(&d, 2, 2000, 4096);
	cr_assert_neq(b, c);
	take_growth(&d, b, 1500, 1000);
	take_growth(&d, c, 5000, 0);
	take_put(&d, b, 1500, 4096);
	take_put(&d, c, 3, 16384);
	take_put(&d, take_get(&d, 2, 0, 1024), 0, 1024);
	take_put(&d, take_get(&d, 1, 100, 1024), 0, 1024);
	b = take_get(&d, 1, 1, 1024);
	take_growth(&d, b, 1025, 0);
	take_put(&d, b, 1025, 4096);
	trace_ends(&d);
}

static void a_buffer_for_a_while(void)
{
	tierpool_buf *b = tierpool_get(tierpool_default());

	NEED(b && !usleep(30000));
	tierpool_put(b);
}

Test(trace, has_the_cpu_and_the_time_of_gets_and_puts)
{
	struct decoder d;
	struct decoded get, put;

	stay_on_this_cpu();
	d = program_trace(a_buffer_for_a_while);
	decoder_take(&d, 'P');
	decoder_take(&d, 'S');
	get = decoder_take(&d, 'G');
	put = decoder_take(&d, 'T');
	cr_assert_eq(get.ns, 0);
	cr_assert_eq(get.cpu, (uint64_t)sched_getcpu());
	cr_assert_eq(put.cpu, (uint64_t)sched_getcpu());
	cr_assert(put.ns >= 30000000 && put.ns < 40000000000, "%zu ns", (size_t)put.ns);
	trace_ends(&d);
}

static void pools_with_options(void)
{
	(void)program_pool(NULL);
	(void)MAKE(.name = "never", .retain = TIERPOOL_RETAIN_NONE,
		.decay_ms = TIERPOOL_DECAY_NEVER, .calibrate_every = 300);
	(void)MAKE(.name = "most", .retain = 5 * MIB, .max_idle = 77, .decay_ms = 9000,
		.alignment = 256, TIERS);
}

Test(trace, has_the_options_of_each_pool_in_force)
{
	struct decoder d = program_trace(pools_with_options);
	struct decoded first = decoder_take(&d, 'P'), second = decoder_take(&d, 'P'),
		       third = decoder_take(&d, 'P');

	assert_pool(&first, 64 * MIB, 0, 10000, 64, 2048, "tierpool");
	cr_assert_eq(first.tier_count, 19);
	cr_assert(first.tier[0] == 64 && first.tier[18] == 16 * MIB);
	assert_pool(&second, 1, 0, 0, 64, 300, "never");
	assert_pool(&third, 5 * MIB, 77, 9000, 256, 0, "most");
	cr_assert(
		first.pool != second.pool && second.pool != third.pool && third.pool != first.pool);
	trace_ends(&d);
}

static void two_pools_at_one_site(void)
{
	static tierpool_site later = TIERPOOL_SITE_INIT("later");
	tierpool *pool[2] = {MAKE(TIERS), MAKE(TIERS)};
	tierpool_buf *b;

	for (int i = 0; i < 4; i++)
		tierpool_put(tierpool_get_at(pool[i % 2], 0, &site));
	tierpool_put(tierpool_get_at(pool[1], 0, &later));
	b = tierpool_get_at(pool[1], 0, &site);
	NEED(b);
	NEED(tierpool_destroy(pool[1]) == 1);
	tierpool_put(tierpool_get_at(pool[0], 0, &site));
	/* It may grow yet, and its put frees the pool. */
	NEED(!tierpool_buf_reserve(b, 1025));
	tierpool_put(b);
	tierpool_destroy(pool[0]);
}

Test(trace, tells_pools_apart_also_one_that_is_destroyed_while_a_buffer_is_out)
{
	struct decoder d = program_trace(two_pools_at_one_site);
	uint64_t pool[2] = {decoder_take(&d, 'P').pool, decoder_take(&d, 'P').pool}, id;
	struct decoded r;

	for (int i = 0; i < 4; i++) {
		if (i < 2) {
			r = decoder_take(&d, 'S');
			cr_assert_eq(r.pool, pool[i]);
			assert_site(&r, 2, site.tp_line, __FILE__, "encode");
		}
		r = decoder_take(&d, 'G');
		cr_assert(r.pool == pool[i % 2] && r.site == 2);
		take_put(&d, r.id, 0, 1024);
	}
	r = decoder_take(&d, 'S');
	cr_assert(r.pool == pool[1] && r.site == 3);
	take_put(&d, take_get(&d, 3, 0, 1024), 0, 1024);
	id = take_get(&d, 2, 0, 1024);
	take_put(&d, take_get(&d, 2, 0, 1024), 0, 1024);
	take_growth(&d, id, 1025, 0);
	take_put(&d, id, 0, 4096);
	trace_ends(&d);
}

static void a_secret_that_grows(void)
{
	tierpool *pool = MAKE(TIERS);
	tierpool_buf *b = tierpool_get_at(pool, 1000, NULL);

	NEED(b);
	tierpool_buf_secret(b);
	NEED(!tierpool_buf_append_str(b, "secret") && !tierpool_buf_reserve(b, 2000));
	tierpool_put(b);
	tierpool_destroy(pool);
}

Test(trace, has_a_secret_buffer_as_any_other)
{
	struct decoder d = program_trace(a_secret_that_grows);
	uint64_t id;

	decoder_take(&d, 'P');
	decoder_take(&d, 'S');
	id = take_get(&d, 1, 1000, 1024);
	take_growth(&d, id, 2006, 6);
	take_put(&d, id, 6, 4096);
	trace_ends(&d);
}

/* Two growths out of the tiers; and whether pages were moved: then there was no second block. */
static void above_the_tiers(void)
{
	tierpool *pool = MAKE(.max_size = 1 * MIB);
	tierpool_buf *b = tierpool_get_at(pool, 3 * MIB, NULL);
	struct tierpool_stats s = {.size = sizeof s};

	NEED(b && b->cap == 3 * MIB && !tierpool_buf_append_str(b, "moved"));
	NEED(!tierpool_buf_reserve(b, 4 * MIB) && b->cap == 6 * MIB);
	NEED(!tierpool_stats_read(pool, &s) && s.grows == 1);
	if (s.allocs == 1)
		NEED(fopen("moved", "w"));
	tierpool_put(b);
	b = tierpool_get_at(pool, 1 * MIB, NULL);
	NEED(b);
	NEED(!tierpool_buf_append_str(b, "copied or moved") && !tierpool_buf_reserve(b, 1 * MIB));
	tierpool_put(b);
	tierpool_destroy(pool);
}

Test(trace, has_growths_above_the_largest_tier_also_by_moved_pages)
{
	struct decoder d = program_trace(above_the_tiers);
	uint64_t id;

	decoder_take(&d, 'P');
	decoder_take(&d, 'S');
	id = take_get(&d, 1, 3 * MIB, 3 * MIB);
	take_growth(&d, id, 4 * MIB + 5, 5);
	take_put(&d, id, 5, 6 * MIB);
	id = take_get(&d, 1, 1 * MIB, 1 * MIB);
	take_growth(&d, id, 1 * MIB + 15, 15);
	take_put(&d, id, 15, 2 * MIB);
	trace_ends(&d);
	if (access("moved", F_OK))
		skip("this backing moves no pages");
}

static void buffers_out(void)
{
	tierpool *pool = MAKE(TIERS);
	/* For a sanitizer: these blocks are not lost. */
	static char *blocks[2];
	tierpool_buf *b = tierpool_get_at(pool, 0, &site), *c = tierpool_get_at(pool, 0, &site);

	NEED(b && c && !tierpool_buf_reserve(b, 2000));
	blocks[0] = b->data;
	blocks[1] = c->data;
	(void)blocks;
}

Test(trace, is_whole_if_the_program_ends_with_buffers_out)
{
	struct decoder d = program_trace(buffers_out);
	uint64_t id;

	decoder_take(&d, 'P');
	decoder_take(&d, 'S');
	id = take_get(&d, 2, 0, 1024);
	take_get(&d, 2, 0, 1024);
	take_growth(&d, id, 2000, 0);
	trace_ends(&d);
}
