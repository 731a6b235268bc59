/* SPDX-License-Identifier: MIT */
/*
 * How long tasks have waited for memory, as the kernel counts it (PSI): in the whole system, and in
 * the process's cgroup of version 2. Owns the names of these files, and no file between two readings.
 */
#ifndef TP_PRESSURE_H
#define TP_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

#define TP_PRESSURE_SYSTEM "/proc/pressure/memory"

/* In what: the system, the cgroup. */
#define TP_PRESSURES 2

/* What could not be read. */
#define TP_PRESSURE_UNKNOWN UINT64_MAX

struct tp_pressure {
	uint64_t at_ms;                   /* by tp_clock_ms */
	uint64_t waited_us[TP_PRESSURES]; /* in which some task waited; or TP_PRESSURE_UNKNOWN */
};

/*
 * Reads both. The program may close every file at any time, and may have another one of the same
 * number a moment later: that one is neither read as a stream, nor written, nor closed.
 *
 * Before:  the calling thread cannot be cancelled.
 * After:   errno is as before.
 * Returns: 0; -errno if neither could be read: why the system's could not.
 */
int tp_pressure_read(struct tp_pressure *now);

/* Whether memory was short from one reading to another: tasks waited for a tenth of the time. */
bool tp_pressure_is(const struct tp_pressure *before, const struct tp_pressure *now);

#endif
