/* SPDX-License-Identifier: MIT */
#include "trace_plays.h"

#if defined(__x86_64__) && TP_RSEQ_PRESENT

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cpus.h"
#include "memory/bufstate.h"
#include "memory/poison.h"
#include "pool/pool.h"
#include "pool_checks.h"
#include "trace_child.h"

/* The tier of 2048 is not guessed but searched, for that of 1536 is of the same doubling. */
static const size_t sizes[] = {1024, 1536, 2048};

#define THEIRS 72 /* what the rival may put: more than any stack takes */

struct scene *scene;

/* ---- in the child: a pool, and who has which buffer of it ---- */

#define HAND_MOST 512

struct hand {
	unsigned count;
	tierpool_buf *buffer[HAND_MOST];
};

static tierpool *pool;
static struct counting_backing counting;
static struct hand ours, theirs; /* of the thread that is traced, and of its rival */

const char play_doubled[] = "a buffer has two owners", play_lost[] = "a buffer is lost";

static __attribute__((noreturn)) void fail(const char *fault)
{
	scene->fault = fault;
	_exit(1);
}

/* A fresh buffer into a hand, after what its borrower may do with it: all of it is written. */
static void take_this(struct hand *hand, tierpool_buf *b, size_t size)
{
	if (!b || b->tp_pool != pool || b->len || b->cap < size ||
		!tp_bufstate_is_plain(b->tp_state))
		fail("a get gave something else than a buffer that is ready for use");
	if (hand->count == HAND_MOST)
		fail("more buffers than there can be");
	memset(b->data, 0xa5, b->cap);
	hand->buffer[hand->count++] = b;
}

static void take_sized(struct hand *hand, size_t size, size_t n)
{
	while (n--)
		take_this(hand, (tierpool_get_sized)(pool, size), size);
}

static void take(struct hand *hand, size_t n)
{
	take_sized(hand, scene->size, n);
}

static void give(struct hand *hand, size_t n)
{
	while (n--)
		tierpool_put(hand->buffer[--hand->count]);
}

/* ---- in the child: what must be true at rest ---- */

static void check_single(const struct hand *hand)
{
	for (unsigned i = 0; i < hand->count; i++)
		for (unsigned j = 0; j < i; j++)
			if (hand->buffer[i] == hand->buffer[j])
				fail(play_doubled);
}

static struct tierpool_stats stats_now(void)
{
	struct tierpool_stats s = {.size = sizeof s};

	if (tierpool_stats_read(pool, &s))
		fail("no statistics");
	return s;
}

static void check_stats(const struct tierpool_stats *s, size_t borrowed)
{
	const char *fault = stats_fault(s);

	if (fault)
		fail(fault);
	if (s->borrowed != borrowed)
		fail("gets - puts are not what is borrowed");
}

/* The size that only growths and what prepares them use. */
static size_t other_size(void)
{
	return scene->size == 1024 ? 2048 : 1024;
}

/* Of two sizes are idle what both numbers say; what is lost is in neither of them. */
static size_t others_idle(const struct tierpool_stats *s)
{
	const struct tp_tier *tier = pool->tiers.tier;
	int64_t size = (int64_t)tier[tp_sizeclass_of(&pool->sizes, scene->size)].cost;
	int64_t other = (int64_t)tier[tp_sizeclass_of(&pool->sizes, other_size())].cost;

	return (size_t)(((int64_t)s->idle_bytes - (int64_t)s->idle * size) / (other - size));
}

/*
 * Of every buffer that was made: it is borrowed or idle, and once. Ends with all of them in ours.
 */
static void check_owners(void)
{
	struct tierpool_stats before = stats_now(), after;
	size_t borrowed = ours.count + theirs.count, others = others_idle(&before);

	for (unsigned i = 0; i < theirs.count; i++)
		take_this(&ours, theirs.buffer[i], scene->size);
	theirs.count = 0;
	check_single(&ours);
	/* What is not borrowed is idle, and so can be had, without a new one being made. */
	take_sized(&ours, other_size(), others);
	take(&ours, before.allocs - before.frees - borrowed - others);
	check_single(&ours);
	after = stats_now();
	if (after.allocs != before.allocs)
		fail(play_lost);
	check_stats(&before, borrowed);
	check_stats(&after, ours.count);
}

