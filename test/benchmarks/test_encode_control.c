/* SPDX-License-Identifier: MIT */
/*
 * encode_control from outside: what it writes is compared, byte for byte, with what is expected or
 * with what other programs (jq, sed, awk) make of the same input; what it says of bad input, files
 * and options; its report. ENCODE_CONTROL is the path of the program.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpus.h"
#include "folder.h"

#define SAMPLE "benchmarks/encode_control/sample.control"
#define BAD "\xef\xbf\xbd" /* U+FFFD */

/* Commands run in the folder, with $encode and $sample as paths. */
static void encode_folder_new(void)
{
	char *encode = realpath(ENCODE_CONTROL, NULL), *sample = realpath(SAMPLE, NULL);

	cr_assert(encode && sample, "%s or %s is not there", ENCODE_CONTROL, SAMPLE);
	cr_assert(!setenv("encode", encode, 1) && !setenv("sample", sample, 1));
	free(encode);
	free(sample);
	folder_new();
}

TestSuite(encode_control, .init = encode_folder_new, .fini = folder_end, .timeout = 60);

/* .fini is not called for what is skipped. */
static void end_and_skip(const char *why)
{
	folder_end();
	skip(why);
}

static void shell(const char *command)
{
	cr_assert_eq(system(command), 0, "failed: %s", command);
}

/* Runs the program with these arguments; its messages go to err. */
static void run(const char *arguments, int expected)
{
	char command[512];
	int status;

	snprintf(command, sizeof command, "\"$encode\" %s 2>err", arguments);
	status = system(command);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == expected, "%s: status %#x, not %d",
		arguments, (unsigned)status, expected);
}

static void run_says(const char *arguments, int expected, const char *message)
{
	run(arguments, expected);
	cr_assert_eq(setenv("message", message, 1), 0);
	shell("grep -qF -e \"$message\" err || { cat err >&2; false; }");
}

static void file_write(const char *name, const char *data, size_t len)
{
	FILE *f = fopen(name, "w");

	cr_assert_not_null(f);
	cr_assert_eq(fwrite(data, 1, len, f), len);
	cr_assert_eq(fclose(f), 0);
}

static void assert_encodes(const char *in, size_t len, const char *expected)
{
	file_write("in", in, len);
	file_write("expected", expected, strlen(expected));
	run("-t 2 -o json in >report", 0);
	shell("cmp json expected || { cat json >&2; false; }");
}

#define ENCODES(in, expected) assert_encodes(in, sizeof(in) - 1, expected)

/* ---- the output ---- */

/* The control file made again from the JSON: nothing lost, nothing moved. */
Test(encode_control, keeps_every_field_in_order_of_the_sample_and_of_the_status_file)
{
	if (system("jq --version >/dev/null 2>&1"))
		end_and_skip("there is no jq");
	shell("cp \"$sample\" one");
	if (!access("/var/lib/dpkg/status", R_OK))
		shell("{ cat one; echo; cat /var/lib/dpkg/status; } >two && mv two one");
	run("-o json one >report", 0);
	shell("jq -r '(to_entries[] | .key + \": \" + (.value | gsub(\"\\n\"; \"\\n \"))), \"\"' "
	      "json |"
	      " sed 's/[ \\t]*$//' >back");
	shell("sed 's/[ \\t]*$//' one >control");
	shell("test -n \"$(tail -n 1 control)\" && echo >>control; cmp back control");
	shell("test $(wc -l <json) -eq $(grep -c ^Package: control)");
}

