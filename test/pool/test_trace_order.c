/* SPDX-License-Identifier: MIT */
/*
 * The order of a trace, when threads hand buffers over, and what a fork does to it.
 */
#include "pool/trace.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/atomic.h"
#include "percpu/cpu.h"
#include "traced_program.h"

TestSuite(trace_order, .init = folder_new, .fini = folder_end, .timeout = 50);

#define THREADS 4
#define SLOTS 8
#define ROUNDS 40000 /* of each thread */
#define SITES 500
#define SITE_ROUNDS 64 /* with each, in turn */

static struct {
	tierpool *pool;
	tierpool_buf *slot[SLOTS]; /* here buffers change hands */
	tierpool_site site[SITES];
	pthread_t thread[THREADS];
} crew;

static void crew_grow(tierpool_buf *b, uint64_t *random)
{
	if (next_random(random) % 8 == 0 && b->cap < 16384)
		NEED(!tierpool_buf_reserve(b, b->cap + 1));
}

static void *crew_run(void *unused)
{
	uint64_t random = (uintptr_t)&random | 1;

	for (unsigned i = 0; i < ROUNDS; i++) {
		tierpool_buf *b = tierpool_get_at(crew.pool, next_random(&random) % 2 ? 0 : 3000,
			&crew.site[i / SITE_ROUNDS % SITES]);

		NEED(b);
		crew_grow(b, &random);
		b = tp_exchange_acq_rel(&crew.slot[next_random(&random) % SLOTS], b);
		if (!b)
			continue;
		crew_grow(b, &random);
		tierpool_put(b);
	}
	return unused;
}

static void crew_start(void)
{
	/* Few may lie idle in stacks; so depots, the backing and other threads have their part. */
	crew.pool = MAKE(TIERS, .max_idle = 6);
	for (unsigned i = 0; i < SITES; i++)
		crew.site[i] = (tierpool_site){.tp_file = "crew.c", .tp_label = "", .tp_line = i};
	for (unsigned i = 0; i < THREADS; i++)
		NEED(!pthread_create(&crew.thread[i], NULL, crew_run, NULL));
}

static void crew_end(void)
{
	for (unsigned i = 0; i < THREADS; i++)
		NEED(!pthread_join(crew.thread[i], NULL));
	for (unsigned i = 0; i < SLOTS; i++)
		tierpool_put(crew.slot[i]);
	NEED(!tierpool_destroy(crew.pool));
}

static void crew_alone(void)
{
	crew_start();
	crew_end();
}

/* What is known of buffers by id; there are never many, as headers are used again. */
#define KNOWN 4096

static struct known {
	uint64_t id, cap; /* cap: at least; 0: it is not out */
} known[KNOWN];

static struct known *known_find(uint64_t id)
{
	unsigned i = 0;

	while (i < KNOWN && known[i].id && known[i].id != id)
		i++;
	cr_assert_lt(i, KNOWN, "more buffers than there can be");
	known[i].id = id;
	return &known[i];
}

static void assert_order_of(const struct decoded *r, const struct decoder *d)
{
	struct known *b = known_find(r->id);

	if (r->kind == 'G')
		cr_assert(!b->cap, "before byte %zu: a get of what is out", d->at);
	else
		cr_assert(b->cap, "before byte %zu: '%c' of what is not out", d->at, r->kind);
	if (r->kind == 'R')
		cr_assert(r->need > b->cap && r->kept <= b->cap, "before byte %zu", d->at);
	if (r->kind == 'T')
		cr_assert(r->cap >= b->cap && r->len <= r->cap, "before byte %zu", d->at);
	b->cap = r->kind == 'T' ? 0 : r->kind == 'R' ? r->need : r->cap;
	cr_assert(r->kind == 'R' || r->cpu < tp_cpu_count());
}

