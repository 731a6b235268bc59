/* SPDX-License-Identifier: MIT */
/*
 * A busy CPU, and the probes for one: neighbour.h.
 */
#include "neighbour.h"

#include <stdint.h>

#include "support/measure.h"

#define ADDS 8192

/*
 * The compiler neither joins nor drops these. The step is in a register: some CPUs do an add of a
 * constant while they rename registers, and so several that wait for each other at once.
 */
#define ADD(chain, step)                                        \
	do {                                                    \
		(chain) += (step);                              \
		__asm__ volatile("" : "+r"(chain), "+r"(step)); \
	} while (0)

void neighbour_keep_busy(const bool *end)
{
	static uint64_t lines[64][8];
	uint64_t a = 0, b = 0, c = 0, d = 0, step = 1;

	while (!__atomic_load_n(end, __ATOMIC_RELAXED)) {
		for (unsigned i = 0; i < 64; i++) {
			ADD(a, step);
			ADD(b, step);
			ADD(c, step);
			ADD(d, step);
			touch(lines[i], a);
		}
	}
}

static __attribute__((__noinline__)) void probe_one(void)
{
	uint64_t a = 0, step = 1;

	for (unsigned i = 0; i < ADDS / 4; i++) {
		ADD(a, step);
		ADD(a, step);
		ADD(a, step);
		ADD(a, step);
	}
}

static __attribute__((__noinline__)) void probe_four(void)
{
	uint64_t a = 0, b = 0, c = 0, d = 0, step = 1;

	for (unsigned i = 0; i < ADDS / 4; i++) {
		ADD(a, step);
		ADD(b, step);
		ADD(c, step);
		ADD(d, step);
	}
}

double neighbour_probe(unsigned probe)
{
	double start = now_ns();

	if (probe == ONE_CHAIN)
		probe_one();
	else
		probe_four();
	return (now_ns() - start) / ADDS;
}
