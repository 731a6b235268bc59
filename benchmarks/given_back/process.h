/* SPDX-License-Identifier: MIT */
/*
 * What the process of a measurement (support/child.h) does to itself, and reads of itself.
 */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdbool.h>
#include <stddef.h>

#include <tierpool.h>

#define KIB 1024.0
#define MIB 1048576.0

/* Pins the process to a CPU, the same one each time. */
void process_pin(void);

/* Ends the process after a message. error: an errno. */
__attribute__((noreturn)) void process_fail(const char *what, int error);

/* Returns: whether process_resident works here. */
bool process_resident_known(void);

/*
 * Returns: resident bytes of the process, exact. /proc/self/statm would be wrong by up to a batch of
 * pages for each CPU, since many kernels read its sum without what the CPUs have not added yet.
 */
double process_resident(void);

/* The numbers of a pool. */
struct tierpool_stats process_stats(tierpool *pool);

#endif
