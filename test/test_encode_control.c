/* SPDX-License-Identifier: MIT */
/*
 * encode_control from outside: the program is run, what it writes is compared with what other
 * programs (jq, sed) or a few lines here make of the same input. ENCODE_CONTROL is its path.
 */
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

#ifndef SAMPLE_FILE
#define SAMPLE_FILE "benchmarks/sample.control"
#endif
#define STATUS_FILE "/var/lib/dpkg/status"
#define BAD "\xef\xbf\xbd" /* U+FFFD */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

extern char **environ;

struct bytes {
	char *data; /* a NUL stands after len */
	size_t len;
};

/* One test's files: in, out, err, and whatever a shell command adds. */
static char folder[] = "/tmp/test_encode_control.XXXXXX";

static void folder_new(void)
{
	cr_assert_not_null(mkdtemp(folder));
}

static void folder_end(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", folder);
	cr_assert_eq(system(command), 0);
}

static const char *path(const char *name)
{
	static char paths[8][64];
	static unsigned next;
	char *p = paths[next++ % 8];

	snprintf(p, sizeof paths[0], "%s/%s", folder, name);
	return p;
}

static struct bytes file_read(const char *name)
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

static void file_write(const char *name, const char *data, size_t len)
{
	FILE *f = fopen(name, "w");

	cr_assert_not_null(f, "%s: %s", name, strerror(errno));
	cr_assert_eq(fwrite(data, 1, len, f), len);
	cr_assert_eq(fclose(f), 0);
}

/* Runs encode_control with these arguments, up to NULL; its exit status, or minus its signal. */
static int run(const char *out, const char *const *arguments)
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
static struct bytes encode(const char *in, size_t len, const char *threads, int *status)
{
	file_write(path("in"), in, len);
	*status = RUN("--threads", threads, "--output", "-", path("in"));
	return file_read(path("out"));
}

static void assert_bytes(struct bytes got, const char *expected, size_t len)
{
	size_t at = 0;

	while (at < got.len && at < len && got.data[at] == expected[at])
		at++;
	cr_assert(at == got.len && at == len, "%zu bytes for %zu, first difference at %zu: %.60s",
		got.len, len, at, got.data + at);
	free(got.data);
}

static void assert_encodes(const char *in, size_t len, const char *expected)
{
	int status;
	struct bytes got = encode(in, len, "2", &status);

	cr_assert_eq(status, 0, "status %d", status);
	assert_bytes(got, expected, strlen(expected));
}

#define ENCODES(in, expected) assert_encodes(in, sizeof(in) - 1, expected)

/* The value of a field V with these bytes; its JSON without the quotes. */
static void assert_value(const char *in, size_t len, const char *expected)
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

static void assert_said(const char *text)
{
	struct bytes err = file_read(path("err"));

	cr_assert_not_null(strstr(err.data, text), "'%s' is not in:\n%s", text, err.data);
	free(err.data);
}

static void assert_stdout(const char *text)
{
	struct bytes out = file_read(path("out"));

	cr_assert_not_null(strstr(out.data, text), "'%s' is not in:\n%s", text, out.data);
	free(out.data);
}

/* A malformed stanza, then a good one: one line of JSON, the line named, exit status 1. */
static void assert_malformed(const char *in, size_t len, unsigned line, const char *why)
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
static void shell(const char *command)
{
	char full[1024];

	snprintf(full, sizeof full, "cd %s && { %s; }", folder, command);
	cr_assert_eq(system(full), 0, "failed: %s", command);
}

/* Says why, which Criterion keeps to itself; .fini is not called for what is skipped. */
static void skip(const char *what, const char *reason)
{
	fprintf(stderr, "skipped a test of encode_control: %s%s\n", what, reason);
	folder_end();
	cr_skip_test("%s%s", what, reason);
}

static void needs_jq(void)
{
	if (system("jq --version >/dev/null 2>&1"))
		skip("there is no jq", "");
}

