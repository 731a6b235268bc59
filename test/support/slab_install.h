/* SPDX-License-Identifier: MIT */
/*
 * Gives a CPU its slab, as a pool does.
 */
#ifndef SLAB_INSTALL_H
#define SLAB_INSTALL_H

#include "percpu/stop.h"

/* False: it has one, or is closed. */
static inline bool slab_install(struct tp_cpus *table, unsigned cpu_id, uint64_t *slab)
{
	struct tp_cpu *cpu = tp_cpus_claim(table, cpu_id);

	if (cpu)
		tp_cpu_install(cpu, slab);
	return cpu;
}

#endif
