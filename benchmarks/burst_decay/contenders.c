/* SPDX-License-Identifier: MIT */
/*
 * The contenders of burst_decay and their processes: contenders.h.
 */
#include "contenders.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/program.h"

#define LIBC "libc.so.6"
#define JEMALLOC "libjemalloc.so.2"

/* name, library, backing, used, reaper, absent */
struct contender contenders[CONTENDERS] = {
	{"tierpool on jemalloc", JEMALLOC, "jemalloc", true, false, ""},
	{"tierpool on libc", LIBC, "libc", true, false, ""},
	{"jemalloc", JEMALLOC, NULL, true, false, ""},
	{"tcmalloc", "libtcmalloc_minimal.so.4", NULL, true, false, ""},
	{"mimalloc", "libmimalloc.so.2", NULL, true, false, ""},
	{"glibc", LIBC, NULL, true, false, ""},
	{"tierpool on jemalloc with reaper", JEMALLOC, "jemalloc", false, true, ""},
	{"tierpool on libc with reaper", LIBC, "libc", false, true, ""},
	{"tierpool on jemalloc without reaper", JEMALLOC, "jemalloc", false, false, ""},
	{"jemalloc", JEMALLOC, NULL, false, false, ""},
	{"tcmalloc", "libtcmalloc_minimal.so.4", NULL, false, false, ""},
	{"mimalloc", "libmimalloc.so.2", NULL, false, false, ""},
	{"glibc", LIBC, NULL, false, false, ""},
};

bool contender_is_here(const struct contender *c)
{
	/* A prefix: a file may be called by its full version. */
	return !strncmp(library_of(dlsym(RTLD_DEFAULT, "malloc")), c->library, strlen(c->library));
}

/* In the child: starts this program again, with its environment; the samples go to that pipe. */
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

void contender_look(struct contender *c)
{
	const char *error = dlopen(c->library, RTLD_NOW | RTLD_LOCAL) ? NULL : dlerror();

	if (error && strstr(error, "No such file"))
		snprintf(c->absent, sizeof c->absent, "%s is not installed", c->library);
}

int runner_begin(struct runner *r, const struct contender *c, char **argv)
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

int runner_end(struct runner *r, void *samples, size_t size, size_t *got)
{
	int status = 0;
	ssize_t n;

	for (*got = 0; (n = read(r->samples, (char *)samples + *got, size - *got)) > 0;)
		*got += (size_t)n;
	close(r->samples);
	waitpid(r->child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}
