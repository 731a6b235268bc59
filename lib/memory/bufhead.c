/* SPDX-License-Identifier: MIT */
#include "memory/bufhead.h"

#include <string.h>

#include "base/atomic.h"
#include "base/colour.h"
#include "memory/bufstate.h"

#define HEADERS_PER_PAGE 63

/* Headers that are tried until one has none of the colours: more than a stack has lines. */
#define COLOUR_TRIES 16

struct tp_bufhead_page {
	struct tp_bufhead_page *next;
	tierpool_buf header[HEADERS_PER_PAGE] __attribute__((aligned(TP_LINE)));
};

_Static_assert(sizeof(tierpool_buf) == TP_LINE, "a header is one cache line");
_Static_assert(sizeof(struct tp_bufhead_page) == 4096, "a page of headers is one of memory");

void tp_bufheads_init(struct tp_bufheads *heads)
{
	memset(heads, 0, sizeof *heads);
	pthread_mutex_init(&heads->lock, NULL);
}

void tp_bufheads_fini(struct tp_bufheads *heads, const struct tp_backing *backing)
{
	for (struct tp_bufhead_page *page = heads->pages, *next; page; page = next) {
		next = page->next;
		tp_backing_free(backing, page, sizeof *page);
	}
	pthread_mutex_destroy(&heads->lock);
}

/* With the lock. */
static tierpool_buf *bufhead_spare_pop(struct tp_bufheads *heads, uint64_t colours)
{
	struct tp_buflist aside = {NULL, 0};
	tierpool_buf *b;

	while ((b = tp_buflist_pop(&heads->spare)) && tp_colour((uintptr_t)b) & colours &&
		aside.count < COLOUR_TRIES)
		tp_buflist_push(&aside, b);
	if (!b)
		b = tp_buflist_pop(&aside);
	tp_buflist_move(&aside, &heads->spare);
	return b;
}

/* With the lock. */
static void bufhead_page_add(struct tp_bufheads *heads, struct tp_bufhead_page *page)
{
	/*
	 * Every other header comes out first: CPUs fetch lines in pairs, so two CPUs that write to
	 * neighbours fetch each other's lines (encode_control, two threads: 3 %).
	 */
	for (unsigned i = 1; i < HEADERS_PER_PAGE; i += 2)
		tp_buflist_push(&heads->spare, &page->header[i]);
	for (unsigned i = 0; i < HEADERS_PER_PAGE; i += 2)
		tp_buflist_push(&heads->spare, &page->header[i]);
	page->next = heads->pages;
	heads->pages = page;
	/* Relaxed: only statistics read it without the lock. */
	tp_add_relaxed(&heads->bytes, sizeof *page);
}

tierpool_buf *tp_bufhead_alloc(
	struct tp_bufheads *heads, const struct tp_backing *backing, uint64_t colours)
{
	struct tp_bufhead_page *page;
	tierpool_buf *b;

	pthread_mutex_lock(&heads->lock);
	b = bufhead_spare_pop(heads, colours);
	pthread_mutex_unlock(&heads->lock);
	if (b)
		return b;
	page = tp_backing_alloc(backing, sizeof *page);
	if (!page)
		return NULL;
	memset(page, 0, sizeof *page);
	for (unsigned i = 0; i < HEADERS_PER_PAGE; i++)
		page->header[i].tp_state = tp_bufstate(TP_STATE_RELEASED);
	pthread_mutex_lock(&heads->lock);
	bufhead_page_add(heads, page);
	b = bufhead_spare_pop(heads, colours);
	pthread_mutex_unlock(&heads->lock);
	return b;
}

void tp_bufhead_free(struct tp_bufheads *heads, tierpool_buf *b)
{
	tp_bufstate_set(b, tp_bufstate(TP_STATE_RELEASED));
	pthread_mutex_lock(&heads->lock);
	tp_buflist_push(&heads->spare, b);
	pthread_mutex_unlock(&heads->lock);
}
