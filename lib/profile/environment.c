/* SPDX-License-Identifier: MIT */
/*
 * What the environment asks of the profile. TIERPOOL_PROFILE: written when the process exits.
 * TIERPOOL_PROFILE_SIGNAL: also at a signal, whose handler only posts to a thread. TIERPOOL_DEBUG=leaks:
 * what is out is printed when the process exits, or a pool is destroyed.
 */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tierpool/profile.h>

#include "base/debug.h"
#include "base/keep_errno.h"
#include "base/pathname.h"
#include "profile/control.h"
#include "profile/stacktrace.h"

/* At most 15 bytes (pthread_setname_np). */
#define THREAD_NAME "tierpool-prof"

/* What a file is to have in it. */
struct environment_text {
	char *bytes;
	size_t length;
};

static struct {
	char pattern[PATH_MAX]; /* empty: no file is written */
	enum tierpool_profile_format format;
	pid_t process; /* that started it: a child writes only what has its own name */
	pthread_mutex_t writing;
	struct environment_text text; /* in this lock */
	char *lost;   /* the text that was being written when this process was forked */
	sem_t wanted; /* by the signal */
} environment = {.writing = PTHREAD_MUTEX_INITIALIZER};

/* ---- the file ---- */

/* file[:format]: what follows the last colon is a format if there is one of this name. */
static void environment_read_name(const char *name)
{
	static const char *const formats[] = {[TIERPOOL_PROFILE_TEXT] = "text",
		[TIERPOOL_PROFILE_PPROF] = "pprof",
		[TIERPOOL_PROFILE_FOLDED] = "folded",
		[TIERPOOL_PROFILE_JSON] = "json",
		[TIERPOOL_PROFILE_PROTO] = "proto"};
	const char *colon = strrchr(name, ':');
	size_t length = strlen(name);

	for (unsigned i = 0; colon && i < sizeof formats / sizeof *formats; i++)
		if (!strcmp(colon + 1, formats[i])) {
			environment.format = i;
			length = (size_t)(colon - name);
		}
	if (length && length < sizeof environment.pattern)
		memcpy(environment.pattern, name, length);
	else
		fprintf(stderr, "tierpool: TIERPOOL_PROFILE=%s: %s; no profile\n", name,
			strerror(length ? ENAMETOOLONG : ENOENT));
}

/*
 * Opens a file for writing, as none of the first three: if the program has closed those, what is
 * printed on them is not to be in the profile.
 */
static int environment_open(const char *path)
{
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0666);
	int above = file;

	if (file >= 0 && file <= STDERR_FILENO) {
		above = fcntl(file, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		close(file);
	}
	return above < 0 ? -errno : above;
}

static int environment_write_to(const char *path, const struct environment_text *text)
{
	int file = environment_open(path), error = file < 0 ? file : 0;
	size_t done = 0;

	while (!error && done < text->length) {
		ssize_t n = write(file, text->bytes + done, text->length - done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			error = n ? -errno : -EIO;
	}
	if (file >= 0 && close(file) && !error)
		error = -errno;
	return error;
}

/* Whether a new file may take the place of what has this name: not of a device, a pipe or a link. */
static bool environment_is_replaceable(const char *path)
{
	struct stat now;

	return lstat(path, &now) || S_ISREG(now.st_mode);
}

/*
 * Written under another name first: so a reader never finds half of it. That name has the process in
 * it, as other processes may write to the same file.
 */
static int environment_write_file(const char *path, const struct environment_text *text)
{
	char part[PATH_MAX + 32];
	int error;

	if (!environment_is_replaceable(path))
		return environment_write_to(path, text);
	snprintf(part, sizeof part, "%s.%ld.part", path, (long)getpid());
	error = environment_write_to(part, text);
	if (!error && rename(part, path))
		error = -errno;
	if (error)
		unlink(part);
	return error;
}

/* In memory: of a stream to the file, a child of a fork would write what is in its buffer again. */
static int environment_text_make(struct environment_text *text)
{
	FILE *stream = open_memstream(&text->bytes, &text->length);
	int error;

	if (!stream)
		return -ENOMEM;
	error = tierpool_profile_write(stream, environment.format);
	if (fclose(stream) || error == -EIO)
		error = -ENOMEM;
	return error;
}

/* In the lock. */
static void environment_write(void)
{
	struct environment_text *text = &environment.text;
	char path[PATH_MAX];
	int error = -ENAMETOOLONG;

	if (!environment.pattern[0] ||
		(getpid() != environment.process && !strstr(environment.pattern, "%p")))
		return;
	if (tp_pathname(path, sizeof path, environment.pattern))
		error = environment_text_make(text);
	if (!error)
		error = environment_write_file(path, text);
	free(text->bytes);
	*text = (struct environment_text){NULL, 0};
	if (error)
		fprintf(stderr, "tierpool: TIERPOOL_PROFILE=%s: %s; not written\n",
			environment.pattern, strerror(-error));
}

/* ---- the signal ---- */

static void environment_on_signal(int number)
{
	TP_KEEP_ERRNO;

	(void)number;
	sem_post(&environment.wanted);
}

static void *environment_write_when_wanted(void *unused)
{
	for (;;) {
		if (sem_wait(&environment.wanted))
			continue;
		/* Once for all signals that came meanwhile. */
		while (!sem_trywait(&environment.wanted))
			;
		pthread_mutex_lock(&environment.writing);
		environment_write();
		pthread_mutex_unlock(&environment.writing);
	}
	return unused;
}

/*
 * USR2, SIGUSR2 or a number; 0: none of these. Not the signals of faults, which come again when a
 * handler returns, nor those that other functions of the system go by.
 */
static int environment_signal_number(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} signals[] = {{"HUP", SIGHUP}, {"INT", SIGINT}, {"QUIT", SIGQUIT}, {"USR1", SIGUSR1},
		{"USR2", SIGUSR2}, {"ALRM", SIGALRM}, {"TERM", SIGTERM}, {"URG", SIGURG},
		{"VTALRM", SIGVTALRM}, {"PROF", SIGPROF}, {"WINCH", SIGWINCH}, {"IO", SIGIO},
		{"PWR", SIGPWR}};
	char *end;
	long number = strtol(name, &end, 10);

	if (end == name || *end)
		number = 0;
	if (number >= SIGRTMIN && number <= SIGRTMAX)
		return (int)number;
	if (!strncmp(name, "SIG", 3))
		name += 3;
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		if (signals[i].number == number || !strcmp(signals[i].name, name))
			return signals[i].number;
	return 0;
}