Test(encode_control, takes_fields_stanzas_and_comments_as_deb822_has_them)
{
	ENCODES("Description: short\n long\n  indented\n\ttab\n .\n \t x  \nNext: 1\n",
		"{\"Description\":\"short\\nlong\\n indented\\ntab\\n.\\n\\t x  \","
		"\"Next\":\"1\"}\n");
	ENCODES("A: \t x y \t\nB:x\nC :x\nD:\nZ: a:b\nF: ::\nConffiles:\n /etc/a 1\n /etc/b 2\n",
		"{\"A\":\"x y\",\"B\":\"x\",\"C\":\"x\",\"D\":\"\",\"Z\":\"a:b\",\"F\":\"::\","
		"\"Conffiles\":\"\\n/etc/a 1\\n/etc/b 2\"}\n");
	ENCODES("# one\nA: 1\n# two\n a\n#\n# three\n b\n# four\nB: 2\n\n# alone\n\n\n#x\nC: 3\n#",
		"{\"A\":\"1\\na\\nb\",\"B\":\"2\"}\n{\"C\":\"3\"}\n");
	ENCODES("\n \nA: 1\n\t \nB: 2\n\n\n\t\nC: 3\n b",
		"{\"A\":\"1\"}\n{\"B\":\"2\"}\n{\"C\":\"3\\nb\"}\n");
	ENCODES("A: x\r\nB: \r\n \r\nC: y\rz\n",
		"{\"A\":\"x\\r\",\"B\":\"\\r\\n\\r\",\"C\":\"y\\rz\"}\n");
	ENCODES("\n\n \n\t\n# only a comment\n", "");
	ENCODES("", "");
}

/* Each byte at each place, as the encoder looks at eight at once. */
Test(encode_control, escapes_what_rfc_8259_asks_wherever_it_stands)
{
	static char in[1 << 17], expected[1 << 17];
	char *from = in, *to = expected + sprintf(expected, "{");

	for (int i = 0; i < 0x80 * 16; i++) {
		int c = i / 16, at = i % 16;

		if (c == '\n')
			continue;
		from += sprintf(from, "F%d: <%.*s", i, at, "xxxxxxxxxxxxxxxx");
		*from++ = (char)c;
		from += sprintf(from, "%.*s>\n", 16 - at, "yyyyyyyyyyyyyyyy");
		to += sprintf(to, "%s\"F%d\":\"<%.*s", i ? "," : "", i, at, "xxxxxxxxxxxxxxxx");
		to += sprintf(to,
			c == '"' || c == '\\' ? "\\%c"
			: c == '\b'           ? "\\b"
			: c == '\f'           ? "\\f"
			: c == '\t'           ? "\\t"
			: c == '\r'           ? "\\r"
			: c < 0x20            ? "\\u%04x"
					      : "%c",
			c);
		to += sprintf(to, "%.*s>\"", 16 - at, "yyyyyyyyyyyyyyyy");
	}
	sprintf(to, "}\n");
	assert_encodes(in, (size_t)(from - in), expected);
	ENCODES("a\"b\\c: 1\n", "{\"a\\\"b\\\\c\":\"1\"}\n");
}

/* The rows of what is not UTF-8 are The Unicode Standard's tables 3-8 to 3-11. */
Test(encode_control, keeps_utf8_and_replaces_each_maximal_subpart_of_what_is_not)
{
#define GOOD                                                                     \
	"\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf " \
	"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf \xf0\x9f\x98\x80"
	ENCODES("V: " GOOD "\n", "{\"V\":\"" GOOD "\"}\n");
	ENCODES("A: \xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41\n"
		"B: \xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41\n"
		"C: \xf4\x91\x92\x93\xff\x41\x80\xbf\x42\n"
		"D: \xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41\n"
		"E: x\xf0\x9f\x98\n"
		"F: x\xe2\x82\n \xac\n"
		"G: \xf8\x88\x80\x80\x80\n"
		"H: \xe0\x9f\xbf\xf0\x8f\xbf\xbf\xf4\x90\x80\x80\n",
		"{\"A\":\"" BAD BAD BAD BAD BAD BAD BAD BAD "A\","
		"\"B\":\"" BAD BAD BAD BAD BAD BAD BAD BAD "A\","
		"\"C\":\"" BAD BAD BAD BAD BAD "A" BAD BAD "B\","
		"\"D\":\"" BAD BAD BAD BAD "A\","
		"\"E\":\"x" BAD "\","
		"\"F\":\"x" BAD "\\n" BAD "\","
		"\"G\":\"" BAD BAD BAD BAD BAD "\","
		"\"H\":\"" BAD BAD BAD BAD BAD BAD BAD BAD BAD BAD BAD "\"}\n");
}

