/* SPDX-License-Identifier: MIT */
/*
 * Metrics when something is in the way: memory that runs out, a stream that fails, a stream that calls
 * the library, a cancelled thread; and while other threads make, use and destroy what is written.
 */
#include "pool_checks.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "cache_objects.h"
#include "metrics_text.h"
#include "process/registry.h"

TestSuite(metrics, .timeout = 120);

static struct {
	tierpool_budget *budget;
	tierpool *pool[2];
	tierpool_cache *cache;
} all;

static void make_all(void)
{
	cr_assert_eq(tierpool_budget_create(&all.budget, MIB), 0);
	for (unsigned i = 0; i < 2; i++) {
		all.pool[i] = pool_new(.budget = all.budget);
		cycle(all.pool[i], KIB << i, 3);
	}
	all.cache = cache_of_objects();
}

/* Which waits for visits: one that was not ended is waited for in vain. */
static void destroy_all(void)
{
	alarm(20);
	for (unsigned i = 0; i < 2; i++)
		tierpool_destroy(all.pool[i]);
	tierpool_budget_destroy(all.budget);
	cache_end(all.cache);
	alarm(0);
}

/* ---- the stream ---- */

Test(metrics, write_refuses_NULL_and_reports_a_stream_that_fails)
{
	FILE *full = fopen("/dev/full", "w");

	make_all();
	cr_assert_eq(tierpool_metrics_write(NULL), -EINVAL);
	cr_assert_not_null(full);
	setvbuf(full, NULL, _IONBF, 0);
	cr_assert_eq(tierpool_metrics_write(full), -EIO);
	cr_assert_eq(tierpool_metrics_write(full), -EIO);
	fclose(full);
	full = fopen("/dev/null", "r");
	cr_assert_eq(tierpool_metrics_write(full), -EIO, "it is not open for writing");
	fclose(full);
	destroy_all();
}

/* A stream whose write destroys and makes what is being written. */
static ssize_t write_and_renew(void *unused, const char *bytes, size_t n)
{
	(void)unused;
	(void)bytes;
	destroy_all();
	make_all();
	return (ssize_t)n;
}

Test(metrics, nothing_is_held_while_the_stream_is_written)
{
	FILE *out = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_and_renew});

	make_all();
	setvbuf(out, NULL, _IOLBF, 256);
	cr_assert_eq(tierpool_metrics_write(out), 0);
	fclose(out);
	destroy_all();
}

Test(metrics, they_can_be_written_into_a_buffer)
{
	tierpool_buf *b = tierpool_get(tierpool_default());
	struct metrics_text m;
	FILE *out = tierpool_buf_open(b);

	make_all();
	cr_assert_eq(tierpool_metrics_write(out), 0);
	cr_assert_eq(fclose(out), 0);
	m = metrics_text_read(tierpool_buf_cstr(b));
	cr_assert_null(m.fault, "line %u: %s", m.line, m.fault);
	cr_assert_eq(metrics_count(&m, "tierpool_borrowed_buffers", "pool_id", "1"), 1);
	metrics_text_free(&m);
	tierpool_put(b);
	destroy_all();
}

/* ---- cancellation ---- */

static ssize_t write_and_rest(void *unused, const char *bytes, size_t n)
{
	(void)unused;
	(void)bytes;
	pthread_testcancel();
	return (ssize_t)n;
}

static uint32_t has_written;

/* It does not end by the cancellation after that: ASan has a fault there. */
static void *write_cancelled(void *out)
{
	int state;

	pthread_cancel(pthread_self());
	cr_assert_eq(tierpool_metrics_write(out), 0);
	cr_assert_eq(tierpool_stats_print(all.pool[0], out), 0);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	cr_assert_eq(state, PTHREAD_CANCEL_ENABLE, "it is not left disabled");
	tp_store_release(&has_written, 1u);
	return NULL;
}

Test(metrics, a_cancelled_thread_writes_to_the_end)
{
	FILE *out = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_and_rest});
	pthread_t thread;

	make_all();
	setvbuf(out, NULL, _IONBF, 0);
	cr_assert_eq(pthread_create(&thread, NULL, write_cancelled, out), 0);
	pthread_join(thread, NULL);
	cr_assert_eq(tp_load_acquire(&has_written), 1);
	fclose(out);
	destroy_all();
}

