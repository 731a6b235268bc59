/* SPDX-License-Identifier: MIT */
#include "memory/bufhead.h"

#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/colour.h"
#include "base/debug.h"
#include "memory/bufstate.h"
#include "memory/pagemap.h"
#include "memory/pages.h"

/*
 * A chunk is a mapping of these pages, and its first headers are the struct. Each chunk is twice as
 * large as the one before, up to a megabyte. A page is 4 KiB here, 64 headers, so that a bit for each
 * makes a word; it is given back in pages of the system.
 */
#define PAGE_HEADERS 64
#define PAGE_BYTES (PAGE_HEADERS * sizeof(tierpool_buf))
#define PAGES_LEAST (TP_PAGES_UNIT / PAGE_BYTES)
#define PAGES_MOST (16 * PAGES_LEAST)

/* Pages without a buffer that stay spent until tp_bufheads_purge. */
#define IDLE_MOST 32

/* Pages that are looked at for a header of another colour. */
#define COLOUR_TRIES 4

/*
 * Under TIERPOOL_DEBUG=check: headers that wait. They take 1 MiB of a pool, as much as its warm blocks may,
 * and one is lent again after this many gets and frees at the earliest.
 */
#define WAITING_MOST 16384

_Static_assert(sizeof(tierpool_buf) == TP_LINE, "a header is one cache line");
_Static_assert(PAGE_BYTES == TP_COLOUR_PAGE, "the bit of a header is its colour");

struct tp_bufhead_chunk {
	struct tp_bufhead_chunk *next;
	unsigned pages;
	unsigned first;                  /* no page before this one has a free header */
	uint64_t spent[PAGES_MOST / 64]; /* a bit for each page */
	uint64_t free[]; /* a word for each page: a bit for each header; read by anyone */
};

/* Every other header: CPUs fetch lines in pairs. */
#define ODD UINT64_C(0xaaaaaaaaaaaaaaaa)

void tp_bufheads_init(struct tp_bufheads *heads)
{
	memset(heads, 0, sizeof *heads);
	tp_lock_init(&heads->lock);
}

void tp_bufheads_fini(struct tp_bufheads *heads)
{
	for (struct tp_bufhead_chunk *chunk = heads->chunks, *next; chunk; chunk = next) {
		size_t bytes = chunk->pages * PAGE_BYTES;

		next = chunk->next;
		tp_pagemap_clear(chunk, bytes);
		tp_pages_end(chunk, bytes);
	}
	free(heads->alone);
	tp_lock_fini(&heads->lock);
}

/* ---- in the lock ---- */

/* The headers that a chunk's own struct takes. */
static size_t bufhead_own(const struct tp_bufhead_chunk *chunk)
{
	return tp_round_up(sizeof *chunk + chunk->pages * sizeof(uint64_t), TP_LINE) / TP_LINE;
}

/* The bits of a page for the headers that the struct takes. */
static uint64_t bufhead_own_bits(const struct tp_bufhead_chunk *chunk, unsigned page)
{
	size_t own = bufhead_own(chunk), before = (size_t)page * PAGE_HEADERS;

	if (own >= before + PAGE_HEADERS)
		return UINT64_MAX;
	return own > before ? (UINT64_C(1) << (own - before)) - 1 : 0;
}

static bool bufhead_is_spent(const struct tp_bufhead_chunk *chunk, unsigned page)
{
	return chunk->spent[page / 64] >> page % 64 & 1;
}

static void bufhead_free_set(struct tp_bufhead_chunk *chunk, unsigned page, uint64_t bits)
{
	/* Relaxed: tp_bufhead_is_gone reads it without the lock. */
	tp_store_relaxed(&chunk->free[page], bits);
}

static void bufhead_spent_set(
	struct tp_bufheads *heads, struct tp_bufhead_chunk *chunk, unsigned page, bool spent)
{
	uint64_t bit = UINT64_C(1) << page % 64;