/* With every buffer in ours. */
static void check_return(void)
{
	struct tierpool_stats before = stats_now(), after;

	give(&ours, ours.count);
	after = stats_now();
	check_stats(&after, 0);
	if (after.idle != before.borrowed || after.frees != before.frees)
		fail("not everything that was put is idle");
	tierpool_trim(pool, 0);
	if (pool->tiers.retain.leased)
		fail("a lease has no buffer and no room");
	if (tierpool_destroy(pool) || counting_backing_blocks(&counting))
		fail("the pool's end left something behind");
}

/* ---- in the child: plays ---- */

static unsigned tier(void)
{
	return tp_sizeclass_of(&pool->sizes, scene->size);
}

static uint64_t word(void)
{
	return tp_tiers_word(&pool->tiers, tp_cpu_id(), tier());
}

static unsigned depth(void)
{
	return tp_tiers_depth(&pool->tiers, tp_cpu_id(), tier());
}

/* A countdown begins at 0: the first pop expires it. */
static void prepare_first_pop(void)
{
	take(&theirs, THEIRS);
	take(&ours, 9);
	give(&ours, 8);
}

/* Fills the own stack in part, with some room left, and no expiry soon. */
static void prepare_stack(void)
{
	prepare_first_pop();
	take(&ours, 2);
}

static void prepare_without_room(void)
{
	prepare_stack();
	while (tp_word_room(word()))
		give(&ours, 1);
}

static void prepare_full_stack(void)
{
	unsigned limit = pool->tiers.tier[tier()].limit;

	take(&theirs, THEIRS);
	take(&ours, 2 * limit);
	while (depth() < limit)
		give(&ours, 1);
}

static void prepare_depot(void)
{
	prepare_full_stack();
	give(&ours, ours.count);
	while (depth())
		take(&ours, 1);
}

/* Stacks of both sizes, the last buffer is one of 1024, and a growth pops one of 2048. */
static void prepare_growth(void)
{
	take_sized(&ours, other_size(), 9);
	give(&ours, 8);
	take_sized(&ours, other_size(), 2);
	prepare_stack();
	if (scene->size != 1024)
		take_sized(&ours, 1024, 1);
}

/* A CPU can be stopped by a visit only. */
static void prepare_without_fences(void)
{
	prepare_stack();
	pool->tiers.cpus.fence_lost = 1;
}

static void act_tick(void)
{
	tierpool_tick(pool);
}

static void act_trim(void)
{
	tierpool_trim(pool, 0);
}

static void act_get(void)
{
	take(&ours, 1);
}

/* The tier of 1024 is the default. */
static void act_get_default(void)
{
	take_this(&ours, (tierpool_get)(pool), scene->size);
}

static void act_get_from_site(void)
{
	static tierpool_site site = TIERPOOL_SITE_INIT("traced");

	take_this(&ours, tierpool_get_at(pool, scene->size, &site), scene->size);
}

static void prepare_known_site(void)
{
	prepare_stack();
	act_get_from_site();
}

static void act_put(void)
{
	give(&ours, 1);
}

/* A get by the copy that is used after an abort, and where somebody watches idle blocks. */
static void act_pop(void)
{
	bool expired;
	tierpool_buf *b =
		tp_stack_pop(&pool->tiers.cpus, pool->tiers.stack_index[tier()], &expired);

	if (!b) {
		act_get();
		return;
	}
	tp_unpoison(b->data, b->cap);
	b->len = 0;
	tp_bufstate_set(b, ours.buffer[0]->tp_state);
	take_this(&ours, b, scene->size);
}

/* A put, likewise. */
static void act_push(void)
{
	tierpool_buf *b = ours.buffer[--ours.count];
	uint32_t control = b->tp_state;

	tp_bufstate_set(b, tp_bufstate(TP_STATE_IDLE));
	tp_poison(b->data, b->cap);
	if (tp_stack_push(&pool->tiers.cpus, pool->tiers.stack_index[b->tp_tier], b))
		return;
	tp_unpoison(b->data, b->cap);
	tp_bufstate_set(b, control);
	tierpool_put(b);
}

static void act_grow(void)
{
	if (tierpool_buf_reserve(ours.buffer[ours.count - 1], 1025))
		fail("no growth");
}

