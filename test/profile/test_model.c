/* SPDX-License-Identifier: MIT */
/*
 * The model against the pool that it is a model of: the same calls to both, by a thread that stays on
 * one CPU, or moves between two.
 */
#include "pool_checks.h"

#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pool/model_options.h"

#define GETS 20000
#define GET_NS 3000 /* from one to the next */
#define OUT_MOST 400
#define BOUNDS 7

static const size_t bounds[BOUNDS] = {
	10 * KIB, 30 * KIB, 100 * KIB, 300 * KIB, MIB, 3 * MIB, 10 * MIB};

/* What is played; each bit of what: besides gets and puts. */
enum { GROWTHS = 1, TICKS = 2 };
struct kind {
	unsigned cpus, what;
	size_t most; /* bytes of a buffer */
};

struct play {
	tierpool *pool;
	struct tp_model *model; /* of all bounds */
	unsigned bound;         /* index: that of the pool */
	uint64_t random;
	tierpool_buf *out[OUT_MOST];
	unsigned count;
};

TestSuite(model, .timeout = 100);

/* ---- calls to both ---- */

static unsigned cpu_now(void)
{
	return (unsigned)sched_getcpu();
}

/* The clock of the library while a play goes on, so that no busy machine comes between two events. */
static uint64_t play_ns;

#define NS_IN_S 1000000000

/* In place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
	if (!play_ns)
		return (int)syscall(SYS_clock_gettime, clock, now);
	now->tv_sec = (time_t)(play_ns / NS_IN_S);
	now->tv_nsec = (long)(play_ns % NS_IN_S);
	return 0;
}

static unsigned play_random(struct play *p, unsigned below)
{
	return (unsigned)(next_random(&p->random) % below);
}

static void play_get(struct play *p, size_t n)
{
	unsigned tier = tp_sizeclass_of(&p->pool->sizes, n);

	tp_model_get(p->model, tier, cpu_now(), play_ns);
	p->out[p->count] = tierpool_get_sized(p->pool, n);
	cr_assert_not_null(p->out[p->count++]);
}

static void play_put(struct play *p)
{
	unsigned i = play_random(p, p->count);
	tierpool_buf *b = p->out[i];

	p->out[i] = p->out[--p->count];
	tp_model_put(p->model, b->tp_tier, cpu_now(), play_ns);
	tierpool_put(b);
}

static void play_growth(struct play *p)
{
	tierpool_buf *b = p->out[play_random(p, p->count)];
	unsigned from = b->tp_tier;

	if (b->cap > 100 * KIB)
		return;
	cr_assert_eq(tierpool_buf_reserve(b, b->cap + 1), 0);
	tp_model_grow(p->model, from, b->tp_tier, cpu_now(), play_ns);
}

static void play_tick(struct play *p)
{
	tierpool_tick(p->pool);
	tp_model_tick(p->model);
}

static struct tp_model *model_of(const tierpool *pool)
{
	struct tp_model_tier tier[TP_TIERS_MAX];
	struct tp_model_options options = tp_model_options_of(pool, tier, bounds, BOUNDS);

	return tp_model_create(&options);
}

static struct play play(unsigned bound, const struct kind *kind)
{
	struct play p = {.random = 1, .bound = bound};

	play_ns = NS_IN_S;
	p.pool = pool_new(.retain = bounds[bound], .decay_ms = TIERPOOL_DECAY_NEVER);
	p.model = model_of(p.pool);
	cr_assert_not_null(p.model);
	for (unsigned i = 0; i < GETS; i++) {
		play_ns += GET_NS;
		unsigned most = i / 2000 % 2 ? OUT_MOST : OUT_MOST / 4;

		if (kind->cpus > 1 && play_random(&p, 8) == 0)
			pin(play_random(&p, kind->cpus));
		while (p.count && (p.count >= most || play_random(&p, 2 * most) < p.count))
			play_put(&p);
		play_get(&p, 64 + kind->most / (1 + play_random(&p, 200)));
		if (kind->what & GROWTHS && play_random(&p, 4) == 0)
			play_growth(&p);
		if (kind->what & TICKS && play_random(&p, 500) == 0)
			play_tick(&p);
	}
	play_ns = 0;
	return p;
}

static void play_end(struct play *p)
{
	while (p->count)
		tierpool_put(p->out[--p->count]);
	tp_model_free(p->model);
	tierpool_destroy(p->pool);
}

static uint64_t misses_real(const struct play *p)
{
	struct tierpool_stats s = stats_of(p->pool);

	return s.gets - s.hits;
}

/* In points. */
static double error_of(const struct play *p)
{
	double real = (double)misses_real(p), model = (double)tp_model_misses(p->model, p->bound);

	cr_assert_eq(tp_model_gets(p->model), GETS);
	return 100 * (real > model ? real - model : model - real) / GETS;
}