	if (bufhead_is_spent(chunk, page) == spent)
		return;
	chunk->spent[page / 64] ^= bit;
	/* Relaxed: only statistics read it without the lock. */
	if (spent)
		tp_add_relaxed(&heads->bytes, PAGE_BYTES);
	else
		tp_sub_relaxed(&heads->bytes, PAGE_BYTES);
}

static void bufhead_chunk_add(struct tp_bufheads *heads, struct tp_bufhead_chunk *chunk)
{
	for (unsigned page = 0; page < chunk->pages; page++) {
		uint64_t own = bufhead_own_bits(chunk, page);

		chunk->free[page] = ~own;
		bufhead_spent_set(heads, chunk, page, own);
	}
	chunk->next = heads->chunks;
	heads->chunks = chunk;
}

/*
 * The page of which a header is taken: the first one that has a free one, so that others become
 * empty; or one of the next few, if that has one of a better colour. chunk->pages: none is free.
 */
static unsigned bufhead_page_choose(struct tp_bufhead_chunk *chunk, uint64_t colours)
{
	unsigned page = chunk->first, tries = 0;

	while (page < chunk->pages && !chunk->free[page])
		page++;
	chunk->first = page;
	for (unsigned other = page; other < chunk->pages && tries < COLOUR_TRIES; other++) {
		if (chunk->free[other] & ~colours)
			return other;
		tries += chunk->free[other] != 0;
	}
	return page;
}

static tierpool_buf *bufhead_take(struct tp_bufheads *heads, uint64_t colours)
{
	for (struct tp_bufhead_chunk *chunk = heads->chunks; chunk; chunk = chunk->next) {
		unsigned page = bufhead_page_choose(chunk, colours);
		uint64_t bits, chosen;

		if (page == chunk->pages)
			continue;
		bits = chunk->free[page];
		heads->idle -= bits == UINT64_MAX && bufhead_is_spent(chunk, page);
		/*
		 * Every other header comes first: two CPUs that write to neighbours fetch each
		 * other's lines (encode_control, two threads: 3 %).
		 */
		chosen = bits & ~colours & ODD;
		if (!chosen)
			chosen = bits & ~colours;
		if (!chosen)
			chosen = bits;
		chosen &= -chosen;
		bufhead_free_set(chunk, page, bits & ~chosen);
		bufhead_spent_set(heads, chunk, page, true);
		return (tierpool_buf *)(void *)chunk + (size_t)page * PAGE_HEADERS +
		       __builtin_ctzll(chosen);
	}
	return NULL;
}

/* ---- headers that wait; in the lock ---- */

static void bufhead_wait(struct tp_bufheads *heads, tierpool_buf *b)
{
	b->tp_link = NULL;
	if (heads->waiting)
		heads->waiting_last->tp_link = b;
	else
		heads->waiting = b;
	heads->waiting_last = b;
	heads->waiting_count++;
}

/* The one that has waited longest. NULL: there is none. */
static tierpool_buf *bufhead_waited(struct tp_bufheads *heads)
{
	tierpool_buf *b = heads->waiting;

	if (b) {
		heads->waiting = b->tp_link;
		heads->waiting_count--;
	}
	return b;
}

/* ---- */

/* ---- headers that are allocations of their own ---- */

/* In the lock: enters one, so that it is found. False: out of memory. */
static bool bufhead_alone_add(struct tp_bufheads *heads, const tierpool_buf *b)
{
	if (heads->alone_count == heads->alone_room) {
		size_t room = heads->alone_room ? 2 * heads->alone_room : 64;
		uintptr_t *alone = realloc(heads->alone, room * sizeof *alone);

		if (!alone)
			return false;
		heads->alone = alone;
		heads->alone_room = room;
	}
	heads->alone[heads->alone_count++] = ~(uintptr_t)b;
	return true;
}

/* In the lock. */
static void bufhead_alone_remove(struct tp_bufheads *heads, const tierpool_buf *b)
{
	size_t i = heads->alone_count;

	while (heads->alone[--i] != ~(uintptr_t)b)
		;
	heads->alone[i] = heads->alone[--heads->alone_count];
}