const struct play plays[] = {
	{"a get", 1024, 1, prepare_stack, act_get, false},
	{"a get whose tier is searched", 2048, 1, prepare_stack, act_get, false},
	{"a get from a new place", 1024, 1, prepare_stack, act_get_from_site, false},
	{"a get from a known place", 1024, 1, prepare_known_site, act_get_from_site, false},
	{"a get whose countdown expires", 1024, 1, prepare_first_pop, act_get_default, false},
	{"a get out of the depot", 1024, 1, prepare_depot, act_get, false},
	{"a get after an abort", 1024, 1, prepare_stack, act_pop, false},
	{"a put", 1024, 1, prepare_stack, act_put, false},
	{"a put without room", 1024, 1, prepare_without_room, act_put, false},
	{"a put on a full stack", 1024, 1, prepare_full_stack, act_put, false},
	{"a put after an abort", 1024, 1, prepare_stack, act_push, false},
	{"a growth into a size in use", 2048, 0, prepare_growth, act_grow, false},
	{"a growth out of a size in use", 1024, 0, prepare_growth, act_grow, false},
	{"a tick", 1024, 0, prepare_stack, act_tick, true},
	{"a trim without fences", 1024, 0, prepare_without_fences, act_trim, true},
};
const unsigned play_count = sizeof plays / sizeof plays[0];

/* ---- in the child: rivals ---- */

static void rival_gets_and_puts(void)
{
	take(&theirs, 1);
	give(&theirs, 1);
}

static void rival_keeps(void)
{
	take(&theirs, 1);
}

static void rival_puts(void)
{
	give(&theirs, 1);
}

/* As many lie in the stack afterwards, but in another order. */
static void rival_swaps(void)
{
	tierpool_buf **two = &theirs.buffer[theirs.count], *first;

	take(&theirs, 2);
	first = two[0];
	two[0] = two[1];
	two[1] = first;
	give(&theirs, 2);
}

/* Beyond what the stack may hold: its upper half goes. */
static void rival_puts_all(void)
{
	give(&theirs, THEIRS);
}

static void rival_drains(void)
{
	take(&theirs, 12);
}

void rival_trims(void)
{
	/* A trim would wait for the other thread, if that is held while it stops the CPU. */
	if (!tp_load_relaxed(&pool->tiers.cpus.cpu[tp_cpu_id()].lock))
		tierpool_trim(pool, 0);
}

rival *const rivals[] = {rival_gets_and_puts, rival_keeps, rival_puts, rival_swaps, rival_puts_all,
	rival_drains, rival_trims};
const unsigned rival_count = sizeof rivals / sizeof rivals[0];

/* ---- in the child: runs ---- */

static void *rival_run(void *cpu_id)
{
	while (sem_wait(&scene->go))
		;
	if (tp_cpu_id() != *(const unsigned *)cpu_id)
		fail("the rival is on another CPU");
	scene->rival();
	sem_post(&scene->gone);
	return NULL;
}

void play_run(void)
{
	struct tierpool_backing backing = counting_backing_calls(&counting);
	struct tierpool_options options = {.size = sizeof options,
		.tiers = sizes,
		.tier_count = sizeof sizes / sizeof sizes[0],
		.retain = (size_t)1 << 32, /* a full stack each for any number of CPUs */
		.backing = &backing};
	pthread_t thread;
	uint64_t slow;
	unsigned cpu_id;

	counting_backing_init(&counting);
	stay_on_this_cpu();
	cpu_id = tp_cpu_id();
	for (;; trace_mark()) {
		alarm(30); /* should anything here wait for ever */
		if (tierpool_create(&pool, &options))
			fail("no pool");
		scene->prepare();
		if (scene->rival && pthread_create(&thread, NULL, rival_run, &cpu_id))
			fail("no thread");
		slow = tp_counts_slow_gets(&pool->tiers) +
		       tp_counts_sum(&pool->tiers, TP_SLOW_PUTS);
		trace_mark();
		scene->act();
		trace_mark();
		scene->slow = tp_counts_slow_gets(&pool->tiers) +
			      tp_counts_sum(&pool->tiers, TP_SLOW_PUTS) - slow;
		if (scene->rival)
			pthread_join(thread, NULL);
		check_owners();
		check_return();
	}
}

/* ---- in the parent ---- */

void rival_acts(void)
{
	struct timespec until;
	int error;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 10;
	sem_post(&scene->go);
	do
		error = sem_timedwait(&scene->gone, &until);
	while (error && errno == EINTR);
	cr_assert_eq(error, 0, "the rival did not end: %s",
		scene->fault ? scene->fault : "it crashed or waits");
}

#endif
