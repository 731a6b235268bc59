/* SPDX-License-Identifier: MIT */
/*
 * What tasks have waited for memory: where it is read, what counts as memory being short, and that the
 * program's own files stay as they are, whatever it does to numbers of files meanwhile.
 */
#include "process/pressure.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic.h"
#include "reaper_system.h"

TestSuite(pressure, .timeout = 60);

static struct tp_pressure read_now(int expected)
{
	struct tp_pressure now;

	/* No error of the C library. */
	errno = 4711;
	cr_assert_eq(tp_pressure_read(&now), expected);
	cr_assert_eq(errno, 4711);
	return now;
}

/* ---- what is read ---- */

Test(pressure, is_what_tasks_waited_in_the_system_and_in_the_cgroup)
{
	struct tp_pressure now;

	kernel.waited_us[OF_SYSTEM] = 0;
	kernel.waited_us[OF_CGROUP] = UINT64_MAX - 1;
	now = read_now(0);
	cr_assert_eq(now.waited_us[0], 0);
	cr_assert_eq(now.waited_us[1], UINT64_MAX - 1);
}

Test(pressure, is_unknown_where_there_is_no_such_file)
{
	struct tp_pressure now;

	kernel.none[OF_SYSTEM] = true;
	kernel.waited_us[OF_CGROUP] = 3;
	now = read_now(0);
	cr_assert_eq(now.waited_us[0], TP_PRESSURE_UNKNOWN);
	cr_assert_eq(now.waited_us[1], 3);
	kernel.none[OF_CGROUP] = true;
	now = read_now(-ENOENT);
	cr_assert_eq(now.waited_us[0], TP_PRESSURE_UNKNOWN);
	cr_assert_eq(now.waited_us[1], TP_PRESSURE_UNKNOWN);
	kernel.none[OF_SYSTEM] = false;
	now = read_now(0);
	cr_assert_eq(now.waited_us[0], 0);
	cr_assert_eq(now.waited_us[1], TP_PRESSURE_UNKNOWN);
}

Test(pressure, is_unknown_where_a_file_says_something_else)
{
	static const char *const other[] = {"", "\n", "some", "some avg10=0.00\n", "total=3\n",
		"full avg10=0.00 avg60=0.00 avg300=0.00 total=3\n"};

	kernel.none[OF_CGROUP] = true;
	for (unsigned i = 0; i < sizeof other / sizeof *other; i++) {
		kernel.says[OF_SYSTEM] = other[i];
		cr_assert_eq(
			read_now(-EINVAL).waited_us[0], TP_PRESSURE_UNKNOWN, "\"%s\"", other[i]);
	}
	/* No newline, and no second line. */
	kernel.says[OF_SYSTEM] = "some avg10=0.00 avg60=0.00 avg300=0.00 total=3";
	cr_assert_eq(read_now(0).waited_us[0], 3);
}

/* ---- which cgroup ---- */

/* The file that is asked for last, if none is there; NULL: none is. */
static void assert_asks(const char *cgroups, const char *file)
{
	kernel.cgroups = cgroups;
	kernel.asked[0] = 0;
	(void)read_now(0);
	cr_assert_str_eq(kernel.asked, file ? file : "", "\"%.80s\"", cgroups);
}

#define UNIFIED "/sys/fs/cgroup/unified"

Test(pressure, the_cgroup_is_that_of_version_2_under_either_mount)
{
	kernel.waited_us[OF_CGROUP] = 3;
	kernel.cgroup_file = "/sys/fs/cgroup/a/b/memory.pressure";
	kernel.cgroups = "0::/a/b\n";
	cr_assert_eq(read_now(0).waited_us[1], 3);
	kernel.cgroup_file = UNIFIED "/a/b/memory.pressure";
	cr_assert_eq(read_now(0).waited_us[1], 3);

	kernel.cgroup_file = "";
	assert_asks("0::/\n", UNIFIED "//memory.pressure");
	assert_asks("2:cpu:/c\n1:name=x:/0::/d\n0::/a\n", UNIFIED "/a/memory.pressure");
	assert_asks("0::/a\n2:cpu:/c\n", UNIFIED "/a/memory.pressure");
	assert_asks("0::/a b:c", UNIFIED "/a b:c/memory.pressure");
	assert_asks("", NULL);
	assert_asks("\n", NULL);
	assert_asks("2:cpu:/c\n10::/a\n1:name=0::/a:/b\n", NULL);
}

Test(pressure, a_cgroup_outside_of_the_own_namespace_is_not_looked_for)
{
	kernel.cgroup_file = "";
	assert_asks("0::/..\n", NULL);
	assert_asks("0::/../other\n", NULL);
	assert_asks("0::/../../other/cgroup\n", NULL);
	/* These are names. */
	assert_asks("0::/...\n", UNIFIED "/.../memory.pressure");
	assert_asks("0::/..a/b\n", UNIFIED "/..a/b/memory.pressure");
}