/* NULL: out of memory. */
static tp_cold tierpool_buf *bufhead_alloc_alone(struct tp_bufheads *heads)
{
	void *b;
	bool added;

	if (posix_memalign(&b, TP_LINE, sizeof(tierpool_buf)))
		return NULL;
	memset(b, 0, sizeof(tierpool_buf));
	tp_lock_take(&heads->lock);
	added = bufhead_alone_add(heads, b);
	tp_lock_give(&heads->lock);
	if (!added) {
		free(b);
		return NULL;
	}
	/* Relaxed: as in bufhead_spent_set. */
	tp_add_relaxed(&heads->bytes, sizeof(tierpool_buf));
	return b;
}

static tp_cold void bufhead_free_alone(struct tp_bufheads *heads, tierpool_buf *b)
{
	tp_lock_take(&heads->lock);
	bufhead_alone_remove(heads, b);
	tp_lock_give(&heads->lock);
	tp_sub_relaxed(&heads->bytes, sizeof *b);
	free(b);
}

/* ---- */

/* Makes a chunk of so many pages. NULL: out of memory. */
static struct tp_bufhead_chunk *bufhead_chunk_make(unsigned pages)
{
	struct tp_bufhead_chunk *chunk = tp_pages_map(pages * PAGE_BYTES);

	if (!chunk)
		return NULL;
	chunk->pages = pages;
	if (tp_pagemap_set(chunk, pages * PAGE_BYTES, (char *)chunk + TP_PAGEMAP_HEADERS))
		return chunk;
	tp_pages_end(chunk, pages * PAGE_BYTES);
	return NULL;
}

tierpool_buf *tp_bufhead_alloc(struct tp_bufheads *heads, uint64_t colours)
{
	struct tp_bufhead_chunk *chunk;
	unsigned pages = PAGES_LEAST;
	tierpool_buf *b;

	if (tp_unlikely(tp_debug.unpooled))
		return bufhead_alloc_alone(heads);
	tp_lock_take(&heads->lock);
	b = bufhead_take(heads, colours);
	if (heads->chunks)
		pages = (unsigned)tp_min(2 * heads->chunks->pages, PAGES_MOST);
	tp_lock_give(&heads->lock);
	if (b)
		return b;
	chunk = bufhead_chunk_make(pages);
	tp_lock_take(&heads->lock);
	if (chunk)
		bufhead_chunk_add(heads, chunk);
	b = chunk ? bufhead_take(heads, colours) : bufhead_waited(heads);
	tp_lock_give(&heads->lock);
	return b;
}

/* ---- giving pages back ---- */

/* In the lock: whether a page of the system, from this page on, is spent and has no buffer. */
static bool bufhead_is_idle(const struct tp_bufhead_chunk *chunk, unsigned page)
{
	bool spent = false;

	for (unsigned i = 0; i < tp_pages_size / PAGE_BYTES; i++, page++) {
		if (chunk->free[page] != UINT64_MAX)
			return false;
		spent |= bufhead_is_spent(chunk, page);
	}
	return spent;
}

/* In the lock: gives back the page of the system that begins with this page, if it is idle. */
static void bufhead_page_purge(
	struct tp_bufheads *heads, struct tp_bufhead_chunk *chunk, unsigned page)
{
	if (!bufhead_is_idle(chunk, page))
		return;
	for (unsigned i = 0; i < tp_pages_size / PAGE_BYTES; i++) {
		heads->idle -= bufhead_is_spent(chunk, page + i);
		bufhead_spent_set(heads, chunk, page + i, false);
	}
	tp_pages_purge((char *)chunk + page * PAGE_BYTES, tp_pages_size);
}

void tp_bufheads_purge(struct tp_bufheads *heads)
{
	struct tp_bufhead_chunk *chunk;
	bool any;

	tp_lock_take(&heads->lock);
	chunk = heads->chunks;
	any = heads->idle;
	tp_lock_give(&heads->lock);
	/* Chunks stay. A page at a time: a get may wait for the lock. */
	for (; chunk && any; chunk = chunk->next)
		for (unsigned page = 0; page < chunk->pages && any;
			page += (unsigned)(tp_pages_size / PAGE_BYTES)) {
			tp_lock_take(&heads->lock);
			bufhead_page_purge(heads, chunk, page);
			any = heads->idle;
			tp_lock_give(&heads->lock);
		}
}

