/* SPDX-License-Identifier: MIT */
/*
 * The reaper and what the system tells it: memory pressure, or that there is no news of it; and
 * calls that fail. The system's calls are this program's own: files of pressure are sockets, of
 * which the test holds the other end.
 */
#include "cache_objects.h"
#include "child.h"
#include "pool_checks.h"
#include "reaper_checks.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define SYSTEM "/proc/pressure/memory"
#define CGROUP "/sys/fs/cgroup/some/group/memory.pressure"
#define TRIGGER "some 200000 2000000"

/* ---- the system ---- */

enum { OF_SYSTEM, OF_CGROUP, FILES };

static struct {
	bool none[FILES];   /* there is no such file */
	bool refuses_write; /* there is, and takes no trigger */
	int ours[FILES], theirs[FILES];
	bool no_memory, no_thread, no_poll;
	unsigned polls;
	bool listening; /* a poll waits for pressure as well */
	sem_t *hold;    /* the next poll waits for it */
} kernel = {.ours = {-1, -1}, .theirs = {-1, -1}};

/* Whatever would be there without these. */
#define NEXT(name)                     \
	static __typeof__(name) *next; \
	if (!next)                     \
	*(void **)&next = dlsym(RTLD_NEXT, #name)

static int pressure_file(unsigned which)
{
	int pair[2];

	if (kernel.none[which]) {
		errno = ENOENT;
		return -1;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	kernel.ours[which] = pair[0];
	kernel.theirs[which] = pair[1];
	return pair[1];
}

int open(const char *path, int flags, ...)
{
	NEXT(open);
	va_list args;
	int mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, int) : 0;
	va_end(args);
	if (!strcmp(path, SYSTEM))
		return pressure_file(OF_SYSTEM);
	if (!strcmp(path, CGROUP))
		return pressure_file(OF_CGROUP);
	/* Nor is there another hierarchy, whatever this machine has. */
	if (!strncmp(path, "/sys/fs/cgroup", 14)) {
		errno = ENOENT;
		return -1;
	}
	return next(path, flags, mode);
}

FILE *fopen(const char *path, const char *mode)
{
	NEXT(fopen);
	static char cgroups[] = "3:cpu:/elsewhere\n0::/some/group\n";

	if (!strcmp(path, "/proc/self/cgroup"))
		return fmemopen(cgroups, sizeof cgroups - 1, "r");
	return next(path, mode);
}

ssize_t write(int fd, const void *from, size_t n)
{
	NEXT(write);
	for (unsigned i = 0; i < FILES; i++)
		if (kernel.refuses_write && fd >= 0 && fd == kernel.theirs[i]) {
			errno = EPERM;
			return -1;
		}
	return next(fd, from, n);
}

/* What the test has sent: 'p' is pressure, 'e' that the file is no more. */
static short pressure_event(int fd)
{
	char letter = 0;

	if (recv(fd, &letter, 1, MSG_DONTWAIT) != 1)
		return 0;
	return letter == 'p' ? POLLPRI : POLLERR;
}

/* Criterion polls as well. */
static __thread bool is_starting, is_reaper;

int poll(struct pollfd *file, nfds_t count, int timeout)
{
	NEXT(poll);
	sem_t *hold;
	int ready;

	if (!is_reaper)
		return next(file, count, timeout);
	hold = tp_exchange_acq_rel(&kernel.hold, NULL);
	while (hold && sem_wait(hold))
		;
	tp_add_relaxed(&kernel.polls, 1u);
	if (tp_load_relaxed(&kernel.no_poll)) {
		errno = EPERM;
		return -1;
	}
	for (nfds_t i = 0; i < count; i++)
		if (file[i].events == POLLPRI)
			file[i].events = POLLIN;
	tp_store_release(&kernel.listening, count > FILES && timeout);
	ready = next(file, count, timeout);
	tp_store_release(&kernel.listening, false);
	for (nfds_t i = 0; i < count; i++)
		if (file[i].fd >= 0 && (file[i].fd == kernel.theirs[OF_SYSTEM] ||
					       file[i].fd == kernel.theirs[OF_CGROUP])) {
			file[i].events = POLLPRI;
			if (ready > 0 && file[i].revents)
				file[i].revents = pressure_event(file[i].fd);
		}
	return ready;
}

static void send_news(unsigned which, char letter)
{
	cr_assert_eq(send(kernel.ours[which], &letter, 1, MSG_NOSIGNAL), 1);
}

/* Whether the library has closed its end. */
static bool is_closed(unsigned which)
{
	char byte;

	return recv(kernel.ours[which], &byte, 1, MSG_DONTWAIT) == 0;
}

#if !SANITIZED
void *calloc(size_t count, size_t n)
{
	NEXT(calloc);
	return is_starting && kernel.no_memory ? NULL : next(count, n);
}
#endif

struct thread {
	void *(*run)(void *);
	void *argument;
};

static void *thread_run(void *context)
{
	struct thread thread = *(struct thread *)context;

	free(context);
	is_reaper = true;
	return thread.run(thread.argument);
}

int pthread_create(
	pthread_t *id, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
	NEXT(pthread_create);
	struct thread *thread;

	if (!is_starting)
		return next(id, attributes, run, argument);
	if (kernel.no_thread)
		return EAGAIN;
	thread = malloc(sizeof *thread);
	*thread = (struct thread){run, argument};
	return next(id, attributes, thread_run, thread);
}

static int try_to_start(void)
{
	int result;

	is_starting = true;
	result = tierpool_reaper_start();
	is_starting = false;
	return result;
}

static void start(void)
{
	cr_assert_eq(try_to_start(), 0);
}

/* ---- pressure ---- */

TestSuite(reaper_pressure, .timeout = 90);

/* What a file of pressure was asked for. */
static void assert_asked(unsigned which)
{
	char asked[64] = "";

	cr_assert_eq(recv(kernel.ours[which], asked, sizeof asked, MSG_DONTWAIT), sizeof TRIGGER);
	cr_assert_str_eq(asked, TRIGGER);
}

Test(reaper_pressure, empties_every_pool_and_cache)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = UINT_MAX);
	tierpool *pool[2] = {pool_new(.decay_ms = UINT_MAX), pool_new(.decay_ms = 1000000)};

	start();
	for (unsigned which = 0; which < FILES; which++)
		assert_asked(which);
	for (unsigned round = 1; round <= 4; round++) {
		fill(pool[0]);
		fill(pool[1]);
		objects_give(cache, 200);
		cr_assert(comes_true(tp_load_acquire(&kernel.listening)));
		send_news(round % FILES, 'p');
		cr_assert(comes_true(!stats_of(pool[0]).idle));
		cr_assert(comes_true(!stats_of(pool[1]).idle));
		cr_assert(comes_true(tp_load_relaxed(&objects.destroyed) == 200 * round));
	}
	cr_assert_eq(at_rest(pool[0]).drops_trim, at_rest(pool[0]).frees);
	tierpool_reaper_stop();
	cache_end(cache);
	for (unsigned i = 0; i < 2; i++)
		cr_assert_eq(tierpool_destroy(pool[i]), 0);
}

