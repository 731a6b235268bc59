/* SPDX-License-Identifier: MIT */
/*
 * What stress programs build into the library; every other build has nothing of it.
 *
 * Faults, for the negative controls: a stress program compiled with -DTP_FAULT=TP_FAULT_... must
 * fail. Points, for all of them: compiled with -DTP_INJECT, tp_point(name) calls the program's
 * tp_inject_point, which delays, yields or sleeps there; inside a restartable sequence, where
 * nothing may be called, TP_RSEQ_POINT counts tp_inject_loops down in a register of its own.
 */
#ifndef TP_INJECT_H
#define TP_INJECT_H

#define TP_FAULT_NONE 0
#define TP_FAULT_UNLOCKED_CPU 1     /* locked: pops and pushes do not wait for whoever is inside */
#define TP_FAULT_UNBOUNDED 2        /* a lease is given beyond the limit */
#define TP_FAULT_LOST_LEASE 3       /* a victim's lease is not ended */
#define TP_FAULT_UNSHIFTED 4        /* what is taken from the bottom of a stack stays in it */
#define TP_FAULT_NO_FENCE 5         /* rseq: another CPU is stopped without a fence */
#define TP_FAULT_DRAIN_OFF_BY_ONE 6 /* what is taken out is counted one too few */
#define TP_FAULT_RACING_INSTALL 7   /* a slab is installed without regard to a stop under way */
#define TP_FAULT_CARELESS_ARM 8     /* rseq: armed by a plain store, wherever the thread is now */
#define TP_FAULT_EARLY_COMMIT 9     /* rseq: a push commits before its slot is written */
#define TP_FAULT_SUMMING_WATCHER 10 /* idle bytes are told as summed up while buffers move */
#define TP_FAULT_NO_RECLAIM 11      /* a pool gets nothing back of what its neighbours do not use */

#ifndef TP_FAULT
#define TP_FAULT TP_FAULT_NONE
#endif

#define tp_fault(fault) (TP_FAULT == (fault))

enum tp_point {
	TP_POINT_HIDDEN,    /* a CPU shows the closed slab, the fence is to come */
	TP_POINT_STOPPED,   /* a CPU is stopped, nothing is done there yet */
	TP_POINT_START,     /* all is done, the slab is to be shown again */
	TP_POINT_INSTALL,   /* a new slab is to be shown for the first time */
	TP_POINT_MOVE,      /* a slot is read or written, its word is to follow */
	TP_POINT_CHANGE,    /* a word was looked at, its sequence is to follow */
	TP_POINT_COMMITTED, /* a word was changed, what counts it is to follow */
	TP_POINT_COUNT,     /* what lies in a depot is counted, its stacks are to follow */
	TP_POINT_RELEASED,  /* a lease has ended in one of two budgets, the other is to follow */
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
