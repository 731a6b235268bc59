/* SPDX-License-Identifier: MIT */
#include "sequence_memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "percpu/rseq.h"

union area area __attribute__((aligned(64)));
uint8_t *memory, *wanted;
size_t page, memory_size;
uint64_t **slabs;
unsigned at, word_before_end = 1;
struct now now;
unsigned cases;
volatile struct fault fault;

void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "rseq_paths: %s on CPU %" PRId32 ", word %#" PRIx64 ": ", now.name,
		(int32_t)now.cpu, now.word);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

ptrdiff_t area_offset(void)
{
	return (char *)&area - (char *)__builtin_thread_pointer();
}

const void *base(void)
{
	return (const void *)((uintptr_t)slabs - TP_VISIBLE_OFFSET);
}

uint64_t word_of(unsigned depth, unsigned room, int64_t countdown)
{
	return (uint64_t)countdown << 16 | (uint64_t)room << 8 | depth;
}

uint64_t *stack_of(unsigned cpu)
{
	return (uint64_t *)(void *)(memory + (2 + cpu * STACK_PAGES) * page) - word_before_end;
}

uint64_t *slab_of(unsigned cpu)
{
	return (uint64_t *)((uintptr_t)stack_of(cpu) - at * sizeof(uint64_t));
}

uint64_t *batch(void)
{
	return (uint64_t *)(void *)(memory + page / 2);
}

uint64_t *wanted_of(uint64_t *p)
{
	return (uint64_t *)(void *)(wanted + ((uint8_t *)p - memory));
}

uint8_t *scratch(void)
{
	return memory + 3 * page / 4;
}

uint8_t *age_of(uint64_t *stack, unsigned slot)
{
	return (uint8_t *)(stack + 64) + slot;
}

uint8_t *wanted_age(uint8_t *age)
{
	return wanted + (age - memory);
}

void memory_make(void)
{
	page = (size_t)sysconf(_SC_PAGESIZE);
	memory_size = (1 + CPUS * STACK_PAGES) * page;
	memory =
		mmap(NULL, memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	wanted = malloc(memory_size);
	if (memory == MAP_FAILED || !wanted) {
		fputs("rseq_paths: no memory\n", stderr);
		exit(1);
	}
	slabs = (uint64_t **)(void *)memory;
}

/* cpu_id_start says another CPU, which nobody may believe. */
static union area area_of(uint32_t cpu)
{
	union area a;

	memset(&a, 0xa5, sizeof a);
	a.rseq.cpu_id_start = cpu == 1 ? 0 : 1;
	a.rseq.cpu_id = cpu;
	a.rseq.cs = NULL;
	return a;
}

void begin(const char *name, uint32_t cpu, uint64_t word)
{
	uint64_t *all = (uint64_t *)(void *)memory;

	cases++;
	now.name = name;
	now.cpu = cpu;
	now.word = word;
	area = area_of(cpu);
	for (size_t i = 0; i < memory_size / sizeof *all; i++)
		all[i] = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
	memset(memory + (1 + EMPTY * STACK_PAGES) * page, 0, STACK_PAGES * page);
	for (unsigned i = 0; i < POINTERS; i++)
		slabs[i] = slab_of(i < CPUS ? i : 1);
	*stack_of(0) = *stack_of(1) = word;
	memcpy(wanted, memory, memory_size);
}

void end(void)
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