/* ---- memory ---- */

#if !SANITIZED
static __thread struct {
	bool armed;
	size_t calls, nth;
} memory;

static bool fails(void)
{
	return memory.armed && ++memory.calls >= memory.nth;
}

/* Whatever would be there without these: libc's, or jemalloc's. */
void *malloc(size_t n)
{
	static __typeof__(malloc) *next;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "malloc");
	return fails() ? NULL : next(n);
}

void *calloc(size_t count, size_t n)
{
	static __typeof__(calloc) *next;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "calloc");
	return fails() ? NULL : next(count, n);
}

Test(metrics, without_memory_nothing_is_written_and_nothing_is_kept)
{
	static char buffer[1 << 16];
	FILE *out = tmpfile();
	int error = -ENOMEM;
	size_t nth = 0;

	make_all();
	setvbuf(out, buffer, _IOFBF, sizeof buffer);
	while (error == -ENOMEM) {
		memory.calls = 0;
		memory.nth = ++nth;
		memory.armed = true;
		error = tierpool_metrics_write(out);
		memory.armed = false;
		cr_assert(error == -ENOMEM || error == 0, "%d", error);
		cr_assert_eq(ftell(out) == 0, error != 0);
	}
	cr_assert_gt(nth, 10);
	fclose(out);
	destroy_all();
}
#endif

/* ---- threads ---- */

#define LIVES 300

static uint32_t living;

static void *live(void *unused)
{
	(void)unused;
	for (unsigned i = 0; i < LIVES; i++) {
		tierpool_budget *budget;
		tierpool_cache *cache = cache_new(.name = "mortal");
		tierpool *pool;
		static char object;

		cr_assert_eq(tierpool_budget_create_named(&budget, MIB, "mortal"), 0);
		pool = pool_new(.budget = budget, .name = "mortal", .decay_ms = 1);
		tierpool_budget_destroy(budget);
		cycle(pool, KIB, 20);
		tierpool_cache_put(cache, &object);
		tierpool_cache_destroy(cache);
		tierpool_destroy(pool);
	}
	tp_sub_acq_rel(&living, 1u);
	return NULL;
}

static void *borrow(void *unused)
{
	(void)unused;
	while (tp_load_acquire(&living)) {
		cycle(all.pool[0], KIB, 30);
		cycle(all.pool[0], 3 * KIB, 3);
	}
	return NULL;
}

/* Each counter of the pools that stay is not below what it was. */
static void assert_grown(const struct metrics_text *now, const struct metrics_text *before)
{
	for (unsigned i = 0; i < before->samples; i++) {
		const struct metrics_sample *s = &before->sample[i];
		size_t n = strlen(s->name);

		if (n < 6 || strcmp(s->name + n - 6, "_total"))
			continue;
		for (unsigned k = 0; k < now->samples; k++)
			if (!strcmp(now->sample[k].series, s->series))
				cr_assert_geq(strtoull(now->sample[k].value, NULL, 10),
					strtoull(s->value, NULL, 10), "%s", s->series);
	}
}

Test(metrics, while_entries_come_and_go_each_text_is_whole_and_no_counter_goes_back)
{
	struct metrics_text before, now;
	pthread_t thread[3];

	make_all();
	before = metrics_text_read("# EOF\n");
	before.samples = 0;
	living = 2;
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, i ? live : borrow, NULL), 0);
	while (tp_load_acquire(&living)) {
		char *text;
		size_t size;
		FILE *out = open_memstream(&text, &size);

		cr_assert_eq(tierpool_metrics_write(out), 0);
		fclose(out);
		now = metrics_text_read(text);
		cr_assert_null(now.fault, "line %u: %s: %s", now.line, now.fault, text);
		assert_grown(&now, &before);
		free(text);
		metrics_text_free(&before);
		before = now;
	}
	for (unsigned i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	metrics_text_free(&before);
	destroy_all();
}