Test(encode_control, encodes_a_field_of_5_mb)
{
	shell("{ echo V:; yes ' xxxxxxxxxxxxxxxxxxx' | head -n 250000; } >in");
	run("-o json in >report", 0);
	shell("{ printf '{\"V\":\"'; yes '\\nxxxxxxxxxxxxxxxxxxx' | head -n 250000 | tr -d '\\n'; "
	      "echo '\"}'; } | cmp - json");
}

/* ---- malformed stanzas ---- */

Test(encode_control, names_the_line_of_each_kind_of_fault_and_skips_the_stanza)
{
	static const char in[] = "A: 1\nno colon here\nB: 2\n\n"
				 "A: 1\n: empty\n\n \t\n"
				 " x: 1\nA: 1\n\n"
				 "# c\nA: 1\nB: 2\n c\n# d\na: 3\n\n"
				 "A\0B: 1\n\nA: 1\nA B: 1\n\n\xc3\xa9: 1\n\n"
				 "A: 1\n\r\nB: 1\n\nGood: yes\n\n:";

	file_write("in", in, sizeof in - 1);
	run("-o json in >report", 1);
	shell("echo '{\"Good\":\"yes\"}' | cmp - json");
	shell("cat >said <<'END'\n"
	      "2: no colon\n6: an empty field name\n9: a continuation before any field\n"
	      "17: the same field twice\n19: a field name may only be printable ASCII\n"
	      "22: a field name may only be printable ASCII\n"
	      "24: a field name may only be printable ASCII\n27: no colon\n"
	      "32: an empty field name\nEND\n"
	      "sed 's/.*/encode_control: in:&; stanza skipped/' said | diff - err");
}

/* 3 MB: many pieces, so that order and lines are kept from thread to thread. */
Test(encode_control, keeps_order_and_lines_in_a_long_file_with_any_number_of_threads)
{
	shell("awk 'BEGIN {for (i = 0; i < 100000; i++)"
	      " printf i % 1000 == 7 ? \"A: %d\\nbad\\nmore\\n\\n\" : \"A: %d\\nB: x\\n y\\n\\n\","
	      " i}' >in");
	shell("awk 'BEGIN {for (i = 0; i < 100000; i++) if (i % 1000 != 7)"
	      " printf \"{\\\"A\\\":\\\"%d\\\",\\\"B\\\":\\\"x\\\\ny\\\"}\\n\", i}' >expected");
	run("-t 1 -o one in >report", 1);
	shell("cmp one expected");
	run("-t 8 -r 2 -o eight in >report", 1);
	shell("cat expected expected | cmp - eight");
	shell("awk 'BEGIN {for (i = 7; i < 100000; i += 1000) print 4 * i + 2}' >lines");
	shell("sed 's/.*in:\\([0-9]*\\): no colon; .*/\\1/' err | cmp - lines");
	shell("grep -q '99900 records; 100 malformed' report");
}

Test(encode_control, finds_a_name_that_comes_twice_among_very_many)
{
	shell("awk 'BEGIN {for (i = 0; i < 50000; i++) print \"Field-\" i * 7919 % 50000 \": x\";"
	      " print \"\"; for (i = 0; i < 50000; i++) print \"Field-\" i \": x\";"
	      " print \"fIELD-777: y\\nField-3: z\"}' >in");
	run_says("-o json in >report", 1, "in:100002: the same field twice");
	shell("tr , '\\n' <json | sed 's/.*Field-\\([0-9]*\\).*/\\1/' >order");
	shell("awk 'BEGIN {for (i = 0; i < 50000; i++) print i * 7919 % 50000}' | cmp - order");
}

/* ---- input, output, options ---- */

