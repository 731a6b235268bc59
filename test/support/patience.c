/* SPDX-License-Identifier: MIT */
/*
 * Multiplies the time limit of each unit test by TEST_PATIENCE, if that is in the environment: for emulated
 * machines (test/vm/init). Criterion's own option does not reach a test that has a limit.
 */
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <stdlib.h>

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
	const char *times = getenv("TEST_PATIENCE");

	if (!times)
		return;
	FOREACH_SET(struct criterion_suite_set * suite, tests->suites)
	{
		if (suite->suite.data)
			suite->suite.data->timeout *= atof(times);
		FOREACH_SET(struct criterion_test * test, suite->tests)
		test->data->timeout *= atof(times);
	}
}
