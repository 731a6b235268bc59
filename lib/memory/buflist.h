/* SPDX-License-Identifier: MIT */
/*
 * A list of buffers, linked through their headers, the newest first. The buffers belong to the
 * holder of the list.
 */
#ifndef TP_BUFLIST_H
#define TP_BUFLIST_H

#include <stddef.h>

#include <tierpool/buffer.h>

struct tp_list {
	tierpool_buf *head;
	size_t count;
};

static inline void tp_list_push(struct tp_list *list, tierpool_buf *b)
{
	b->tp_link = list->head;
	list->head = b;
	list->count++;
}

/* NULL: the list is empty. */
static inline tierpool_buf *tp_list_pop(struct tp_list *list)
{
	tierpool_buf *b = list->head;

	if (b) {
		list->head = b->tp_link;
		list->count--;
	}
	return b;
}

/* Moves all of them, one by one. */
static inline void tp_list_move(struct tp_list *from, struct tp_list *to)
{
	for (tierpool_buf *b; (b = tp_list_pop(from));)
		tp_list_push(to, b);
}

#endif