Test(encode_control, reads_and_writes_pipes)
{
	shell("{ printf 'A: 1\n\nB'; sleep 0.1; printf ': 2\n'; } | \"$encode\" - -o - 2>err |"
	      " cat >json");
	shell("printf '{\"A\":\"1\"}\n{\"B\":\"2\"}\n' | cmp - json");
	shell("grep -q 'borrowed now: 0' err"); /* the report, since stdout has the JSON */
	shell("{ \"$encode\" -r 100 -o - \"$sample\" 2>err; echo $? >status; } | head -c 1 >json");
	shell("test $(cat status) = 2 && grep -q 'standard output: Broken pipe' err");
}

Test(encode_control, says_what_it_cannot_read_or_write)
{
	run_says("nowhere", 2, "nowhere: No such file or directory");
	run_says(".", 2, ".: Is a directory");
	run_says("-o /dev/full \"$sample\"", 2, "/dev/full: No space left on device");
	run_says("-o - \"$sample\" >/dev/full", 2, "standard output: No space left on device");
	run_says("-o /no/where \"$sample\"", 2, "/no/where: No such file or directory");
	run_says("-r 1 -s 0 \"$sample\" >/dev/full", 2, "cannot write the report: No space left");
	shell("cp \"$sample\" in");
	run_says("-o in in", 2, "in: is the input");
	shell("cmp in \"$sample\"");
}

Test(encode_control, says_that_memory_is_out_and_ends)
{
	if (SANITIZED)
		end_and_skip("a sanitizer needs more address space than can be limited");
	shell("{ printf 'A: '; head -c 60000000 /dev/zero | tr '\\0' x; } >in");
	shell("(ulimit -v 150000; \"$encode\" -t 1 -o /dev/null in 2>err; test $? = 2)");
	shell("grep -q 'Cannot allocate memory' err");
}

Test(encode_control, rejects_options_that_make_no_sense)
{
	static const char *const bad[] = {"--threads=0", "--threads=1025", "--threads=two",
		"--threads=", "--threads=-1", "--threads=1.5", "--repeat=0", "--repeat=1e3",
		"--repeat=99999999999999999999", "--seconds=-1", "--seconds=nan", "--seconds=inf",
		"--seconds=3601", "--seconds=1.2.3", "--guess=1", "--frobnicate", "-q",
		"/dev/null /dev/null", "--threads", "--trace", "--profile", "--profile=p.svg",
		"--profile=txt"};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		run_says(bad[i], 2, "Try encode_control --help.");
	run("--help >out", 0);
	shell("grep -qF 'Usage: encode_control [option]... [file]' out");
}

/* ---- the report ---- */

Test(encode_control, ends_with_one_screen_about_pool_and_comparison)
{
	run("-t 2 -r 2 -s 0.3 \"$sample\" >report", 0);
	shell("for text in '200 records; 0 malformed' 'borrowed now: 0' "
	      "'one reused buffer a thread' 'tierpool_get and put' 'tierpool_get_sized and put' "
	      "'malloc, realloc, free' 'sites of encode_control'; "
	      "do grep -q \"$text\" report || exit 1; done");
	shell("test $(wc -l <report) -le 26 && ! test -s err");
}

/* A site for each kind of buffer of the job, and the way that learns; faults has no bytes. */
Test(encode_control, prints_what_each_of_its_sites_has_learned)
{
	run("-t 2 -r 20 -s 0.3 \"$sample\" >report", 0);
	shell("sed '1,/sites of encode_control/d' report >sites; test $(wc -l <sites) -eq 6");
	shell("test $(grep -c 'job.c:[0-9]* record_encode' sites) -eq 1");
	shell("test $(grep -c 'job.c:[0-9]* chunk_encode' sites) -eq 1");
	shell("test $(grep -c 'parse.c:[0-9]* control_borrow' sites) -eq 3");
	shell("test $(grep -c 'ways.c:[0-9]* way_learned' sites) -eq 1");
	shell("test $(awk '$2 ~ /[0-9]K?$/' sites | wc -l) -eq 5 || { cat sites >&2; false; }");
}

