/* SPDX-License-Identifier: MIT */
/*
 * The sequences of rseq.h for x86-64, each under its pseudocode. The rseq area is reached through
 * %fs, which is the thread pointer. On x86-64 every store is a release.
 *
 * Labels besides those of TP_RSEQ_DESCRIPTOR: 7 an injected delay, 8 and 9 the copy in a store. A
 * pop that finds nothing leaves through 4 too.
 */
#ifndef TP_RSEQ_X86_64_H
#define TP_RSEQ_X86_64_H

#include <stdbool.h>

#include "base/inject.h"
#include "percpu/rseq.h"

/* clang-format off */

/*
 * The abort handler, behind the signature that the kernel asks for, which is part of an instruction
 * that traps. It has a section of its own, because next to cold code it could lie within a sequence
 * that is inlined there.
 */
#define TP_RSEQ_ABORT(what)                        \
	".pushsection __rseq_abort, \"ax\"\n\t"        \
	".byte 0x0f, 0xb9, 0x3d\n\t"                   \
	".long 0x53053053\n"                           \
	"4:\n\t" what "\n\t"                           \
	".popsection\n\t"

/* area.rseq_cs = this sequence; start. Uses a register. */
#define TP_RSEQ_BEGIN(register)                            \
	"leaq 3b(%%rip), " register "\n\t"                     \
	"movq " register ", %%fs:%c[cs](%[area])\n"            \
	"1:\n\t"

/*
 * cpu = area.cpu_id, or to the label if cpu >= count. stack: before, its offset; then its address,
 * in one register, since CPUs forward a store to a load at once only if the address has no index (a
 * pair in use took 8.3 ns with an index and 7.4 without, Intel Xeon 2023).
 */
#define TP_RSEQ_STACK(cpu_low_half, cpu, stack, beyond)    \
	"movl %%fs:%c[id](%[area]), " cpu_low_half "\n\t"      \
	"cmpl %[count], " cpu_low_half "\n\t"                  \
	"jae " beyond "\n\t"                                   \
	"addq %c[visible](%[base], " cpu ", 8), " stack "\n\t"

#ifdef TP_INJECT
#define TP_RSEQ_POINT                              \
	"movl tp_inject_loops(%%rip), %%r11d\n"        \
	"7:\n\t"                                       \
	"subl $1, %%r11d\n\t"                          \
	"jns 7b\n\t"
#define TP_RSEQ_CLOBBERED , "r11"
#else
#define TP_RSEQ_POINT
#define TP_RSEQ_CLOBBERED
#endif

/*
 * word = *stack;                  if depth(word) == 0: NULL
 * item = stack[depth(word)]
 * *stack = word + ROOM - DEPTH - COUNTDOWN                <- commit
 *
 * slow is the sign flag: that of the sum in word, or, without an item, that of the orl.
 */
static inline void *tp_rseq_pop(
	ptrdiff_t area, const void *base, unsigned count, size_t stack_offset, bool *slow)
{
	uint64_t stack = stack_offset, word, depth;
	void *item;
	int sign;

	__asm__ volatile(
		TP_RSEQ_DESCRIPTOR
		TP_RSEQ_BEGIN("%[word]")
		TP_RSEQ_STACK("%k[word]", "%[word]", "%[stack]", "4f")
		"movq (%[stack]), %[word]\n\t"
		"movzbl %b[word], %k[depth]\n\t"
		"testl %k[depth], %k[depth]\n\t"
		"jz 4f\n\t"
		"movq (%[stack], %[depth], 8), %[item]\n\t"
		TP_RSEQ_POINT
		"addq %[pop], %[word]\n\t"
		"movq %[word], (%[stack])\n" /* commit */
		"2:\n\t"
		TP_RSEQ_ABORT("xorl %k[item], %k[item]\n\t"
				  "orl $-1, %k[word]\n\t"
				  "jmp 2b")
		: [item] "=&a"(item), [word] "=&r"(word), [depth] "=&r"(depth), [stack] "+&r"(stack),
		  "=@ccs"(sign)
		: [area] "r"(area), [base] "r"(base), [count] "rm"(count), [id] "i"(TP_RSEQ_CPU_ID),
		  [cs] "i"(TP_RSEQ_CS), [visible] "i"(TP_VISIBLE_OFFSET), [pop] "i"((int64_t)TP_WORD_POP)
		: "memory" TP_RSEQ_CLOBBERED);
	*slow = sign;
	return item;
}

#if tp_fault(TP_FAULT_EARLY_COMMIT)
#define TP_RSEQ_PUSH                                       \
	"addq %[push], (%%rsi)\n\t"                            \
	TP_RSEQ_POINT                                      \
	"movq %[item], 8(%%rsi, %%rcx, 8)\n"                   \
	"2:\n\t"
#else
#define TP_RSEQ_PUSH                                       \
	"movq %[item], 8(%%rsi, %%rcx, 8)\n\t"                 \
	TP_RSEQ_POINT                                      \
	"addq %[push], (%%rsi)\n" /* commit */                 \
	"2:\n\t"
#endif

