/* SPDX-License-Identifier: MIT */
/*
 * A program with one mistake, for tests of what tools find of it: misuser WHAT. Its functions have the
 * names that a report has to show.
 */
#include <string.h>

#include <tierpool.h>

#define SIZE 1000
#define LARGE 100000

/* Not a copy with a name of its own either. */
#ifdef __clang__
#define NEVER_INLINE __attribute__((noinline))
#else
#define NEVER_INLINE __attribute__((noinline, noclone))
#endif

static tierpool *pool;
static tierpool_buf *kept;
/* Read and written at run time, so that no compiler knows better. */
static volatile size_t first;
static volatile char byte;

NEVER_INLINE static void keep_a_buffer(void)
{
	kept = tierpool_get(pool);
	tierpool_buf_append_str(kept, "still reachable");
}

NEVER_INLINE static void forget_a_buffer(void)
{
	tierpool_buf *b = tierpool_get(pool);

	tierpool_buf_append_str(b, "forgotten");
}

/* So that no old copy of a pointer lies in the stack. */
NEVER_INLINE static void wipe_the_stack(void)
{
	char area[1 << 14];

	memset(area, 0, sizeof area);
	byte = area[first];
}

static void forget(void)
{
	keep_a_buffer();
	forget_a_buffer();
	wipe_the_stack();
}

NEVER_INLINE static void use_after_put(void)
{
	tierpool_buf *b = tierpool_get(pool);
	char *data = b->data;

	tierpool_put(b);
	data[first] = 'x';
}

NEVER_INLINE static void write_too_far(size_t n)
{
	tierpool_buf *b = tierpool_get_sized(pool, n);

	b->data[first + n] = 'x';
	tierpool_put(b);
}

static void write_too_far_in_a_small_one(void)
{
	write_too_far(SIZE);
}

static void write_too_far_in_a_large_one(void)
{
	write_too_far(LARGE);
}

NEVER_INLINE static void put_again(void)
{
	tierpool_buf *b = tierpool_get(pool);

	tierpool_put(b);
	tierpool_put(b);
}

/* Nothing is wrong here: growth, above the tiers too, a secret, and a pool that buffers outlive. */
static void use_properly(void)
{
	tierpool_buf *b[3];

	for (int i = 0; i < 3; i++) {
		b[i] = tierpool_get(pool);
		for (int j = 0; j < 100; j++)
			tierpool_buf_append_str(b[i], "some text that is of no interest\n");
		tierpool_buf_secret(b[i]);
		tierpool_buf_reserve(b[i], (size_t)1 << 20);
		tierpool_put(i ? b[i] : NULL);
	}
	tierpool_put(tierpool_get(tierpool_default()));
	kept = b[0];
	tierpool_destroy(pool);
	tierpool_put(kept);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} mistakes[] = {{"forget", forget}, {"use_after_put", use_after_put},
		{"write_too_far", write_too_far_in_a_small_one},
		{"write_too_far_in_a_large_one", write_too_far_in_a_large_one},
		{"put_again", put_again}, {"none", use_properly}};
	static const size_t tiers[] = {SIZE};
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;

	options.tiers = tiers;
	options.tier_count = 1;
	if (tierpool_create(&pool, &options))
		return 3;
	for (size_t i = 0; argc > 1 && i < sizeof mistakes / sizeof *mistakes; i++)
		if (!strcmp(argv[1], mistakes[i].name)) {
			mistakes[i].run();
			return 0;
		}
	return 2;
}
