/* SPDX-License-Identifier: MIT */
/*
 * Threads that do everything at once, on changing CPUs, and count by tier what they do: the pool has
 * counted the same, and while they run no counter goes back.
 */
#include <pthread.h>
#include <string.h>

#include "pool/pool.h"
#include "tier_checks.h"

#define OPERATIONS 10000000 /* of all threads */
#define THREADS 4
#define HELD 8 /* buffers that a thread has borrowed at once, at most */
#define LARGEST (64 * KIB)

/* By tier; the last one is for what is larger. */
struct done {
	uint64_t gets, puts, grows, copied, held;
};

struct worker {
	struct crew *crew;
	pthread_t thread;
	uint64_t random;
	tierpool_buf *held[HELD];
	struct done done[TIERS + 1];
	unsigned faults;
};

struct crew {
	tierpool *pool;
	uint64_t operations; /* of each thread */
	bool stop;
	struct worker worker[THREADS];
};

static struct done *done_at(struct worker *me, unsigned tier)
{
	return &me->done[tier == TP_TIER_NONE ? TIERS : tier];
}

static void work_get(struct worker *me, tierpool_buf **b)
{
	/* Small sizes are asked for more often; one in 64 is oversize. */
	size_t size = next_random(&me->random) % 64 ? (size_t)64 << next_random(&me->random) % 10
						    : LARGEST + 1;

	if (next_random(&me->random) % 32 == 0)
		size = LARGEST;
	*b = (tierpool_get_sized)(me->crew->pool, size);
	if (!*b) {
		me->faults++;
		return;
	}
	done_at(me, tier_of(me->crew->pool, size))->gets++;
}

static void work_grow(struct worker *me, tierpool_buf *b)
{
	size_t keep = next_random(&me->random) % (b->cap + 1);

	if (b->cap >= LARGEST && next_random(&me->random) % 8)
		return;
	if (b->cap > 4 * LARGEST)
		return;
	b->len = keep;
	if (tierpool_buf_reserve(b, b->cap - keep + 1)) {
		me->faults++;
		return;
	}
	done_at(me, b->tp_tier)->grows++;
	done_at(me, b->tp_tier)->copied += keep;
}

static void work_put(struct worker *me, tierpool_buf **b)
{
	done_at(me, (*b)->tp_tier)->puts++;
	tierpool_put(*b);
	*b = NULL;
}

static void *work(void *argument)
{
	struct worker *me = argument;

	for (uint64_t i = 0; i < me->crew->operations; i++) {
		uint64_t dice = next_random(&me->random);
		tierpool_buf **b = &me->held[dice % HELD];

		if (!*b)
			work_get(me, b);
		else if (dice >> 8 & 1)
			work_put(me, b);
		else
			work_grow(me, *b);
		if ((dice >> 16) % 4096 == 0)
			pin((unsigned)(dice >> 32) % 4);
		if ((dice >> 16) % 65536 == 1)
			tierpool_tick(me->crew->pool);
		if ((dice >> 16) % 65536 == 2)
			tierpool_trim(me->crew->pool, 0);
	}
	for (unsigned i = 0; i < HELD; i++)
		if (me->held[i])
			done_at(me, me->held[i]->tp_tier)->held++;
	return NULL;
}

/* Which counter of a tier went back, or NULL. */
static const char *went_back(
	const struct tierpool_tier_stats *was, const struct tierpool_tier_stats *is)
{
#define COUNTER(name)             \
	if (is->name < was->name) \
		return #name " went back";
	COUNTER(gets)
	COUNTER(puts)
	COUNTER(hits_cpu)
	COUNTER(hits_depot)
	COUNTER(hits_other_cpu)
	COUNTER(hits_larger)
	COUNTER(allocs)
	COUNTER(frees)
	COUNTER(grows)
	COUNTER(grows_pooled)
	COUNTER(grow_bytes)
	COUNTER(drops_oversize)
	COUNTER(drops_retain)
	COUNTER(drops_idle_count)
	COUNTER(drops_decay)
	COUNTER(drops_trim)
	COUNTER(drops_destroy)
	COUNTER(leased_peak)
#undef COUNTER
	if (is->gets < is->hits_cpu + is->hits_depot + is->hits_other_cpu + is->hits_larger)
		return "more hits than gets";
	return NULL;
}

