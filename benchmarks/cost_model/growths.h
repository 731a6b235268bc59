/* SPDX-License-Identifier: MIT */
/*
 * What calls cost that find all they need in the pool: a get and put in use, a growth by exchange
 * with nothing to copy, and a byte that a growth copies, from 1 KiB to 256 KiB in a warm cache.
 */
#ifndef GROWTHS_H
#define GROWTHS_H

/* Returns: 0; -errno. */
int growths_begin(void);
void growths_round(void);
void growths_print(void);
void growths_end(void);

#endif
