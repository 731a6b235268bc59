/* SPDX-License-Identifier: MIT */
/*
 * Restartable sequences: the three things that are done on the caller's CPU without an atomic
 * instruction. The contract; x86_64.h and aarch64.h implement it, none.h is for where there are
 * none.
 *
 * A sequence is a few instructions that the kernel knows of. A thread that is preempted, migrated,
 * signalled or fenced inside of one does not go on there: it goes to the sequence's abort handler.
 * So what stands below happens whole, with its last store, the commit, or it never was; and it
 * happens while no other thread does anything on that CPU. Slots that were written before an abort
 * lie above the depth, where nobody looks.
 *
 * area is where the thread's rseq area is, from the thread pointer. A sequence reads its cpu_id and
 * writes its rseq_cs, and nothing else of it.
 *
 *   pop(base, count, at):
 *           area.rseq_cs = this sequence
 *         start:
 *           cpu = area.cpu_id;              if cpu >= count: NULL   (also -1 and -2: not registered)
 *           stack = slab pointers at base + TP_VISIBLE_OFFSET [cpu] + at
 *           word = *stack;                  if depth(word) == 0: NULL
 *           item = stack[depth(word)]
 *           *stack = word + ROOM - DEPTH - COUNTDOWN                <- commit
 *         item, and whether it is odd: NULL, or the word is below zero now
 *         aborted:
 *           NULL
 *
 *   push(base, count, at, item):
 *           area.rseq_cs = this sequence
 *         start:
 *           stack, word as above;           if room(word) == 0: false
 *           stack[depth(word) + 1] = item
 *           *stack = word + DEPTH - ROOM                            <- commit
 *         true
 *         aborted:
 *           false
 *
 *   push_aged: the same, and before the commit
 *           the byte at stack + TP_AGES_OFFSET [depth(word) + 1] = 0    (the age of what lies there)
 *
 *   store(s): a batch that is pushed or popped, a word that is added to, a CPU that is shut. What
 *   is to happen was decided before, from what was seen; this makes it so if all is as it was seen.
 *           area.rseq_cs = this sequence
 *         start:
 *           if area.cpu_id != s.cpu: false
 *           if *s.gate != s.gated: false                  (the CPU shows its own slab)
 *           if *s.target != s.expected: false
 *           s.to[0 ... s.count - 1] = s.from[...]
 *           *s.target = s.desired                                   <- commit
 *         true
 *         aborted:
 *           false
 *
 * A commit is a release: whoever reads the word with acquire sees what was stored before it.
 */
#ifndef TP_RSEQ_H
#define TP_RSEQ_H

#include <stddef.h>
#include <stdint.h>

#include "percpu/word.h"

/* Of the kernel's struct rseq (linux/rseq.h), in bytes: what is read, and what is written. */
#define TP_RSEQ_CPU_ID 4
#define TP_RSEQ_CS 8

/*
 * How often a caller tries again after an abort. Under a debugger that steps, every pass aborts;
 * then the slow path is the way on. Sixteen, because an abort is rare (a thousand a second under a
 * 200 us timer), and the next pass a matter of nanoseconds.
 */
#define TP_RSEQ_TRIES 16

/*
 * Where the slab pointers are, one a CPU, behind the base that pop and push are given: there struct
 * tierpool has them, and a put knows nothing but its pool. A constant, so that no instruction adds
 * it.
 */
#define TP_VISIBLE_OFFSET 4608

/* Of a stack with ages: bytes from its word to the age of slot 0, which there is none of. */
#define TP_AGES_SLOTS 63
#define TP_AGES_OFFSET (8 * (1 + TP_AGES_SLOTS))

struct tp_rseq_store {
	uint64_t cpu_id;
	uint64_t *const *visible;
	uint64_t *slab;
	uint64_t *target;
	uint64_t expected, desired;
	uint64_t *to;
	const uint64_t *from;
	uint64_t count;
};

/* clang-format off */

/* The same, as operands of the assembly. */
#define TP_RSEQ_STORE_OFFSETS                                     \
	[cpu_id] "i"(offsetof(struct tp_rseq_store, cpu_id)),           \
	[visible] "i"(offsetof(struct tp_rseq_store, visible)),         \
	[slab] "i"(offsetof(struct tp_rseq_store, slab)),       \
	[target] "i"(offsetof(struct tp_rseq_store, target)),     \
	[expected] "i"(offsetof(struct tp_rseq_store, expected)), \
	[desired] "i"(offsetof(struct tp_rseq_store, desired)),   \
	[to] "i"(offsetof(struct tp_rseq_store, to)),             \
	[from] "i"(offsetof(struct tp_rseq_store, from)),         \
	[n] "i"(offsetof(struct tp_rseq_store, count))

/*
 * The descriptor of a sequence, 32 bytes, and a pointer to it where debuggers look. Labels: 1
 * start, 2 after the commit, 3 the descriptor, 4 the abort handler.
 */
#define TP_RSEQ_DESCRIPTOR                         \
	".pushsection __rseq_cs, \"aw\"\n\t"           \
	".balign 32\n"                                 \
	"3:\n\t"                                       \
	".long 0, 0\n\t"                               \
	".quad 1f, 2f - 1f, 4f\n\t"                    \
	".popsection\n\t"                              \
	".pushsection __rseq_cs_ptr_array, \"aw\"\n\t" \
	".balign 8\n\t"                                \
	".quad 3b\n\t"                                 \
	".popsection\n\t"

/* clang-format on */

#if defined(__SANITIZE_THREAD__)
#define TP_NO_RSEQ /* it does not see into them, and would report each buffer that moves */
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TP_NO_RSEQ
#endif
#endif

/*
 * Whether there are any; and PROVEN: whether they are used by themselves, or only when
 * TIERPOOL_PERCPU=rseq asks for them.
 */
#if defined(__x86_64__) && defined(__LP64__) && !defined(TP_NO_RSEQ)
#define TP_RSEQ_PRESENT 1
#define TP_RSEQ_PROVEN 1
#include "percpu/rseq_x86_64.h"
#elif defined(__aarch64__) && defined(__LP64__) && !defined(TP_NO_RSEQ)
#define TP_RSEQ_PRESENT 1
#define TP_RSEQ_PROVEN 0 /* the abort path has not run on hardware */
#include "percpu/rseq_aarch64.h"
#else
#define TP_RSEQ_PRESENT 0
#define TP_RSEQ_PROVEN 0
#include "percpu/rseq_none.h"
#endif

#endif
