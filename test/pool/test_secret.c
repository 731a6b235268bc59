/* SPDX-License-Identifier: MIT */
/*
 * What remains of a secret in the memory of the process after its buffer was put: nothing, whichever way
 * it was written. All memory that can be written is searched.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tierpool/pool.h>

#include "cpus.h"

#define LENGTH 48

/*
 * It is made at run time, and hidden while it is looked for: the only copy that the test has. Copies are
 * looked for by their first PART bytes.
 */
#define PART 20
static char *secret;

static void secret_make(unsigned seed)
{
	for (unsigned i = 0; i < LENGTH; i++)
		secret[i] = (char)('a' + (seed * (i + 3) + i * i) % 26);
	secret[LENGTH] = 0;
}

static void secret_flip(void)
{
	for (unsigned i = 0; i < LENGTH; i++)
		secret[i] = (char)(secret[i] ^ 0x55);
}

/* ---- ways to write it ---- */

static void way_append(tierpool_buf *b)
{
	tierpool_buf_append(b, secret, LENGTH);
}

static void way_grow(tierpool_buf *b)
{
	for (unsigned i = 0; i < 3000; i++)
		tierpool_buf_append(b, secret, LENGTH);
}

static void way_set(tierpool_buf *b)
{
	way_grow(b);
	tierpool_buf_set(b, b->data + LENGTH, 5 * LENGTH);
}

static void way_json(tierpool_buf *b)
{
	for (unsigned i = 0; i < 100; i++)
		tierpool_buf_append_json(b, secret, LENGTH);
	tierpool_buf_append_json(b, b->data, b->len);
}

static void way_printf(tierpool_buf *b)
{
	tierpool_buf_reserve(b, 3000);
	for (unsigned i = 0; i < 20; i++)
		tierpool_buf_printf(b, "<%s %u>", secret, i);
}

static void way_oversize(tierpool_buf *b)
{
	tierpool_buf_reserve(b, (size_t)20 << 20);
	way_grow(b);
	tierpool_buf_reserve(b, (size_t)50 << 20);
}

static void way_fprintf(tierpool_buf *b)
{
	FILE *stream = tierpool_buf_open(b);

	for (unsigned i = 0; i < 100; i++)
		fprintf(stream, "<%s %u>", secret, i);
	fclose(stream);
}

static void way_fprintf_once(tierpool_buf *b)
{
	FILE *stream = tierpool_buf_open(b);

	fprintf(stream, "%s", secret);
	fclose(stream);
}

static void way_fputs(tierpool_buf *b)
{
	FILE *stream = tierpool_buf_open(b);

	for (unsigned i = 0; i < 100; i++)
		fputs(secret, stream);
	fclose(stream);
}

static void way_fputc(tierpool_buf *b)
{
	FILE *stream = tierpool_buf_open(b);

	for (unsigned i = 0; i < 30 * LENGTH; i++)
		fputc(secret[i % LENGTH], stream);
	fflush(stream);
	fclose(stream);
}

static void way_fwrite(tierpool_buf *b)
{
	FILE *stream = tierpool_buf_open(b);

	for (unsigned i = 0; i < 100; i++)
		fwrite(secret, 1, LENGTH, stream);
	fclose(stream);
}

static const struct way {
	const char *name;
	void (*write)(tierpool_buf *b);
} ways[] = {{"append", way_append}, {"grow", way_grow}, {"set", way_set}, {"json", way_json},
	{"printf", way_printf}, {"oversize", way_oversize}, {"fprintf", way_fprintf},
	{"fprintf once", way_fprintf_once}, {"fputs", way_fputs}, {"fputc", way_fputc},
	{"fwrite", way_fwrite}};
#define WAYS (sizeof ways / sizeof *ways)

/* ---- the search; the secret is flipped ---- */

static bool search_is_one(const char *at)
{
	for (unsigned i = 0; i < PART; i++)
		if (at[i] != (char)(secret[i] ^ 0x55))
			return false;
	return true;
}

static unsigned search(const char *from, const char *to)
{
	unsigned found = 0;

	while (to - from >= PART &&
		(from = memchr(from, secret[0] ^ 0x55, (size_t)(to - from) - PART + 1)))
		found += search_is_one(from++);
	return found;
}

/*
 * Copies in all memory that the process may write; what is said of the last one. Without stdio, which
 * would take memory that a stream has given back.
 */
static unsigned search_all(char where[128])
{
	static char text[1 << 17];
	int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	unsigned found = 0;
	ssize_t n;

	cr_assert_geq(maps, 0);
	while ((n = read(maps, text + length, sizeof text - 1 - length)) > 0)
		length += (size_t)n;
	close(maps);
	text[length] = 0;
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		char *at = line;
		uintptr_t from = strtoul(at, &at, 16), to = strtoul(at + 1, &at, 16);

		*end = 0;
		if (strncmp(at, " rw", 3) || to - from > (size_t)1 << 30)
			continue;
		if (search((const char *)from, (const char *)to)) {
			found++;
			snprintf(where, 128, "%.120s", line);
		}
	}
	return found;
}

/* In a function of its own, whose frame is gone when the search begins. */
static __attribute__((noinline)) void use(tierpool *pool, const struct way *way)
{
	tierpool_buf *b = tierpool_get_sized(pool, 64);

	tierpool_buf_secret(b);
	way->write(b);
	cr_assert_eq(tierpool_buf_error(b), 0, "%s", way->name);
	tierpool_put(b);
}

Test(secret, leaves_no_copy_whichever_way_it_was_written, .timeout = 120)
{
	tierpool *pool;
	char where[128] = "";

	if (SANITIZED || under_valgrind())
		skip("the tool keeps copies, and memory that may not be read");
	secret = malloc(LENGTH + 1);
	cr_assert_eq(tierpool_create(&pool, NULL), 0);
	for (unsigned i = 0; i < WAYS; i++) {
		unsigned found;

		secret_make(11 * i + 1);
		use(pool, &ways[i]);
		secret_flip();
		found = search_all(where);
		cr_assert_eq(
			found, 0, "%s: %u copies, the last one in %s", ways[i].name, found, where);
	}
	tierpool_destroy(pool);
	free(secret);
}

Test(secret, that_a_buffer_still_holds_is_found)
{
	tierpool *pool;
	tierpool_buf *b;
	char where[128] = "";

	if (SANITIZED || under_valgrind())
		skip("the tool keeps copies, and memory that may not be read");
	secret = malloc(LENGTH + 1);
	cr_assert_eq(tierpool_create(&pool, NULL), 0);
	secret_make(5);
	b = tierpool_get_sized(pool, 64);
	way_append(b);
	secret_flip();
	cr_assert_gt(search_all(where), 0);
	tierpool_put(b);
	tierpool_destroy(pool);
	free(secret);
}
