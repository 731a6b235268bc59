/* SPDX-License-Identifier: MIT */
/*
 * The names of addresses in this process: what is mapped where, and which function of that file
 * lies there. Owns copies of all names, so that a file may be stripped or replaced afterwards.
 * dladdr is not asked, since it does not know the static functions of a program, nor any of one
 * without -rdynamic.
 *
 * No name: of code that belongs to no file (a compiler at run time), and of a file that is gone, is
 * not readable or was replaced. The program's own file is found even then (/proc/self/exe). Names
 * of C++ stay mangled. Where /proc is not mounted there are addresses only.
 */
#ifndef TP_SYMBOLS_H
#define TP_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/elf.h"

#define TP_SYMBOLS_MAPS "/proc/self/maps"

/* A mapping that may be executed. */
struct tp_mapping {
	uintptr_t start, limit; /* limit: of the first byte behind it */
	uint64_t offset;        /* in the file, of start */
	char *file; /* as the kernel names it: "[vdso]", "/usr/bin/x (deleted)"; "": none */
	char build_id[TP_ELF_ID]; /* "": unknown */
	bool used;                /* an address that was asked for lies in it */
	bool named;               /* and each that does has a name */
};

struct tp_symbol {
	uintptr_t address;
	size_t mapping;  /* index; TP_SYMBOLS_NONE */
	size_t function; /* index; TP_SYMBOLS_NONE */
};

#define TP_SYMBOLS_NONE SIZE_MAX

struct tp_symbols {
	struct tp_mapping *mapping; /* by their addresses */
	size_t mappings;
	struct tp_symbol *symbol; /* one for each address, ascending */
	size_t symbols;
	char **function; /* names, each not empty */
	size_t functions;
};

/*
 * Finds n addresses, in any order, some of them twice perhaps. maps: TP_SYMBOLS_MAPS, or a file
 * like that.
 *
 * Blocks:   while files are read.
 * Returns:  0, and *out is the caller's until tp_symbols_free; -ENOMEM, and *out is NULL.
 */
int tp_symbols_find(struct tp_symbols **out, const char *maps, const uintptr_t *address, size_t n);

void tp_symbols_free(struct tp_symbols *symbols);

/* The index of one of the addresses that were asked for. */
size_t tp_symbols_index(const struct tp_symbols *symbols, uintptr_t address);

#endif
