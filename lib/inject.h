/* SPDX-License-Identifier: MIT */
/*
 * Faults that are built in on purpose, for the negative controls of the stress programs: one
 * compiled with -DTP_FAULT=TP_FAULT_... must fail. In every other build tp_fault is 0 and leaves
 * nothing behind. Layer 0.
 */
#ifndef TP_INJECT_H
#define TP_INJECT_H

#define TP_FAULT_NONE 0
#define TP_FAULT_OPEN_DOOR 1  /* pops and pushes do not wait for whoever is inside */
#define TP_FAULT_UNBOUNDED 2  /* a lease is given beyond the limit */
#define TP_FAULT_LOST_LEASE 3 /* a victim's lease is not ended */
#define TP_FAULT_UNSHIFTED 4  /* what is taken from the bottom of a stack stays in it */

#ifndef TP_FAULT
#define TP_FAULT TP_FAULT_NONE
#endif

#define tp_fault(fault) (TP_FAULT == (fault))

#endif
