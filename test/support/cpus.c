/* SPDX-License-Identifier: MIT */
#include "cpus.h"

void skip(const char *why)
{
	fprintf(stderr, "skipped a test: %s\n", why);
	cr_skip_test("%s", why);
}

/* By what it preloads: Valgrind's headers are not installed everywhere. */
bool under_valgrind(void)
{
	const char *preloaded = getenv("LD_PRELOAD");

	return preloaded && strstr(preloaded, "vgpreload");
}

bool pin(unsigned nth)
{
	static cpu_set_t allowed;
	static bool known;
	cpu_set_t one;

	if (!known)
		known = !sched_getaffinity(0, sizeof allowed, &allowed);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && !nth--) {
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			return !sched_setaffinity(0, sizeof one, &one);
		}
	return false;
}

void stay_on_this_cpu(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((unsigned)sched_getcpu(), &one);
	sched_setaffinity(0, sizeof one, &one);
}
