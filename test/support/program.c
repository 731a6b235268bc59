/* SPDX-License-Identifier: MIT */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"

char program_said[1 << 16];
pid_t program_id;

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

static bool set_variable(const char *variable)
{
	const char *value = strchr(variable, '=');
	char name[64];

	if (!value)
		return !unsetenv(variable);
	snprintf(name, sizeof name, "%.*s", (int)(value - variable), variable);
	return !setenv(name, value + 1, 1);
}

static bool set_variables(const char *const *variables)
{
	static const char *const none[] = {"TIERPOOL_TRACE", "TIERPOOL_DEBUG", "TIERPOOL_PROFILE",
		"TIERPOOL_PROFILE_SIGNAL", NULL};
	bool done = true;

	for (const char *const *name = none; *name; name++)
		done &= set_variable(*name);
	for (; *variables; variables++)
		done &= set_variable(*variables);
	return done;
}

int program_status_with(void (*program)(void), const char *const *variables)
{
	struct child child;
	int status;

	if (child_begin(&child)) {
		alarm(40);
		if (!set_variables(variables))
			_exit(2);
		program();
		exit(0);
	}
	program_id = child.pid;
	status = child_end(&child, program_said, sizeof program_said);
	said_without_warnings();
	return status;
}

void program_run_with(void (*program)(void), const char *const *variables)
{
	int status = program_status_with(program, variables);

	cr_assert_eq(status, 0, "status %#x: %s", (unsigned)status, program_said);
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
