/* SPDX-License-Identifier: MIT */
/*
 * A list of buffers, linked through their headers (tp_link), the newest first. The buffers belong
 * to the owner of the list. It has no lock of its own.
 */
#ifndef TP_BUFLIST_H
#define TP_BUFLIST_H

#include <stddef.h>

#include <tierpool/buffer.h>

struct tp_buflist {
	tierpool_buf *head;
	size_t count;
};

static inline void tp_buflist_push(struct tp_buflist *list, tierpool_buf *b)
{
	b->tp_link = list->head;
	list->head = b;
	list->count++;
}

/* NULL: the list is empty. */
static inline tierpool_buf *tp_buflist_pop(struct tp_buflist *list)
{
	tierpool_buf *b = list->head;

	if (b) {
		list->head = b->tp_link;
		list->count--;
	}
	return b;
}

/* Moves all buffers, one by one, so that they come in the opposite order. */
static inline void tp_buflist_move(struct tp_buflist *from, struct tp_buflist *to)
{
	for (tierpool_buf *b; (b = tp_buflist_pop(from));)
		tp_buflist_push(to, b);
}

#endif
