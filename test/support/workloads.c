/* SPDX-License-Identifier: MIT */
#include "workloads.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "random.h"

#define OPS_A_GET 4  /* at most */
#define TURN_MOST 20 /* calls of a thread, before the other has its turn */

struct workload *workload_new(unsigned gets, uint64_t seed)
{
	struct workload *w = calloc(1, sizeof *w);

	cr_assert_not_null(w);
	w->room = OPS_A_GET * gets;
	w->ops = calloc(w->room, sizeof *w->ops);
	cr_assert_not_null(w->ops);
	w->gets_wanted = gets;
	w->random = seed;
	for (unsigned i = 0; i < SLOTS; i++)
		w->slots[i] = i;
	return w;
}

void workload_free(struct workload *w)
{
	free(w->ops);
	free(w);
}

static unsigned below(struct workload *w, unsigned n)
{
	return (unsigned)(next_random(&w->random) % n);
}

static void op_add(struct workload *w, enum op_kind kind, unsigned slot, size_t size)
{
	cr_assert_lt(w->count, w->room);
	w->ops[w->count++] = (struct op){kind, w->thread, slot, size};
}

/* The other thread has its turn, if this one has had it. */
static void op_turn(struct workload *w)
{
	if (!w->turn--) {
		w->turn = below(w, TURN_MOST);
		w->thread ^= 1;
	}
}

static void op_get(struct workload *w, size_t size)
{
	unsigned slot = w->slots[w->out++];

	op_turn(w);
	w->gets++;
	w->sizes[slot] = size;
	w->owners[slot] = w->thread;
	op_add(w, OP_GET, slot, size);
}

/* A buffer grows in the thread that borrowed it, if that has its turn: a trace has no CPU of growths. */
static void op_grow(struct workload *w)
{
	unsigned slot = w->slots[below(w, w->out)];

	if (w->sizes[slot] <= 20000 && w->owners[slot] == w->thread) {
		w->sizes[slot] *= 3;
		op_add(w, OP_GROW, slot, w->sizes[slot]);
	}
}

/* By any thread. */
static void op_put(struct workload *w)
{
	unsigned i = below(w, w->out), slot = w->slots[i];

	op_turn(w);
	w->slots[i] = w->slots[--w->out];
	w->slots[w->out] = slot;
	op_add(w, OP_PUT, slot, 0);
}

/* A get, after puts that keep about this many out. */
static void op_step(struct workload *w, unsigned out, size_t size)
{
	while (w->out && below(w, 2 * out) < w->out)
		op_put(w);
	op_get(w, size);
}

static size_t mixed(struct workload *w)
{
	static const size_t sizes[] = {200, 700, 1500, 3000, 6000, 12000, 30000, 60000};

	return sizes[below(w, 8)];
}

void workload_steady(struct workload *w)
{
	while (w->gets < w->gets_wanted)
		op_step(w, 120, mixed(w));
}

void workload_bursty(struct workload *w)
{
	while (w->gets < w->gets_wanted) {
		bool burst = w->gets % 2000 > 1700;

		op_step(w, burst ? 450 : 30, mixed(w) / 2);
		if (below(w, 4) == 0)
			op_grow(w);
	}
}

void workload_two_phases(struct workload *w)
{
	while (w->gets < w->gets_wanted / 2)
		op_step(w, 300, mixed(w) / 8);
	while (w->gets < w->gets_wanted)
		op_step(w, 100, below(w, 8) ? mixed(w) + 10000 : 500);
}
