/* SPDX-License-Identifier: MIT */
/*
 * The places in a program that borrow from a pool. Owns one node for each place and pool, found by
 * file, line and label, with what was learned there. A node has copies of the strings, because a
 * plugin that is unloaded takes its own with it.
 *
 * The program's static tierpool_site is a stub. What a get has to know of its place is a word:
 *
 *      63            50 49                       32 31                           0
 *     +----------------+---------------------------+-------------------------------+
 *     |     number     |  offset of a stack (8 n)  |           pool's id           |
 *     +----------------+---------------------------+-------------------------------+
 *
 *     number   of the node in its pool; from 1 on, 0: none
 *     offset   of the stack of the tier that the place begins with (tp_tiers_stack_offset)
 *
 * The word stands
 *     in the node;
 *     in the stub: that of one of the pools that borrow there;
 *     in a table of each pool, by the number of the stub: for the other pools.
 * Sampled gets renew the copies. While a place is new its stack is the one that is always empty, so that
 * each of its gets comes the slow way, and is recorded.
 *
 * Ids are never used again: after some 2^32 pools, no stub has that of a pool. They begin anywhere:
 * two copies of the library may meet at one stub, if an inline function of C++ has it, and each is
 * linked into a plugin. Stubs are numbered, and a number is not used again either; those beyond the
 * table are found by their strings, each time.
 */
#ifndef TP_SITE_H
#define TP_SITE_H

#include <stdbool.h>
#include <stdint.h>

#include <tierpool/pool.h>

#include "base/atomic.h"
#include "base/lock.h"
#include "memory/backing.h"
#include "pool/calibrate.h"

struct tp_site {
	struct tp_site *next;
	const char *file, *label; /* they lie behind this struct */
	unsigned line;
	bool traced;   /* of trace.c */
	uint64_t word; /* written by anyone */
	/* For reports: gets as the samples say; growths of buffers that were borrowed here. */
	uint64_t gets, growths;
	struct tp_calibration sizes;
};

#define TP_SITE_BUCKETS 64

/* Site numbers are smaller than this; a place beyond them shares the pool's own site. */
#define TP_SITES_MAX (1u << 14)

/* The number of the pool's own site, of calls without one. */
#define TP_SITE_OWN 1

struct tp_site_table;

struct tp_sites_options {
	const struct tp_backing *backing;
	uint32_t pool_id; /* 0: no stub can have it */
	struct tp_classes classes;
	unsigned tier;         /* that a new place begins with */
	uint32_t stack_offset; /* of its word */
};

struct tp_sites {
	struct tp_lock lock;
	struct tp_sites_options options;
	/* These are written in the lock, read by anyone; nodes stay. */
	struct tp_site *bucket[TP_SITE_BUCKETS];
	struct tp_site_table *numbered; /* the nodes, by number */
	struct tp_site_table *words;    /* halves of words, by the number of the stub */
	size_t count, bytes;
	struct tp_site own;
	tierpool_site own_stub;
};

/* Returns: 0 or -ENOMEM. */
int tp_sites_init(struct tp_sites *sites, const struct tp_sites_options *options);
void tp_sites_fini(struct tp_sites *sites);

static inline uint64_t tp_site_word(uint32_t pool_id, uint32_t number, uint32_t stack_offset)
{
	return (uint64_t)(number << 18 | stack_offset) << 32 | pool_id;
}

static inline uint32_t tp_site_word_pool(uint64_t word)
{
	return (uint32_t)word;
}

/* The half of a word that says all but the pool. */
static inline uint32_t tp_site_word_half(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static inline uint32_t tp_site_word_number(uint32_t half)
{
	return half >> 18;
}

static inline size_t tp_site_word_offset(uint32_t half)
{
	return half & ((1u << 18) - 1);
}

/* The word that a stub has. */
static inline uint64_t tp_site_stub_word(const tierpool_site *stub)
{
	/* Acquire: the node of its number is there. A stale word costs a look-up at most. */
	return tp_load_acquire(&stub->tp_word);
}

/* The half of a word that the pool's table has for a stub; 0: none. */
uint32_t tp_site_recall(const struct tp_sites *sites, const tierpool_site *stub);

/* The same from the stub, or else from the table. */
static inline uint32_t tp_site_half(const struct tp_sites *sites, const tierpool_site *stub)
{
	uint64_t word = tp_site_stub_word(stub);

	return tp_likely(word && tp_site_word_pool(word) == sites->options.pool_id)
		       ? tp_site_word_half(word)
		       : tp_site_recall(sites, stub);
}

/*
 * The node of a stub's place, which is entered if it is new. If there is no memory for it, or no
 * number, the pool's own.
 */
struct tp_site *tp_site_of_stub(struct tp_sites *sites, tierpool_site *stub);

/*
 * Renews what table and stub have, of a sampled get. Not of others: what a site has learned is to
 * depend on nothing but the calls. claim: the stub is taken from another pool, too.
 */
void tp_site_renew(
	struct tp_sites *sites, const struct tp_site *site, tierpool_site *stub, bool claim);

/* The node of this number, which there is. */
struct tp_site *tp_site_of_number(const struct tp_sites *sites, uint32_t number);

/* Sets the stack that gets of the place find. */
void tp_site_begin_with(struct tp_site *site, uint32_t stack_offset);

/* In the child of a fork. */
void tp_sites_forked(struct tp_sites *sites);

#endif
