/* SPDX-License-Identifier: MIT */
/*
 * What the tests of encode_control share: a folder for each test, the program run in it, and what
 * is asked of its output. ENCODE_CONTROL is the path of the program.
 */
#ifndef ENCODE_FIXTURE_H
#define ENCODE_FIXTURE_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpus.h"
#include "percpu/cpu.h"

#ifndef SAMPLE_FILE
#define SAMPLE_FILE "benchmarks/sample.control"
#endif
#define STATUS_FILE "/var/lib/dpkg/status"
#define BAD "\xef\xbf\xbd" /* U+FFFD */

extern char **environ;

struct bytes {
	char *data; /* a NUL stands after len */
	size_t len;
};

/* One test's files: in, out, err, and whatever a shell command adds. */
static char folder[] = "/tmp/test_encode_control.XXXXXX";

static inline void folder_new(void)
{
	cr_assert_not_null(mkdtemp(folder));
	/* The mode that can be had: of one that cannot, the program would tell on stderr. */
	cr_assert_eq(setenv("TIERPOOL_PERCPU", tp_cpu_mode(), 1), 0);
}

static inline void folder_end(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", folder);
	cr_assert_eq(system(command), 0);
}

static inline const char *path(const char *name)
{
	static char paths[8][64];
	static unsigned next;
	char *p = paths[next++ % 8];

	snprintf(p, sizeof paths[0], "%s/%s", folder, name);
	return p;
}

static inline struct bytes file_read(const char *name)
{
	struct bytes b = {NULL, 0};
	struct stat st;
	FILE *f = fopen(name, "r");

	cr_assert_not_null(f, "%s: %s", name, strerror(errno));
	cr_assert_eq(fstat(fileno(f), &st), 0);
	b.data = malloc((size_t)st.st_size + 1);
	cr_assert_not_null(b.data);
	b.len = fread(b.data, 1, (size_t)st.st_size, f);
	b.data[b.len] = '\0';
	fclose(f);
	return b;
}

static inline void file_write(const char *name, const char *data, size_t len)
{
	FILE *f = fopen(name, "w");

	cr_assert_not_null(f, "%s: %s", name, strerror(errno));
	cr_assert_eq(fwrite(data, 1, len, f), len);
	cr_assert_eq(fclose(f), 0);
}

/* Runs encode_control with these arguments, up to NULL; its exit status, or minus its signal. */
static inline int run(const char *out, const char *const *arguments)
{
	posix_spawn_file_actions_t files;
	char *argv[16] = {(char *)(size_t)ENCODE_CONTROL};
	pid_t pid;
	int status;

	for (size_t i = 0; arguments[i]; i++)
		argv[i + 1] = (char *)(size_t)arguments[i];
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_addopen(
		&files, 2, path("err"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	cr_assert_eq(posix_spawn(&pid, ENCODE_CONTROL, &files, NULL, argv, environ), 0,
		"cannot run " ENCODE_CONTROL);
	posix_spawn_file_actions_destroy(&files);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

#define RUN(...) run(path("out"), (const char *const[]){__VA_ARGS__, NULL})

/* The JSON for some bytes of input, by n threads; *status as run. */
static inline struct bytes encode(const char *in, size_t len, const char *threads, int *status)
{
	file_write(path("in"), in, len);
	*status = RUN("--threads", threads, "--output", "-", path("in"));
	return file_read(path("out"));
}

static inline void assert_bytes(struct bytes got, const char *expected, size_t len)
{
	size_t at = 0;

	while (at < got.len && at < len && got.data[at] == expected[at])
		at++;
	cr_assert(at == got.len && at == len, "%zu bytes for %zu, first difference at %zu: %.60s",
		got.len, len, at, got.data + at);
	free(got.data);
}

static inline void assert_encodes(const char *in, size_t len, const char *expected)
{
	int status;
	struct bytes got = encode(in, len, "2", &status);

	cr_assert_eq(status, 0, "status %d", status);
	assert_bytes(got, expected, strlen(expected));
}

#define ENCODES(in, expected) assert_encodes(in, sizeof(in) - 1, expected)

/* The value of a field V with these bytes; its JSON without the quotes. */
static inline void assert_value(const char *in, size_t len, const char *expected)
{
	char record[256], json[512];

	cr_assert(len + 4 < sizeof record);
	memcpy(record, "V: ", 3);
	memcpy(record + 3, in, len);
	record[3 + len] = '\n';
	snprintf(json, sizeof json, "{\"V\":\"%s\"}\n", expected);
	assert_encodes(record, len + 4, json);
}

#define VALUE(in, expected) assert_value(in, sizeof(in) - 1, expected)

static inline void assert_said(const char *text)
{
	struct bytes err = file_read(path("err"));

	cr_assert_not_null(strstr(err.data, text), "'%s' is not in:\n%s", text, err.data);
	free(err.data);
}

static inline void assert_stdout(const char *text)
{
	struct bytes out = file_read(path("out"));

	cr_assert_not_null(strstr(out.data, text), "'%s' is not in:\n%s", text, out.data);
	free(out.data);
}

/* A malformed stanza, then a good one: one line of JSON, the line named, exit status 1. */
static inline void assert_malformed(const char *in, size_t len, unsigned line, const char *why)
{
	char text[512], said[128];
	int status;
	struct bytes got;

	cr_assert(len + 20 < sizeof text);
	memcpy(text, in, len);
	memcpy(text + len, "\n\nGood: yes\n", 13);
	got = encode(text, len + 12, "1", &status);
	cr_assert_eq(status, 1, "status %d", status);
	assert_bytes(got, "{\"Good\":\"yes\"}\n", 15);
	snprintf(said, sizeof said, "/in:%u: %s; stanza skipped\n", line, why);
	assert_said(said);
}

#define MALFORMED(in, line, why) assert_malformed(in, sizeof(in) - 1, line, why)

/* Runs a shell command in the test's folder; it must succeed. */
static inline void shell(const char *command)
{
	char full[1024];

	snprintf(full, sizeof full, "cd %s && { %s; }", folder, command);
	cr_assert_eq(system(full), 0, "failed: %s", command);
}

/* .fini is not called for what is skipped. */
static inline void end_and_skip(const char *why)
{
	folder_end();
	skip(why);
}

static inline void needs_jq(void)
{
	if (system("jq --version >/dev/null 2>&1"))
		end_and_skip("there is no jq");
}

static inline void needs_file(const char *name)
{
	if (access(name, R_OK))
		end_and_skip("a file of the machine cannot be read");
}

TestSuite(encode_control, .init = folder_new, .fini = folder_end, .timeout = 60);

#endif
