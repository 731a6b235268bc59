/* SPDX-License-Identifier: MIT */
/*
 * The profile as a whole: started and stopped by the program (tierpool/profile.h) or by the
 * environment. Owns whether there ever was one; what is written at exit and at the signal.
 */
#ifndef TP_CONTROL_H
#define TP_CONTROL_H

#include <stdint.h>

#include "process/atfork.h"

/*
 * Starts the profile that the environment asks for (base/debug.h has been read). Called once, before
 * the first pool is made.
 */
void tp_profile_environment(void);

/* In the child of a fork: its file may be written, whatever other threads of the parent did then. */
void tp_profile_environment_forked(void);

/*
 * Prints what a pool has out, at its destroy, or all pools (0), at the end of the process, if
 * TIERPOOL_DEBUG has leaks. Leaves errno alone; the thread is not cancelled meanwhile.
 */
void tp_profile_leaks_print(uint64_t pool_id);

/* Of what samples and advice have locks for. Starts and writers are control.c's own. */
void tp_profile_fork(enum tp_fork phase);

#endif
