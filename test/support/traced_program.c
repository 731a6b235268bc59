/* SPDX-License-Identifier: MIT */
#include "traced_program.h"

#include <limits.h>
#include <stdio.h>

const char program_full_disk[] =
	"tierpool: TIERPOOL_TRACE: No space left on device; the trace ends here\n";

void program_run(const char *name, void (*program)(void))
{
	char variable[2 * PATH_MAX];

	snprintf(
		variable, sizeof variable, "TIERPOOL_TRACE%s%s", name ? "=" : "", name ? name : "");
	program_run_in(program, variable);
}

struct decoder program_trace(void (*program)(void))
{
	struct decoder d;

	program_run("trace", program);
	cr_assert_str_eq(program_said, "");
	decoder_open(&d, "trace");
	return d;
}
