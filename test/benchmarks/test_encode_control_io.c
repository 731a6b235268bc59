/* SPDX-License-Identifier: MIT */
/*
 * encode_control from outside: inputs of every size, files, pipes and errors, options, the report.
 * What it makes of the input: test_encode_control.c.
 */
#include "encode_fixture.h"

/* ---- sizes ---- */

Test(encode_control, writes_nothing_for_an_empty_file)
{
	ENCODES("", "");
	ENCODES("\n\n \n\t", "");
	ENCODES("# only a comment\n", "");
}

Test(encode_control, needs_no_final_newline)
{
	ENCODES("A: 1\n b", "{\"A\":\"1\\nb\"}\n");
	ENCODES("A:", "{\"A\":\"\"}\n");
}

Test(encode_control, encodes_a_field_of_50_mb)
{
	size_t len = 50000000, lines = len / 100;
	char *in = malloc(len), *expected = malloc(len + lines + 64);
	char *to = expected;
	int status;
	struct bytes got;

	cr_assert(in && expected);
	memset(in, 'x', len);
	memcpy(in, "V:\n", 3);
	to += sprintf(to, "{\"V\":\"");
	for (size_t i = 3; i < len; i += 100) {
		size_t n = len - i < 100 ? len - i : 100;

		in[i] = ' ';
		in[i + n - 1] = '\n';
		*to++ = '\\';
		*to++ = 'n';
		memset(to, 'x', n - 2);
		to += n - 2;
	}
	to += sprintf(to, "\"}\n");
	got = encode(in, len, "2", &status);
	cr_assert_eq(status, 0);
	assert_bytes(got, expected, (size_t)(to - expected));
	free(in);
	free(expected);
}

Test(encode_control, keeps_a_million_tiny_stanzas_in_order)
{
	size_t stanzas = 1000000;
	char *in = malloc(stanzas * 11 + 1), *expected = malloc(stanzas * 15 + 1);
	char *from = in, *to = expected;
	int status;
	struct bytes got;

	cr_assert(in && expected);
	for (size_t i = 0; i < stanzas; i++) {
		from += sprintf(from, "A: %06zu\n\n", i);
		to += sprintf(to, "{\"A\":\"%06zu\"}\n", i);
	}
	got = encode(in, (size_t)(from - in), "8", &status);
	cr_assert_eq(status, 0);
	assert_bytes(got, expected, (size_t)(to - expected));
	free(in);
	free(expected);
}

/* Many pieces of very different sizes. */
Test(encode_control, writes_the_same_with_one_thread_and_with_eight)
{
	char command[256];

	needs_file(SAMPLE_FILE);
	snprintf(command, sizeof command,
		"for i in $(seq 60); do cat '%s'; echo; done > %s/control", SAMPLE_FILE, folder);
	cr_assert_eq(system(command), 0);
	cr_assert_eq(RUN("-t", "1", "-o", path("one"), path("control")), 0);
	cr_assert_eq(RUN("-t", "8", "-o", path("eight"), path("control")), 0);
	shell("cmp one eight && test $(wc -l < one) -eq 12000");
	cr_assert_eq(RUN("-t", "8", "-r", "3", "-o", path("thrice"), path("control")), 0);
	shell("cat one one one | cmp - thrice");
}

/* ---- input, output, options ---- */

Test(encode_control, reads_standard_input_from_a_pipe)
{
	shell("printf 'A: 1\n\nB: 2\n' > in");
	cr_assert_eq(setenv("FOLDER", folder, 1), 0);
	cr_assert_eq(
		system("(head -c 5 $FOLDER/in; sleep 0.1; tail -c +6 $FOLDER/in) | " ENCODE_CONTROL
		       " - -o - > $FOLDER/out 2> $FOLDER/err"),
		0);
	assert_bytes(file_read(path("out")), "{\"A\":\"1\"}\n{\"B\":\"2\"}\n", 20);
}