static double error_worst(const struct kind *kind)
{
	double worst = 0;

	for (unsigned k = 0; k < BOUNDS; k++) {
		struct play p = play(k, kind);

		double error = error_of(&p);

		worst = error > worst ? error : worst;
		play_end(&p);
	}
	return worst;
}

static void assert_exact(const struct kind *kind)
{
	stay_on_this_cpu();
	for (unsigned k = 0; k < BOUNDS; k++) {
		struct play p = play(k, kind);

		cr_assert_eq(tp_model_misses(p.model, k), misses_real(&p), "bound %zu", bounds[k]);
		cr_assert_eq(tp_model_leased(p.model, k), p.pool->tiers.retain.leased);
		for (unsigned tier = 0; tier < p.pool->tiers.count; tier++)
			cr_assert_eq(tp_model_idle(p.model, k, tier),
				tp_tiers_count(&p.pool->tiers, tier));
		play_end(&p);
	}
}

/* ---- tests ---- */

Test(model, of_one_cpu_is_exact)
{
	assert_exact(&(struct kind){1, 0, 50 * KIB});
	assert_exact(&(struct kind){1, 0, 2 * MIB});
}

Test(model, of_one_cpu_is_exact_with_growths)
{
	assert_exact(&(struct kind){1, GROWTHS, 50 * KIB});
}

Test(model, of_one_cpu_with_ticks)
{
	stay_on_this_cpu();
	cr_assert_lt(error_worst(&(struct kind){1, TICKS, 50 * KIB}), 0.3);
	cr_assert_lt(error_worst(&(struct kind){1, TICKS | GROWTHS, 500 * KIB}), 0.3);
}

Test(model, of_two_cpus_is_near)
{
	if (!pin(1))
		skip("one CPU");
	cr_assert_lt(error_worst(&(struct kind){2, 0, 50 * KIB}), 1);
	cr_assert_lt(error_worst(&(struct kind){2, GROWTHS | TICKS, 500 * KIB}), 1);
}

/* The decay passes by the times of the events. */
Test(model, ticks_when_the_decay_has_passed)
{
	static const struct tp_model_tier tier = {.cost = 100, .slots = 8};
	const size_t bound = 1000;
	struct tp_model_options options = {.tier = &tier,
		.tiers = 1,
		.cpus = 1,
		.bound = &bound,
		.bounds = 1,
		.max_idle = SIZE_MAX,
		.decay_ns = 10};
	struct tp_model *m = tp_model_create(&options);

	cr_assert_not_null(m);
	cr_assert_eq(tp_model_get(m, 0, 0, 0), 1);
	tp_model_put(m, 0, 0, 0);
	cr_assert_eq(tp_model_get(m, 0, 0, 10), 0, "it is old, and there");
	tp_model_put(m, 0, 0, 11);
	tp_model_get(m, TP_TIER_NONE, 0, 20);
	cr_assert_eq(tp_model_idle(m, 0, 0), 1);
	tp_model_get(m, TP_TIER_NONE, 0, 30);
	cr_assert_eq(tp_model_idle(m, 0, 0), 0);
	cr_assert_eq(tp_model_leased(m, 0), 0);
	cr_assert_eq(tp_model_get(m, 0, 0, 30), 1);
	tp_model_free(m);
}

