/* SPDX-License-Identifier: MIT */
/*
 * For tests of the idle layer by itself. Its items are headers of buffers only, since the layer never
 * touches a block. The fixture knows of each whether the layer has it or the test, and has the layer
 * checked whenever it releases one. The layer is that of a pool, or that of an object cache.
 */
#ifndef IDLE_FIXTURE_H
#define IDLE_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "counting_backing.h"
#include "idle/depot.h"
#include "idle/idle.h"
#include "idle/tiers.h"

#define IDLE_BUFFERS 4096
#define IDLE_CPUS 1024
#define IDLE_OTHERS 40     /* CPUs of the fixture's own making, at most */
#define IDLE_WORDS 512     /* of the slab of each, which is a page */
#define IDLE_BUSILY 10000u /* pairs of pop and push by which a CPU is hard at work */

/* Slots of a stack of small blocks (tiers.c), and how many go to the depot when it is full. */
#define IDLE_SLOTS 63
#define IDLE_FLUSHED ((IDLE_SLOTS + 1) / 2)

/* As bounds, if none is to matter. */
#define PLENTY ((size_t)1 << 40) /* bytes */
#define MANY SIZE_MAX            /* buffers of a tier */

/* As max_idle: too few for room on the stack of even one CPU, so that all buffers go to depots. */
#define DEPOT_ONLY 3

struct idle_fixture {
	struct counting_backing counting;
	struct tp_backing backing;
	struct tp_sizeclass sizes;
	size_t size[TP_TIERS_MAX];
	struct tp_blocks blocks; /* for the costs only */
	struct tp_tiers tiers;
	char cpus[IDLE_CPUS * 3 * TP_LINE] __attribute__((aligned(TP_LINE)));
	uint64_t slab[IDLE_OTHERS][IDLE_WORDS] __attribute__((aligned(4096)));
	unsigned own; /* the CPU before the others; the test stays on it */
	bool threads; /* several use the layer: what it holds may not be looked at meanwhile */
	unsigned made;
	tierpool_buf buffer[IDLE_BUFFERS] __attribute__((aligned(TP_LINE)));
	bool kept[IDLE_BUFFERS];        /* whether the layer has it */
	uint64_t kept_at[IDLE_BUFFERS]; /* the last tick that was done where it was kept then */
	size_t leased[TP_TIERS_MAX];    /* leases that came out with what was released */
	unsigned released;
	enum tp_drop why;    /* of the last one */
	enum tp_found found; /* where the last one was that was not on its CPU */
};

/* A layer with tiers of these sizes, the last arguments, as a pool has it. max_idle as its option. */
void idle_init(struct idle_fixture *f, size_t tiers, const size_t *sizes, size_t retain,
	struct tp_budget *shared, size_t max_idle);
#define idle_new(f, retain, shared, max_idle, ...)                                                \
	idle_init((f), sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t), (size_t[]){__VA_ARGS__}, \
		(retain), (shared), (max_idle))

/* As a cache has it: one tier, without cost and bounds; its ages stand beside the slots. */
#define idle_new_cache(f) idle_init((f), 0, NULL, SIZE_MAX, NULL, MANY)

/* Closes the layer, and finds in it exactly the buffers that the fixture says it has. */
void idle_end(struct idle_fixture *f);

/* A new buffer, in state idle, which is the test's: as a get makes one. */
tierpool_buf *idle_make(struct idle_fixture *f, unsigned tier);
unsigned idle_index(const struct idle_fixture *f, const tierpool_buf *b);

/* As a put does: the age is forgotten. */
/* The depot refused it, and it was released. */
#define IDLE_CLOSED ((enum tp_kept)99)
enum tp_kept idle_keep(struct idle_fixture *f, tierpool_buf *b);

/* Makes n buffers of a tier and keeps them all. Returns: the first. */
tierpool_buf *idle_keep_new(struct idle_fixture *f, unsigned tier, unsigned n);

/* The same, straight into the tier's depot. */
tierpool_buf *idle_depot_new(
	struct idle_fixture *f, unsigned tier, enum tp_generation generation, unsigned n);

/* As a get does. NULL: there is none. */
tierpool_buf *idle_take(struct idle_fixture *f, unsigned tier);

/* How many the layer has released since this was last called; their leases stay. */
unsigned idle_released(struct idle_fixture *f);

/* Ends the leases of what was released, as if it were freed. */
void idle_unlease(struct idle_fixture *f);

/* Whether the layer has all of n buffers (kept), or none. */
bool idle_all(const struct idle_fixture *f, const tierpool_buf *b, unsigned n, bool kept);

/* What a CPU's stack of a tier holds, and has room for; and what the tier's depot holds. */
unsigned idle_own_cpu(const struct idle_fixture *f);
unsigned idle_depth(const struct idle_fixture *f, unsigned cpu, unsigned tier);
unsigned idle_room(const struct idle_fixture *f, unsigned cpu, unsigned tier);
size_t idle_depot_count(const struct idle_fixture *f, unsigned tier);

/*
 * The invariant of tiers.h: what is leased is the sum of its parts, in bytes, in counts, and in the
 * shared budget, of which other bytes are leased elsewhere. Returns: NULL, or what is wrong.
 */
const char *idle_lease_fault(const struct idle_fixture *f, size_t other);
void idle_assert_leases(const struct idle_fixture *f);

/* ---- CPUs beside the own one, whatever the machine has, on which no thread runs ---- */

/*
 * Before anything is kept: the CPUs are the own one, where the caller stays from now on, and n others
 * behind it, with empty slabs. From here on 0 is the own CPU, 1 and so on are the others.
 */
void idle_others(struct idle_fixture *f, unsigned n);
struct tp_cpu *idle_cpu(struct idle_fixture *f, unsigned i);

/* Makes n buffers of a tier, and puts them on an other CPU, as pushes there do. Returns: the first. */
tierpool_buf *idle_place(struct idle_fixture *f, unsigned i, unsigned tier, unsigned n);

/* Changes on an other CPU what that many pairs of pop and push would. */
void idle_work(struct idle_fixture *f, unsigned i, unsigned pairs);

/* Ticks that have begun and were not done there. */
unsigned idle_owed(const struct idle_fixture *f, unsigned i);

#endif
