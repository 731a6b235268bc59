/* SPDX-License-Identifier: MIT */
/*
 * TIERPOOL_PROFILE_SIGNAL: the profile is written at the signal too, and the program does not notice.
 * And what a child of a fork does with the profile of its parent.
 */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/atomic.h"
#include "profiled_program.h"
#include "tasks.h"

TestSuite(environment_signal, .init = folder_new, .fini = folder_end, .timeout = 100);

static tierpool_site one = TIERPOOL_SITE_INIT("one"), other = TIERPOOL_SITE_INIT("other");

static bool file_has(const char *name, const char *what)
{
	return occurrences(file_text(name), what) > 0;
}

/* ---- the signal ---- */

static int number = SIGUSR2;

#define ERRNO 12345

static void writes_at_each_signal(void)
{
	tierpool *pool = MAKE(.name = "pool");

	for (unsigned i = 0; i < 3; i++) {
		borrow_and_put(pool, &one);
		errno = ERRNO;
		NEED(!raise(number));
		NEED(errno == ERRNO);
		NEED_SOON(file_has("out", "one of pool"));
		NEED(!unlink("out"));
	}
	borrow_and_put(pool, &other);
	for (unsigned i = 0; i < 1000; i++)
		NEED(!raise(number));
	NEED_SOON(file_has("out", "other of pool"));
}

Test(environment_signal, has_the_profile_written_each_time_by_any_of_its_names)
{
	char variable[64];

	program_run_in(
		writes_at_each_signal, "TIERPOOL_PROFILE=out", "TIERPOOL_PROFILE_SIGNAL=USR2");
	cr_assert_str_eq(program_said, "");
	program_run_in(
		writes_at_each_signal, "TIERPOOL_PROFILE=out", "TIERPOOL_PROFILE_SIGNAL=SIGUSR2");
	cr_assert_str_eq(program_said, "");
	snprintf(variable, sizeof variable, "TIERPOOL_PROFILE_SIGNAL=%d", SIGUSR2);
	program_run_in(writes_at_each_signal, "TIERPOOL_PROFILE=out", variable);
	cr_assert_str_eq(program_said, "");
	number = SIGRTMAX;
	snprintf(variable, sizeof variable, "TIERPOOL_PROFILE_SIGNAL=%d", SIGRTMAX);
	program_run_in(writes_at_each_signal, "TIERPOOL_PROFILE=out", variable);
	cr_assert_str_eq(program_said, "");
	cr_assert_eq(files(), 1);
}

static int pipe_ends[2];
static uint32_t reads;

static void *reads_a_byte(void *unused)
{
	char byte;

	tp_store_release(&reads, 1u);
	errno = 0;
	NEED(read(pipe_ends[0], &byte, 1) == 1);
	NEED(errno == 0);
	return unused;
}

static void is_in_a_call_meanwhile(void)
{
	tierpool *pool = MAKE(.name = "pool");
	pthread_t reader;

	borrow_and_put(pool, &one);
	NEED(!pipe(pipe_ends) && !pthread_create(&reader, NULL, reads_a_byte, NULL));
	NEED_SOON(tp_load_acquire(&reads));
	for (unsigned i = 0; i < 5; i++) {
		NEED(!pthread_kill(reader, SIGUSR2));
		NEED_SOON(file_exists("out"));
		NEED(!unlink("out"));
	}
	NEED(write(pipe_ends[1], "x", 1) == 1);
	NEED(!pthread_join(reader, NULL));
}

Test(environment_signal, does_not_interrupt_a_call)
{
	program_run_in(
		is_in_a_call_meanwhile, "TIERPOOL_PROFILE=out", "TIERPOOL_PROFILE_SIGNAL=USR2");
	cr_assert_str_eq(program_said, "");
}

static void blocks_a_signal_of_its_own(void)
{
	const struct timespec long_enough = {20, 0};
	sigset_t set;

	MAKE(.name = "pool");
	NEED(!raise(SIGUSR2));
	NEED_SOON(file_exists("out")); /* it is at work */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	NEED(!sigprocmask(SIG_BLOCK, &set, NULL));
	NEED(!kill(getpid(), SIGUSR1)); /* of which the default is the end of the process */
	NEED(sigtimedwait(&set, NULL, &long_enough) == SIGUSR1);
}

Test(environment_signal, has_a_thread_that_takes_no_signal_of_the_program)
{
	program_run_in(
		blocks_a_signal_of_its_own, "TIERPOOL_PROFILE=out", "TIERPOOL_PROFILE_SIGNAL=USR2");
	cr_assert_str_eq(program_said, "");
}

static void *sends_signals(void *unused)
{
	for (;;) {
		kill(getpid(), SIGUSR2);
		usleep(100);
	}
	return unused;
}