static void needs_file(const char *name)
{
	if (access(name, R_OK))
		skip(name, " cannot be read");
}

TestSuite(encode_control, .init = folder_new, .fini = folder_end, .timeout = 60);

/* ---- real files, against jq and sed ---- */

/* Stanzas, counted without the program: lines that begin one. */
#define COUNT_STANZAS "awk 'NF && !inside {n++} {inside = NF} END {print n + 0}'"

static void assert_every_line_is_an_object(const char *name)
{
	char command[512];

	needs_jq();
	needs_file(name);
	cr_assert_eq(RUN("-o", path("json"), "-s", "0", name), 0);
	snprintf(command, sizeof command, "cp '%s' %s/control", name, folder);
	cr_assert_eq(system(command), 0);
	shell("jq -R -r 'fromjson | type' json > types");
	shell("test \"$(sort -u types)\" = object");
	shell("test $(wc -l < types) -eq $(" COUNT_STANZAS " control)");
	shell("test $(wc -l < json) -eq $(grep -c ^Package: control)");
}

Test(encode_control, writes_one_json_object_a_line_for_each_stanza_of_the_status_file)
{
	assert_every_line_is_an_object(STATUS_FILE);
}

Test(encode_control, writes_one_json_object_a_line_for_each_stanza_of_the_sample)
{
	assert_every_line_is_an_object(SAMPLE_FILE);
	shell("test $(wc -l < json) -eq 200");
}

/* The control file made again from the JSON: nothing lost, nothing moved. */
static void assert_survives_the_way_back(const char *name)
{
	char command[256];

	needs_jq();
	needs_file(name);
	cr_assert_eq(RUN("-o", path("json"), name), 0);
	shell("jq -r '(to_entries[] | .key + \": \" + (.value | gsub(\"\\n\"; \"\\n \"))), \"\"' "
	      "json | sed 's/[ \\t]*$//' > back");
	snprintf(command, sizeof command, "sed 's/[ \\t]*$//' '%s' > %s/control", name, folder);
	cr_assert_eq(system(command), 0);
	shell("test -n \"$(tail -n 1 control)\" && echo >> control; cmp back control");
}

Test(encode_control, keeps_every_field_of_the_status_file_in_order)
{
	assert_survives_the_way_back(STATUS_FILE);
}

Test(encode_control, keeps_every_field_of_the_sample_in_order)
{
	assert_survives_the_way_back(SAMPLE_FILE);
}

Test(encode_control, gives_the_package_names_that_sed_finds)
{
	char command[256];

	needs_jq();
	needs_file(SAMPLE_FILE);
	cr_assert_eq(RUN("-o", path("json"), SAMPLE_FILE), 0);
	snprintf(command, sizeof command, "sed -n 's/^Package: //p' '%s' > %s/names", SAMPLE_FILE,
		folder);
	cr_assert_eq(system(command), 0);
	shell("test -s names && jq -r .Package json | cmp - names");
}

Test(encode_control, reads_the_status_file_or_the_sample_when_no_file_is_named)
{
	cr_assert_eq(RUN("-o", path("json"), "-r", "1"), 0);
	shell("head -c 12 json | grep -q '^{\"Package\":\"'");
}

/* ---- values ---- */

Test(encode_control, joins_the_lines_of_a_value_and_takes_one_blank_off_each)
{
	ENCODES("Description: short\n long\n  indented\n\ttab\n .\n \t x  \nNext: 1\n",
		"{\"Description\":\"short\\nlong\\n indented\\ntab\\n.\\n\\t x  "
		"\",\"Next\":\"1\"}\n");
	ENCODES("Conffiles:\n /etc/a 1\n /etc/b 2\n",
		"{\"Conffiles\":\"\\n/etc/a 1\\n/etc/b 2\"}\n");
}

