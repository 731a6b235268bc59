/* SPDX-License-Identifier: MIT */
#include "traced_program.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"

char program_said[2 * PATH_MAX];
pid_t program_id;

const char program_full_disk[] =
	"tierpool: TIERPOOL_TRACE: No space left on device; the trace ends here\n";

/* ---- runs ---- */

/* A leak checker warns, in lines of its own, of threads that only the parent has. Leaks are a status. */
static void said_without_warnings(void)
{
	char *line = program_said;

	while (*line) {
		char *next = strchrnul(line, '\n');

		next += *next == '\n';
		if (SANITIZED && !strncmp(line, "==", 2))
			memmove(line, next, strlen(next) + 1);
		else
			line = next;
	}
}

void program_run(const char *name, void (*program)(void))
{
	struct child child;
	int status;

	if (child_begin(&child)) {
		alarm(40);
		if (name ? setenv("TIERPOOL_TRACE", name, 1) : unsetenv("TIERPOOL_TRACE"))
			_exit(2);
		program();
		exit(0);
	}
	program_id = child.pid;
	status = child_end(&child, program_said, sizeof program_said);
	cr_assert_eq(status, 0, "status %#x: %s", (unsigned)status, program_said);
	said_without_warnings();
}

struct decoder program_trace(void (*program)(void))
{
	struct decoder d;

	program_run("trace", program);
	cr_assert_str_eq(program_said, "");
	decoder_open(&d, "trace");
	return d;
}

/* ---- in a program ---- */

void program_need(bool is_so, const char *what, const char *file, int line)
{
	if (is_so)
		return;
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	_exit(1);
}

const size_t program_tiers[] = {1024, 4096, 16384};

tierpool *program_pool(const struct tierpool_options *options)
{
	tierpool *pool = NULL;

	NEED(!tierpool_create(&pool, options));
	return pool;
}

void program_use(tierpool *pool, unsigned times)
{
	static tierpool_site site = TIERPOOL_SITE_INIT("use");

	while (times--) {
		tierpool_buf *b = tierpool_get_at(pool, 0, &site);

		NEED(b && !tierpool_buf_reserve(b, b->cap + 1));
		tierpool_put(b);
	}
}
