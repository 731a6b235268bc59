/* SPDX-License-Identifier: MIT */
/*
 * For tests: a cpuset of the process's own, of one CPU, in the hierarchy of cgroup version 1.
 */
#ifndef CPUSET_H
#define CPUSET_H

/*
 * From here on the process, with all its threads, may use only this CPU. Returns NULL, or why that
 * cannot be done.
 */
const char *cpuset_enter(unsigned cpu);

/* Moves the process back to where it came from, and removes the cpuset. */
void cpuset_leave(void);

#endif