/* A path that is cut is that of another cgroup. */
Test(pressure, a_cgroup_whose_path_is_too_long_is_not_looked_for)
{
	static char cgroups[2 * PATH_MAX];
	unsigned asked = 0;

	kernel.cgroup_file = "";
	for (size_t n = PATH_MAX - 40; n < PATH_MAX + 40; n++) {
		memset(cgroups, 'a', n);
		memcpy(cgroups, "0::/", 4);
		cgroups[n - 1] = '\n';
		cgroups[n] = 0;
		kernel.cgroups = cgroups;
		kernel.asked[0] = 0;
		(void)read_now(0);
		if (!kernel.asked[0])
			continue;
		asked++;
		cr_assert_eq(strlen(kernel.asked),
			strlen(UNIFIED) + n - strlen("0::") - 1 + strlen("/memory.pressure"));
	}
	cr_assert(asked && asked < 80);
}

/* ---- what is short ---- */

static bool is_short(uint64_t ms, uint64_t from, uint64_t to)
{
	struct tp_pressure before = {1000, {from, TP_PRESSURE_UNKNOWN}};
	struct tp_pressure now = {1000 + ms, {to, TP_PRESSURE_UNKNOWN}};
	bool in_system = tp_pressure_is(&before, &now);

	before.waited_us[0] = now.waited_us[0] = 5;
	before.waited_us[1] = from;
	now.waited_us[1] = to;
	cr_assert_eq(tp_pressure_is(&before, &now), in_system);
	return in_system;
}

Test(pressure, memory_is_short_where_tasks_waited_for_a_tenth_of_the_time)
{
	cr_assert(is_short(2000, 0, 200000));
	cr_assert(is_short(2000, 7, 3000000));
	cr_assert(is_short(20000, 0, 2000000));
	cr_assert_not(is_short(2000, 0, 199999));
	cr_assert_not(is_short(2000, 7, 7));
	cr_assert_not(is_short(20000, 0, 1999999));
	/* Of another cgroup. */
	cr_assert_not(is_short(2000, 3000000, 7));
	cr_assert_not(is_short(2000, 0, TP_PRESSURE_UNKNOWN));
	cr_assert_not(is_short(2000, TP_PRESSURE_UNKNOWN, 200000));
	cr_assert_not(is_short(2000, TP_PRESSURE_UNKNOWN, TP_PRESSURE_UNKNOWN));
}

/* ---- the program's files ---- */

static int own;           /* the program's, of which it puts copies in the place of ours */
static unsigned at, when; /* the how manieth of a reading's files is replaced */
static int replaced;      /* the number */

static void replace(int file)
{
	if (at++ == when)
		replaced = own < 0 ? close(file) : dup2(own, file);
}

/* Does so to each of the files of a reading. */
static void for_each_file(void (*check)(void))
{
	for (when = 0; when < 3; when++) {
		at = 0;
		replaced = -1;
		tp_store_release(&kernel.before_read, replace);
		(void)read_now(0);
		tp_store_release(&kernel.before_read, NULL);
		cr_assert_gt(at, when);
		check();
	}
}

static void is_still_there(void)
{
	struct stat ours, theirs;

	cr_assert_geq(replaced, 0);
	cr_assert_eq(fstat(replaced, &theirs), 0, "it was closed");
	cr_assert_eq(fstat(own, &ours), 0);
	cr_assert_eq(theirs.st_ino, ours.st_ino);
	cr_assert_eq(close(replaced), 0);
}

static void has_all_bytes(void)
{
	int bytes;

	is_still_there();
	cr_assert_eq(ioctl(own, FIONREAD, &bytes), 0);
	cr_assert_eq(bytes, 14, "it was read");
}

static void has_the_same_content(void)
{
	is_still_there();
	cr_assert_eq(lseek(own, 0, SEEK_CUR), 14, "it was read as a stream");
	cr_assert_eq(lseek(own, 0, SEEK_END), 14, "it was written");
}

Test(pressure, a_pipe_of_the_program_in_the_place_of_a_file_keeps_all_bytes_and_stays_open)
{
	int pair[2];

	cr_assert_eq(pipe2(pair, O_NONBLOCK), 0);
	cr_assert_eq(write(pair[1], "of the program", 14), 14);
	own = pair[0];
	for_each_file(has_all_bytes);
}

Test(pressure, a_socket_of_the_program_in_the_place_of_a_file_keeps_all_bytes_and_stays_open)
{
	int pair[2], bytes;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	cr_assert_eq(write(pair[1], "of the program", 14), 14);
	own = pair[0];
	for_each_file(has_all_bytes);
	cr_assert_eq(ioctl(pair[1], FIONREAD, &bytes), 0);
	cr_assert_eq(bytes, 0, "it was written");
}

Test(pressure, a_file_of_the_program_in_the_place_of_a_file_keeps_its_place_and_stays_open)
{
	FILE *file = tmpfile();

	cr_assert_not_null(file);
	own = fileno(file);
	cr_assert_eq(write(own, "of the program", 14), 14);
	for_each_file(has_the_same_content);
}

static void nothing_more(void)
{
	cr_assert_eq(replaced, 0);
}

Test(pressure, a_file_that_the_program_closes_is_unknown)
{
	own = -1;
	for_each_file(nothing_more);
}

Test(pressure, leaves_no_file_open)
{
	int first = dup(0), next;

	cr_assert_eq(close(first), 0);
	for (unsigned i = 0; i < 3; i++)
		(void)read_now(0);
	kernel.none[OF_CGROUP] = true;
	kernel.says[OF_SYSTEM] = "";
	(void)read_now(-EINVAL);
	next = dup(0);
	cr_assert_eq(next, first);
	close(next);
}
