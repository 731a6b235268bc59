/* SPDX-License-Identifier: MIT */
#include "replay_report.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "replay_file.h"

#define COLUMNS_MOST 16
#define ROWS_MOST 64
#define NEAR 1e-6

/* ---- runs ---- */

void replay_folder_new(const char *program)
{
	char *path = realpath(program, NULL);

	cr_assert_not_null(path, "%s is not there", program);
	cr_assert_eq(setenv("replay", path, 1), 0);
	free(path);
	folder_new();
}

void replay_says(const char *arguments, int expected, const char *message)
{
	char command[512];
	int status;

	snprintf(command, sizeof command, "\"$replay\" %s >out 2>err", arguments);
	status = system(command);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == expected, "%s: status %#x, not %d",
		arguments, (unsigned)status, expected);
	cr_assert_eq(setenv("message", message, 1), 0);
	cr_assert_eq(system("cat out err | grep -qF -e \"$message\" || { cat err >&2; false; }"), 0,
		"%s does not say: %s", arguments, message);
}

/* ---- reports ---- */

/* The two tables, each with its head first. */
static char report[1 << 16];
static char *rows[ROWS_MOST][COLUMNS_MOST];
static unsigned row_count, sites_head;

static void row_split(char *line)
{
	unsigned column = 0;

	cr_assert_lt(row_count, ROWS_MOST);
	for (char *cell; (cell = strsep(&line, ",")); column++) {
		cr_assert_lt(column, COLUMNS_MOST);
		rows[row_count][column] = cell;
	}
	while (column < COLUMNS_MOST)
		rows[row_count][column++] = NULL;
	row_count++;
}

void replay_run(const char *arguments)
{
	char command[512], *at = report;
	FILE *out;
	size_t length;

	snprintf(command, sizeof command, "\"$replay\" --csv %s", arguments);
	out = popen(command, "r");
	cr_assert_not_null(out);
	length = fread(report, 1, sizeof report - 1, out);
	cr_assert_eq(pclose(out), 0, "failed: %s", command);
	report[length] = '\0';
	row_count = sites_head = 0;
	for (char *line; (line = strsep(&at, "\n")) && (*line || at);) {
		if (*line)
			row_split(line);
		else
			sites_head = row_count;
	}
	cr_assert(sites_head && sites_head < row_count, "no second table: %s", command);
}

void record_replay(void)
{
	record_save();
	replay_run("trace");
}

static const char *cell_of(unsigned head, unsigned row, const char *column)
{
	for (unsigned i = 0; i < COLUMNS_MOST && rows[head][i]; i++)
		if (!strcmp(rows[head][i], column)) {
			cr_assert_not_null(rows[row][i]);
			return rows[row][i];
		}
	cr_assert_fail("no column %s", column);
	return "";
}

double replay_figure(const char *contender, const char *part, const char *column)
{
	for (unsigned row = 1; row < sites_head; row++)
		if (!strcmp(rows[row][0], contender) && !strcmp(rows[row][1], part))
			return strtod(cell_of(0, row, column), NULL);
	cr_assert_fail("no row of %s, %s", contender, part);
	return 0;
}

void replay_assert(const char *contender, const char *column, double expected)
{
	double figure = replay_figure(contender, "all", column);

	cr_assert_float_eq(
		figure, expected, NEAR, "%s, %s: %g, not %g", contender, column, figure, expected);
}

static unsigned site_row(unsigned site)
{
	cr_assert_lt(sites_head + 1 + site, row_count, "no site %u", site);
	return sites_head + 1 + site;
}

double replay_site(unsigned site, const char *column)
{
	return strtod(cell_of(sites_head, site_row(site), column), NULL);
}

const char *replay_site_defaults(unsigned site)
{
	return cell_of(sites_head, site_row(site), "defaults");
}