Test(reaper_pressure, files_are_closed_with_the_last_stop)
{
	for (unsigned i = 0; i < 3; i++) {
		start();
		start();
		assert_asked(OF_SYSTEM);
		assert_asked(OF_CGROUP);
		tierpool_reaper_stop();
		cr_assert_not(is_closed(OF_SYSTEM) || is_closed(OF_CGROUP));
		tierpool_reaper_stop();
		cr_assert(is_closed(OF_SYSTEM) && is_closed(OF_CGROUP));
	}
}

Test(reaper_pressure, what_was_told_while_nothing_was_idle_is_no_news)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = UINT_MAX);

	start();
	cr_assert(falls_asleep());
	send_news(OF_SYSTEM, 'p');
	objects_give(cache, 100);
	cr_assert(comes_true(tp_load_acquire(&kernel.listening)));
	cr_assert(falls_asleep());
	cr_assert_eq(objects.destroyed, 0);
	send_news(OF_SYSTEM, 'p');
	cr_assert(comes_true(tp_load_relaxed(&objects.destroyed) == 100));
	tierpool_reaper_stop();
	cache_end(cache);
}

Test(reaper_pressure, a_file_that_is_no_more_is_left_out_and_the_other_is_not)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = UINT_MAX);

	objects_give(cache, 100);
	start();
	assert_asked(OF_CGROUP);
	send_news(OF_CGROUP, 'e');
	cr_assert(comes_true(is_closed(OF_CGROUP)));
	cr_assert(falls_asleep());
	cr_assert_eq(objects.destroyed, 0);
	send_news(OF_SYSTEM, 'p');
	cr_assert(comes_true(tp_load_relaxed(&objects.destroyed) == 100));
	tierpool_reaper_stop();
	cache_end(cache);
}

/* In a child: starts twice, and ticks. */
static void child_ticks(void)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = 1);
	bool ticked = true;

	for (unsigned i = 1; i <= 2 && ticked; i++) {
		start();
		objects_give(cache, 100);
		ticked = comes_true(tp_load_relaxed(&objects.destroyed) == 100 * i);
		tierpool_reaper_stop();
	}
	_exit(!ticked);
}