/* ---- */

/* Where a header is: its chunk, which is NULL if it is none, and its number there. */
static struct tp_bufhead_chunk *bufhead_place(const tierpool_buf *b, size_t *i)
{
	char *entry = tp_pagemap_get(b), *chunk;

	if (!((uintptr_t)entry & TP_PAGEMAP_HEADERS))
		return NULL;
	chunk = entry - TP_PAGEMAP_HEADERS;
	*i = ((uintptr_t)b - (uintptr_t)chunk) / sizeof *b;
	return (struct tp_bufhead_chunk *)(void *)chunk;
}

bool tp_bufhead_is_gone(const tierpool_buf *b)
{
	unsigned shard = tp_pagemap_enter();
	size_t i = 0;
	struct tp_bufhead_chunk *chunk = bufhead_place(b, &i);
	/* Relaxed: that of a header which is used or free all the while. */
	bool is_free =
		chunk && tp_load_relaxed(&chunk->free[i / PAGE_HEADERS]) >> i % PAGE_HEADERS & 1;

	tp_pagemap_leave(shard);
	return is_free && !b->tp_state;
}

/* In the lock. */
static void bufhead_give(struct tp_bufheads *heads, tierpool_buf *b)
{
	size_t i = 0;
	struct tp_bufhead_chunk *chunk = bufhead_place(b, &i);
	unsigned page = (unsigned)(i / PAGE_HEADERS);

	bufhead_free_set(chunk, page, chunk->free[page] | UINT64_C(1) << i % PAGE_HEADERS);
	chunk->first = (unsigned)tp_min(chunk->first, page);
	heads->idle += chunk->free[page] == UINT64_MAX;
	if (heads->idle > IDLE_MOST)
		bufhead_page_purge(
			heads, chunk, page - page % (unsigned)(tp_pages_size / PAGE_BYTES));
}

void tp_bufhead_free(struct tp_bufheads *heads, tierpool_buf *b)
{
	tp_bufstate_set(b, tp_bufstate(TP_STATE_RELEASED));
	tp_bufhead_block_set(b, NULL, b->cap);
	if (tp_unlikely(tp_debug.unpooled)) {
		bufhead_free_alone(heads, b);
		return;
	}
	tp_lock_take(&heads->lock);
	if (tp_unlikely(tp_debug.check)) {
		bufhead_wait(heads, b);
		b = heads->waiting_count > WAITING_MOST ? bufhead_waited(heads) : NULL;
	}
	if (b)
		bufhead_give(heads, b);
	tp_lock_give(&heads->lock);
}

/* In the lock: as tp_bufheads_find, of one chunk. */
static tierpool_buf *bufhead_find(const struct tp_bufhead_chunk *chunk, const void *data)
{
	tierpool_buf *head = (tierpool_buf *)(void *)chunk;

	for (unsigned page = 0; page < chunk->pages; page++) {
		uint64_t used = ~chunk->free[page] & ~bufhead_own_bits(chunk, page);

		for (; used; used &= used - 1) {
			tierpool_buf *b =
				head + (size_t)page * PAGE_HEADERS + __builtin_ctzll(used);

			if (tp_bufstate_is_data(b, data))
				return b;
		}
	}
	return NULL;
}

tierpool_buf *tp_bufheads_find(struct tp_bufheads *heads, const void *data)
{
	tierpool_buf *found = NULL;

	tp_lock_take(&heads->lock);
	for (struct tp_bufhead_chunk *chunk = heads->chunks; chunk && !found; chunk = chunk->next)
		found = bufhead_find(chunk, data);
	for (size_t i = 0; i < heads->alone_count && !found; i++) {
		tierpool_buf *b =
			(tierpool_buf *)~heads->alone[i]; /* NOLINT(performance-no-int-to-ptr) */

		if (tp_bufstate_is_data(b, data))
			found = b;
	}
	tp_lock_give(&heads->lock);
	return found;
}
