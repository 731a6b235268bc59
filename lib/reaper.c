/* SPDX-License-Identifier: MIT */
/* The thread that ticks pools which nobody touches. Layer 9. */
#include "decay.h"
void tp_reaper_wake(void)
{
}