/* What a process with such a system says on stderr. */
static const char *said(void)
{
	static char report[1024];
	struct child child;

	/* By itself, and not that there is no rseq mode here, where it was asked for. */
	tierpool_cache_destroy(cache_with(NULL));
	if (child_begin(&child))
		child_ticks();
	cr_assert_eq(child_end(&child, report, sizeof report), 0);
	return report;
}

static void assert_says_once(const char *reason)
{
	char expected[256];

	snprintf(expected, sizeof expected,
		"tierpool: no news of memory pressure (" SYSTEM
		": %s): the reaper ticks, and nothing else\n",
		strerror(reason ? EPERM : ENOENT));
	cr_assert_str_eq(said(), expected);
}

Test(reaper_pressure, where_there_is_no_news_of_it_it_says_so_once_and_ticks)
{
	kernel.none[OF_SYSTEM] = kernel.none[OF_CGROUP] = true;
	assert_says_once(NULL);
}

Test(reaper_pressure, where_news_of_it_are_refused_it_says_so_once_and_ticks)
{
	kernel.refuses_write = true;
	assert_says_once("refused");
}

Test(reaper_pressure, one_file_of_the_two_is_enough)
{
	for (unsigned missing = 0; missing < FILES; missing++) {
		memset(kernel.none, 0, sizeof kernel.none);
		kernel.none[missing] = true;
		cr_assert_str_empty(said());
	}
}

/* ---- calls that fail ---- */

static void assert_fails(int error)
{
	sigset_t before, after;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(try_to_start(), error);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (int number = 1; number < SIGRTMIN; number++)
		cr_assert_eq(sigismember(&after, number), sigismember(&before, number));
	cr_assert_eq(reapers(NULL), 0);
}

/* One start counts as one, whatever came before. */
static void assert_starts(void)
{
	start();
	cr_assert_eq(reapers(NULL), 1);
	tierpool_reaper_stop();
	cr_assert(comes_true(!reapers(NULL)));
}

Test(reaper_pressure, without_memory_it_does_not_start_and_counts_nothing)
{
	if (SANITIZED)
		skip("the sanitizer has malloc for itself");
	if (under_valgrind())
		skip("Valgrind has malloc for itself");
	kernel.no_memory = true;
	assert_fails(-ENOMEM);
	kernel.no_memory = false;
	assert_starts();
}

Test(reaper_pressure, without_a_thread_it_does_not_start_and_leaves_no_file_open)
{
	kernel.no_thread = true;
	assert_fails(-EAGAIN);
	assert_asked(OF_SYSTEM);
	cr_assert(is_closed(OF_SYSTEM));
	kernel.no_thread = false;
	assert_starts();
}

Test(reaper_pressure, where_it_may_not_wait_for_anything_it_ticks_without_spinning)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = 20);

	start();
	cr_assert(falls_asleep());
	tp_store_relaxed(&kernel.no_poll, true);
	for (unsigned i = 1; i <= 3; i++) {
		unsigned polls = tp_load_relaxed(&kernel.polls);

		objects_give(cache, 100);
		cr_assert(comes_true(tp_load_relaxed(&objects.destroyed) == 100 * i));
		/* A few at each of its ticks; one that spins makes hundred thousands of them. */
		cr_assert_lt(tp_load_relaxed(&kernel.polls) - polls, 1000);
	}
	tierpool_reaper_stop();
	cr_assert(comes_true(!reapers(NULL)));
	cache_end(cache);
}

/* ---- two at a time ---- */

static sem_t old_may_poll;

static void *stop(void *unused)
{
	tierpool_reaper_stop();
	return unused;
}

Test(reaper_pressure, one_that_is_started_does_not_take_the_wake_of_one_that_ends)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = 1);
	pthread_t stopper;

	/* The old one is told to end when it is about to sleep. */
	sem_init(&old_may_poll, 0, 0);
	tp_store_relaxed(&kernel.hold, &old_may_poll);
	start();
	cr_assert(comes_true(!tp_load_relaxed(&kernel.hold)));
	pthread_create(&stopper, NULL, stop, NULL);
	usleep(50000);
	start();
	/* The new one wakes for whatever it is told. */
	objects_give(cache, 100);
	cr_assert(comes_true(tp_load_relaxed(&objects.destroyed) == 100));
	usleep(50000);
	sem_post(&old_may_poll);
	pthread_join(stopper, NULL);
	cr_assert(comes_true(reapers(NULL) == 1));
	objects_give(cache, 100);
	cr_assert(comes_true(tp_load_relaxed(&objects.destroyed) == 200));
	tierpool_reaper_stop();
	cache_end(cache);
}
