/* SPDX-License-Identifier: MIT */
/*
 * The sequences of rseq.h for aarch64, each under its pseudocode.
 *
 * Memory order. A plain store is no release on aarch64, and loads may pass each other, also across a
 * branch. A thread on the same CPU needs no order: what it finds there was stored in program order, or
 * before a switch of threads, which is a full barrier. So is a migration, and a fence on both its CPUs.
 * What is left, with the rule of Arm's memory model, and the partner on another CPU:
 *
 *   pop, push
 *   str   rseq_cs        none: read by the kernel on this CPU only
 *   ldr   cpu_id         none: written by the kernel on this CPU only
 *   ldr   slab pointer   its address comes from cpu_id. Partner: the release (stlr) of the slab pointer in
 *                        tp_cpu_start and tp_cpu_install
 *   ldr   word           address dependency on the slab pointer: the word as the stopper left it, or newer
 *   ldr   slot           address dependency on the slab pointer and the word: likewise
 *   str   slot, age      address dependency on the word; before the commit, which is a release. Partner: a
 *                        stopper that reads the slot after its fence
 *   stlr  word           the commit: a release, so after all loads and stores above, and after what this
 *                        thread counted before (moved_in in stack.c). Partner: ldar of tp_stack_word
 *
 *   store
 *   ldar  slab pointer   an acquire, since the addresses below come from s. Partner: as above; so the word,
 *                        which is compared, and the slots are as the stopper left them
 *   ldr   word; ldr, str slots and ages      after the ldar. In any order among themselves: nobody else
 *                        writes them until the commit, as a stopper's fence would abort this sequence
 *   stlr  word           as above. Or the slab pointer, of the own CPU, which becomes the empty slab:
 *                        its other readers run on this CPU, after a switch
 *
 * test/model/order.pml proves that this suffices, and that each release, acquire and dependency between CPUs
 * is needed. That the instructions are these is read, not run: an x86-64 host, which emulates aarch64 for
 * `make check-vm`, keeps all these orders itself.
 *
 * A conditional branch reaches 1 MiB, and the next section may be farther away: so each stays
 * within its section, and a sequence gives its result in a register, not by a jump to a C label. A
 * plain b reaches 128 MiB; farther, the linker routes it through x16 and x17, which are scratch.
 *
 * Labels besides those of TP_RSEQ_DESCRIPTOR: 5 not done, 7 an injected delay, 8 and 9 the copy in
 * a store.
 */
#ifndef TP_RSEQ_AARCH64_H
#define TP_RSEQ_AARCH64_H

#include <stdbool.h>

#include "base/inject.h"
#include "percpu/rseq.h"

/* clang-format off */

/*
 * The abort handler, behind the signature that the kernel asks for, an instruction that traps. It
 * has a section of its own, because next to cold code it could lie within a sequence that is
 * inlined there.
 */
#define TP_RSEQ_ABORT(what)                        \
	".pushsection __rseq_abort, \"ax\"\n\t"        \
	".balign 4\n\t"                                \
	".inst 0xd428bc00\n"                           \
	"4:\n\t" what "\n\t"                           \
	".popsection\n\t"

/* area.rseq_cs = this sequence; start. */
#define TP_RSEQ_BEGIN                              \
	"adrp x16, 3b\n\t"                             \
	"add x16, x16, :lo12:3b\n\t"                   \
	"str x16, [%[area], %[cs]]\n"                  \
	"1:\n\t"

/* cpu = area.cpu_id, or to 2 if cpu >= count. x16 becomes stack. */
#define TP_RSEQ_STACK                              \
	"ldr w16, [%[area], %[id]]\n\t"                \
	"cmp w16, %w[count]\n\t"                       \
	"b.hs 2f\n\t"                                  \
	"add x16, %[base], x16, lsl 3\n\t"             \
	"ldr x16, [x16, %[visible]]\n\t"               \
	"add x16, x16, %[offset]\n\t"

