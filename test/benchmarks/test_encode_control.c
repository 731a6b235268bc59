/* SPDX-License-Identifier: MIT */
/*
 * encode_control from outside: the program is run, what it writes is compared with what other
 * programs (jq, sed) or a few lines here make of the same input. ENCODE_CONTROL is its path.
 */
#include "encode_fixture.h"

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
