/* SPDX-License-Identifier: MIT */
/*
 * For rseq_paths.c: an rseq area and all memory that sequences may touch, filled with values of
 * which each is there only once, and a copy of that memory as it has to be after a call.
 */
#ifndef SEQUENCE_MEMORY_H
#define SEQUENCE_MEMORY_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "percpu/rseq.h"

/* CPUs 0 and 1 have slabs, CPU 2 shows the empty slab; behind the table is one more pointer, to CPU 1's. */
#define CPUS 3
#define EMPTY 2
#define POINTERS 4
#define STACK_PAGES 2 /* with the word in the first, and TP_STACK_MAX slots */

struct descriptor {
	uint32_t version, flags;
	uint64_t start, offset, abort;
};

/* As the linker gathered them. */
extern const struct descriptor *const __start___rseq_cs_ptr_array[];
extern const struct descriptor *const __stop___rseq_cs_ptr_array[];

/* The kernel's struct rseq, as far as it matters. */
union area {
	struct {
		uint32_t cpu_id_start, cpu_id;
		const struct descriptor *cs;
	} rseq;
	uint8_t bytes[64];
};

extern union area area;

/*
 * What sequences may read and write, in one mapping: a page that begins with the slab pointers, the
 * stacks of CPUs 0 and 1, and the empty one; and a copy of it as it has to be afterwards. Of a slab
 * there is nothing else: if the stack lies far in it, then it begins outside of the mapping.
 */
extern uint8_t *memory, *wanted;
extern size_t page, memory_size;
extern uint64_t **slabs;
extern unsigned at; /* where in its slab each stack lies, in words; set by the program */

/*
 * Where its first page ends: so many words from the word on. 1: only the word is on that page;
 * AGES_APART: the word and the slots that have ages. Set by the program before begin.
 */
extern unsigned word_before_end;
#define AGES_APART 64

/* What is being tried, and what was. */
extern struct now {
	const char *name;
	uint32_t cpu;
	uint64_t word;
	const struct descriptor *descriptor;
} now;
extern unsigned cases;

/* The next abort: at an access to this page. */
struct fault {
	uint8_t *where;
	bool armed, seen;
	uint64_t distance; /* from the end of the range */
};
extern volatile struct fault fault;

/* Says what is wrong with the call that is being tried, and ends the program. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

/* What sequences are given: where the area is, and from where the slab pointers are TP_VISIBLE_OFFSET away. */
ptrdiff_t area_offset(void);
const void *base(void);

/* A word, without the library's constants, of which the sequences are made. */
uint64_t word_of(unsigned depth, unsigned room, int64_t countdown);

uint64_t *slab_of(unsigned cpu);
uint64_t *stack_of(unsigned cpu);

/* Room for pointers and for ages, outside of a stack: on the page of the slab pointers. */
uint64_t *batch(void);
uint8_t *scratch(void);

/* The age of a slot: a byte each, behind the word and 63 slots. */
uint8_t *age_of(uint64_t *stack, unsigned slot);

/* Where something of memory is in the copy. */
uint64_t *wanted_of(uint64_t *p);
uint8_t *wanted_age(uint8_t *age);

/* Before anything else. */
void memory_make(void);

/*
 * Begins a case: fills all memory; all stacks have this word, but for those of the empty slab. The area says this CPU.
 */
void begin(const char *name, uint32_t cpu, uint64_t word);

/* Ends it, after a call: only rseq_cs of the area was written, and memory is as it has to be. */
void end(void);

#endif
