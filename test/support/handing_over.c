/* SPDX-License-Identifier: MIT */
/*
 * A program in which buffers, blocks and objects change hands by way of the library, and by nothing else
 * that a detector of races knows: handing_over WAY. Each thread writes to all of what it holds.
 *
 *   pool       two threads in turn: what one has put, the other gets
 *   grow       the same, and each buffer grows, which exchanges blocks
 *   crowd      four threads at once, all sizes and several sites, with ticks, trims, reports, a profile,
 *              and a pool that is destroyed
 *   cache      objects of a cache, some destroyed by its ticks
 *   race       a control: what two threads share is ordered by nothing. A detector has to report it
 *
 * It prints the mode. Exit status 0, if no detector has another opinion.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tierpool.h>

#define ROUNDS 40
#define THREADS 4

static tierpool *pool, *second;
static tierpool_cache *cache;
static char *shared;

/* Whose turn it is: relaxed, so that it orders nothing. */
static _Atomic unsigned turn;

static void await_turn(unsigned me)
{
	while (atomic_load_explicit(&turn, memory_order_relaxed) % 2 != me)
		sched_yield();
}

static void turn_over(void)
{
	atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed);
}

/* Not memset, which compilers make of what no detector sees. */
static void fill(char *bytes, size_t n, unsigned what)
{
	for (size_t i = 0; i < n; i++)
		((volatile char *)bytes)[i] = (char)what;
}

static tierpool_buf *borrow(size_t n, unsigned what)
{
	tierpool_buf *b = tierpool_get_sized(pool, n);

	if (!b)
		exit(1);
	fill(b->data, b->cap, what);
	b->len = b->cap;
	return b;
}

static void by_pool(unsigned me)
{
	tierpool_put(borrow(4096, me));
}

static void by_growth(unsigned me)
{
	tierpool_buf *b = borrow(1024, me);

	if (tierpool_buf_reserve(b, 4000))
		exit(1);
	fill(b->data, b->cap, me);
	tierpool_put(b);
}

static void by_cache(unsigned me)
{
	char *object;

	if (me && atomic_load_explicit(&turn, memory_order_relaxed) / 2 % 4 == 3) {
		/* Destroys what the other one has put. */
		tierpool_cache_tick(cache);
		tierpool_cache_tick(cache);
		return;
	}
	object = tierpool_cache_get(cache);
	if (!object)
		exit(1);
	fill(object, 100, me);
	tierpool_cache_put(cache, object);
}

static void by_nothing(unsigned me)
{
	fill(shared, 100, me);
}

static void (*way)(unsigned me);

static void *take_turns(void *number)
{
	unsigned me = (unsigned)(size_t)number;

	for (unsigned i = 0; i < ROUNDS; i++) {
		await_turn(me);
		way(me);
		turn_over();
	}
	return NULL;
}

/* Two pools at one site, in turn, which neither has to itself; and what reads the names of sites. */
static void by_sites(unsigned i)
{
	tierpool *in_turn = i % 2 ? pool : second;
	tierpool_buf *b = i % 3 ? tierpool_get(in_turn) : tierpool_get(in_turn);
	FILE *out = fopen("/dev/null", "w");

	if (!b || tierpool_buf_reserve(b, 3000) || !out)
		exit(1);
	fill(b->data, b->cap, i);
	if (i % 16 == 3 && (tierpool_sites_print(pool, out) || tierpool_metrics_write(out) ||
				   tierpool_stats_print(pool, out)))
		exit(1);
	if (i % 16 == 7)
		(void)!tierpool_profile_start(1);
	if (i % 16 == 11)
		(void)!tierpool_profile_write(out, TIERPOOL_PROFILE_TEXT);
	tierpool_put(b);
	if (i % 16 == 15)
		tierpool_profile_stop();
	fclose(out);
}

static void *crowd(void *number)
{
	unsigned seed = (unsigned)(size_t)number;
	tierpool *own = NULL;

	for (unsigned i = 0; i < ROUNDS; i++) {
		tierpool_buf *b[8];

		for (unsigned k = 0; k < 8; k++)
			b[k] = borrow((size_t)64 << rand_r(&seed) % 12, k);
		for (unsigned k = 0; k < 8; k++) {
			if (k % 3 == 0 && tierpool_buf_reserve(b[k], 1))
				exit(1);
			tierpool_put(b[k]);
		}
		by_sites(i);
		if (i % 8 == 7)
			tierpool_trim(pool, 0);
		if (i % 4 == 3)
			tierpool_tick(NULL);
	}
	if (tierpool_create(&own, NULL))
		exit(1);
	tierpool_put(tierpool_get(own));
	tierpool_destroy(own);
	return NULL;
}

static void *object_create(void *context)
{
	(void)context;
	return malloc(100);
}

static void object_destroy(void *context, void *object)
{
	(void)context;
	fill(object, 100, 0);
	free(object);
}

static const struct {
	const char *name;
	void (*way)(unsigned me); /* NULL: a crowd */
} ways[] = {{"pool", by_pool}, {"grow", by_growth}, {"crowd", NULL}, {"cache", by_cache},
	{"race", by_nothing}};

int main(int argc, char **argv)
{
	struct tierpool_cache_options objects = {
		.size = sizeof objects, .create = object_create, .destroy = object_destroy};
	struct tierpool_stats s = {.size = sizeof s};
	pthread_t thread[THREADS];
	size_t i, chosen = sizeof ways / sizeof *ways;

	for (i = 0; i < sizeof ways / sizeof *ways; i++)
		if (argc > 1 && !strcmp(argv[1], ways[i].name))
			chosen = i;
	shared = malloc(100);
	if (chosen == sizeof ways / sizeof *ways || !shared || tierpool_create(&pool, NULL) ||
		tierpool_create(&second, NULL) || tierpool_cache_create(&cache, &objects))
		return 2;
	way = ways[chosen].way;
	for (i = 0; i < (way ? 2 : THREADS); i++)
		if (pthread_create(&thread[i], NULL, way ? take_turns : crowd, (void *)i))
			return 2;
	for (i = 0; i < (way ? 2 : THREADS); i++)
		pthread_join(thread[i], NULL);
	if (tierpool_stats_read(pool, &s))
		return 2;
	printf("%s, %llu of %llu gets found a buffer\n", s.percpu, (unsigned long long)s.hits,
		(unsigned long long)s.gets);
	tierpool_cache_destroy(cache);
	tierpool_destroy(pool);
	tierpool_destroy(second);
	free(shared);
	return 0;
}