static void *watch(void *argument)
{
	struct tierpool_tier_stats was[TIERS] = {{0}}, is[TIERS];
	struct crew *crew = argument;
	const char *fault = NULL;

	while (!tp_load_relaxed(&crew->stop) && !fault) {
		int count = tierpool_stats_tiers(crew->pool, is, TIERS, sizeof *is);

		for (int tier = 0; tier < count && !fault; tier++)
			fault = went_back(&was[tier], &is[tier]);
		memcpy(was, is, sizeof was);
		sched_yield();
	}
	return (void *)fault;
}

/* What all threads have done is what the pool has counted, of each tier and in all. */
static void expect_exact(struct crew *crew)
{
	struct tierpool_tier_stats t[TIERS];
	struct tierpool_stats s = stats_of(crew->pool);
	unsigned count = tiers_of(crew->pool, t);
	struct done all = {0};

	for (unsigned tier = 0; tier <= TIERS; tier++) {
		struct done sum = {0};

		for (unsigned i = 0; i < THREADS; i++) {
			const struct done *one = &crew->worker[i].done[tier];

			sum.gets += one->gets;
			sum.puts += one->puts;
			sum.grows += one->grows;
			sum.copied += one->copied;
			sum.held += one->held;
		}
		all.gets += sum.gets;
		all.puts += sum.puts;
		all.grows += sum.grows;
		all.held += sum.held;
		if (tier >= count)
			continue;
		cr_assert(!tier_fault(&t[tier]), "tier %u: %s", tier, tier_fault(&t[tier]));
		cr_assert_eq(t[tier].gets, sum.gets, "tier %u: %zu gets of %zu", tier,
			(size_t)t[tier].gets, (size_t)sum.gets);
		cr_assert_eq(t[tier].puts, sum.puts, "tier %u: %zu puts of %zu", tier,
			(size_t)t[tier].puts, (size_t)sum.puts);
		cr_assert_eq(t[tier].grows, sum.grows, "tier %u: %zu growths of %zu", tier,
			(size_t)t[tier].grows, (size_t)sum.grows);
		cr_assert_eq(t[tier].grow_bytes, sum.copied, "tier %u: %zu copied of %zu", tier,
			(size_t)t[tier].grow_bytes, (size_t)sum.copied);
		cr_assert_eq(t[tier].borrowed, sum.held, "tier %u", tier);
	}
	cr_assert(s.gets == all.gets && s.puts == all.puts && s.grows == all.grows);
	cr_assert_eq(s.borrowed, all.held);
}

/* All reasons but those of max_idle and destroy have had their share. */
static void expect_all_ways(tierpool *pool)
{
	struct tierpool_stats s = stats_of(pool);

	cr_assert(s.hits_cpu && s.hits_depot && s.hits_larger && s.gets > s.hits);
	cr_assert(s.grows_pooled && s.grows > s.grows_pooled);
	cr_assert(s.drops_oversize && s.drops_retain && s.drops_decay && s.drops_trim);
}

static struct crew crew;

Test(stats_threads, counts_of_tiers_are_exact_at_rest_and_never_go_back)
{
	uint64_t operations = SANITIZED ? 400000 : under_valgrind() ? 100000 : OPERATIONS;
	pthread_t watcher;
	void *fault;

	pin(0); /* so that it knows which CPUs there are before threads ask */
	crew.pool = pool_new(.max_size = LARGEST, .retain = 512 * KIB,
		.decay_ms = TIERPOOL_DECAY_NEVER);
	crew.operations = operations / THREADS;
	pthread_create(&watcher, NULL, watch, &crew);
	for (unsigned i = 0; i < THREADS; i++) {
		crew.worker[i].crew = &crew;
		crew.worker[i].random = i + 1;
		pthread_create(&crew.worker[i].thread, NULL, work, &crew.worker[i]);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(crew.worker[i].thread, NULL);
		cr_assert_eq(crew.worker[i].faults, 0);
	}
	tp_store_relaxed(&crew.stop, true);
	pthread_join(watcher, &fault);
	cr_assert(!fault, "%s", (const char *)fault);
	expect_exact(&crew);
	if (operations == OPERATIONS)
		expect_all_ways(crew.pool);
	for (unsigned i = 0; i < THREADS; i++)
		for (unsigned k = 0; k < HELD; k++)
			if (crew.worker[i].held[k])
				tierpool_put(crew.worker[i].held[k]);
	tiers_at_rest(crew.pool, (struct tierpool_tier_stats[TIERS]){{0}});
	cr_assert_eq(tierpool_destroy(crew.pool), 0);
}
