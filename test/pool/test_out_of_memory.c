/* SPDX-License-Identifier: MIT */
/*
 * The pool when memory runs out: a program makes every public call of a pool and its buffers, and
 * runs again and again; in run n the nth allocation fails, or the nth and all after it. So do
 * mappings: those of headers and slabs, and, if the pool has no backing of the program's, of blocks.
 */
#include "pool_checks.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "mappings.h"
#include "pool/pool.h"

/* ---- the program, and what it has to see ---- */

#define LONG ((size_t)100000)

enum source { ALLOCATIONS, MAPPINGS, MAPPINGS_OF_BLOCKS, SOURCES };
static const char *const sources[] = {"allocation", "mapping", "mapping (blocks too)"};

static struct {
	struct counting_backing counting;
	size_t failed; /* allocations that had failed before the call that is judged now */
	tierpool *pool;
	tierpool_buf *b; /* may be NULL, as a get returns it */
	char *content;   /* what must be in b */
	size_t length;
	int fd; /* of a file of LONG bytes, the same as source */
	char *source;
	const char *call; /* for messages */
	enum source fails;
	bool runs; /* of the pool */
	size_t nth;
	bool for_ever;
} p;

#define JUDGE(condition)                                                                  \
	cr_assert(condition, "%s, %s %zu failing%s: %s", p.call, sources[p.fails], p.nth, \
		p.for_ever ? " and all after it" : "", #condition)

static size_t failed_so_far(void)
{
	return p.counting.failed + refused;
}

/* Whether an allocation failed during this call. */
static bool starved(void)
{
	bool any = failed_so_far() != p.failed;

	p.failed = failed_so_far();
	return any;
}

/* No call runs, and nothing is borrowed. */
static void judge_rest(void)
{
	if (p.fails == MAPPINGS_OF_BLOCKS)
		at_rest(p.pool);
	else
		accounted(p.pool, &p.counting, 0);
}

static void judge_content(void)
{
	JUDGE(p.b->len == p.length && p.b->len <= p.b->cap);
	JUDGE(!memcmp(p.b->data, p.content, p.length));
}

/* After a failure the error sticks, nothing changes, and a reset ends it. */
static void judge_sticking(void)
{
	JUDGE(tierpool_buf_error(p.b) == -ENOMEM);
	JUDGE(tierpool_buf_append(p.b, "more", 4) == -ENOMEM);
	JUDGE(tierpool_buf_append_byte(p.b, '+') == -ENOMEM);
	JUDGE(tierpool_buf_reserve(p.b, 1) == -ENOMEM);
	JUDGE(tierpool_buf_printf(p.b, "%d", 1) == -ENOMEM);
	JUDGE(tierpool_buf_set(p.b, "x", 1) == -ENOMEM);
	judge_content();
	tierpool_buf_reset(p.b);
	JUDGE(tierpool_buf_error(p.b) == 0 && p.b->len == 0);
	p.length = 0;
}

/* A call that appends n bytes of source, all or none. */
static void judge_append(const char *call, int result, size_t n)
{
	bool failed = starved();

	p.call = call;
	if (!p.b) {
		JUDGE(result == -ENOMEM);
		return;
	}
	if (result) {
		JUDGE(result == -ENOMEM && failed);
		judge_content();
		judge_sticking();
		return;
	}
	memcpy(p.content + p.length, p.source, n);
	p.length += n;
	judge_content();
	JUDGE(tierpool_buf_error(p.b) == 0);
}

/* A call that may stop half way: what it appended is the beginning of what it should append. */
static void judge_part(const char *call, bool whole, size_t n)
{
	bool failed = starved();

	p.call = call;
	JUDGE(p.b->len >= p.length && p.b->len - p.length <= n);
	JUDGE(whole == (p.b->len - p.length == n));
	JUDGE(whole || failed);
	memcpy(p.content + p.length, p.source, p.b->len - p.length);
	p.length = p.b->len;
	judge_content();
	if (!whole)
		judge_sticking();
}

static void judge_get(const char *call, tierpool_buf *b, size_t cap)
{
	bool failed = starved();

	p.call = call;
	p.b = b;
	p.length = 0;
	if (!b)
		JUDGE(errno == ENOMEM && failed);
	else
		JUDGE(b->cap >= cap && b->len == 0 && !((uintptr_t)b->data % 64));
	errno = 0;
}

static void put(void)
{
	tierpool_put(p.b);
	starved();
	judge_rest();
}

/* ---- its calls ---- */

static void write_all_ways(void)
{
	judge_append("append", tierpool_buf_append(p.b, p.source, 1000), 1000);
	judge_append("printf", tierpool_buf_printf(p.b, "%.1500s", p.source), 1500);
	judge_append("reserve", tierpool_buf_reserve(p.b, 5000), 0);
	judge_append("append", tierpool_buf_append(p.b, p.source, 9000), 9000);
	judge_append("append_byte", tierpool_buf_append_byte(p.b, p.source[0]), 1);
	judge_append("cstr", tierpool_buf_cstr(p.b) ? 0 : -ENOMEM, 0);
	judge_append("printf", tierpool_buf_printf(p.b, "%.20000s", p.source), 20000);
}

static void set_longer(void)
{
	int result = tierpool_buf_set(p.b, p.source, LONG / 2);

	if (!result)
		p.length = 0;
	judge_append("set", result, LONG / 2);
}

static void read_file(void)
{
	ssize_t n;

	lseek(p.fd, 0, SEEK_SET);
	n = tierpool_buf_read_fd(p.b, p.fd, SIZE_MAX);
	p.call = "read_fd";
	if (!p.b) {
		JUDGE(n == -ENOMEM);
		return;
	}
	JUDGE(n == -ENOMEM ? p.b->len == p.length : n == (ssize_t)(p.b->len - p.length));
	/* Fewer bytes are read only when memory runs out. */
	judge_part("read_fd", tierpool_buf_error(p.b) == 0, LONG);
}

static void write_stream(void)
{
	FILE *stream = tierpool_buf_open(p.b);
	bool whole;

	p.call = "open";
	JUDGE(!p.b == !stream);
	if (!stream)
		return;
	whole = fwrite(p.source, 1, LONG, stream) == LONG;
	whole = !fclose(stream) && whole;
	judge_part("stream", whole, LONG);
}

static void borrow_all_ways(void)
{
	static tierpool_site site;

	site = (tierpool_site)TIERPOOL_SITE_INIT("all ways");
	judge_get("get", (tierpool_get)(p.pool), 1);
	write_all_ways();
	put();
	judge_get("get_sized", (tierpool_get_sized)(p.pool, 100), 100);
	set_longer();
	write_all_ways();
	put();
	judge_get("get_at", tierpool_get_at(p.pool, 0, &site), 1);
	read_file();
	put();
	judge_get("get_at", tierpool_get_at(p.pool, 2000, &site), 2000);
	write_stream();
	put();
	judge_get("get_sized, oversize", (tierpool_get_sized)(p.pool, 3 * LONG), 3 * LONG);
	write_all_ways();
	put();
}

static void keep_house(unsigned round)
{
	if (round == 0)
		tierpool_tick(p.pool);
	else
		tierpool_retain_set(p.pool, 40000);
	tierpool_trim(p.pool, 20000);
	p.call = "trim";
	JUDGE(stats_of(p.pool).idle_bytes <= 20000);
	starved();
}

/* Destroys the pool while a buffer is borrowed, which then grows and is put. */
static void end(void)
{
	bool out;

	judge_get("get", (tierpool_get)(p.pool), 1);
	out = p.b;
	p.call = "destroy";
	JUDGE(tierpool_destroy(p.pool) == out);
	starved();
	write_all_ways();
	tierpool_put(p.b);
}

static void run_program(size_t retain)
{
	struct tierpool_backing calls = counting_backing_calls(&p.counting);
	struct tierpool_options options = {
		.size = sizeof options, .max_size = 128 * KIB, .retain = retain, .backing = &calls};
	int error;

	if (p.fails == MAPPINGS_OF_BLOCKS)
		options.backing = NULL;
	p.failed = failed_so_far();
	p.pool = (tierpool *)&p;
	p.call = "create";
	error = tierpool_create(&p.pool, &options);
	if (error) {
		JUDGE(error == -ENOMEM && !p.pool && starved());
		return;
	}
	JUDGE(!starved());
	p.runs = p.pool->blocks.class;
	for (unsigned round = 0; round < 2; round++) {
		borrow_all_ways();
		keep_house(round);
	}
	end();
}

/* Returns: how often something failed. */
static size_t run_with_one_failing(size_t retain, bool for_ever)
{
	size_t before;

	p.nth++;
	refused = 0;
	counting_backing_init(&p.counting);
	if (p.fails == ALLOCATIONS)
		counting_backing_fail(&p.counting, p.nth, for_ever);
	else
		map_fails = (struct failing){(unsigned)p.nth, for_ever};
	before = mapped;
	run_program(retain);
	map_fails.at = 0;
	p.call = "in the end";
	JUDGE(counting_backing_blocks(&p.counting) == 0);
	JUDGE(counting_backing_live(&p.counting) == 0);
	/* Leaves of the map of pages stay. */
	JUDGE(mapped <= before + MIB);
	return failed_so_far();
}

static void run_with_each_allocation_failing(size_t retain, bool for_ever)
{
	size_t failed;

	p.content = malloc(8 * LONG);
	p.source = malloc(LONG + 1);
	for (size_t i = 0; i < LONG; i++)
		p.source[i] = (char)('a' + i % 23);
	p.source[LONG] = '\0';
	p.fd = memfd_create("source", 0);
	cr_assert_eq(write(p.fd, p.source, LONG), (ssize_t)LONG);
	p.for_ever = for_ever;
	setenv("TIERPOOL_BACKING", "libc", 1); /* jemalloc's own mappings are not seen */
	for (p.fails = 0; p.fails < SOURCES; p.fails++) {
		p.nth = 0;
		do {
			failed = run_with_one_failing(retain, for_ever);
		} while (failed);
		cr_assert_geq(p.nth, p.fails == ALLOCATIONS || p.runs ? 10 : 2,
			"the program has to allocate often enough");
	}
	free(p.source);
	free(p.content);
	close(p.fd);
}

Test(out_of_memory, any_one_allocation_may_fail)
{
	run_with_each_allocation_failing(0, false);
}

Test(out_of_memory, any_one_allocation_may_fail_while_little_is_kept)
{
	run_with_each_allocation_failing(6000, false);
}

Test(out_of_memory, all_allocations_may_fail_from_any_one_on)
{
	run_with_each_allocation_failing(0, true);
}

Test(out_of_memory, all_allocations_may_fail_from_any_one_on_while_little_is_kept)
{
	run_with_each_allocation_failing(6000, true);
}

Test(out_of_memory, growth_that_cannot_double_takes_what_is_needed)
{
	tierpool_buf *b;
	tierpool *pool;

	counting_backing_init(&p.counting);
	pool = pool_on(&p.counting, .max_size = MIB);
	b = tierpool_get_sized(pool, 64 * KIB);
	memset(b->data, 'a', b->len = 64 * KIB);
	counting_backing_fail(&p.counting, 1, false);
	cr_assert_eq(tierpool_buf_reserve(b, 1), 0);
	cr_assert_eq(p.counting.failed, 1);
	cr_assert_gt(b->cap, 64 * KIB);
	cr_assert_eq(b->data[64 * KIB - 1], 'a');
	tierpool_put(b);
	pool_end(pool, &p.counting);
}

/* One allocation fails: for the next one the pool has given up what lay idle. */
Test(out_of_memory, what_lies_idle_is_given_up_before_a_call_fails)
{
	for (unsigned grows = 0; grows < 2; grows++) {
		tierpool *pool;
		tierpool_buf *b;

		counting_backing_init(&p.counting);
		pool = pool_on(&p.counting, .max_size = MIB);
		cycle(pool, 64 * KIB, 10);
		b = grows ? (tierpool_get_sized)(pool, 512 * KIB) : NULL;
		if (b)
			memset(b->data, 'a', b->len = b->cap);
		counting_backing_fail(&p.counting, 1, false);
		if (b)
			cr_assert_eq(tierpool_buf_reserve(b, 512 * KIB), 0);
		else
			cr_assert_not_null(b = (tierpool_get_sized)(pool, MIB));
		cr_assert_eq(p.counting.failed, 1);
		cr_assert_eq(b->cap, MIB);
		cr_assert_eq(accounted(pool, &p.counting, MIB).drops_trim, 10);
		tierpool_put(b);
		pool_end(pool, &p.counting);
	}
}

Test(out_of_memory, what_lies_idle_stays_if_far_more_is_wanted)
{
	static const size_t wanted[] = {SIZE_MAX, PTRDIFF_MAX, (size_t)1 << 47};
	tierpool *pool = pool_new(.name = "hostile");
	tierpool_buf *b = (tierpool_get)(pool);

	cycle(pool, 64 * KIB, 10);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_null((tierpool_get_sized)(pool, wanted[i]));
		cr_assert_eq(tierpool_buf_reserve(b, wanted[i]), -ENOMEM);
		tierpool_buf_reset(b);
	}
	cr_assert_eq(at_rest(pool).idle, 10);
	tierpool_put(b);
	tierpool_destroy(pool);
}