/* The crew's records: each id alternates get and put, and grows in between. */
static void assert_order(struct decoder *d)
{
	static unsigned sites[SITES + 3];
	unsigned gets = 0, puts = 0;
	uint64_t ns = 0;
	struct decoded r;

	decoder_take(d, 'P');
	while (decoder_next(d, &r)) {
		if (r.kind == 'S') {
			cr_assert(r.site >= 2 && r.site < SITES + 2);
			cr_assert_eq(sites[r.site]++, 0, "site %zu again", (size_t)r.site);
			continue;
		}
		assert_order_of(&r, d);
		gets += r.kind == 'G';
		puts += r.kind == 'T';
		if (r.kind == 'G')
			cr_assert(r.site < SITES + 2 && sites[r.site], "site %zu is missing",
				(size_t)r.site);
		if (r.kind != 'R') {
			cr_assert(r.ns >= ns && r.ns < 50000000000);
			ns = r.ns;
		}
	}
	cr_assert_eq(gets, THREADS * ROUNDS);
	cr_assert_eq(puts, THREADS * ROUNDS);
}

Test(trace_order, has_a_put_before_the_next_get_of_the_buffer_in_any_thread)
{
	struct decoder d = program_trace(crew_alone);

	assert_order(&d);
	decoder_close(&d);
}

Test(trace_order, on_a_full_disk_one_thread_of_several_reports_it)
{
	program_run("/dev/full", crew_alone);
	cr_assert_str_eq(program_said, program_full_disk);
}

/* ---- forks ---- */

#define FORKS 20

static int status_of(pid_t pid)
{
	int status = -1;

	NEED(pid > 0 && waitpid(pid, &status, 0) == pid);
	return status;
}

static void forks_a_child(void)
{
	tierpool *pool = MAKE(TIERS);
	pid_t child;

	program_use(pool, 1);
	child = fork();
	if (!child) {
		NEED(!tp_trace_on);
		program_use(pool, MUCH);
		program_use(MAKE(TIERS, .name = "the child's"), MUCH);
		exit(0);
	}
	NEED(status_of(child) == 0 && tp_trace_on);
	program_use(pool, MUCH);
	tierpool_destroy(pool);
}

Test(trace_order, goes_on_in_the_parent_of_a_fork_and_has_nothing_of_the_child)
{
	struct decoder d = program_trace(forks_a_child);

	decoder_take(&d, 'P');
	decoder_take(&d, 'S');
	for (int i = 0; i < 1 + MUCH; i++) {
		uint64_t id = decoder_take(&d, 'G').id;

		cr_assert_eq(decoder_take(&d, 'R').id, id);
		cr_assert_eq(decoder_take(&d, 'T').id, id);
	}
	decoder_take(&d, 0);
	decoder_close(&d);
}

static void forks_during_calls(void)
{
	crew_start();
	for (int i = 0; i < FORKS; i++) {
		pid_t child = fork();

		if (!child) {
			alarm(10); /* a lock that the fork left taken never becomes free */
			program_use(crew.pool, 1);
			exit(0);
		}
		NEED(status_of(child) == 0);
	}
	crew_end();
}

Test(trace_order, leaves_no_lock_taken_in_a_child_that_is_forked_during_calls)
{
	struct decoder d;

	/* As in test_fork.c. */
	if (SANITIZED)
		skip("the sanitizer's malloc leaves its lock taken in a fork's child");
	d = program_trace(forks_during_calls);
	assert_order(&d);
	decoder_close(&d);
}

/* The child's first file has the number that the trace has in the parent. */
static void forks_a_child_that_forks(void)
{
	pid_t child;

	program_use(MAKE(TIERS), 1);
	child = fork();
	if (!child) {
		int file = open("its own", O_CREAT | O_RDWR, 0666);

		NEED(file >= 0);
		child = fork();
		if (!child) {
			NEED(fcntl(file, F_GETFD) >= 0);
			exit(0);
		}
		NEED(status_of(child) == 0);
		exit(0);
	}
	NEED(status_of(child) == 0);
}

Test(trace_order, closes_its_file_once_and_no_other_when_a_child_forks)
{
	struct decoder d = program_trace(forks_a_child_that_forks);

	decoder_close(&d);
}
