/* SPDX-License-Identifier: MIT */
/*
 * The reaper and the program's files: it keeps none open, and whatever the program does to all numbers
 * of files, it ticks and stops, and nothing of the program's is read, written or closed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic.h"
#include "cache_objects.h"
#include "child.h"
#include "cpus.h"
#include "pool_checks.h"
#include "reaper_checks.h"
#include "reaper_system.h"

TestSuite(reaper, .timeout = 90);

#define SOON 5     /* milliseconds */
#define NUMBERS 64 /* of files, from 0; more than are open here */

/* ---- none is kept open ---- */

static void files_look(bool is_open[NUMBERS])
{
	for (int i = 0; i < NUMBERS; i++)
		is_open[i] = fcntl(i, F_GETFD) >= 0;
}

/* Has the reaper look for pressure, and find it. */
static void look_for_pressure(tierpool_cache *cache)
{
	size_t destroyed = objects_destroyed();
	unsigned readings = tp_load_relaxed(&kernel.readings);

	objects_give(cache, 100);
	kernel_time_passes();
	cr_assert(comes_true(tp_load_acquire(&kernel.readings) != readings));
	kernel_tasks_wait(OF_SYSTEM);
	kernel_time_passes();
	cr_assert(comes_true(objects_destroyed() >= destroyed + 100));
}

Test(reaper, keeps_no_file_open)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = UINT_MAX);
	bool before[NUMBERS], after[NUMBERS];

	files_look(before);
	for (unsigned i = 0; i < 3; i++) {
		reaper_start();
		look_for_pressure(cache);
		cr_assert(falls_asleep());
		files_look(after);
		cr_assert_arr_eq(after, before, sizeof before);
		tierpool_reaper_stop();
		files_look(after);
		cr_assert_arr_eq(after, before, sizeof before);
	}
	kernel.no_thread = true;
	cr_assert_eq(reaper_try_to_start(), -EAGAIN);
	files_look(after);
	cr_assert_arr_eq(after, before, sizeof before);
	cache_end(cache);
}

Test(reaper, a_child_forked_while_it_reads_has_no_file_of_it)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = UINT_MAX);
	bool before[NUMBERS], after[NUMBERS];
	pid_t child;

	files_look(before);
	reaper_start();
	cr_assert(falls_asleep());
	kernel_hold_reading();
	objects_give(cache, 100);
	kernel_await_reading();
	child = fork();
	if (!child) {
		files_look(after);
		_exit(memcmp(after, before, sizeof before) != 0);
	}
	cr_assert_eq(child_await(child), 0);
	tierpool_reaper_stop();
	cache_end(cache);
}

/* ---- the program takes all numbers ---- */

#define SAYS "of the program"
#define BYTES ((int)sizeof SAYS - 1)

enum { A_FILE, A_PIPE, A_SOCKET, KINDS };

/* What lies behind the numbers, and the other ends, which lie above. */
static struct {
	int first[KINDS], other[KINDS];
} own;

/* Closes all from 3 on, and has a file of each kind at every number, one kind after the other. */
static bool numbers_take(void)
{
	int pair[2], at = NUMBERS;
	char name[] = "/tmp/tierpool-test-XXXXXX";

	closefrom(3);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		if (kind == A_FILE) {
			pair[0] = mkstemp(name);
			pair[1] = pair[0] < 0 ? -1 : dup(pair[0]);
			unlink(name);
		} else if (kind == A_PIPE ? pipe(pair)
					  : socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) {
			return false;
		}
		own.first[kind] = dup2(pair[0], at++);
		own.other[kind] = dup2(pair[1], at++);
		if (own.first[kind] < 0 || own.other[kind] < 0 ||
			write(own.other[kind], SAYS, (size_t)BYTES) != BYTES)
			return false;
		close(pair[0]);
		close(pair[1]);
	}
	for (int i = 3; i < NUMBERS; i++)
		if (dup2(own.first[i % KINDS], i) != i)
			return false;
	return true;
}

static bool is_same(int one, int other)
{
	struct stat of_one, of_other;

	return !fstat(one, &of_one) && !fstat(other, &of_other) && of_one.st_ino == of_other.st_ino;
}

/* Nothing is lost, written or closed. */
static bool numbers_are_untouched(void)
{
	int bytes[3];

	for (int i = 3; i < NUMBERS; i++)
		if (!is_same(i, own.first[i % KINDS]))
			return false;
	return lseek(own.first[A_FILE], 0, SEEK_CUR) == BYTES &&
	       lseek(own.first[A_FILE], 0, SEEK_END) == BYTES &&
	       !ioctl(own.first[A_PIPE], FIONREAD, &bytes[0]) && bytes[0] == BYTES &&
	       !ioctl(own.first[A_SOCKET], FIONREAD, &bytes[1]) && bytes[1] == BYTES &&
	       !ioctl(own.other[A_SOCKET], FIONREAD, &bytes[2]) && bytes[2] == 0;
}

/* Criterion's own files would go: so this is a child, which says by its status where it failed. */
static int child_takes_all(bool idle)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = SOON);
	tierpool_cache *never = cache_new(.destroy = object_destroy, .decay_ms = UINT_MAX);
	tierpool *pool = pool_new(.decay_ms = SOON);
	unsigned readings;

	alarm(80);
	reaper_start();
	/* It is asleep without a limit then, or has something to wake for. */
	if (idle)
		objects_give(never, 100);
	usleep(20000);
	for (unsigned i = 1; i <= 20; i++) {
		if (!numbers_take())
			return 1;
		objects_give(cache, 100);
		fill(pool);
		if (!comes_true(objects_destroyed() == 100 * i && !stats_of(pool).idle))
			return 2;
		if (idle) {
			readings = tp_load_relaxed(&kernel.readings);
			kernel_time_passes();
			if (!comes_true(tp_load_acquire(&kernel.readings) != readings))
				return 3;
		}
		if (!numbers_are_untouched())
			return 4;
	}
	tierpool_reaper_stop();
	if (reapers(NULL) || !numbers_are_untouched())
		return 5;
	reaper_start();
	objects_give(cache, 100);
	if (!comes_true(objects_destroyed() == 2100))
		return 6;
	tierpool_reaper_stop();
	return numbers_are_untouched() ? 0 : 7;
}

static void assert_takes_all(bool idle)
{
	pid_t child;

	if (SANITIZED)
		skip("the sanitizer's malloc leaves its lock taken in a fork's child");
	child = fork();
	if (!child)
		_exit(child_takes_all(idle));
	/* The high byte says where; the low one, by which signal it ended. */
	cr_assert_eq(child_await(child), 0);
}

Test(reaper, asleep_while_the_program_takes_all_numbers_it_touches_none_and_ticks)
{
	assert_takes_all(false);
}

Test(reaper, looking_while_the_program_takes_all_numbers_it_touches_none_and_ticks)
{
	assert_takes_all(true);
}

/* ---- a callback's files ---- */

static int given[2];

static void destroy_and_close(void *context, void *object)
{
	object_destroy(context, object);
	close(given[0]);
}

/* So the thread has the program's table of files. */
Test(reaper, a_callback_closes_a_file_of_the_program)
{
	tierpool_cache *cache = cache_new(.destroy = destroy_and_close, .decay_ms = SOON);

	cr_assert_eq(pipe(given), 0);
	reaper_start();
	objects_give(cache, 1);
	cr_assert(comes_true(objects_destroyed() == 1));
	tierpool_reaper_stop();
	cr_assert_lt(fcntl(given[0], F_GETFD), 0);
	cache_end(cache);
}