#ifdef TP_INJECT
#define TP_RSEQ_POINT                              \
	"adrp x12, tp_inject_loops\n\t"                \
	"ldr w12, [x12, :lo12:tp_inject_loops]\n"      \
	"7:\n\t"                                       \
	"subs w12, w12, 1\n\t"                         \
	"b.pl 7b\n\t"
#define TP_RSEQ_CLOBBERED , "x12"
#else
#define TP_RSEQ_POINT
#define TP_RSEQ_CLOBBERED
#endif

/*
 * word = *stack;                  if depth(word) == 0: NULL
 * item = stack[depth(word)]
 * *stack = word + ROOM - DEPTH - COUNTDOWN                <- commit
 *
 * slow: the word is below 0, as it is on each exit without an item.
 */
static inline void *tp_rseq_pop(
	ptrdiff_t area, const void *base, unsigned count, size_t stack_offset, bool *slow)
{
	int64_t word = -1;
	void *item = NULL;

	__asm__ volatile(
		TP_RSEQ_DESCRIPTOR
		TP_RSEQ_BEGIN
		TP_RSEQ_STACK
		"ldr x17, [x16]\n\t"
		"ands x15, x17, 0xff\n\t"
		"b.eq 2f\n\t"
		"ldr %[item], [x16, x15, lsl 3]\n\t"
		TP_RSEQ_POINT
		"add %[word], x17, %[pop]\n\t"
		"stlr %[word], [x16]\n" /* commit */
		"2:\n\t"
		TP_RSEQ_ABORT("mov %[item], xzr\n\t"
				  "mov %[word], -1\n\t"
				  "b 2b")
		: [item] "+&r"(item), [word] "+&r"(word)
		: [area] "r"((char *)__builtin_thread_pointer() + area), [base] "r"(base),
		  [count] "r"(count), [offset] "r"(stack_offset), [id] "i"(TP_RSEQ_CPU_ID),
		  [cs] "i"(TP_RSEQ_CS), [visible] "i"(TP_VISIBLE_OFFSET), [pop] "r"(TP_WORD_POP)
		: "x15", "x16", "x17", "memory", "cc" TP_RSEQ_CLOBBERED);
	*slow = word < 0;
	return item;
}

#if tp_fault(TP_FAULT_EARLY_COMMIT)
#define TP_RSEQ_PUSH                                       \
	"stlr x17, [x16]\n\t"                                  \
	TP_RSEQ_POINT                                      \
	"str %[item], [x15, 8]\n"                              \
	"2:\n\t"
#else
#define TP_RSEQ_PUSH                                       \
	"str %[item], [x15, 8]\n\t"                            \
	TP_RSEQ_POINT                                      \
	"stlr x17, [x16]\n" /* commit */                       \
	"2:\n\t"
#endif

/*
 * word = *stack;                  if room(word) == 0: false
 * stack[depth(word) + 1] = item
 * *stack = word + DEPTH - ROOM                            <- commit
 */
#define TP_RSEQ_PUSH_WITH(and_before)                      \
	TP_RSEQ_DESCRIPTOR                                 \
	TP_RSEQ_BEGIN                                      \
	TP_RSEQ_STACK                                      \
	"ldr x17, [x16]\n\t"                                   \
	"ands %[room], x17, %[rooms]\n\t"                      \
	"b.eq 2f\n\t"                                          \
	"and x15, x17, 0xff\n\t"                               \
	and_before                                             \
	"add x15, x16, x15, lsl 3\n\t"                         \
	"sub x17, x17, %[push]\n\t"                            \
	TP_RSEQ_PUSH                                       \
	TP_RSEQ_ABORT("mov %[room], xzr\n\t"               \
			  "b 2b")

#define TP_RSEQ_PUSH_OPERANDS                                              \
	[area] "r"((char *)__builtin_thread_pointer() + area), [base] "r"(base), \
	[count] "r"(count), [offset] "r"((uint64_t)*stack_offset), [item] "r"(item), \
	[id] "i"(TP_RSEQ_CPU_ID), [cs] "i"(TP_RSEQ_CS), [visible] "i"(TP_VISIBLE_OFFSET), \
	[rooms] "i"(0xff * TP_WORD_ROOM), [push] "rI"(-TP_WORD_PUSH)

