/* SPDX-License-Identifier: MIT */
#include "profile_fixture.h"

#include <errno.h>
#include <stdlib.h>

#include "allocations.h"

char *profile_written(profile_writer *write, const struct tp_snapshot *snapshot, size_t *length)
{
	char *text;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	cr_assert_not_null(out);
	cr_assert_eq(write(out, snapshot), 0);
	cr_assert_eq(fclose(out), 0);
	if (length)
		*length = n;
	return text;
}

static ssize_t refuse(void *cookie, const char *bytes, size_t n)
{
	(void)cookie, (void)bytes, (void)n;
	errno = ENOSPC;
	return 0;
}

static void finds_no_memory(profile_writer *write, const struct tp_snapshot *snapshot)
{
	unsigned nth = 0;
	int error;

	do {
		FILE *out = fopen("/dev/null", "w");

		cr_assert_not_null(out);
		allocation_fails = (struct failing){.at = ++nth};
		error = write(out, snapshot);
		cr_assert(error == 0 || error == -ENOMEM, "allocation %u: %d", nth, error);
		cr_assert_eq(error == 0, allocation_fails.at != 0, "allocation %u", nth);
		fclose(out);
	} while (error);
	allocation_fails.at = 0;
}

void profile_reports_errors(profile_writer *write, const struct tp_snapshot *snapshot)
{
	FILE *out = fopencookie(NULL, "w", (cookie_io_functions_t){.write = refuse});

	cr_assert_not_null(out);
	setvbuf(out, NULL, _IONBF, 0);
	cr_assert_eq(write(out, snapshot), -EIO);
	fclose(out);
	finds_no_memory(write, snapshot);
}
