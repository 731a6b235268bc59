/* SPDX-License-Identifier: MIT */
/*
 * Gives a CPU its slab, as a pool does.
 */
#ifndef SLAB_INSTALL_H
#define SLAB_INSTALL_H

#include "percpu/stop.h"

/* False: it has one, or is closed. */
static inline bool slab_install(struct tp_doors *doors, unsigned cpu, uint64_t *slab)
{
	struct tp_door *door = tp_doors_claim(doors, cpu);

	if (door)
		tp_door_install(door, slab);
	return door;
}

#endif
