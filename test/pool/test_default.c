/* SPDX-License-Identifier: MIT */
/*
 * The process's own pool: its options, those of the environment, and that it is made once.
 */
#include "pool_checks.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"

Test(default_pool, takes_its_options_before_the_first_use_and_not_after)
{
	struct tierpool_options options = pool_options(.retain = 123456, .max_size = 4096);
	tierpool *pool;

	cr_assert_eq(tierpool_default_setup(&options), 0);
	pool = tierpool_default();
	cr_assert_eq(stats_of(pool).retain, 123456);
	cr_assert_eq(tierpool_stats_tiers(pool, NULL, 0, 0), 7);
	cr_assert_eq(tierpool_default_setup(&options), -EBUSY);
	cr_assert_eq(tierpool_default_setup(NULL), -EBUSY);
	cr_assert_eq(tierpool_default(), pool);
	cycle(pool, KIB, 3);
	cr_assert_eq(tierpool_destroy(pool), 0, "it is trimmed");
	cr_assert_eq(tierpool_default(), pool);
	cycle(pool, KIB, 3);
}

Test(default_pool, that_is_there_is_not_changed)
{
	size_t retain = stats_of(tierpool_default()).retain;
	struct tierpool_options options = pool_options(.retain = retain / 2);

	cr_assert_eq(tierpool_default_setup(&options), -EBUSY);
	cr_assert_eq(stats_of(tierpool_default()).retain, retain);
}

Test(default_pool, is_not_made_of_wrong_options_and_is_later_of_right_ones)
{
	struct tierpool_options options = pool_options(.steps = 3);

	cr_assert_eq(tierpool_default_setup(&options), -EINVAL);
	options.size = 0;
	cr_assert_eq(tierpool_default_setup(&options), -EINVAL);
	options = pool_options(.retain = 1000);
	cr_assert_eq(tierpool_default_setup(&options), 0);
	cr_assert_eq(stats_of(tierpool_default()).retain, 1000);
}

/* ---- many at once ---- */

#define THREADS 8

static pthread_barrier_t together;
static unsigned made, busy;
static tierpool *seen[THREADS];

static void *set_up(void *mine)
{
	struct tierpool_options options = pool_options(.retain = 123456);
	int error;

	pthread_barrier_wait(&together);
	error = tierpool_default_setup(&options);
	__atomic_add_fetch(error ? &busy : &made, 1, __ATOMIC_RELAXED);
	*(tierpool **)mine = !error || error == -EBUSY ? tierpool_default() : NULL;
	return NULL;
}

Test(default_pool, is_made_by_one_of_many_threads)
{
	pthread_t thread[THREADS];

	pthread_barrier_init(&together, NULL, THREADS);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, set_up, &seen[i]);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert(made == 1 && busy == THREADS - 1);
	for (unsigned i = 0; i < THREADS; i++)
		cr_assert_eq(seen[i], tierpool_default());
	cr_assert_eq(stats_of(tierpool_default()).retain, 123456);
}

/* ---- the environment ---- */

/*
 * Makes the pool in a child whose environment has these settings, a line each. said: what it complains
 * of, and then what the pool is.
 */
static void make_under(
	const char *settings, const struct tierpool_options *options, char *said, size_t size)
{
	struct child child;
	int status;

	if (child_begin(&child)) {
		char *copy = strdup(settings), *saved = NULL;
		struct tierpool_stats s;

		for (char *line = strtok_r(copy, "\n", &saved); line;
			line = strtok_r(NULL, "\n", &saved))
			putenv(line);
		if (options && tierpool_default_setup(options))
			_exit(1);
		s = stats_of(tierpool_default());
		fprintf(stderr, "retain %zu tiers %d\n", s.retain,
			tierpool_stats_tiers(tierpool_default(), NULL, 0, 0));
		_exit(0);
	}
	status = child_end(&child, said, size);
	cr_assert(WIFEXITED(status) && !WEXITSTATUS(status), "%s: %s", settings, said);
}

static void expect_made(
	const char *settings, const struct tierpool_options *options, const char *wanted)
{
	char said[1000];

	make_under(settings, options, said, sizeof said);
	cr_assert_str_eq(said, wanted, "%s: %s", settings, said);
}

Test(default_pool, is_as_the_environment_says)
{
	expect_made("TIERPOOL_RETAIN=65536", NULL, "retain 65536 tiers 19\n");
	expect_made("TIERPOOL_RETAIN=64K\nTIERPOOL_MAX_SIZE=2M\nTIERPOOL_DECAY_MS=never", NULL,
		"retain 65536 tiers 16\n");
	expect_made("TIERPOOL_RETAIN=0\nTIERPOOL_DECAY_MS=20", NULL, "retain 1 tiers 19\n");
	expect_made("TIERPOOL_RETAIN=1G", NULL, "retain 1073741824 tiers 19\n");
	expect_made("TIERPOOL_MAX_SIZE=32", NULL, "retain 67108864 tiers 1\n");
}

Test(default_pool, obeys_the_environment_before_the_program)
{
	static const size_t tiers[] = {2048, 4096, 32768};
	struct tierpool_options options = pool_options(.retain = MIB, .max_size = MIB);

	expect_made("TIERPOOL_RETAIN=2M", &options, "retain 2097152 tiers 15\n");
	expect_made("TIERPOOL_MAX_SIZE=64K", &options, "retain 1048576 tiers 11\n");
	options = pool_options(.tiers = tiers, .tier_count = 3);
	expect_made("TIERPOOL_RETAIN=2M\nTIERPOOL_MAX_SIZE=64K", &options,
		"tierpool: TIERPOOL_MAX_SIZE=64K: does not go with the other options of the "
		"default pool; ignored\nretain 2097152 tiers 3\n");
	options = pool_options(.min_size = 1024);
	expect_made("TIERPOOL_MAX_SIZE=512", &options,
		"tierpool: TIERPOOL_MAX_SIZE=512: does not go with the other options of the "
		"default pool; ignored\nretain 67108864 tiers 15\n");
}

static void expect_ignored(const char *name, const char *value, const char *why)
{
	char setting[100], wanted[300];

	snprintf(setting, sizeof setting, "%s=%s", name, value);
	snprintf(wanted, sizeof wanted, "tierpool: %s: %s; ignored\nretain 67108864 tiers 19\n",
		setting, why);
	expect_made(setting, NULL, wanted);
}

Test(default_pool, takes_no_other_values)
{
	static const char *const numbers[] = {"", "x", "-1", " 1", "1 ", "0x10", "1KB", "1T",
		"1.5M", "18446744073709551616", "17179869184G"};

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		expect_ignored(
			"TIERPOOL_RETAIN", numbers[i], "no number of bytes (such as 65536, 64M)");
		expect_ignored("TIERPOOL_MAX_SIZE", numbers[i],
			"no number of bytes (such as 65536, 64K) above 0");
		expect_ignored("TIERPOOL_DECAY_MS", numbers[i],
			"neither a number of milliseconds above 0 nor never");
	}
	expect_ignored("TIERPOOL_MAX_SIZE", "0", "no number of bytes (such as 65536, 64K) above 0");
	expect_ignored(
		"TIERPOOL_DECAY_MS", "0", "neither a number of milliseconds above 0 nor never");
	expect_ignored(
		"TIERPOOL_DECAY_MS", "10K", "neither a number of milliseconds above 0 nor never");
}
