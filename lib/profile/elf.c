/* SPDX-License-Identifier: MIT */
#include "profile/elf.h"

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/keep_errno.h"

/* Far more than any program has: a file that claims more is read up to here. */
#define MOST_ENTRIES (1 << 20)  /* of segments, of sections, and of notes in a segment */
#define MOST_SYMBOLS (16 << 20) /* Chromium has a million */

#define CHUNK 256 /* symbols that are read at a time: 6 KiB of stack */

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BYTE_ORDER_HERE ELFDATA2LSB
#else
#define BYTE_ORDER_HERE ELFDATA2MSB
#endif

/* All n bytes, or false. */
static bool elf_read(const struct tp_elf *elf, uint64_t place, void *to, size_t n)
{
	if (place > elf->size || n > elf->size - place)
		return false;
	if (elf->file < 0) {
		memcpy(to, elf->memory + place, n);
		return true;
	}
	while (n) {
		ssize_t got = pread(elf->file, to, n, (off_t)place);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		to = (char *)to + got;
		place += (uint64_t)got;
		n -= (size_t)got;
	}
	return true;
}

static bool elf_segment(const struct tp_elf *elf, uint64_t i, Elf64_Phdr *segment)
{
	return i < elf->segment_count &&
	       elf_read(elf, elf->segments + i * sizeof *segment, segment, sizeof *segment);
}

static bool elf_section(const struct tp_elf *elf, uint64_t i, Elf64_Shdr *section)
{
	return i < elf->section_count &&
	       elf_read(elf, elf->sections + i * sizeof *section, section, sizeof *section);
}

/* A table's place: so low that no entry of it is beyond 2^64. */
static bool elf_is_place(uint64_t place, uint64_t size)
{
	return place && place <= size;
}

static int elf_begin(struct tp_elf *elf)
{
	Elf64_Ehdr head;
	Elf64_Shdr first;

	elf->segment_count = elf->section_count = 0;
	if (!elf_read(elf, 0, &head, sizeof head) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
		head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != BYTE_ORDER_HERE)
		return -ENOEXEC;
	elf->segments = head.e_phoff;
	elf->sections = head.e_shoff;
	if (head.e_phentsize == sizeof(Elf64_Phdr) && elf_is_place(head.e_phoff, elf->size))
		elf->segment_count = head.e_phnum;
	if (head.e_shentsize == sizeof(Elf64_Shdr) && elf_is_place(head.e_shoff, elf->size))
		elf->section_count = head.e_shnum ? head.e_shnum : 1;
	/* Of more than 65,279 sections the first one has the number. */
	if (!head.e_shnum && elf_section(elf, 0, &first))
		elf->section_count = tp_min(first.sh_size, MOST_ENTRIES);
	return 0;
}

int tp_elf_open(struct tp_elf *elf, const char *path)
{
	struct stat s;
	int error = -ENOEXEC;

	*elf = (struct tp_elf){0};
	/* Without O_NONBLOCK a fifo of that name would block. */
	elf->file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (elf->file < 0)
		return -errno;
	if (!fstat(elf->file, &s) && S_ISREG(s.st_mode)) {
		elf->size = (uint64_t)s.st_size;
		error = elf_begin(elf);
	}
	if (error)
		tp_elf_close(elf);
	return error;
}

int tp_elf_open_memory(struct tp_elf *elf, const void *memory, size_t size)
{
	*elf = (struct tp_elf){.file = -1, .memory = memory, .size = size};
	return elf_begin(elf);
}

void tp_elf_close(struct tp_elf *elf)
{
	TP_KEEP_ERRNO;

	if (elf->file >= 0)
		close(elf->file);
	*elf = (struct tp_elf){.file = -1};
}

/* ---- the build id ---- */

static void elf_write_hex(char *text, const unsigned char *byte, size_t n)
{
	static const char digit[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*text++ = digit[byte[i] >> 4];
		*text++ = digit[byte[i] & 15];
	}
	*text = '\0';
}

/* In the notes of a segment. */
static bool elf_id_in(const struct tp_elf *elf, const Elf64_Phdr *notes, char text[TP_ELF_ID])
{
	size_t align = notes->p_align == 8 ? 8 : 4;
	uint64_t place = notes->p_offset, left = notes->p_filesz;
	unsigned char id[TP_ELF_ID / 2];
	char name[4];
	Elf64_Nhdr note;

	for (unsigned i = 0; i < MOST_ENTRIES && left >= sizeof note; i++) {
		uint64_t named, length;

		if (!elf_read(elf, place, &note, sizeof note))
			return false;
		named = tp_round_up(sizeof note + note.n_namesz, align);
		length = tp_round_up(named + note.n_descsz, align);
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof name &&
			note.n_descsz && note.n_descsz <= sizeof id &&
			elf_read(elf, place + sizeof note, name, sizeof name) &&
			memcmp(name, "GNU", sizeof name) == 0 &&
			elf_read(elf, place + named, id, note.n_descsz)) {
			elf_write_hex(text, id, note.n_descsz);
			return true;
		}
		if (length > left)
			return false;
		place += length;
		left -= length;
	}
	return false;
}

void tp_elf_build_id(const struct tp_elf *elf, char text[TP_ELF_ID])
{
	Elf64_Phdr segment;

	text[0] = '\0';
	for (uint64_t i = 0; elf_segment(elf, i, &segment); i++)
		if (segment.p_type == PT_NOTE && elf_id_in(elf, &segment, text))
			return;
}

