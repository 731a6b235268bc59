/* SPDX-License-Identifier: MIT */
/*
 * The depot of a tier: idle buffers that do not fit, or may not lie, in the per-CPU stacks. Owns
 * two linked lists and their lock; knows no bytes. Layer 2.
 *
 * The two lists are sync.Pool's two generations. A put goes to young; a get takes from young, then
 * from old; a tick frees old and makes young the new old, in constant time. So a buffer that nobody
 * touched between two ticks is gone, however many there are.
 *
 * A buffer in a list belongs to the depot; the lock is held only for the splice, never while memory
 * is allocated or freed.
 */
#ifndef TP_DEPOT_H
#define TP_DEPOT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include <tierpool/buffer.h>

#include "base.h"

/* Buffers linked by tp_link, newest first; they belong to whoever holds the list. */
struct tp_list {
	tierpool_buf *head;
	size_t count;
};

void tp_list_push(struct tp_list *list, tierpool_buf *b);
tierpool_buf *tp_list_pop(struct tp_list *list);             /* NULL: empty */
void tp_list_move(struct tp_list *from, struct tp_list *to); /* all, one by one */

struct tp_depot {
	pthread_mutex_t lock;
	struct tp_list young, old; /* in the lock */
	bool closed;               /* for ever, in the lock: the pool is being destroyed */
	size_t count;              /* young and old; written in the lock, read by anyone */
} __attribute__((aligned(TP_LINE)));

void tp_depot_init(struct tp_depot *depot);
void tp_depot_fini(struct tp_depot *depot); /* must be empty */

/*
 * Puts the whole list, which is empty afterwards: buffers of age 0 to young, others to old.
 * False: the depot is closed, and the list is still the caller's.
 */
bool tp_depot_push(struct tp_depot *depot, struct tp_list *list);

enum tp_depot_age { TP_DEPOT_ANY, TP_DEPOT_AGED };

/* Moves up to most buffers to the front of list; their age byte says which list they were in. */
void tp_depot_pop(struct tp_depot *depot, size_t most, enum tp_depot_age age, struct tp_list *list);

/* One tick: what was old goes to victims, what was young is old. */
void tp_depot_rotate(struct tp_depot *depot, struct tp_list *victims);

/* Closes the depot for ever: nothing more goes in. What it holds is there to be popped. */
void tp_depot_close(struct tp_depot *depot);

/* Buffers in the depot, as of some moment during the call. */
size_t tp_depot_count(const struct tp_depot *depot);

#endif