/* In which the program's signals do not run. Returns: 0, or an error number. */
static int environment_thread_start(void)
{
	sigset_t all, before;
	pthread_t thread;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, NULL, environment_write_when_wanted, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		return error;
	pthread_setname_np(thread, THREAD_NAME);
	pthread_detach(thread);
	return 0;
}

static void environment_watch_signal(const char *name)
{
	/* On the alternate stack, if the program has one: Go wants that. */
	struct sigaction action = {.sa_handler = environment_on_signal,
				 .sa_flags = SA_RESTART | SA_ONSTACK},
			 before;
	int number = environment_signal_number(name), error = 0;
	const char *why = NULL;

	if (!environment.pattern[0])
		why = "there is no TIERPOOL_PROFILE";
	else if (!number)
		why = "not a signal that can be used (USR1, USR2, HUP, or its number)";
	else if (sigaction(number, NULL, &before) || before.sa_handler != SIG_DFL)
		why = "the program uses it";
	else if (sem_init(&environment.wanted, 0, 0) || (error = environment_thread_start()) ||
		 sigaction(number, &action, NULL))
		why = strerror(error ? error : errno);
	if (why)
		fprintf(stderr, "tierpool: TIERPOOL_PROFILE_SIGNAL=%s: %s; ignored\n", name, why);
}

/* ---- start and end ---- */

static void environment_start(void)
{
	const char *name = secure_getenv("TIERPOOL_PROFILE");
	const char *signal_name = secure_getenv("TIERPOOL_PROFILE_SIGNAL");
	int error = 0;

	if (name && *name)
		environment_read_name(name);
	environment.process = getpid();
	if (environment.pattern[0] || tp_debug.leaks)
		error = tierpool_profile_start(tp_debug.leaks ? 1 : 0);
	if (error && error != -EALREADY)
		fprintf(stderr, "tierpool: the profile cannot start: %s\n", strerror(-error));
	if (signal_name && *signal_name)
		environment_watch_signal(signal_name);
}

/*
 * While the library is loaded: the unwinder may have to be loaded too, for which a thread would wait that
 * makes the first pool while another one, in dlopen, waits for that.
 */
__attribute__((constructor)) static void environment_warm(void)
{
	if (secure_getenv("TIERPOOL_PROFILE") || secure_getenv("TIERPOOL_DEBUG"))
		tp_stacktrace_warm();
}

void tp_profile_environment(void)
{
	int cancel;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	environment_start();
	pthread_setcancelstate(cancel, NULL);
}

void tp_profile_environment_forked(void)
{
	pthread_mutex_init(&environment.writing, NULL);
	/* It may be half freed. Kept, so that no checker finds a leak. */
	environment.lost = environment.text.bytes;
	environment.text.bytes = NULL;
}

/*
 * What other threads do while the process ends may be missing. The lowest priority: after what the
 * program, which may have this library in it, puts in its own. The lock is kept: at a signal that comes
 * now, no file is begun that would not be finished. Else it is not taken: Helgrind reports locks that are
 * kept.
 */
__attribute__((destructor(101))) static void environment_finish(void)
{
	int cancel;

	if (!environment.pattern[0] && !tp_debug.leaks)
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	pthread_mutex_lock(&environment.writing);
	environment_write();
	tp_profile_leaks_print(0);
	pthread_setcancelstate(cancel, NULL);
}