/* ---- functions ---- */

uint64_t tp_elf_bias(const struct tp_elf *elf, uint64_t offset)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), bias = 0;
	Elf64_Phdr segment;

	for (uint64_t i = 0; elf_segment(elf, i, &segment); i++) {
		uint64_t from = segment.p_offset & ~(page - 1);

		if (segment.p_type != PT_LOAD || offset < from ||
			offset - from >= segment.p_filesz + (segment.p_offset - from))
			continue;
		bias = segment.p_vaddr - segment.p_offset;
		/* Two segments may share a page of the file: code is what is looked for. */
		if (segment.p_flags & PF_X)
			break;
	}
	return bias;
}

#define RANK_SIZED 4

/*
 * Of two symbols that have an address: one with a size, which has it for certain; then a global
 * one.
 */
static unsigned elf_rank(const Elf64_Sym *symbol)
{
	unsigned binding = ELF64_ST_BIND(symbol->st_info), rank = symbol->st_size ? RANK_SIZED : 1;

	if (binding == STB_GLOBAL)
		return rank + 2;
	return binding == STB_WEAK ? rank + 1 : rank;
}

static bool elf_is_better(const struct tp_elf_function *f, const Elf64_Sym *symbol, unsigned rank)
{
	bool was_sized = f->rank >= RANK_SIZED, sized = rank >= RANK_SIZED;

	if (!f->rank || sized != was_sized)
		return !f->rank || sized;
	/* The inner one of two functions. */
	return symbol->st_value > f->begin || (symbol->st_value == f->begin && rank > f->rank);
}

/* The first function of n whose address is at least this. */
static size_t elf_first(const struct tp_elf_function *f, size_t n, uint64_t address)
{
	size_t low = 0;

	while (low < n) {
		size_t middle = low + (n - low) / 2;

		if (f[middle].address < address)
			low = middle + 1;
		else
			n = middle;
	}
	return low;
}

/* How far a function may reach: to its end, or, if it has no size, to that of its section. */
static uint64_t elf_extent(const struct tp_elf *elf, const Elf64_Sym *symbol)
{
	Elf64_Shdr section;

	if (symbol->st_size)
		return symbol->st_size;
	if (!elf_section(elf, symbol->st_shndx, &section) || symbol->st_value < section.sh_addr ||
		symbol->st_value - section.sh_addr > section.sh_size)
		return 0;
	return section.sh_size - (symbol->st_value - section.sh_addr);
}

/* Gives a symbol to those functions that it may be the name of. */
static void elf_offer(const struct tp_elf *elf, const Elf64_Sym *symbol, uint64_t names,
	struct tp_elf_function *f, size_t n)
{
	unsigned type = ELF64_ST_TYPE(symbol->st_info), rank = elf_rank(symbol);
	size_t i = elf_first(f, n, symbol->st_value);
	uint64_t extent;

	if (i == n || (type != STT_FUNC && type != STT_GNU_IFUNC) ||
		symbol->st_shndx == SHN_UNDEF || !symbol->st_name)
		return;
	extent = elf_extent(elf, symbol);
	for (; i < n && f[i].address - symbol->st_value < extent; i++)
		if (elf_is_better(&f[i], symbol, rank)) {
			f[i].begin = symbol->st_value;
			f[i].name = names + symbol->st_name;
			f[i].rank = rank;
		}
}

static void elf_find_in(const struct tp_elf *elf, const Elf64_Shdr *table, uint64_t names,
	struct tp_elf_function *f, size_t n)
{
	uint64_t count = tp_min(table->sh_size / sizeof(Elf64_Sym), MOST_SYMBOLS);
	Elf64_Sym symbol[CHUNK];

	for (uint64_t done = 0; done < count; done += CHUNK) {
		size_t some = tp_min(count - done, CHUNK);

		if (!elf_read(elf, table->sh_offset + done * sizeof *symbol, symbol,
			    some * sizeof *symbol))
			return;
		for (size_t i = 0; i < some; i++)
			elf_offer(elf, &symbol[i], names, f, n);
	}
}

void tp_elf_find(const struct tp_elf *elf, struct tp_elf_function *f, size_t n)
{
	Elf64_Shdr section, table = {.sh_type = SHT_NULL}, names;

	for (size_t i = 0; i < n; i++)
		f[i].name = f[i].rank = 0;
	for (uint64_t i = 0; table.sh_type != SHT_SYMTAB && elf_section(elf, i, &section); i++)
		if (section.sh_type == SHT_SYMTAB || section.sh_type == SHT_DYNSYM)
			table = section;
	if (table.sh_type != SHT_NULL && table.sh_entsize == sizeof(Elf64_Sym) &&
		elf_section(elf, table.sh_link, &names) && names.sh_type == SHT_STRTAB &&
		names.sh_offset <= elf->size)
		elf_find_in(elf, &table, names.sh_offset, f, n);
}

void tp_elf_name(const struct tp_elf *elf, uint64_t place, char *to, size_t size)
{
	*to = '\0';
	if (place >= elf->size)
		return;
	size = tp_min(size, elf->size - place + 1);
	if (!elf_read(elf, place, to, size - 1))
		size = 1;
	to[size - 1] = '\0';
}