Test(out_of_memory, a_block_that_cannot_be_had_loses_no_header)
{
	tierpool *pool;
	size_t blocks, headers;

	counting_backing_init(&p.counting);
	pool = pool_on(&p.counting, .max_size = MIB);
	tierpool_put((tierpool_get)(pool));
	blocks = counting_backing_blocks(&p.counting);
	headers = pool->heads.bytes;
	for (unsigned i = 0; i < 200; i++) {
		counting_backing_fail(&p.counting, 1, true);
		cr_assert_null((tierpool_get_sized)(pool, 100));
	}
	counting_backing_fail(&p.counting, 0, false);
	tierpool_put((tierpool_get_sized)(pool, 100));
	cr_assert_leq(counting_backing_blocks(&p.counting), blocks + 1);
	cr_assert_eq(pool->heads.bytes, headers);
	pool_end(pool, &p.counting);
}

/* ---- what comes from libc itself ---- */

#if SANITIZED
#define LIBC_FAILS(fails) skip("the sanitizer has malloc for itself")
#else
#define LIBC_FAILS(fails)                                       \
	do {                                                    \
		if (under_valgrind())                           \
			skip("Valgrind has malloc for itself"); \
		libc_fails = (fails);                           \
	} while (0)

static volatile bool libc_fails;

