/* SPDX-License-Identifier: MIT */
/*
 * Restartable sequences: pop, push and store on the caller's CPU, without an atomic instruction.
 * This is their contract. rseq_x86_64.h and rseq_aarch64.h implement it; rseq_none.h stands in
 * where there are no sequences.
 *
 * The kernel knows the instructions of a sequence. If a thread is preempted, migrated, signalled or
 * fenced inside, then it goes on at the sequence's abort handler. So
 *   - a sequence happens whole, with its last store, the commit, or not at all;
 *   - no other thread runs on that CPU while it happens;
 *   - slots that it wrote before an abort lie above the depth, where no thread looks.
 *
 * area is the thread's rseq area, as an offset from the thread pointer. A sequence reads its cpu_id
 * and writes its rseq_cs, and touches nothing else in it.
 *
 *   pop(base, count, stack_offset):       stack_offset: bytes from the slab to the stack's word
 *           area.rseq_cs = this sequence
 *         start:
 *           cpu = area.cpu_id;              if cpu >= count: NULL   (so also -1, -2: none kept)
 *           stack = slab pointers at base + TP_VISIBLE_OFFSET [cpu] + stack_offset
 *           word = *stack;                  if depth(word) == 0: NULL
 *           item = stack[depth(word)]
 *           *stack = word + ROOM - DEPTH - COUNTDOWN                <- commit
 *         item, and slow: there is no item, or the new word is below 0
 *         aborted:
 *           NULL, slow
 *
 *   push(base, count, stack_offset, item):
 *           area.rseq_cs = this sequence
 *         start:
 *           stack, word as above;           if room(word) == 0: false
 *           stack[depth(word) + 1] = item
 *           *stack = word + DEPTH - ROOM                            <- commit
 *         true
 *         aborted:
 *           false
 *
 *   push_aged: as push, and before the commit
 *           the byte at stack + TP_AGES_OFFSET [depth(word) + 1] = 0    (the age of that slot)
 *
 *   store(s): pushes or pops a batch, changes a word, or hides a CPU's slab. The caller has decided
 *   what to store from a word that it read before; the store happens only if nothing has changed.
 *           area.rseq_cs = this sequence
 *         start:
 *           if area.cpu_id != s.cpu_id: false
 *           if *s.visible != s.slab: false                (the CPU does not show its own slab)
 *           if *s.target != s.expected: false
 *           s.to[0 ... s.count - 1] = s.from[...];  s.ages_to[...] = s.ages_from[...]
 *           *s.target = s.desired                                   <- commit
 *         true
 *         aborted:
 *           false
 *
 * A commit is a release. It pairs with each acquire load of the word, as in tp_stack_word: that
 * reader sees what was stored before the commit.
 */
#ifndef TP_RSEQ_H
#define TP_RSEQ_H

#include <stddef.h>
#include <stdint.h>

#include "percpu/word.h"

/* Offsets in the kernel's struct rseq (linux/rseq.h), bytes. A sequence reads one, writes one. */
#define TP_RSEQ_CPU_ID 4
#define TP_RSEQ_CS 8

/*
 * How often a caller tries a sequence before it takes the slow path: aborts are rare, but under a
 * debugger that steps every try aborts.
 */
#define TP_RSEQ_TRIES 16

/*
 * Where the slab pointers lie, one for each CPU: bytes behind the base that pop and push are given.
 * struct tierpool has them there, because a put knows only its pool. A constant, so that no
 * instruction adds it.
 */
#define TP_VISIBLE_OFFSET 2560

/* A stack with ages: its slots; bytes from its word to the age of slot 0, which does not exist. */
#define TP_AGES_SLOTS 63
#define TP_AGES_OFFSET (8 * (1 + TP_AGES_SLOTS))

struct tp_rseq_store {
	uint64_t cpu_id;
	uint64_t *const *visible; /* the CPU's slab pointer, which must be slab */
	uint64_t *slab;
	uint64_t *target; /* must be expected, becomes desired */
	uint64_t expected, desired;
	uint64_t *to; /* count pointers are copied here, before the commit */
	const uint64_t *from;
	uint64_t count;
	uint8_t *ages_to; /* and count ages; these two are not NULL if count is not 0 */
	const uint8_t *ages_from;
};

/* clang-format off */

/* Its fields, as operands of the assembly. */
#define TP_RSEQ_STORE_OFFSETS                                     \
	[cpu_id] "i"(offsetof(struct tp_rseq_store, cpu_id)),           \
	[visible] "i"(offsetof(struct tp_rseq_store, visible)),         \
	[slab] "i"(offsetof(struct tp_rseq_store, slab)),       \
	[target] "i"(offsetof(struct tp_rseq_store, target)),     \
	[expected] "i"(offsetof(struct tp_rseq_store, expected)), \
	[desired] "i"(offsetof(struct tp_rseq_store, desired)),   \
	[to] "i"(offsetof(struct tp_rseq_store, to)),             \
	[from] "i"(offsetof(struct tp_rseq_store, from)),         \
	[n] "i"(offsetof(struct tp_rseq_store, count)),           \
	[ages_to] "i"(offsetof(struct tp_rseq_store, ages_to)),   \
	[ages_from] "i"(offsetof(struct tp_rseq_store, ages_from))

/*
 * The descriptor of a sequence, 32 bytes, and a pointer to it where debuggers look for it. Labels:
 * 1 start, 2 after the commit, 3 the descriptor, 4 the abort handler.
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

/* PRESENT: whether this build has sequences. TSan does not see into them: it would report each buffer that moves. */
#if defined(__x86_64__) && defined(__LP64__) && !TP_BUILT_WITH_TSAN
#define TP_RSEQ_PRESENT 1
#include "percpu/rseq_x86_64.h"
#elif defined(__aarch64__) && defined(__LP64__) && !TP_BUILT_WITH_TSAN
#define TP_RSEQ_PRESENT 1
#include "percpu/rseq_aarch64.h"
#else
#define TP_RSEQ_PRESENT 0
#include "percpu/rseq_none.h"
#endif

#endif