static void ends_while_signals_come(void)
{
	tierpool *pool = MAKE(.name = "pool");
	pthread_t sender;

	borrow_and_put(pool, &one);
	NEED(!pthread_create(&sender, NULL, sends_signals, NULL));
	NEED_SOON(file_exists("out"));
}

Test(environment_signal, leaves_no_half_of_a_file_at_the_end)
{
	for (unsigned i = 0; i < 20; i++) {
		program_run_in(ends_while_signals_come, "TIERPOOL_PROFILE=out",
			"TIERPOOL_PROFILE_SIGNAL=USR2");
		cr_assert_str_eq(program_said, "");
		cr_assert(file_has("out", "one of pool"));
		cr_assert_eq(files(), 1);
	}
}

/* ---- signals that cannot be had ---- */

static unsigned handled;

static void on_signal(int unused)
{
	(void)unused;
	handled++;
}

static void uses_the_signal(void)
{
	tierpool *pool;

	NEED(signal(SIGUSR2, on_signal) != SIG_ERR);
	pool = MAKE(.name = "pool");
	borrow_and_put(pool, &one);
	NEED(!raise(SIGUSR2) && handled == 1);
	NEED(!file_exists("out"));
}

static void ignores_the_signal(void)
{
	tierpool *pool;

	NEED(signal(SIGUSR2, SIG_IGN) != SIG_ERR);
	pool = MAKE(.name = "pool");
	borrow_and_put(pool, &one);
	NEED(!raise(SIGUSR2) && signal(SIGUSR2, SIG_DFL) == SIG_IGN);
}

#define IN_USE "tierpool: TIERPOOL_PROFILE_SIGNAL=USR2: the program uses it; ignored\n"

Test(environment_signal, stays_the_program_s_if_it_uses_it)
{
	program_run_in(uses_the_signal, "TIERPOOL_PROFILE=out", "TIERPOOL_PROFILE_SIGNAL=USR2");
	cr_assert_str_eq(program_said, IN_USE);
	cr_assert(file_has("out", "one of pool"), "at the end it is written");
	program_run_in(ignores_the_signal, "TIERPOOL_PROFILE=out", "TIERPOOL_PROFILE_SIGNAL=USR2");
	cr_assert_str_eq(program_said, IN_USE);
}

static void uses_a_pool(void)
{
	tierpool *pool = MAKE(.name = "pool");

	borrow_and_put(pool, &one);
	tierpool_destroy(pool);
}

Test(environment_signal, that_is_none_is_said_once)
{
	/* Handlers of faults may not return; KILL has none; by CHLD others go. */
	static const char *const names[] = {"USR3", "usr2", "SIG", "0", "-12", "9999", "12x", "11",
		"SEGV", "SIGKILL", "9", "CHLD", "32"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char variable[64], wanted[160];

		snprintf(variable, sizeof variable, "TIERPOOL_PROFILE_SIGNAL=%s", names[i]);
		snprintf(wanted, sizeof wanted,
			"tierpool: %s: not a signal that can be used (USR1, USR2, HUP, or its "
			"number); "
			"ignored\n",
			variable);
		program_run_in(uses_a_pool, "TIERPOOL_PROFILE=out", variable);
		cr_assert_str_eq(program_said, wanted);
		cr_assert(file_has("out", "one of pool"));
	}
	program_run_in(uses_a_pool, "TIERPOOL_PROFILE=out", "TIERPOOL_PROFILE_SIGNAL=");
	cr_assert_str_eq(program_said, "");
}

Test(environment_signal, without_a_file_is_said)
{
	program_run_in(uses_a_pool, "TIERPOOL_PROFILE_SIGNAL=USR2");
	cr_assert_str_eq(program_said,
		"tierpool: TIERPOOL_PROFILE_SIGNAL=USR2: there is no TIERPOOL_PROFILE; ignored\n");
	cr_assert_eq(files(), 0);
}

/* ---- while the thread of the library writes ---- */

#define SITES 300 /* more than a pipe and a stream hold, of any format */

static tierpool_site sites[SITES];
static char fifo_name[64];
static int fifo;

/* Has that thread write to a pipe that nobody reads, and so wait. */
static void writing_begin(tierpool *pool)
{
	int waiting = 0;

	for (unsigned i = 0; i < SITES; i++) {
		sites[i] = (tierpool_site)TIERPOOL_SITE_INIT("a site of a pool");
		sites[i].tp_line = i;
		borrow_and_put(pool, &sites[i]);
	}
	snprintf(fifo_name, sizeof fifo_name, "out%ld", (long)getpid());
	NEED(!mkfifo(fifo_name, 0600));
	fifo = open(fifo_name, O_RDONLY | O_NONBLOCK);
	NEED(fifo >= 0 && fcntl(fifo, F_SETPIPE_SZ, 4096) == 4096);
	NEED(!raise(SIGUSR2));
	NEED_SOON(!ioctl(fifo, FIONREAD, &waiting) && waiting == 4096);
}