/* The malloc that would be there without these: libc's or jemalloc's. */
#define NEXT(name)                     \
	static __typeof__(name) *next; \
	if (!next)                     \
	*(void **)&next = dlsym(RTLD_NEXT, #name)

void *malloc(size_t n)
{
	NEXT(malloc);
	return libc_fails ? NULL : next(n);
}

void *calloc(size_t count, size_t n)
{
	NEXT(calloc);
	return libc_fails ? NULL : next(count, n);
}

int posix_memalign(void **out, size_t alignment, size_t n)
{
	NEXT(posix_memalign);
	return libc_fails ? ENOMEM : next(out, alignment, n);
}
#endif

Test(out_of_memory, a_budget_for_which_there_is_no_memory_is_ENOMEM)
{
	tierpool_budget *budget = (tierpool_budget *)&p;
	int error;

	LIBC_FAILS(true);
	error = tierpool_budget_create(&budget, 1);
	LIBC_FAILS(false);
	cr_assert_eq(error, -ENOMEM);
	cr_assert_null(budget);
}

Test(out_of_memory, a_stream_for_which_there_is_no_memory_is_ENOMEM_and_leaves_the_buffer_good)
{
	tierpool *pool = pool_new(.name = "stream");
	tierpool_buf *b = tierpool_get(pool);
	FILE *stream;
	int error;

	LIBC_FAILS(true);
	stream = tierpool_buf_open(b);
	error = errno;
	LIBC_FAILS(false);
	cr_assert_null(stream);
	cr_assert_eq(error, ENOMEM);
	cr_assert_eq(tierpool_buf_error(b), 0);
	cr_assert_eq(tierpool_buf_append(b, "good", 4), 0);
	tierpool_put(b);
	cr_assert_eq(at_rest(pool).puts, 1);
	tierpool_destroy(pool);
}

Test(out_of_memory, a_default_pool_for_which_there_is_no_memory_can_be_had_later)
{
	tierpool *pool, *probe = pool_new(.name = "probe");
	bool libc = !strcmp(stats_of(probe).backing, "libc");
	int error;

	if (!libc)
		skip("the default backing does not take its memory from libc");
	LIBC_FAILS(true);
	pool = tierpool_default();
	error = errno;
	LIBC_FAILS(false);
	cr_assert_null(pool);
	cr_assert_eq(error, ENOMEM);
	cr_assert_not_null(tierpool_default());
	tierpool_destroy(probe);
}