/*
 * word = *stack;                  if room(word) == 0: false
 * stack[depth(word) + 1] = item
 * *stack = word + DEPTH - ROOM                            <- commit
 */
#define TP_RSEQ_PUSH_WITH(and_before)                              \
	TP_RSEQ_DESCRIPTOR                                         \
	TP_RSEQ_BEGIN("%%rcx")                                     \
	"movl %[offset], %%esi\n\t"                                \
	TP_RSEQ_STACK("%%ecx", "%%rcx", "%%rsi", "%l[slow]")       \
	"movq (%%rsi), %%rcx\n\t"                                  \
	"testl %[rooms], %%ecx\n\t"                                \
	"jz %l[slow]\n\t"                                          \
	"movzbl %%cl, %%ecx\n\t"                                   \
	and_before                                                 \
	TP_RSEQ_PUSH                                               \
	TP_RSEQ_ABORT("jmp %l[slow]")

#define TP_RSEQ_PUSH_OPERANDS                                              \
	[area] "r"(area), [base] "r"(base), [count] "rm"(count),               \
	[offset] "m"(*stack_offset), [item] "r"(item), [id] "i"(TP_RSEQ_CPU_ID), \
	[cs] "i"(TP_RSEQ_CS), [visible] "i"(TP_VISIBLE_OFFSET),                \
	[rooms] "i"(0xff * TP_WORD_ROOM), [push] "i"((int64_t)TP_WORD_PUSH)

static inline bool tp_rseq_push(ptrdiff_t area, const void *base, unsigned count,
	const uint32_t *stack_offset, const void *item)
{
	__asm__ goto(
		TP_RSEQ_PUSH_WITH("")
		:
		: TP_RSEQ_PUSH_OPERANDS
		: "rcx", "rsi", "memory", "cc" TP_RSEQ_CLOBBERED
		: slow);
	return true;
slow:
	return false;
}

/* As push, and ages[depth(word) + 1] = 0 before the commit. */
static inline bool tp_rseq_push_aged(ptrdiff_t area, const void *base, unsigned count,
	const uint32_t *stack_offset, const void *item)
{
	__asm__ goto(
		TP_RSEQ_PUSH_WITH("movb $0, %c[ages](%%rsi, %%rcx)\n\t")
		:
		: TP_RSEQ_PUSH_OPERANDS, [ages] "i"(TP_AGES_OFFSET + 1)
		: "rcx", "rsi", "memory", "cc" TP_RSEQ_CLOBBERED
		: slow);
	return true;
slow:
	return false;
}

/*
 * if area.cpu_id != s.cpu_id or *s.visible != s.slab or *s.target != s.expected: false
 * s.to[0 ... s.count - 1] = s.from[...];  s.ages_to[...] = s.ages_from[...]
 * *s.target = s.desired                                   <- commit
 */
static inline bool tp_rseq_store(ptrdiff_t area, const struct tp_rseq_store *s)
{
	__asm__ goto(
		TP_RSEQ_DESCRIPTOR
		TP_RSEQ_BEGIN("%%rax")
		"movl %%fs:%c[id](%[area]), %%eax\n\t"
		"cmpq %c[cpu_id](%[s]), %%rax\n\t"
		"jne %l[changed]\n\t"
		"movq %c[visible](%[s]), %%rax\n\t"
		"movq (%%rax), %%rax\n\t"
		"cmpq %c[slab](%[s]), %%rax\n\t"
		"jne %l[changed]\n\t"
		"movq %c[target](%[s]), %%rcx\n\t"
		"movq (%%rcx), %%rax\n\t"
		"cmpq %c[expected](%[s]), %%rax\n\t"
		"jne %l[changed]\n\t"
		"movq %c[to](%[s]), %%rdi\n\t"
		"movq %c[from](%[s]), %%rsi\n\t"
		"movq %c[ages_to](%[s]), %%r8\n\t"
		"movq %c[ages_from](%[s]), %%r9\n\t"
		"movq %c[n](%[s]), %%rdx\n"
		"8:\n\t"
		"subq $1, %%rdx\n\t"
		"js 9f\n\t"
		"movq (%%rsi, %%rdx, 8), %%rax\n\t"
		"movq %%rax, (%%rdi, %%rdx, 8)\n\t"
		"movb (%%r9, %%rdx), %%al\n\t"
		"movb %%al, (%%r8, %%rdx)\n\t"
		"jmp 8b\n"
		"9:\n\t"
		TP_RSEQ_POINT
		"movq %c[desired](%[s]), %%rax\n\t"
		"movq %%rax, (%%rcx)\n" /* commit */
		"2:\n\t"
		TP_RSEQ_ABORT("jmp %l[changed]")
		:
		: [area] "r"(area), [s] "r"(s), [id] "i"(TP_RSEQ_CPU_ID), [cs] "i"(TP_RSEQ_CS),
		  TP_RSEQ_STORE_OFFSETS
		: "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "memory", "cc" TP_RSEQ_CLOBBERED
		: changed);
	return true;
changed:
	return false;
}

/* clang-format on */

#endif
