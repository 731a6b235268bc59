/* SPDX-License-Identifier: MIT */
/*
 * Whole pages from the system. Owns the calls of mmap(2) and its relatives, and what is done if the
 * system refuses one. What lies in the pages is the caller's.
 */
#ifndef TP_PAGES_H
#define TP_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

/* Bytes of a page of the system. Written when the library is loaded, read by anyone. */
extern tp_hidden size_t tp_pages_size;

/* Each mapping of tp_pages_map begins at a multiple of this, so that pagemap.h finds it. */
#define TP_PAGES_UNIT ((size_t)64 << 10)

/*
 * A new mapping: all 0, and no memory is spent before it is written. bytes: not 0, a multiple of
 * TP_PAGES_UNIT. NULL: out of memory, or too many mappings.
 */
void *tp_pages_map(size_t bytes);

/* Ends a mapping. False: the system refused, since it has too many; the caller still has it. */
bool tp_pages_unmap(void *pages, size_t bytes);

/*
 * Ends a mapping that nobody has a use for. If the system refuses, all but one page of its memory is
 * given back, and each later call of this and of tp_pages_map tries again.
 */
void tp_pages_end(void *pages, size_t bytes);

/*
 * Gives the memory of whole pages back to the system; the mapping stays. After: they read as 0 and
 * are spent again when written. Does nothing if the system refuses, which Linux before 5.18 does if
 * the program has locked its memory (mlockall).
 */
void tp_pages_purge(void *pages, size_t bytes);

/*
 * Makes a mapping longer in place. Returns: TP_EXTENDED; TP_EXTENDED_NO_ROOM: tp_pages_move may do it;
 * TP_EXTENDED_REFUSED: that may not. In the last two cases nothing has changed.
 */
enum tp_extended { TP_EXTENDED, TP_EXTENDED_NO_ROOM, TP_EXTENDED_REFUSED };
enum tp_extended tp_pages_extend(void *pages, size_t before, size_t after);

/*
 * Moves the pages of a mapping, without a copy, to the beginning of target, a mapping as long as
 * wanted. Before: tp_pages_extend has just found no room. After: the old mapping has ended. False:
 * refused; the pages are where they were, and target is not the caller's any more: Linux before 6.17
 * may have ended it, and then anything may be there.
 */
bool tp_pages_move(void *pages, size_t before, size_t after, void *target);

#endif