Test(model, keeps_no_more_than_max_idle_of_a_tier)
{
	static const struct tp_model_tier tier[2] = {
		{.cost = 100, .slots = 8}, {.cost = 200, .slots = 8}};
	const size_t bound[2] = {10000, 100000};
	struct tp_model_options options = {.tier = tier,
		.tiers = 2,
		.cpus = 1,
		.bound = bound,
		.bounds = 2,
		.max_idle = 5,
		.decay_ns = UINT64_MAX};
	struct tp_model *m = tp_model_create(&options);

	for (int i = 0; i < 20; i++)
		tp_model_put(m, 1, 0, 0);
	cr_assert_eq(tp_model_idle(m, 0, 1), 5);
	cr_assert_eq(tp_model_idle(m, 1, 1), 5);
	for (int i = 0; i < 6; i++)
		cr_assert_eq(tp_model_get(m, 1, 0, 0), i < 5 ? 0 : 3);
	tp_model_free(m);
}

/* Beyond all tiers a small block stays behind, and a large one becomes larger itself. */
Test(model, a_block_that_grows_where_it_is_does_not_stay_behind)
{
	tierpool *pool = pool_new(.tiers = (size_t[]){KIB, MIB}, .tier_count = 2,
		.decay_ms = TIERPOOL_DECAY_NEVER);
	struct tp_model_tier tier[TP_TIERS_MAX];
	struct tp_model_options options = tp_model_options_of(pool, tier, bounds, BOUNDS);
	struct tp_model *m;

	if (!pool->blocks.class || !pool->blocks.backing->runs->move)
		skip("the backing does not move blocks");
	cr_assert_eq(options.in_place, 1);
	tier[1].large = false; /* else it would not be kept anyhow */
	m = tp_model_create(&options);
	for (unsigned t = 0; t < 2; t++) {
		tierpool_buf *b = (tierpool_get_sized)(pool, pool->sizes.size[t]);

		tp_model_get(m, t, 0, 0);
		cr_assert_eq(tierpool_buf_reserve(b, 5 * MIB), 0);
		tp_model_grow(m, t, TP_TIER_NONE, 0, 0);
		cr_assert_eq(tp_tiers_count(&pool->tiers, t), t == 0);
		cr_assert_eq(tp_model_idle(m, BOUNDS - 1, t), t == 0);
		tierpool_put(b);
	}
	tp_model_free(m);
	tierpool_destroy(pool);
}

/* A copy goes on as the original does. */
Test(model, is_copied_whole)
{
	struct kind kind = {1, TICKS, 50 * KIB};
	struct play p = play(2, &kind);
	struct tp_model *copy = model_of(p.pool);

	cr_assert_not_null(copy);
	tp_model_copy(copy, p.model);
	for (unsigned i = 0; i < 3000; i++) {
		unsigned tier = play_random(&p, 8), cpu = play_random(&p, 2);
		uint64_t ns = UINT64_C(2) * NS_IN_S + i * GET_NS;

		if (play_random(&p, 2)) {
			tp_model_put(copy, tier, cpu, ns);
			tp_model_put(p.model, tier, cpu, ns);
		} else {
			cr_assert_eq(tp_model_get(copy, tier, cpu, ns),
				tp_model_get(p.model, tier, cpu, ns));
		}
	}
	for (unsigned k = 0; k < BOUNDS; k++) {
		cr_assert_eq(tp_model_misses(copy, k), tp_model_misses(p.model, k));
		cr_assert_eq(tp_model_leased(copy, k), tp_model_leased(p.model, k));
	}
	tp_model_free(copy);
	play_end(&p);
}