Test(encode_control, strips_blanks_around_the_first_line_of_a_value)
{
	ENCODES("A: \t x y \t\nB:x\nC :x\nD:\nE:   \n",
		"{\"A\":\"x y\",\"B\":\"x\",\"C\":\"x\",\"D\":\"\",\"E\":\"\"}\n");
}

Test(encode_control, keeps_the_order_of_fields_and_colons_in_values)
{
	ENCODES("Z: a:b\nA: ::\nM: 1\n", "{\"Z\":\"a:b\",\"A\":\"::\",\"M\":\"1\"}\n");
}

Test(encode_control, ignores_comments_wherever_they_stand)
{
	ENCODES("# one\nA: 1\n# two\n a\n#\n# three\n b\n# four\nB: 2\n\n# alone\n\n\n#x\nC: 3\n#",
		"{\"A\":\"1\\na\\nb\",\"B\":\"2\"}\n{\"C\":\"3\"}\n");
}

Test(encode_control, separates_stanzas_at_lines_of_nothing_but_blanks)
{
	ENCODES("\n \nA: 1\n\t \nB: 2\n\n\n\t\nC: 3",
		"{\"A\":\"1\"}\n{\"B\":\"2\"}\n{\"C\":\"3\"}\n");
}

Test(encode_control, escapes_every_control_byte_as_rfc_8259_asks)
{
	for (unsigned c = 0; c < 0x80; c++) {
		char in[3] = {'<', (char)c, '>'}, escaped[8], expected[16];

		snprintf(escaped, sizeof escaped, c >= 0x20 ? "%c" : "\\u%04x", (int)c);
		if (c == '\n')
			continue;
		snprintf(expected, sizeof expected, "<%s>",
			c == '"'    ? "\\\""
			: c == '\\' ? "\\\\"
			: c == '\t' ? "\\t"
			: c == '\r' ? "\\r"
				    : escaped);
		assert_value(in, sizeof in, expected);
	}
}

Test(encode_control, escapes_what_a_field_name_may_hold)
{
	ENCODES("a\"b\\c: 1\n", "{\"a\\\"b\\\\c\":\"1\"}\n");
}

Test(encode_control, finds_the_special_byte_at_every_place_in_a_word)
{
	for (size_t at = 0; at < 40; at++) {
		char in[41], expected[64];

		memset(in, 'x', sizeof in);
		in[at] = '"';
		snprintf(expected, sizeof expected, "%.*s\\\"%.*s", (int)at, in, (int)(40 - at),
			in + at + 1);
		assert_value(in, sizeof in, expected);
	}
}

Test(encode_control, takes_a_carriage_return_as_data)
{
	ENCODES("A: x\r\nB: \r\n \r\nC: y\rz\n",
		"{\"A\":\"x\\r\",\"B\":\"\\r\\n\\r\",\"C\":\"y\\rz\"}\n");
}

Test(encode_control, escapes_nul_in_a_value)
{
	ENCODES("A: x\0y\0\n \0\n", "{\"A\":\"x\\u0000y\\u0000\\n\\u0000\"}\n");
}

/* ---- UTF-8 ---- */

Test(encode_control, keeps_utf8_as_it_is)
{
	VALUE("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf",
		"\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf");
	VALUE("\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf \xf0\x9f\x98\x80\"",
		"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf \xf0\x9f\x98\x80\\\"");
}

/* The rows are The Unicode Standard's tables 3-8 to 3-11. */
Test(encode_control, replaces_each_maximal_subpart_of_what_is_not_utf8)
{
	VALUE("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", BAD BAD BAD BAD BAD BAD BAD BAD "A");
	VALUE("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", BAD BAD BAD BAD BAD BAD BAD BAD "A");
	VALUE("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", BAD BAD BAD BAD BAD "A" BAD BAD "B");
	VALUE("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", BAD BAD BAD BAD "A");
	VALUE("a\xf1\x80\x80\xe1\x80\xc2"
	      "b\x80"
	      "c\x80\xbf"
	      "d",
		"a" BAD BAD BAD "b" BAD "c" BAD BAD "d");
}

