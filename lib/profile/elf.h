/* SPDX-License-Identifier: MIT */
/*
 * Reads an ELF file of 64 bits and this machine's byte order: its build id, and which function lies
 * at an address. Owns the open file. Each read is bounded by the file's size and takes memory of a
 * fixed size: a file that is truncated, changed meanwhile or made to harm gives no names, or wrong
 * ones, and nothing worse. A file is read, not mapped, since a mapping of a file that is cut short
 * ends the process.
 *
 * Names come from .symtab, which has the program's static functions; if it was stripped, from
 * .dynsym.
 */
#ifndef TP_ELF_H
#define TP_ELF_H

#include <stddef.h>
#include <stdint.h>

#define TP_ELF_ID 65 /* bytes of a build id as text, with its NUL */

struct tp_elf {
	int file;                    /* -1: it lies in memory */
	const unsigned char *memory; /* size bytes of it */
	uint64_t size;
	uint64_t segments, sections; /* the places of these tables in the file */
	uint64_t segment_count, section_count;
};

/* A function that is looked for. */
struct tp_elf_function {
	uint64_t address; /* as the file counts them: the caller's */
	uint64_t begin;   /* where the function begins */
	uint64_t name;    /* place of its name in the file; 0: not found */
	unsigned rank;    /* elf.c's */
};

/* Returns: 0, or a negative errno, -ENOEXEC if it is no such file. Blocks: while it is read. */
int tp_elf_open(struct tp_elf *elf, const char *path);

/* The same of size bytes of memory, which stay as long as elf is used. */
int tp_elf_open_memory(struct tp_elf *elf, const void *memory, size_t size);

void tp_elf_close(struct tp_elf *elf);

/* In hexadecimal digits; "": it has none. */
void tp_elf_build_id(const struct tp_elf *elf, char text[TP_ELF_ID]);

/*
 * What is to be added to a place in the file, of a mapping that begins at the place offset, to have
 * the file's own address. 0 if no segment is there.
 */
uint64_t tp_elf_bias(const struct tp_elf *elf, uint64_t offset);

/* Finds n functions, of which the addresses ascend. */
void tp_elf_find(const struct tp_elf *elf, struct tp_elf_function *f, size_t n);

/* Copies a name; what does not fit is left out. "": it cannot be read. */
void tp_elf_name(const struct tp_elf *elf, uint64_t place, char *to, size_t size);

#endif
