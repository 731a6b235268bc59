/* SPDX-License-Identifier: MIT */
/*
 * For tests of the idle layer by itself. Its buffers are headers only, since the layer never touches
 * a block. The fixture knows of each buffer whether the layer has it or the test.
 */
#ifndef IDLE_FIXTURE_H
#define IDLE_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "counting_backing.h"
#include "idle/depot.h"
#include "idle/tiers.h"

#define IDLE_BUFFERS 4096
#define IDLE_CPUS 1024

/* As bounds, where none is to matter. */
#define PLENTY ((size_t)1 << 40) /* bytes */
#define MANY SIZE_MAX            /* buffers of a tier */

/* As max_idle: too few for room on the stack of even one CPU, so that all buffers go to depots. */
#define DEPOT_ONLY 3

struct idle_fixture {
	struct counting_backing counting;
	struct tp_backing backing;
	struct tp_sizeclass sizes;
	struct tp_tiers tiers;
	char cpus[IDLE_CPUS * 3 * TP_LINE] __attribute__((aligned(TP_LINE)));
	unsigned made;
	tierpool_buf buffer[IDLE_BUFFERS] __attribute__((aligned(TP_LINE)));
	bool kept[IDLE_BUFFERS];     /* whether the layer has it */
	size_t leased[TP_TIERS_MAX]; /* leases that came out with victims */
	struct tp_buflist victims;
};

/* A layer with tiers of these sizes, the last arguments. max_idle as in tp_tiers_init. */
void idle_init(struct idle_fixture *f, size_t tiers, const size_t *sizes, size_t retain,
	struct tp_budget *shared, size_t max_idle);
#define idle_new(f, retain, shared, max_idle, ...)                                                \
	idle_init((f), sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t), (size_t[]){__VA_ARGS__}, \
		(retain), (shared), (max_idle))

/* Closes the layer, and finds in it exactly the buffers that the fixture says it has. */
void idle_end(struct idle_fixture *f);

/* A new buffer, in state idle, which is the test's: as a get makes one. */
tierpool_buf *idle_make(struct idle_fixture *f, unsigned tier);
unsigned idle_index(const struct idle_fixture *f, const tierpool_buf *b);

/* As a put does: the age is forgotten. */
enum tp_kept idle_keep(struct idle_fixture *f, tierpool_buf *b);

/* Makes n buffers of a tier and keeps them all. Returns: the first. */
tierpool_buf *idle_keep_new(struct idle_fixture *f, unsigned tier, unsigned n);

/* NULL: there is none. */
tierpool_buf *idle_take(struct idle_fixture *f, unsigned tier);
tierpool_buf *idle_evict(struct idle_fixture *f, unsigned tier);

/* Takes over the victims with their leases, into out unless it is NULL. Returns: how many. */
size_t idle_victims(struct idle_fixture *f, tierpool_buf **out);

/* Ends the leases of what came out with one, as if it were freed. */
void idle_unlease(struct idle_fixture *f);

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

#endif
