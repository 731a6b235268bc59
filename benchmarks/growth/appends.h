/* SPDX-License-Identifier: MIT */
/*
 * What an append of one byte, and of four, costs in a buffer of max_size bytes, and in one that is
 * larger. No append makes a buffer grow.
 */
#ifndef APPENDS_H
#define APPENDS_H

/* Measures and prints. Returns: 0; -errno. */
int appends_measure(double seconds);

#endif