static inline bool tp_rseq_push(ptrdiff_t area, const void *base, unsigned count,
	const uint32_t *stack_offset, const void *item)
{
	uint64_t room = 0; /* the word's room; not 0: the item is pushed */

	__asm__ volatile(
		TP_RSEQ_PUSH_WITH("")
		: [room] "+&r"(room)
		: TP_RSEQ_PUSH_OPERANDS
		: "x15", "x16", "x17", "memory", "cc" TP_RSEQ_CLOBBERED);
	return room;
}

/* As push, and ages[depth(word) + 1] = 0 before the commit. */
static inline bool tp_rseq_push_aged(ptrdiff_t area, const void *base, unsigned count,
	const uint32_t *stack_offset, const void *item)
{
	uint64_t room = 0;

	__asm__ volatile(
		TP_RSEQ_PUSH_WITH("add x14, x16, x15\n\t"
				      "strb wzr, [x14, %[ages]]\n\t")
		: [room] "+&r"(room)
		: TP_RSEQ_PUSH_OPERANDS, [ages] "i"(TP_AGES_OFFSET + 1)
		: "x14", "x15", "x16", "x17", "memory", "cc" TP_RSEQ_CLOBBERED);
	return room;
}

/*
 * if area.cpu_id != s.cpu_id or *s.visible != s.slab or *s.target != s.expected: false
 * s.to[0 ... s.count - 1] = s.from[...];  s.ages_to[...] = s.ages_from[...]
 * *s.target = s.desired                                   <- commit
 */
static inline bool tp_rseq_store(ptrdiff_t area, const struct tp_rseq_store *s)
{
	unsigned done = 0;

	__asm__ volatile(
		TP_RSEQ_DESCRIPTOR
		TP_RSEQ_BEGIN
		"ldr w16, [%[area], %[id]]\n\t"
		"ldr x17, [%[s], %[cpu_id]]\n\t"
		"cmp x16, x17\n\t"
		"b.ne 5f\n\t"
		"ldr x16, [%[s], %[visible]]\n\t"
		"ldar x16, [x16]\n\t" /* acquire: the loads below do not depend on it */
		"ldr x17, [%[s], %[slab]]\n\t"
		"cmp x16, x17\n\t"
		"b.ne 5f\n\t"
		"ldr x17, [%[s], %[target]]\n\t"
		"ldr x16, [x17]\n\t"
		"ldr x15, [%[s], %[expected]]\n\t"
		"cmp x16, x15\n\t"
		"b.ne 5f\n\t"
		"ldr x15, [%[s], %[from]]\n\t"
		"ldr x14, [%[s], %[to]]\n\t"
		"ldr x11, [%[s], %[ages_to]]\n\t"
		"ldr x10, [%[s], %[ages_from]]\n\t"
		"ldr x13, [%[s], %[n]]\n\t"
		"cbz x13, 9f\n"
		"8:\n\t"
		"sub x13, x13, 1\n\t"
		"ldr x16, [x15, x13, lsl 3]\n\t"
		"str x16, [x14, x13, lsl 3]\n\t"
		"ldrb w16, [x10, x13]\n\t"
		"strb w16, [x11, x13]\n\t"
		"cbnz x13, 8b\n"
		"9:\n\t"
		TP_RSEQ_POINT
		"ldr x16, [%[s], %[desired]]\n\t"
		"stlr x16, [x17]\n" /* commit */
		"2:\n\t"
		"mov %w[done], 1\n"
		"5:\n\t"
		TP_RSEQ_ABORT("b 5b")
		: [done] "+&r"(done)
		: [area] "r"((char *)__builtin_thread_pointer() + area), [s] "r"(s),
		  [id] "i"(TP_RSEQ_CPU_ID), [cs] "i"(TP_RSEQ_CS),
		  TP_RSEQ_STORE_OFFSETS
		: "x10", "x11", "x13", "x14", "x15", "x16", "x17", "memory", "cc" TP_RSEQ_CLOBBERED);
	return done;
}

/* clang-format on */

#endif
