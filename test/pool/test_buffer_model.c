/* SPDX-License-Identifier: MIT */
/*
 * 600,000 random operations on buffers. Each is compared with a model that is too simple to be
 * wrong: an array, a length and an error. Errors come from a backing that has no large blocks, or
 * from wrong arguments. The seed is fixed; a failure prints it, the operation and its number.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tierpool/pool.h>
#include <tierpool/stats.h>

#include "limited_backing.h"
#include "memory/bufstate.h"

#define BUFFERS 3
#define CONTENT_MAX ((size_t)256 << 10) /* a buffer whose content is longer than that is put */
#define PART_MAX ((size_t)6 << 10)      /* the most that an operation adds, except of its own */

struct model {
	char *bytes;
	size_t len;
	int error;
};

static struct {
	tierpool *pool;
	struct limited_backing limited;
	uint64_t seed, random;
	unsigned number; /* of the operation */
	const char *name;
	tierpool_buf *buffer[BUFFERS];
	struct model model[BUFFERS];
	uint64_t errors, grown, consumed;
	int memory; /* a file in memory */
} run;

static char source[PART_MAX + 1]; /* letters, and a NUL */

/* Below n; n is above 0. */
static size_t any(size_t n)
{
	run.random = run.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (size_t)(run.random >> 33) % n;
}

/* A length: mostly short, at times up to PART_MAX. */
static size_t any_length(void)
{
	return any(4) ? any(100) : any(PART_MAX);
}

