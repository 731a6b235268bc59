/* SPDX-License-Identifier: MIT */
/*
 * Which run an address lies in: a map from addresses to pointers, by units of 64 KiB, for the whole
 * process. Owns the map's memory, of which 8 bytes a unit are spent and never given back.
 *
 * A lookup takes no lock, and may be made for any address. What is found may be about to end, so a
 * lookup that reads it does so between enter and leave, and who ends it takes it out of the map first,
 * and waits for these lookups, or keeps it.
 */
#ifndef TP_PAGEMAP_H
#define TP_PAGEMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Enters what for each unit of a mapping (pages.h). False: there is no memory for the map, or the
 * address is beyond it (2^48); then nothing was entered.
 */
bool tp_pagemap_set(const void *pages, size_t bytes, void *what);

/* Sees to it that tp_pagemap_set of this mapping will not fail. False: as that. */
bool tp_pagemap_reserve(const void *pages, size_t bytes);

/* Takes a mapping out. Blocks: until no lookup under way has found it. */
void tp_pagemap_clear(const void *pages, size_t bytes);

/* The same without blocking. False: lookups are under way, as of a thread that was preempted. */
bool tp_pagemap_try_clear(const void *pages, size_t bytes);

/* What was entered for the mapping that an address lies in; NULL: nothing. */
void *tp_pagemap_get(const void *address);

/* What is entered is a run (run.h), or with this bit a chunk of headers (bufhead.c). */
#define TP_PAGEMAP_HEADERS ((uintptr_t)1)

/*
 * Around a lookup of an address that the caller does not own, as long as what it found is read.
 * Returns: what leave must be given.
 */
unsigned tp_pagemap_enter(void);
void tp_pagemap_leave(unsigned shard);

/* In the child of a fork: forgets the lookups of other threads. Before: the caller makes none. */
void tp_pagemap_forked(void);

#endif
