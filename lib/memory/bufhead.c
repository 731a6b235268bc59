/* SPDX-License-Identifier: MIT */
#include "memory/bufhead.h"

#include <string.h>

#include "base/atomic.h"
#include "base/colour.h"
#include "memory/bufstate.h"

#define HEADERS_PER_PAGE 63

/* Headers looked at for one in another line: more than a stack has lines. */
#define CHOICE 16

struct tp_header_page {
	struct tp_header_page *next;
	tierpool_buf header[HEADERS_PER_PAGE] __attribute__((aligned(TP_LINE)));
};

_Static_assert(sizeof(tierpool_buf) == TP_LINE, "a header is one cache line");
_Static_assert(sizeof(struct tp_header_page) == 4096, "a page of headers is one of memory");

void tp_headers_init(struct tp_headers *headers)
{
	memset(headers, 0, sizeof *headers);
	pthread_mutex_init(&headers->lock, NULL);
}

void tp_headers_fini(struct tp_headers *headers, const struct tp_backing *backing)
{
	for (struct tp_header_page *page = headers->pages, *next; page; page = next) {
		next = page->next;
		tp_backing_free(backing, page, sizeof *page);
	}
	pthread_mutex_destroy(&headers->lock);
}

/* With the lock. */
static tierpool_buf *spare_pop(struct tp_headers *headers, uint64_t lines)
{
	struct tp_list aside = {NULL, 0};
	tierpool_buf *b;

	while ((b = tp_list_pop(&headers->spare)) && tp_colour((uintptr_t)b) & lines &&
		aside.count < CHOICE)
		tp_list_push(&aside, b);
	if (!b)
		b = tp_list_pop(&aside);
	tp_list_move(&aside, &headers->spare);
	return b;
}

/* With the lock. */
static void page_add(struct tp_headers *headers, struct tp_header_page *page)
{
	/*
	 * Every other one comes out first: two CPUs that write to neighbours fetch each other's
	 * lines in pairs (encode_control, two threads: 3 %).
	 */
	for (unsigned i = 1; i < HEADERS_PER_PAGE; i += 2)
		tp_list_push(&headers->spare, &page->header[i]);
	for (unsigned i = 0; i < HEADERS_PER_PAGE; i += 2)
		tp_list_push(&headers->spare, &page->header[i]);
	page->next = headers->pages;
	headers->pages = page;
	tp_add_relaxed(&headers->bytes, sizeof *page);
}

tierpool_buf *tp_header_alloc(
	struct tp_headers *headers, const struct tp_backing *backing, uint64_t lines)
{
	struct tp_header_page *page;
	tierpool_buf *b;

	pthread_mutex_lock(&headers->lock);
	b = spare_pop(headers, lines);
	pthread_mutex_unlock(&headers->lock);
	if (b)
		return b;
	page = tp_backing_alloc(backing, sizeof *page);
	if (!page)
		return NULL;
	memset(page, 0, sizeof *page);
	for (unsigned i = 0; i < HEADERS_PER_PAGE; i++)
		page->header[i].tp_control = tp_control(TP_STATE_RELEASED);
	pthread_mutex_lock(&headers->lock);
	page_add(headers, page);
	b = spare_pop(headers, lines);
	pthread_mutex_unlock(&headers->lock);
	return b;
}

void tp_header_free(struct tp_headers *headers, tierpool_buf *b)
{
	tp_control_set(b, tp_control(TP_STATE_RELEASED));
	pthread_mutex_lock(&headers->lock);
	tp_list_push(&headers->spare, b);
	pthread_mutex_unlock(&headers->lock);
}
