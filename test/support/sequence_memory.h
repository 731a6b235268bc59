/* SPDX-License-Identifier: MIT */
/*
 * For sequence_paths: an rseq area and all memory that sequences may touch, filled with what is
 * there only once, and a copy of it as it ought to be after a call.
 */
#ifndef SEQUENCE_MEMORY_H
#define SEQUENCE_MEMORY_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "percpu/rseq.h"

/* CPUs 0 and 1 have slabs, CPU 2 is closed; behind the table is one more pointer, to CPU 1's. */
#define CPUS 3
#define CLOSED 2
#define POINTERS 4
#define SLAB_PAGES 4 /* of 4 KiB: a word, and more than TP_STACK_MAX slots */

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

static union area area __attribute__((aligned(64)));

/*
 * What sequences may read and write, in one mapping: a page that begins with the slab pointers, the
 * slabs of CPUs 0 and 1, and the closed one; and a copy of it as it ought to be afterwards. A
 * stack's word is the last on its page, so that its slots can be protected without it.
 */
static uint8_t *memory, *wanted;
static size_t page, memory_size;
static uint64_t **slabs;
static unsigned at; /* of each stack in its slab */

/* What is being tried, and what was. */
static struct {
	const char *name;
	uint32_t cpu;
	uint64_t word;
	const struct descriptor *descriptor;
} now;
static unsigned cases;

/* The next abort: at an access to this page. */
static volatile struct {
	uint8_t *where;
	bool armed, seen;
	uint64_t distance; /* from the end of the range */
} fault;

static inline void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "sequence_paths: %s on CPU %" PRId32 ", word %#" PRIx64 ": ", now.name,
		(int32_t)now.cpu, now.word);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static inline ptrdiff_t area_offset(void)
{
	return (char *)&area - (char *)__builtin_thread_pointer();
}

/* From where the slab pointers are TP_VISIBLE_OFFSET away. */
static inline const void *base(void)
{
	return (const void *)((uintptr_t)slabs - TP_VISIBLE_OFFSET);
}

/* ---- what is there, and what ought to be ---- */

/* Without the library's constants, of which the sequences are made. */
static inline uint64_t word_of(unsigned depth, unsigned room, int64_t countdown)
{
	return (uint64_t)countdown << 24 | (uint64_t)room << 12 | depth;
}

static inline uint64_t *slab_of(unsigned cpu)
{
	return (uint64_t *)(void *)(memory + (1 + cpu * SLAB_PAGES) * page);
}

static inline uint64_t *stack_of(unsigned cpu)
{
	return slab_of(cpu) + at;
}

/* Room for pointers on the page of the slab pointers. */
static inline uint64_t *batch(void)
{
	return (uint64_t *)(void *)(memory + page / 2);
}

/* Where something of memory is in the copy. */
static inline uint64_t *wanted_of(uint64_t *p)
{
	return (uint64_t *)(void *)(wanted + ((uint8_t *)p - memory));
}

/* The age of a slot there: a byte each, behind the word and 63 slots. */
static inline uint8_t *wanted_age(uint64_t *stack, unsigned slot)
{
	return (uint8_t *)wanted_of(stack + 64) + slot;
}

static inline void memory_make(void)
{
	page = (size_t)sysconf(_SC_PAGESIZE);
	memory_size = (1 + CPUS * SLAB_PAGES) * page;
	memory =
		mmap(NULL, memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	wanted = malloc(memory_size);
	if (memory == MAP_FAILED || !wanted) {
		fputs("sequence_paths: no memory\n", stderr);
		exit(1);
	}
	slabs = (uint64_t **)(void *)memory;
	at = (unsigned)(page / sizeof(uint64_t)) - 1;
}

/* cpu_id_start says another CPU, which nobody is to believe. */
static inline union area area_of(uint32_t cpu)
{
	union area a;

	memset(&a, 0xa5, sizeof a);
	a.rseq.cpu_id_start = cpu == 1 ? 0 : 1;
	a.rseq.cpu_id = cpu;
	a.rseq.cs = NULL;
	return a;
}

/*
 * Fills all with what is there only once, and has no byte of an age's; all stacks have this word,
 * but for the closed one.
 */
static inline void begin(const char *name, uint32_t cpu, uint64_t word)
{
	uint64_t *all = (uint64_t *)(void *)memory;

	cases++;
	now.name = name;
	now.cpu = cpu;
	now.word = word;
	area = area_of(cpu);
	for (size_t i = 0; i < memory_size / sizeof *all; i++)
		all[i] = ~(UINT64_C(0x5eed000000000000) + i);
	memset(slab_of(CLOSED), 0, SLAB_PAGES * page);
	for (unsigned i = 0; i < POINTERS; i++)
		slabs[i] = slab_of(i < CPUS ? i : 1);
	*stack_of(0) = *stack_of(1) = word;
	memcpy(wanted, memory, memory_size);
}

/* After a call: of the area rseq_cs was written, and memory is as it ought to be. */
static inline void end(void)
{
	union area ought = area_of(now.cpu);
	uint64_t *is = (uint64_t *)(void *)memory;

	now.descriptor = ought.rseq.cs = area.rseq.cs;
	if (!now.descriptor != fault.seen)
		fail("rseq_cs is %p", (const void *)now.descriptor);
	if (memcmp(area.bytes, ought.bytes, sizeof area))
		fail("more than rseq_cs was written");
	for (size_t i = 0; memcmp(memory, wanted, memory_size); i++)
		if (is[i] != *wanted_of(&is[i]))
			fail("word %zu of page %zu is %#" PRIx64 ", not %#" PRIx64,
				i % (page / sizeof *is), i / (page / sizeof *is), is[i],
				*wanted_of(&is[i]));
}

#endif