/* Reads all of it, until the writer closes it: each site once. */
static void writing_end(void)
{
	static char text[1 << 20];
	size_t length = 0;
	ssize_t n = -1;

	while (n) {
		n = read(fifo, text + length, sizeof text - 1 - length);
		NEED(n >= 0 || errno == EAGAIN);
		length += n > 0 ? (size_t)n : 0;
	}
	NEED(occurrences(text, "a site of a pool") == SITES);
	close(fifo);
	NEED(!unlink(fifo_name));
}

static void forks_while_it_is_written(void)
{
	tierpool *pool = MAKE(.name = "pool");
	int status;
	pid_t child;

	writing_begin(pool);
	child = fork();
	if (!child) {
		alarm(20);
		exit(0);
	}
	NEED(waitpid(child, &status, 0) == child && status == 0);
	writing_end();
}

Test(environment_signal, a_child_writes_its_file_whatever_the_parent_writes_at_the_fork)
{
	program_run_in(forks_while_it_is_written, "TIERPOOL_DEBUG=leaks", "TIERPOOL_PROFILE=out%p",
		"TIERPOOL_PROFILE_SIGNAL=USR2");
	cr_assert_str_eq(program_said, "");
	cr_assert_eq(files(), 2);
}

static void closes_stderr_before(void)
{
	tierpool *pool = MAKE(.name = "pool");

	close(STDIN_FILENO);
	close(STDERR_FILENO);
	writing_begin(pool);
	NEED(fifo == STDIN_FILENO && fcntl(STDERR_FILENO, F_GETFD) < 0);
	writing_end();
}

/* What the program prints there would be in the file. */
Test(environment_signal, the_file_never_stands_in_for_a_closed_stderr)
{
	program_run_in(closes_stderr_before, "TIERPOOL_DEBUG=leaks", "TIERPOOL_PROFILE=out%p",
		"TIERPOOL_PROFILE_SIGNAL=USR2");
}

/* ---- forks ---- */

static bool sleeps(int tid)
{
	FILE *stat = task_open(tid, "stat");
	char state = 0;

	if (!stat)
		return false;
	if (fscanf(stat, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(stat);
	return state == 'S';
}

static bool other_threads_sleep(void)
{
	bool all = true;
	DIR *tasks = NULL;

	for (int tid; (tid = task_next(&tasks));)
		if (tid != getpid())
			all &= sleeps(tid);
	return all;
}

/*
 * The thread that writes sleeps at the fork: where it starts it is in the memory allocator of a
 * sanitizer, whose locks are not handed on to a child.
 */
static void child_borrows(tierpool *pool)
{
	int status;
	pid_t child;

	NEED_SOON(other_threads_sleep());
	child = fork();
	NEED(child >= 0);
	if (!child) {
		alarm(20);
		borrow_and_put(pool, &other);
		NEED(!raise(SIGUSR2)); /* there is no thread in the child that would write */
		exit(0);
	}
	NEED(waitpid(child, &status, 0) == child && status == 0);
	snprintf(fifo_name, sizeof fifo_name, "out%ld", (long)child);
}

static void forks_and_has_one_name(void)
{
	tierpool *pool = MAKE(.name = "pool");

	borrow_and_put(pool, &one);
	child_borrows(pool);
	NEED(files() == 0);
}

Test(environment_signal, a_child_does_not_overwrite_the_file_of_its_parent)
{
	program_run_in(
		forks_and_has_one_name, "TIERPOOL_PROFILE=out", "TIERPOOL_PROFILE_SIGNAL=USR2");
	cr_assert_str_eq(program_said, "");
	cr_assert(file_has("out", "one of pool"));
	cr_assert_not(file_has("out", "other of pool"));
	cr_assert_eq(files(), 1);
}

static void forks_and_has_two_names(void)
{
	tierpool *pool = MAKE(.name = "pool");

	borrow_and_put(pool, &one);
	child_borrows(pool);
	NEED(files() == 1);
	NEED(file_has(fifo_name, "one of pool") && file_has(fifo_name, "other of pool"));
}

Test(environment_signal, a_child_writes_its_own_file)
{
	char name[64];

	program_run_in(
		forks_and_has_two_names, "TIERPOOL_PROFILE=out%p", "TIERPOOL_PROFILE_SIGNAL=USR2");
	cr_assert_str_eq(program_said, "");
	snprintf(name, sizeof name, "out%ld", (long)program_id);
	cr_assert(file_has(name, "one of pool"));
	cr_assert_not(file_has(name, "other of pool"));
	cr_assert_eq(files(), 2);
}
