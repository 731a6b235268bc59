/* SPDX-License-Identifier: MIT */
/*
 * For stress_stack.c: items that know how many owners they have, and the hands in which threads
 * hold them.
 */
#ifndef STRESS_ITEMS_H
#define STRESS_ITEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "percpu/cpu.h"

struct item {
	uint32_t owners;
	uint32_t held, lying; /* at the end of a round: in hands, in stacks */
	uint8_t age;          /* that its slot must have; the owner's, or in a stack a stopper's */
} __attribute__((aligned(TP_LINE)));

extern struct item *items;
extern size_t item_count; /* in this round */

/* The item that a pointer points to. NULL: none, which is a finding; where: for its text. */
struct item *item_of(uint64_t pointer, const char *where);

/* Counts one owner more, or less. A finding if there is then another one. */
void item_own(void *pointer, const char *how);
void item_disown(void *pointer);

/* After a round: every item is there once, and has an owner if it is in a hand. */
void items_check(void);

/* What a thread holds. A finding ends the program: what is no item may stay in a hand. */
struct hand {
	unsigned count;
	void **item; /* place for all there are */
};

/* An empty hand with place for this many. False: out of memory. */
bool hand_init(struct hand *hand, size_t most);

void hand_take(struct hand *hand, void *pointer, const char *how);
void *hand_give(struct hand *hand);

#endif