Test(encode_control, says_what_it_cannot_read)
{
	cr_assert_eq(RUN(path("nowhere")), 2);
	assert_said("/nowhere: No such file or directory");
	cr_assert_eq(RUN(folder), 2);
	assert_said(": Is a directory");
}

Test(encode_control, says_what_it_cannot_write)
{
	needs_file(SAMPLE_FILE);
	needs_file("/dev/full");
	cr_assert_eq(RUN("-o", "/dev/full", SAMPLE_FILE), 2);
	assert_said("/dev/full: No space left on device");
	cr_assert_eq(run("/dev/full", (const char *const[]){"-o", "-", SAMPLE_FILE, NULL}), 2);
	assert_said("standard output: No space left on device");
	cr_assert_eq(RUN("-o", "/nowhere/at/all", SAMPLE_FILE), 2);
	assert_said("/nowhere/at/all: No such file or directory");
	cr_assert_eq(run("/dev/full", (const char *const[]){"-r1", "-s0", SAMPLE_FILE, NULL}), 2);
	assert_said("cannot write the report: No space left on device");
}

Test(encode_control, leaves_its_input_whole_when_told_to_write_over_it)
{
	file_write(path("in"), "A: 1\n", 5);
	cr_assert_eq(RUN("-o", path("in"), path("in")), 2);
	assert_said("/in: is the input");
	assert_bytes(file_read(path("in")), "A: 1\n", 5);
}

/* The program, its standard output a pipe; its read end, and *pid. */
static int run_into_pipe(const char *in, bool nonblocking, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	char *argv[] = {(char *)(size_t)ENCODE_CONTROL, (char *)(size_t) "-t4",
		(char *)(size_t) "-o-", (char *)(size_t)in, NULL};
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	if (nonblocking)
		cr_assert_eq(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, ends[1], 1);
	posix_spawn_file_actions_addopen(
		&files, 2, path("err"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	cr_assert_eq(posix_spawn(pid, ENCODE_CONTROL, &files, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&files);
	close(ends[1]);
	return ends[0];
}

Test(encode_control, ends_with_a_message_when_the_reader_goes_away)
{
	pid_t pid;
	int status, fd;

	needs_file(SAMPLE_FILE);
	fd = run_into_pipe(SAMPLE_FILE, false, &pid);
	close(fd);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 2);
	assert_said("standard output: Broken pipe");
}

Test(encode_control, writes_all_of_it_to_a_slow_pipe_that_does_not_block)
{
	char block[20000];
	FILE *out;
	ssize_t n;
	pid_t pid;
	int status, fd;

	needs_file(SAMPLE_FILE);
	cr_assert_eq(RUN("-o", path("json"), SAMPLE_FILE), 0);
	fd = run_into_pipe(SAMPLE_FILE, true, &pid);
	out = fopen(path("slow"), "w");
	while ((n = read(fd, block, sizeof block)) > 0) {
		fwrite(block, 1, (size_t)n, out);
		usleep(2000);
	}
	fclose(out);
	close(fd);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	shell("cmp json slow");
}

Test(encode_control, says_that_memory_is_out_and_ends)
{
	char command[256];
	size_t len = 60000000;
	char *in = malloc(len);
	int status;

	if (SANITIZED)
		end_and_skip("a sanitizer needs more address space than can be limited");
	cr_assert_not_null(in);
	memset(in, 'x', len);
	memcpy(in, "A: ", 3);
	file_write(path("in"), in, len);
	free(in);
	snprintf(command, sizeof command,
		"ulimit -v 150000; exec " ENCODE_CONTROL " -t 1 -o /dev/null %s 2> %s", path("in"),
		path("err"));
	status = system(command);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 2, "status %d", status);
	assert_said("Cannot allocate memory");
}

Test(encode_control, rejects_options_that_make_no_sense)
{
	static const char *const bad[] = {"--threads=0", "--threads=1025", "--threads=two",
		"--threads=", "--threads=-1", "--threads=1.5", "--repeat=0", "--repeat=1e3",
		"--repeat=99999999999999999999", "--seconds=-1", "--seconds=nan", "--seconds=inf",
		"--seconds=3601", "--seconds=1.2.3", "--seconds=.", "--frobnicate", "-q"};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		cr_assert_eq(RUN(bad[i], "/dev/null"), 2, "%s", bad[i]);
		assert_said("Try encode_control --help.");
	}
	cr_assert_eq(RUN("/dev/null", "/dev/null"), 2);
	assert_said("more than one file");
	cr_assert_eq(RUN("--threads"), 2);
}

