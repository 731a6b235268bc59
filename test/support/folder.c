/* SPDX-License-Identifier: MIT */
#include "folder.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "percpu/cpu.h"

static char folder[] = "/tmp/tierpool_test.XXXXXX";

void folder_new(void)
{
	cr_assert_eq(setenv("TIERPOOL_PERCPU", tp_cpu_mode(), 1), 0);
	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(chdir(folder), 0);
}

void folder_end(void)
{
	char command[64];

	snprintf(command, sizeof command, "rm -rf %s", folder);
	cr_assert_eq(system(command), 0);
}
