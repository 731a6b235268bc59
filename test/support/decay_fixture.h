/* SPDX-License-Identifier: MIT */
/*
 * For tests of ticks by themselves, without a pool. Behind the CPU that the test stays on there are
 * others of its own making, which hold and do what the test says, whatever the machine has. What a
 * tick does to a CPU is the ager's (decay.h); the one here counts how often it was called.
 *
 * CPUs have numbers here: 0 is the test's own, 1 and so on are the others.
 */
#ifndef DECAY_FIXTURE_H
#define DECAY_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "idle/decay.h"

#define DECAY_OTHERS 12     /* CPUs behind the own one, at the most */
#define DECAY_STACKS 2      /* of each CPU */
#define DECAY_BUSILY 10000u /* pairs of pop and push by which a CPU is hard at work */
#define DECAY_PIECE 4       /* other CPUs that one call may age (decay.c) */

extern struct tp_decay decay;
extern struct tp_cpus decay_cpus;
extern unsigned decay_own; /* the library's number of CPU 0 */

/* What the ager has done to each CPU: in how many pieces, by how many ticks in all. */
struct decay_aged {
	unsigned pieces, ticks;
};
extern struct decay_aged decay_aged[DECAY_OTHERS + 1];
extern unsigned decay_pieces; /* that the ager needs for a CPU; 1 unless the test says otherwise */

/*
 * What the ager does: counts, unless a test has it do something else; false: more is left of that
 * CPU. And what follows when the CPU has its slab again; NULL: nothing.
 */
extern bool (*decay_age)(unsigned i, unsigned ticks);
extern void (*decay_after)(void);
bool decay_count(unsigned i, unsigned ticks);

/* Pieces that CPUs other than the own one were aged in. */
unsigned decay_others_aged(void);

/*
 * The own CPU, on which the caller stays from now on, and others behind it; in_use of all
 * these have a slab, beginning with the own one. ms as decay_ms in the options.
 */
void decay_start_with(unsigned others, unsigned in_use, unsigned ms);
void decay_start(unsigned others, unsigned ms); /* all of them in use */

/* One CPU's slab: what it holds at first, and giving it to the CPU. */
void decay_fill(unsigned i);
void decay_join(unsigned i);

/* Sets depth and room of each stack of a CPU, as slow calls would. */
void decay_hold(unsigned i, unsigned depth, unsigned room);

/* Changes on a CPU what that many pairs of pop and push would. */
void decay_work(unsigned i, unsigned pairs);

/* A countdown of a CPU's stack. */
int64_t decay_countdown(unsigned i, unsigned stack);

/* Begins a tick, as pools do. asked: by the program. */
void decay_begin(bool asked);
bool decay_begin_due(void); /* if one is due; whether it was */

/* A piece of the ticks that have begun; all pieces; and all at once, as a tick that is asked for. */
bool decay_some(void);
void decay_rest(void);
void decay_all(void);

/*
 * What the library knows of a CPU, here and nowhere else in the tests: up to which tick it was aged;
 * ticks that have begun and were not done there; when what was done last.
 */
struct tp_cpu *decay_cpu(unsigned i);
struct tp_decay_cpu *decay_state(unsigned i);
uint32_t *decay_cpu_aged(unsigned i);
unsigned decay_owed(unsigned i);
void decay_cpu_aged_ago(unsigned i, uint32_t ms);
void decay_cpu_expired_ago(unsigned i, uint32_t ms);
void decay_cpu_shortened_ago(unsigned i, uint32_t ms);
void decay_cpu_gap_set(unsigned i, unsigned gap);

#endif
