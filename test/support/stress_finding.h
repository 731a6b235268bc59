/* SPDX-License-Identifier: MIT */
/*
 * For stress programs: what they find, and the end of all threads at the first finding.
 */
#ifndef STRESS_FINDING_H
#define STRESS_FINDING_H

extern int stop, broken; /* relaxed accesses: threads are to end; there was a finding */

/* Prints what was found, if it is the first finding, and has all threads stop. */
__attribute__((format(printf, 1, 2))) void broke(const char *format, ...);

#endif
