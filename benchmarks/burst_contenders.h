/* SPDX-License-Identifier: MIT */
/*
 * Who takes part in burst_decay, and how each gets a process of its own with the malloc that it is
 * to have: this program anew, with that malloc preloaded.
 */
#ifndef BURST_CONTENDERS_H
#define BURST_CONTENDERS_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

#define LIBC "libc.so.6"
#define JEMALLOC "libjemalloc.so.2"

struct contender {
	const char *name;
	const char *library; /* whose malloc the process has */
	const char *backing; /* the pool's; NULL: no pool, but malloc and free */
	bool used;           /* in the quiet after the burst; else nobody touches anything */
	bool reaper;
	char absent[160]; /* why it is left out; empty: it is not */
};

#define MALLOC(name, library, used)                       \
	{                                                 \
		name, library, NULL, used, false, {'\0'}, \
	}
#define POOL(name, library, backing, used, reaper)            \
	{                                                     \
		name, library, backing, used, reaper, {'\0'}, \
	}

static struct contender contenders[] = {
	POOL("tierpool on jemalloc", JEMALLOC, "jemalloc", true, false),
	POOL("tierpool on libc", LIBC, "libc", true, false),
	MALLOC("jemalloc", JEMALLOC, true),
	MALLOC("tcmalloc", "libtcmalloc_minimal.so.4", true),
	MALLOC("mimalloc", "libmimalloc.so.2", true),
	MALLOC("glibc", LIBC, true),
	POOL("tierpool on jemalloc with reaper", JEMALLOC, "jemalloc", false, true),
	POOL("tierpool on libc with reaper", LIBC, "libc", false, true),
	POOL("tierpool on jemalloc without reaper", JEMALLOC, "jemalloc", false, false),
	MALLOC("jemalloc", JEMALLOC, false),
	MALLOC("tcmalloc", "libtcmalloc_minimal.so.4", false),
	MALLOC("mimalloc", "libmimalloc.so.2", false),
	MALLOC("glibc", LIBC, false),
};

#define CONTENDERS (sizeof contenders / sizeof *contenders)

/* A contender's process, and the end of the pipe that its samples come from. */
struct runner {
	pid_t child;
	int samples;
};

/* In the process that has been made for it: whether it has the malloc that it was made for. */
static bool contender_is_here(const struct contender *c)
{
	/* A prefix: a file may be called by its full version. */
	return !strncmp(library_of(dlsym(RTLD_DEFAULT, "malloc")), c->library, strlen(c->library));
}

/* The environment and the program anew, with its samples to that pipe. Does not return. */
static _Noreturn void contender_become(const struct contender *c, char **argv, int samples)
{
	int error = 0;

	if (strcmp(c->library, LIBC))
		error = setenv("LD_PRELOAD", c->library, 1);
	else
		unsetenv("LD_PRELOAD");
	if (c->backing)
		error |= setenv("TIERPOOL_BACKING", c->backing, 1);
	if (!error && dup2(samples, STDOUT_FILENO) >= 0)
		execv("/proc/self/exe", argv);
	_exit(2);
}

/* Says in c->absent where its malloc is not installed: preloading would go on without. */
static void contender_look(struct contender *c)
{
	const char *error = dlopen(c->library, RTLD_NOW | RTLD_LOCAL) ? NULL : dlerror();

	if (error && strstr(error, "No such file"))
		snprintf(c->absent, sizeof c->absent, "%s is not installed", c->library);
}

/* argv: what its process is called with. 0; -errno. */
static int runner_begin(struct runner *r, const struct contender *c, char **argv)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	r->samples = ends[0];
	r->child = fork();
	if (!r->child)
		contender_become(c, argv, ends[1]);
	close(ends[1]);
	if (r->child > 0)
		return 0;
	close(ends[0]);
	return -errno;
}

/* The samples, size bytes at the most, until the process has no more, and its exit status. */
static int runner_end(struct runner *r, void *samples, size_t size, size_t *got)
{
	int status = 0;
	ssize_t n;

	for (*got = 0; (n = read(r->samples, (char *)samples + *got, size - *got)) > 0;)
		*got += (size_t)n;
	close(r->samples);
	waitpid(r->child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

#endif
