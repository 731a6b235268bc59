/* SPDX-License-Identifier: MIT */
/*
 * How the Go program is started, asked and ended: partner.h.
 */
#include "support/partner.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int partner_path(char path[PATH_MAX])
{
	static const char suffix[] = "_go";
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - sizeof suffix);

	if (n < 0)
		return -errno;
	memcpy(path + n, suffix, sizeof suffix);
	return access(path, X_OK) ? -errno : 0;
}

/* Reads a line of its output, without the newline. Returns: 0; -errno; -EPIPE: it has ended. */
static int partner_read(const struct partner *p, char *line, size_t size)
{
	size_t n = 0;

	while (n + 1 < size) {
		ssize_t got = read(p->socket, line + n, 1);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : -EPIPE;
		if (line[n] == '\n')
			break;
		n++;
	}
	line[n] = '\0';
	return 0;
}

/* In the child: becomes the program. Its other threads, of Go's runtime, have only these CPUs too. */
static _Noreturn void partner_become(
	const char *path, int socket, const unsigned *cpus, unsigned threads)
{
	char number[2][16];
	const char *argv[4] = {path};
	cpu_set_t set;

	CPU_ZERO(&set);
	for (unsigned i = 0; i < threads; i++) {
		CPU_SET(cpus[i], &set);
		snprintf(number[i], sizeof number[i], "%u", cpus[i]);
		argv[1 + i] = number[i];
	}
	if (sched_setaffinity(0, sizeof set, &set) || dup2(socket, 0) < 0 || dup2(socket, 1) < 0)
		_exit(2);
	execv(path, (char *const *)argv);
	_exit(2);
}

int partner_begin(struct partner *p, const char *path, const unsigned *cpus, unsigned threads)
{
	int pair[2], error;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	p->socket = pair[0];
	p->child = fork();
	if (!p->child)
		partner_become(path, pair[1], cpus, threads);
	error = p->child < 0 ? -errno : 0;
	close(pair[1]);
	if (!error)
		error = partner_read(p, p->version, sizeof p->version);
	if (error)
		close(p->socket);
	return error;
}

int partner_run(const struct partner *p, double *ns, const char *request, ...)
{
	char line[64];
	va_list args;
	int n, error;

	va_start(args, request);
	n = vsnprintf(line, sizeof line - 1, request, args);
	va_end(args);
	line[n++] = '\n';
	if (send(p->socket, line, (size_t)n, MSG_NOSIGNAL) != n)
		return -errno;
	error = partner_read(p, line, sizeof line);
	*ns = error ? 0 : strtod(line, NULL);
	return error;
}

void partner_end(struct partner *p)
{
	close(p->socket);
	waitpid(p->child, NULL, 0);
}
