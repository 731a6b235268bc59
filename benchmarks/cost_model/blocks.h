/* SPDX-License-Identifier: MIT */
/*
 * What memory costs that the pool does not have: a new block of 1 KiB to 32 MiB and its free, by a
 * pool that keeps nothing; the first store to a page of a fresh mapping; and a page given back.
 */
#ifndef BLOCKS_H
#define BLOCKS_H

/* Returns: 0; -errno. */
int blocks_begin(void);
/* Returns: 0; -errno. */
int blocks_round(void);
void blocks_print(void);
void blocks_end(void);

#endif
