/* SPDX-License-Identifier: MIT */
/*
 * Faults and delays that stress programs build into the library. Every other build has none.
 *
 *   -DTP_FAULT=TP_FAULT_...   builds in one fault: the stress program must fail
 *   -DTP_INJECT               tp_point(name) calls the program's tp_inject_point, which delays,
 *                             yields or sleeps there. Inside a restartable sequence nothing may be
 *                             called; TP_RSEQ_POINT counts tp_inject_loops down in a register.
 */
#ifndef TP_INJECT_H
#define TP_INJECT_H

#define TP_FAULT_NONE 0
#define TP_FAULT_UNLOCKED_CPU 1     /* a CPU's lock is given while another thread holds it */
#define TP_FAULT_UNBOUNDED 2        /* a lease is given beyond the limit */
#define TP_FAULT_LOST_LEASE 3       /* a victim's lease is not ended */
#define TP_FAULT_UNSHIFTED 4        /* a pointer taken from the bottom of a stack stays in it */
#define TP_FAULT_NO_FENCE 5         /* rseq: another CPU is stopped without a fence */
#define TP_FAULT_DRAIN_OFF_BY_ONE 6 /* a pointer taken out from the top is still counted */
#define TP_FAULT_RACING_INSTALL 7   /* a slab is installed without the CPU's lock */
#define TP_FAULT_CARELESS_ARM 8     /* rseq: a countdown is armed by a plain store, on any CPU */
#define TP_FAULT_EARLY_COMMIT 9     /* rseq: a push commits before its slot is written */
#define TP_FAULT_SUMMING_WATCHER 10 /* idle bytes are reported as summed up while buffers move */
#define TP_FAULT_NO_RECLAIM 11      /* a put reclaims nothing from the neighbours on its budget */
#define TP_FAULT_LATE_START 12      /* a profile begins, and gaps that were drawn before it go on */
#define TP_FAULT_STALE_GAP 13       /* the same, of gaps that are armed while it begins */

#ifndef TP_FAULT
#define TP_FAULT TP_FAULT_NONE
#endif

#define tp_fault(fault) (TP_FAULT == (fault))

enum tp_point {
	TP_POINT_HIDDEN,    /* after a CPU shows the empty slab, before the fence */
	TP_POINT_STOPPED,   /* after a CPU is stopped, before the stopper's work */
	TP_POINT_START,     /* after the stopper's work, before the CPU shows its slab again */
	TP_POINT_INSTALL,   /* after a CPU is given a slab, before it shows it */
	TP_POINT_MOVE,      /* after a slot is read or written, before its word is stored */
	TP_POINT_CHANGE,    /* after a word is read, before the sequence that changes it */
	TP_POINT_COMMITTED, /* after a word is changed, before its counters are */
	TP_POINT_COUNT,     /* after a tier's depot is counted, before its stacks are */
	TP_POINT_GAP,       /* after the gap of a countdown is drawn, before it is armed */
	TP_POINT_RELEASED,  /* after a lease ends in one budget, before it ends in the other */
	TP_POINTS,
};

#ifdef TP_INJECT
void tp_inject_point(enum tp_point point);
extern unsigned tp_inject_loops __attribute__((visibility("hidden")));
#define tp_point(point) tp_inject_point(point)
#else
#define tp_point(point) ((void)(point))
#endif

#endif