/*
 * A fixed 1 KiB has 0.56. There are so many records that the growths of the first thousands, in
 * which sizes are still being learned, hardly count.
 */
Test(encode_control, grows_for_two_records_in_a_hundred_at_most_guessed_or_learned)
{
	static const char *const ways[] = {"", "--guess"};

	for (size_t i = 0; i < 2; i++) {
		char arguments[64];

		snprintf(arguments, sizeof arguments, "%s -t 2 -r 2000 -s 0 \"$sample\" >report",
			ways[i]);
		run(arguments, 0);
		shell("awk '/^Growths/ {n++; bad = $(NF - 2) > 0.02} END {exit n != 1 || bad}' "
		      "report || { cat report >&2; false; }");
	}
}

/* Few records: 2 KiB, which may be the first default, has 0.065; 1 KiB has 0.48. */
Test(encode_control, compares_the_growths_of_a_guess_and_of_what_is_learned)
{
	run("-t 2 -r 1 -s 0.5 \"$sample\" >report", 0);
	shell("awk '/tierpool_get and put/ {n++; bad += $NF > 0.1}"
	      " /tierpool_get_sized and put/ {n++; bad += $NF > 0.02}"
	      " /tierpool_get, times tierpool_get_sized/ {n++}"
	      " END {exit n != 3 || bad}' report || { cat report >&2; false; }");
}

Test(encode_control, writes_the_same_whether_sizes_are_guessed_or_learned)
{
	run("-t 2 -r 20 -o learned \"$sample\" >report", 0);
	run("-t 2 -r 20 --guess -o guessed \"$sample\" >report", 0);
	shell("test -s learned && cmp learned guessed");
}

Test(encode_control, traces_one_pass_without_a_comparison)
{
	run("--trace trace \"$sample\" >report", 0);
	shell("grep -q 'passes: 1,' report && ! grep -q 'times malloc' report && ! test -s err");
	shell("printf 'tptrace\\001' >magic && head -c 8 trace | cmp - magic");
	/* The sample has 200 records, and a get and its put take 10 bytes at least. */
	shell("test $(wc -c <trace) -gt 2000");
}

/* Each in the format of its ending; test/report has what is in them. */
Test(encode_control, profiles_the_job_without_a_comparison)
{
	static const char *const begins[][2] = {{"p.txt", "."}, {"p.pb.gz", "^.\213"},
		{"p.heap", "^heap profile:"}, {"p.folded", ";.* [0-9]+$"}, {"p.json", "^\\{"}};
	char command[256];

	for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
		snprintf(command, sizeof command, "--profile %s -t 2 -r 200 \"$sample\" >report",
			begins[i][0]);
		run(command, 0);
		snprintf(command, sizeof command, "LC_ALL=C grep -aqE '%s' %s", begins[i][1],
			begins[i][0]);
		shell(command);
	}
	shell("! grep -q 'times malloc' report && ! test -s err");
	run_says("--profile /no/where.txt \"$sample\"", 2, "/no/where.txt: No such file");
	run_says("--profile - \"$sample\"", 2, "does not end in .txt");
}

Test(encode_control, profiles_the_job_where_the_environment_has_begun_to)
{
	cr_assert_eq(setenv("TIERPOOL_DEBUG", "leaks", 1), 0);
	run("--profile exact.txt -t 2 -r 20 \"$sample\" >report", 0);
	shell("grep -q 'Sums are exact' exact.txt && ! test -s err");
}

/* Nothing, one stanza, faults only; more threads than CPUs and pieces. */
Test(encode_control, compares_on_inputs_of_every_shape)
{
	run("-t 9 -r 1 -s 0.1 /dev/null >report", 0);
	shell("printf 'A: 1\n\nno colon\n' >in");
	run("-t 9 -r 1 -s 0.1 in >report", 1);
	shell("grep -q 'tierpool_get_sized and put' report && echo no colon >in");
	run("-t 9 -r 1 -s 0.1 in >report", 1);
}
