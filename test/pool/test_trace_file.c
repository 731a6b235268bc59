/* SPDX-License-Identifier: MIT */
/*
 * The file of a trace: its name, what happens if it cannot be written, and that there is none
 * without TIERPOOL_TRACE.
 */
#include "pool/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/fastpath.h"
#include "pool/guard.h"
#include "traced_program.h"

TestSuite(trace_file, .init = folder_new, .fini = folder_end, .timeout = 50);

static void uses_a_pool(void)
{
	tierpool *pool = MAKE(TIERS);

	program_use(pool, 1);
	tierpool_destroy(pool);
}

Test(trace_file, has_the_process_in_its_name)
{
	char name[64];
	struct decoder d;

	program_run("before%pbehind", uses_a_pool);
	cr_assert_str_eq(program_said, "");
	snprintf(name, sizeof name, "before%ldbehind", (long)program_id);
	decoder_open(&d, name);
	decoder_take(&d, 'P');
	decoder_close(&d);
}

static void works_without_a_trace(void)
{
	tierpool *pool = MAKE(TIERS);

	NEED(!tp_trace_on);
	program_use(pool, MUCH);
	tierpool_destroy(pool);
}

static void assert_refused(const char *name, int error)
{
	char wanted[2 * PATH_MAX];

	program_run(name, works_without_a_trace);
	snprintf(wanted, sizeof wanted, "tierpool: TIERPOOL_TRACE=%s: %s; no trace\n", name,
		strerror(error));
	cr_assert_str_eq(program_said, wanted);
}

Test(trace_file, that_cannot_be_opened_is_reported_once_and_the_pool_works)
{
	char name[PATH_MAX + 2];

	assert_refused("nowhere/trace", ENOENT);
	assert_refused(".", EISDIR);
	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	assert_refused(name, ENAMETOOLONG);
	name[200] = '%';
	name[201] = 'p';
	assert_refused(name, ENAMETOOLONG);
}

static void works_on_a_full_disk(void)
{
	tierpool *pool = MAKE(TIERS);

	NEED(tp_trace_on);
	program_use(pool, MUCH);
	NEED(!tp_trace_on);
	program_use(pool, MUCH);
	tierpool_destroy(pool);
}

Test(trace_file, on_a_full_disk_ends_with_one_line_and_the_pool_works)
{
	program_run("/dev/full", works_on_a_full_disk);
	cr_assert_str_eq(program_said, program_full_disk);
	/* Full only at the end. */
	program_run("/dev/full", uses_a_pool);
	cr_assert_str_eq(program_said, program_full_disk);
}

/* As a daemon does, and then opens a file of its own, which gets the number of the trace's. */
static void closes_all_files(void)
{
	tierpool *pool = MAKE(TIERS);
	int own;

	program_use(pool, 1);
	for (int file = 3; file < 256; file++)
		close(file);
	for (int i = 0; i < 8; i++)
		NEED((own = open("own", O_RDWR | O_CREAT | O_APPEND, 0600)) >= 0);
	program_use(pool, MUCH);
	NEED(!tp_trace_on);
	NEED(lseek(own, 0, SEEK_END) == 0);
	tierpool_destroy(pool);
}

Test(trace_file, is_never_a_file_that_the_program_opened)
{
	program_run("trace", closes_all_files);
	cr_assert_str_eq(program_said,
		"tierpool: TIERPOOL_TRACE: its file was closed; the trace ends here\n");
}

#define ERRNO 12345
#define HELD 4000 /* their gets are not enough for a write, and with their puts there is one */

static void puts_with_errno(void)
{
	static tierpool_buf *held[HELD];
	tierpool *pool = MAKE(TIERS);

	for (int i = 0; i < HELD; i++)
		NEED((held[i] = tierpool_get_at(pool, 0, NULL)));
	NEED(tp_trace_on);
	for (int i = 0; i < HELD; i++) {
		errno = ERRNO;
		tierpool_put(held[i]);
		NEED(errno == ERRNO);
	}
	NEED(!tp_trace_on);
	tierpool_destroy(pool);
}

Test(trace_file, leaves_the_errno_of_a_put_alone_also_when_it_cannot_be_written)
{
	program_run("/dev/full", puts_with_errno);
	cr_assert_str_eq(program_said, program_full_disk);
}

/* ---- without ---- */

static void has_its_fast_path(void)
{
	uses_a_pool();
	NEED(!tp_trace_on);
	NEED(tp_guarded || tp_pool_fast.rseq == tp_cpu_rseq);
}

Test(trace_file, is_not_there_without_the_variable)
{
	program_run(NULL, has_its_fast_path);
	cr_assert_str_eq(program_said, "");
	program_run("", has_its_fast_path);
	cr_assert_str_eq(program_said, "");
	cr_assert_eq(system("test -z \"$(ls -A)\""), 0, "there is a file");
}

static void has_no_fast_path(void)
{
	uses_a_pool();
	NEED(tp_trace_on && !tp_pool_fast.rseq);
}

Test(trace_file, takes_the_fast_path_away)
{
	program_run("trace", has_no_fast_path);
}