/* The condition is an argument, because it may have a % in it. */
#define expect(condition)                                                                     \
	cr_assert(condition, "seed %llu, operation %u, %s: %s", (unsigned long long)run.seed, \
		run.number, run.name, #condition)

/* Whether the buffer has, or can get, a capacity of need bytes. */
static bool has_room(const tierpool_buf *b, size_t need)
{
	return need <= b->cap + tp_bufstate_front(b) || need <= run.limited.limit;
}

/* Compares the answer of a call with the model; without an error the model does the same. */
static void judge(tierpool_buf *b, struct model *m, int answer, size_t keep, const char *src,
	size_t n, size_t need)
{
	int wanted = m->error ? m->error : has_room(b, need) ? 0 : -ENOMEM;

	expect(answer == wanted);
	m->error = wanted;
	run.errors += wanted != 0;
	if (!wanted) {
		memmove(m->bytes + keep, src, n);
		m->len = keep + n;
	}
}

static void do_append(tierpool_buf *b, struct model *m)
{
	size_t n = any_length();
	const char *from = source + any(PART_MAX - n);

	judge(b, m, tierpool_buf_append(b, from, n), m->len, from, n, m->len + n);
}

static void do_append_own(tierpool_buf *b, struct model *m)
{
	size_t at = any(m->len + 1), n = any(m->len - at + 1);
	/* Asked for before the call: it may move the content. */
	const char *own = b->data + at;

	judge(b, m, tierpool_buf_append(b, own, n), m->len, m->bytes + at, n, m->len + n);
}

static void do_append_byte(tierpool_buf *b, struct model *m)
{
	char c = source[any(PART_MAX)];

	judge(b, m, tierpool_buf_append_byte(b, c), m->len, &c, 1, m->len + 1);
}

static void do_append_str(tierpool_buf *b, struct model *m)
{
	const char *s = source + PART_MAX - any_length();
	size_t n = strlen(s);

	judge(b, m, tierpool_buf_append_str(b, s), m->len, s, n, m->len + n);
}

static void do_printf(tierpool_buf *b, struct model *m)
{
	static char text[3 * PART_MAX];
	const char *s = source + PART_MAX - any_length();
	int width = (int)any_length(), number = (int)any(1000000) - 500000;
	int n = snprintf(text, sizeof text, "<%s|%d|%*d>", s, number, width, number);
	size_t need = m->len + (size_t)n;

	/* The NUL needs a place too. */
	judge(b, m, tierpool_buf_printf(b, "<%s|%d|%*d>", s, number, width, number), m->len, text,
		(size_t)n, need + 1);
}

static void do_set(tierpool_buf *b, struct model *m)
{
	size_t n = any_length();

	judge(b, m, tierpool_buf_set(b, source, n), 0, source, n, n);
}

static void do_set_own(tierpool_buf *b, struct model *m)
{
	size_t at = any(m->len + 1), n = any(m->len - at + 1);

	judge(b, m, tierpool_buf_set(b, b->data + at, n), 0, m->bytes + at, n, n);
}

static void do_reserve(tierpool_buf *b, struct model *m)
{
	/* Sometimes more than there is. */
	size_t n = any(50) ? any_length() * any(20) : SIZE_MAX - any(m->len + 1);
	size_t need = m->len + n;
	int answer = tierpool_buf_reserve(b, n);

	judge(b, m, answer, m->len, "", 0, need < n ? SIZE_MAX : need);
	if (!answer)
		expect(b->cap - b->len >= n);
}

static void do_reset(tierpool_buf *b, struct model *m)
{
	size_t cap = b->cap + tp_bufstate_front(b);

	tierpool_buf_reset(b);
	expect(b->cap == cap);
	m->len = 0;
	m->error = 0;
}

static void do_consume(tierpool_buf *b, struct model *m)
{
	size_t n = any(8) ? any(m->len + 1) : m->len + any(2);
	int wanted = m->error ? m->error : n > m->len ? -EINVAL : 0;
	char *data = b->data;

	expect(tierpool_buf_consume(b, n) == wanted);
	m->error = wanted;
	if (wanted)
		return;
	m->len -= n;
	memmove(m->bytes, m->bytes + n, m->len);
	run.consumed += n && m->len;
	if (m->len)
		expect(b->data == data + n);
	else if (n)
		expect((uintptr_t)b->data % 64 == 0);
}

static void do_clear_error(tierpool_buf *b, struct model *m)
{
	tierpool_buf_clear_error(b);
	m->error = 0;
}

static void do_detach(tierpool_buf *b, struct model *m)
{
	size_t len = 0;
	char *copy = tierpool_buf_detach(b, &len);

	expect((copy == NULL) == (m->error != 0));
	if (copy)
		expect(len == m->len && !memcmp(copy, m->bytes, len) && copy[len] == '\0');
	free(copy);
}

static void do_find(tierpool_buf *b, struct model *m)
{
	expect(tierpool_buf_of(b->data) == b);
	if (m->len > 1)
		expect(!tierpool_buf_of(b->data + 1 + any(m->len - 1)));
}

static void do_truncate(tierpool_buf *b, struct model *m)
{
	b->len = m->len = any(m->len + 1);
}

static void do_commit(tierpool_buf *b, struct model *m)
{
	size_t left = b->cap - b->len, n = any((left < PART_MAX ? left : PART_MAX) + 1);

	memcpy(b->data + b->len, source, n);
	b->len += n;
	memcpy(m->bytes + m->len, source, n);
	m->len += n;
}

static void do_cstr(tierpool_buf *b, struct model *m)
{
	const char *s = tierpool_buf_cstr(b);

	judge(b, m, s ? 0 : tierpool_buf_error(b), m->len, "", 0, m->len + 1);
	if (s)
		expect(s == b->data && b->cap > m->len && s[m->len] == '\0');
}

static void do_secret(tierpool_buf *b, struct model *m)
{
	(void)m;
	tierpool_buf_secret(b);
}

static void do_wrong(tierpool_buf *b, struct model *m)
{
	int answer = any(2) ? tierpool_buf_append(b, NULL, 1) : tierpool_buf_set(b, NULL, 5);

	m->error = m->error ? m->error : -EINVAL;
	expect(answer == m->error);
}

static void do_read(tierpool_buf *b, struct model *m)
{
	size_t there = any_length(), max = any(3) ? SIZE_MAX : any_length();
	size_t n = there < max ? there : max;
	ssize_t answer;

	/*
	 * read_fd may grow as much as it likes to find the end of the file; so that must be
	 * possible.
	 */
	if (m->len + PART_MAX + (64 << 10) > run.limited.limit)
		return;
	expect(ftruncate(run.memory, 0) == 0);
	expect(pwrite(run.memory, source, there, 0) == (ssize_t)there);
	expect(lseek(run.memory, 0, SEEK_SET) == 0);
	answer = tierpool_buf_read_fd(b, run.memory, max);
	expect(answer == (m->error ? m->error : (ssize_t)n));
	if (!m->error) {
		memcpy(m->bytes + m->len, source, n);
		m->len += n;
	}
}

static void do_write(tierpool_buf *b, struct model *m)
{
	static char written[2 * CONTENT_MAX + 4 * PART_MAX];
	ssize_t wanted = m->error ? m->error : (ssize_t)m->len;
	size_t at = 0, end;

	expect(ftruncate(run.memory, 0) == 0);
	expect(lseek(run.memory, 0, SEEK_SET) == 0);
	if (any(2)) {
		end = at = m->error ? 0 : any(m->len + 1);
		wanted -= (ssize_t)at;
		expect(tierpool_buf_write_fd_from(b, run.memory, &end) == wanted);
		expect(end == m->len || m->error);
	} else {
		expect(tierpool_buf_write_fd(b, run.memory) == wanted);
	}
	if (wanted >= 0) {
		expect(pread(run.memory, written, sizeof written, 0) == wanted);
		expect(!memcmp(written, m->bytes + at, m->len - at));
	}
}

static void do_stream(tierpool_buf *b, struct model *m)
{
	FILE *stream;
	size_t n = any_length();

	if (m->len + 2 * PART_MAX > run.limited.limit)
		return;
	stream = tierpool_buf_open(b);
	expect((stream == NULL) == (m->error != 0));
	if (!stream)
		return;
	expect(fprintf(stream, "%05zu", n) == 5);
	expect(fwrite(source, 1, n, stream) == n);
	expect(ftell(stream) == (long)(m->len + 5 + n) && fseek(stream, 0, SEEK_END) == 0);
	expect(fclose(stream) == 0);
	sprintf(m->bytes + m->len, "%05zu", n);
	memcpy(m->bytes + m->len + 5, source, n);
	m->len += 5 + n;
}

/* How often of 100. */
static const struct {
	unsigned share;
	const char *name;
	void (*call)(tierpool_buf *b, struct model *m);
} operations[] = {{20, "append", do_append}, {5, "append own content", do_append_own},
	{12, "append_byte", do_append_byte}, {8, "append_str", do_append_str},
	{10, "printf", do_printf}, {8, "consume", do_consume}, {1, "clear_error", do_clear_error},
	{2, "detach", do_detach}, {1, "buf_of", do_find}, {3, "set", do_set},
	{3, "set to own content", do_set_own}, {3, "reserve", do_reserve}, {4, "reset", do_reset},
	{4, "truncate", do_truncate}, {4, "commit", do_commit}, {5, "cstr", do_cstr},
	{1, "secret", do_secret}, {1, "an error", do_wrong}, {2, "read_fd", do_read},
	{1, "write_fd", do_write}, {2, "stream", do_stream}};

static void operate(tierpool_buf *b, struct model *m)
{
	unsigned at = 0, left = (unsigned)any(100);
	size_t cap = b->cap + tp_bufstate_front(b);

	while (left >= operations[at].share)
		left -= operations[at++].share;
	run.name = operations[at].name;
	operations[at].call(b, m);
	run.grown += b->cap > cap;
	expect(b->len == m->len);
	expect(b->len <= b->cap);
	expect((uintptr_t)(b->data - tp_bufstate_front(b)) % 64 == 0);
	expect(tierpool_buf_error(b) == m->error);
	/* All of it when it is short, and at times when it is long; else its end. */
	if (m->len < 512 || !any(32))
		expect(!memcmp(b->data, m->bytes, m->len));
	else
		expect(!memcmp(b->data + m->len - 512, m->bytes + m->len - 512, 512));
}

/* Puts the buffer in a place back, its content compared, and borrows another one. */
static void exchange(unsigned place)
{
	tierpool_buf *b = run.buffer[place];
	struct model *m = &run.model[place];

	run.name = "put and get";
	if (b)
		expect(!memcmp(b->data, m->bytes, m->len));
	tierpool_put(b);
	run.buffer[place] = (tierpool_get_sized)(run.pool, any(3) ? 0 : any_length() + 1);
	expect(run.buffer[place] && run.buffer[place]->len == 0);
	m->len = 0;
	m->error = 0;
}

static void expect_all_back(void)
{
	struct tierpool_stats s = {.size = sizeof s};

	run.name = "the end";
	for (unsigned i = 0; i < BUFFERS; i++)
		tierpool_put(run.buffer[i]);
	expect(tierpool_stats_read(run.pool, &s) == 0);
	expect(s.borrowed == 0 && s.gets == s.puts);
	expect(s.allocs - s.frees == s.idle);
	expect(s.idle_bytes <= s.retain);
	expect(s.grows >= run.grown); /* more: some operations make a buffer grow twice */
	expect(tierpool_destroy(run.pool) == 0);
}

static void compare(struct tierpool_options *options, size_t block_limit, unsigned count)
{
	struct tierpool_backing calls = limited_backing_calls(&run.limited);

	run.limited.limit = block_limit;
	run.seed = run.random = 20240229 + count + block_limit;
	run.memory = memfd_create("model", MFD_CLOEXEC);
	for (size_t i = 0; i < PART_MAX; i++)
		source[i] = (char)('a' + any(26));
	options->backing = &calls;
	cr_assert_eq(tierpool_create(&run.pool, options), 0);
	for (unsigned i = 0; i < BUFFERS; i++) {
		run.model[i].bytes = malloc(2 * CONTENT_MAX + 4 * PART_MAX);
		exchange(i);
	}
	for (run.number = 1; run.number <= count; run.number++) {
		unsigned place = (unsigned)any(BUFFERS);

		operate(run.buffer[place], &run.model[place]);
		if (run.model[place].len > CONTENT_MAX || !any(60))
			exchange(place);
		if (!any(5000))
			tierpool_tick(run.pool);
	}
	expect_all_back();
	expect(run.errors > count / 1000 && run.grown > count / 1000);
	expect(run.consumed > count / 100);
}

Test(buffer_model, operations_agree_in_a_pool_of_all_defaults)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;

	compare(&options, (size_t)1 << 20, 150000);
}

Test(buffer_model, operations_agree_where_nothing_is_kept)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;

	options.retain = TIERPOOL_RETAIN_NONE;
	compare(&options, (size_t)64 << 10, 150000);
}

Test(buffer_model, operations_agree_where_most_content_is_above_the_largest_tier)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;

	options.min_size = 16;
	options.max_size = 200;
	options.steps = 4;
	compare(&options, 100003, 150000);
}

Test(buffer_model, operations_agree_in_a_list_of_odd_tiers_with_little_to_keep)
{
	static const size_t tiers[] = {1, 7, 100, 1000, 1023, 5000, 40000};
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;

	options.tiers = tiers;
	options.tier_count = sizeof tiers / sizeof *tiers;
	options.retain = 60000;
	options.max_idle = 2;
	compare(&options, 40000, 150000);
}