Test(encode_control, explains_itself)
{
	cr_assert_eq(RUN("--help"), 0);
	assert_stdout("Usage: encode_control [option]... [file]");
	cr_assert_eq(RUN("-h", "no such file"), 0);
}

/* ---- the report ---- */

Test(encode_control, ends_with_one_screen_about_pool_and_comparison)
{
	struct bytes out;
	size_t lines = 0;

	needs_file(SAMPLE_FILE);
	cr_assert_eq(RUN("-t", "2", "-r", "2", "-s", "0.3", SAMPLE_FILE), 0);
	assert_stdout("200 records; 0 malformed");
	assert_stdout("borrowed now: 0");
	assert_stdout("one reused buffer a thread");
	assert_stdout("tierpool_get_sized and put");
	assert_stdout("malloc, realloc, free");
	out = file_read(path("out"));
	for (size_t i = 0; i < out.len; i++)
		lines += out.data[i] == '\n';
	cr_assert_leq(lines, 24, "%zu lines", lines);
	free(out.data);
	assert_bytes(file_read(path("err")), "", 0);
}

/* Pieces of one stanza, of nothing, of faults only; more threads than CPUs and pieces. */
Test(encode_control, compares_on_inputs_of_every_shape)
{
	cr_assert_eq(RUN("-t", "9", "-r", "1", "-s", "0.1", "/dev/null"), 0);
	file_write(path("in"), "A: 1", 4);
	cr_assert_eq(RUN("-t", "9", "-r", "1", "-s", "0.1", path("in")), 0);
	assert_stdout("tierpool_get_sized and put");
	file_write(path("in"), "A: 1\n\nno colon\n", 16);
	cr_assert_eq(RUN("-t", "9", "-r", "1", "-s", "0.1", path("in")), 1);
	assert_stdout("tierpool_get_sized and put");
	file_write(path("in"), "no colon\n", 9);
	cr_assert_eq(RUN("-t", "9", "-r", "1", "-s", "0.1", path("in")), 1);
}

Test(encode_control, puts_the_report_on_stderr_when_stdout_takes_the_json)
{
	ENCODES("A: 1\n", "{\"A\":\"1\"}\n");
	assert_said("borrowed now: 0");
}

Test(encode_control, shows_progress_on_a_terminal)
{
	char seen[4096] = "";
	posix_spawn_file_actions_t files;
	char *argv[] = {(char *)(size_t)ENCODE_CONTROL, (char *)(size_t) "-s0",
		(char *)(size_t)SAMPLE_FILE, NULL};
	int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), status;
	pid_t pid;

	needs_file(SAMPLE_FILE);
	if (terminal < 0 || grantpt(terminal) || unlockpt(terminal))
		end_and_skip("there are no pseudo-terminals");
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(
		&files, 1, path("out"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_addopen(&files, 2, ptsname(terminal), O_RDWR | O_NOCTTY, 0);
	cr_assert_eq(posix_spawn(&pid, ENCODE_CONTROL, &files, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&files);
	cr_assert_gt(read(terminal, seen, sizeof seen - 1), 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	close(terminal);
	cr_assert_not_null(strstr(seen, "records"), "%s", seen);
}