Test(encode_control, replaces_a_sequence_cut_off_by_the_end_of_a_line)
{
	VALUE("x\xf0\x9f\x98", "x" BAD);
	VALUE("x\xe2\x82\n \xac", "x" BAD "\\n" BAD);
	VALUE("x\xc3", "x" BAD);
	VALUE("\xf8\x88\x80\x80\x80", BAD BAD BAD BAD BAD);
}

/* ---- malformed stanzas ---- */

Test(encode_control, names_the_line_of_each_kind_of_fault_and_skips_the_stanza)
{
	MALFORMED("A: 1\nno colon here\nB: 2", 2, "no colon");
	MALFORMED("A: 1\nB: 2\n: empty", 3, "an empty field name");
	MALFORMED(" \t\n\n x: 1\nA: 1", 3, "a continuation before any field");
	MALFORMED("# c\nA: 1\nB: 2\n c\n# d\na: 3", 6, "the same field twice");
	MALFORMED("A\0B: 1", 1, "a field name may only be printable ASCII");
	MALFORMED("A: 1\nA B: 1", 2, "a field name may only be printable ASCII");
	MALFORMED("\xc3\xa9: 1", 1, "a field name may only be printable ASCII");
	MALFORMED("A: 1\n\r\nB: 1", 2, "no colon");
}

Test(encode_control, takes_a_file_of_one_colon_as_malformed)
{
	int status;
	struct bytes got = encode(":", 1, "1", &status);

	cr_assert_eq(status, 1);
	assert_bytes(got, "", 0);
	assert_said("/in:1: an empty field name; stanza skipped\n");
}

/* 3 MB, so that lines are counted through many pieces, by several threads. */
Test(encode_control, names_the_right_lines_in_a_long_file)
{
	size_t stanzas = 100000, said = 0;
	FILE *in = fopen(path("in"), "w");
	struct bytes err;

	for (size_t i = 0; i < stanzas; i++)
		fprintf(in, i % 1000 == 7 ? "A: %zu\nbad\nmore\n\n" : "A: %zu\nB: x\n y\n\n", i);
	fclose(in);
	cr_assert_eq(RUN("-t", "8", "-o", path("json"), path("in")), 1);
	err = file_read(path("err"));
	for (char *at = err.data; (at = strstr(at, "/in:")); said++) {
		size_t line = strtoul(at + 4, &at, 10);

		cr_assert_eq(line, 4 * (1000 * said + 7) + 2, "fault %zu in line %zu", said, line);
	}
	free(err.data);
	cr_assert_eq(said, stanzas / 1000);
	assert_stdout("99900 records; 100 malformed");
}

Test(encode_control, finds_a_name_that_comes_twice_among_very_many)
{
	size_t fields = 50000;
	FILE *in = fopen(path("in"), "w");

	for (size_t i = 0; i < fields; i++)
		fprintf(in, "Field-%zu: x\n", i * 7919 % fields);
	fprintf(in, "\nA: 1\n\n");
	for (size_t i = 0; i < fields; i++)
		fprintf(in, "Field-%zu: x\n", i);
	fprintf(in, "fIELD-777: y\nField-3: z\n");
	fclose(in);
	cr_assert_eq(RUN("-o", path("json"), path("in")), 1);
	assert_said("/in:100004: the same field twice");
	assert_stdout(" 2 records; 1 malformed");
	shell("head -n 1 json | tr , '\\n' | sed 's/.*Field-\\([0-9]*\\).*/\\1/' > order");
	shell("awk 'BEGIN {for (i = 0; i < 50000; i++) print i * 7919 % 50000}' | cmp - order");
}

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
		skip("a sanitizer needs more address space than can be limited", "");
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
		skip("there are no pseudo-terminals", "");
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
