/* SPDX-License-Identifier: MIT */
/*
 * ELF files made by hand: which function has an address, and that a file which is cut short or made
 * to harm gives no names and nothing worse (the asan variant sees what is read outside).
 */
#include "profile/elf.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"
#include "random.h"

TestSuite(elf, .init = folder_new, .fini = folder_end);

#define CODE 0x1000  /* the code's place in the file, */
#define BASE 0x40000 /* and how much higher its address is */
#define AT(n) (BASE + CODE + (n))
#define SYMBOLS 12

/* A file as a compiler might make it. Names are at fixed places of 16 bytes. */
static struct image {
	Elf64_Ehdr head;
	Elf64_Phdr segment[3];
	struct {
		Elf64_Nhdr head;
		char name[4];
		unsigned char bytes[20];
	} note[2];
	Elf64_Shdr section[5];
	Elf64_Sym symbol[SYMBOLS], dynamic[1];
	char names[SYMBOLS + 1][16];
} image;

enum { CODE_SECTION = 1, SYMTAB, DYNSYM, STRTAB };

#define PLACE(member) offsetof(struct image, member)

static void symbol_set(Elf64_Sym *symbol, unsigned number, const char *name, uint64_t value,
	uint64_t size, unsigned char binding)
{
	*symbol = (Elf64_Sym){.st_name = number * 16,
		.st_info = (unsigned char)ELF64_ST_INFO(binding, STT_FUNC),
		.st_shndx = CODE_SECTION,
		.st_value = value,
		.st_size = size};
	strcpy(image.names[number], name);
}

static void image_make(void)
{
	memset(&image, 0, sizeof image);
	memcpy(image.head.e_ident, ELFMAG, SELFMAG);
	image.head.e_ident[EI_CLASS] = ELFCLASS64;
	image.head.e_ident[EI_DATA] =
		__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
	image.head.e_phoff = PLACE(segment);
	image.head.e_phentsize = sizeof(Elf64_Phdr);
	image.head.e_phnum = 3;
	image.head.e_shoff = PLACE(section);
	image.head.e_shentsize = sizeof(Elf64_Shdr);
	image.head.e_shnum = 5;
	image.segment[0] = (Elf64_Phdr){.p_type = PT_NOTE,
		.p_offset = PLACE(note),
		.p_filesz = sizeof image.note,
		.p_align = 4};
	image.segment[1] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R, .p_filesz = 0x2000};
	image.segment[2] = (Elf64_Phdr){.p_type = PT_LOAD,
		.p_flags = PF_R | PF_X,
		.p_offset = CODE,
		.p_vaddr = BASE + CODE,
		.p_filesz = 0x1000};
	image.note[0].head = (Elf64_Nhdr){.n_namesz = 4, .n_descsz = 20, .n_type = NT_GNU_ABI_TAG};
	image.note[1].head = (Elf64_Nhdr){.n_namesz = 4, .n_descsz = 20, .n_type = NT_GNU_BUILD_ID};
	for (unsigned i = 0; i < 2; i++)
		memcpy(image.note[i].name, "GNU", 4);
	for (unsigned i = 0; i < 20; i++)
		image.note[1].bytes[i] = (unsigned char)(0xf0 + i);
	image.section[CODE_SECTION] = (Elf64_Shdr){
		.sh_type = SHT_PROGBITS, .sh_addr = AT(0), .sh_offset = CODE, .sh_size = 0x400};
	image.section[SYMTAB] = (Elf64_Shdr){.sh_type = SHT_SYMTAB,
		.sh_offset = PLACE(symbol),
		.sh_size = sizeof image.symbol,
		.sh_entsize = sizeof(Elf64_Sym),
		.sh_link = STRTAB};
	image.section[DYNSYM] = (Elf64_Shdr){.sh_type = SHT_DYNSYM,
		.sh_offset = PLACE(dynamic),
		.sh_size = sizeof image.dynamic,
		.sh_entsize = sizeof(Elf64_Sym),
		.sh_link = STRTAB};
	image.section[STRTAB] = (Elf64_Shdr){
		.sh_type = SHT_STRTAB, .sh_offset = PLACE(names), .sh_size = sizeof image.names};
	symbol_set(&image.symbol[1], 1, "outer", AT(0), 0x100, STB_LOCAL);
	symbol_set(&image.symbol[2], 2, "inner", AT(0x40), 0x10, STB_LOCAL);
	symbol_set(&image.symbol[3], 3, "alias_weak", AT(0x200), 0x20, STB_WEAK);
	symbol_set(&image.symbol[4], 4, "alias_global", AT(0x200), 0x20, STB_GLOBAL);
	symbol_set(&image.symbol[5], 5, "alias_local", AT(0x200), 0x20, STB_LOCAL);
	symbol_set(&image.symbol[6], 6, "unsized", AT(0x300), 0, STB_GLOBAL);
	symbol_set(&image.symbol[7], 7, "sized", AT(0x340), 0x10, STB_LOCAL);
	symbol_set(&image.symbol[8], 8, "data", AT(0x3c0), 0x40, STB_GLOBAL);
	image.symbol[8].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);
	symbol_set(&image.symbol[9], 9, "imported", AT(0x3c0), 0x40, STB_GLOBAL);
	image.symbol[9].st_shndx = SHN_UNDEF;
	symbol_set(&image.symbol[10], 10, "of_dynsym", AT(0), 0x400, STB_GLOBAL);
	image.dynamic[0] = image.symbol[10];
	image.symbol[10] = (Elf64_Sym){0};
	symbol_set(&image.symbol[11], 11, "resolver", AT(0x280), 0x10, STB_GLOBAL);
	image.symbol[11].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_GNU_IFUNC);
}

/* The name of the function at an address of the file; "": none. */
static const char *name_at(const struct tp_elf *elf, uint64_t address)
{
	static char name[64];
	struct tp_elf_function f = {.address = address};

	tp_elf_find(elf, &f, 1);
	*name = '\0';
	if (f.name)
		tp_elf_name(elf, f.name, name, sizeof name);
	return name;
}

static const char *name_in_image(uint64_t address)
{
	struct tp_elf elf;

	cr_assert_eq(tp_elf_open_memory(&elf, &image, sizeof image), 0);
	return name_at(&elf, address);
}

/* ---- functions ---- */

Test(elf, a_function_has_its_first_byte_and_its_last_and_no_more)
{
	image_make();
	cr_assert_str_eq(name_in_image(AT(0)), "outer");
	cr_assert_str_eq(name_in_image(AT(0xff)), "outer");
	cr_assert_str_eq(name_in_image(AT(0x100)), "");
	cr_assert_str_eq(name_in_image(AT(0) - 1), "");
}

Test(elf, the_inner_function_and_the_global_name_win)
{
	image_make();
	cr_assert_str_eq(name_in_image(AT(0x4f)), "inner");
	cr_assert_str_eq(name_in_image(AT(0x50)), "outer");
	cr_assert_str_eq(name_in_image(AT(0x210)), "alias_global");
	cr_assert_str_eq(name_in_image(AT(0x280)), "resolver");
}

Test(elf, a_function_without_a_size_reaches_to_the_end_of_its_section_but_not_over_another)
{
	image_make();
	cr_assert_str_eq(name_in_image(AT(0x33f)), "unsized");
	cr_assert_str_eq(name_in_image(AT(0x345)), "sized");
	cr_assert_str_eq(name_in_image(AT(0x3ff)), "unsized", "data and imports are no functions");
	cr_assert_str_eq(name_in_image(AT(0x400)), "");
}

Test(elf, dynsym_is_read_if_symtab_was_stripped)
{
	image_make();
	image.section[SYMTAB].sh_type = SHT_NULL;
	cr_assert_str_eq(name_in_image(AT(0x40)), "of_dynsym");
}

Test(elf, several_functions_are_found_at_once)
{
	struct tp_elf elf;
	struct tp_elf_function f[] = {{.address = 5}, {.address = AT(0)}, {.address = AT(0x41)},
		{.address = AT(0x41)}, {.address = AT(0x345)}, {.address = UINT64_MAX}};

	image_make();
	cr_assert_eq(tp_elf_open_memory(&elf, &image, sizeof image), 0);
	tp_elf_find(&elf, f, 6);
	cr_assert(!f[0].name && !f[5].name);
	cr_assert_eq(f[1].begin, AT(0));
	cr_assert_eq(f[2].name, f[3].name);
	cr_assert_eq(f[4].begin, AT(0x340));
}

Test(elf, more_sections_than_a_header_can_count_stand_in_the_first_one)
{
	image_make();
	image.head.e_shnum = 0;
	image.section[0].sh_size = 5;
	cr_assert_str_eq(name_in_image(AT(0)), "outer");
	image.section[0].sh_size = UINT64_MAX;
	name_in_image(AT(0));
}

Test(elf, an_address_is_counted_as_its_code_segment_has_it)
{
	struct tp_elf elf;

	image_make();
	cr_assert_eq(tp_elf_open_memory(&elf, &image, sizeof image), 0);
	cr_assert_eq(tp_elf_bias(&elf, CODE), BASE, "two segments have this place");
	cr_assert_eq(tp_elf_bias(&elf, 0), 0, "one does");
	cr_assert_eq(tp_elf_bias(&elf, 0x100000), 0);
}

/* ---- build id ---- */

Test(elf, the_build_id_is_found_behind_another_note)
{
	struct tp_elf elf;
	char id[TP_ELF_ID];

	image_make();
	cr_assert_eq(tp_elf_open_memory(&elf, &image, sizeof image), 0);
	tp_elf_build_id(&elf, id);
	cr_assert_str_eq(id, "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff00010203");
	image.note[1].name[0] = 'X';
	tp_elf_build_id(&elf, id);
	cr_assert_str_eq(id, "");
	image_make();
	image.note[1].head.n_descsz = 100;
	tp_elf_build_id(&elf, id);
	cr_assert_str_eq(id, "", "longer than there is room");
	image_make();
	image.note[0].head.n_namesz = UINT32_MAX;
	tp_elf_build_id(&elf, id);
	cr_assert_str_eq(id, "");
}

/* ---- other files ---- */

Test(elf, what_is_no_such_file_is_ENOEXEC)
{
	struct tp_elf elf;

	image_make();
	image.head.e_ident[EI_CLASS] = ELFCLASS32;
	cr_assert_eq(tp_elf_open_memory(&elf, &image, sizeof image), -ENOEXEC);
	image_make();
	image.head.e_ident[EI_DATA] ^= 3;
	cr_assert_eq(tp_elf_open_memory(&elf, &image, sizeof image), -ENOEXEC);
	cr_assert_eq(tp_elf_open_memory(&elf, "", 0), -ENOEXEC);
	cr_assert_eq(tp_elf_open_memory(&elf, "\177ELF", 4), -ENOEXEC);
	cr_assert_eq(tp_elf_open(&elf, "nothing"), -ENOENT);
	cr_assert_eq(tp_elf_open(&elf, "/"), -ENOEXEC);
	cr_assert_eq(tp_elf_open(&elf, "/dev/null"), -ENOEXEC);
	cr_assert_eq(mkfifo("fifo", 0600), 0);
	cr_assert_eq(tp_elf_open(&elf, "fifo"), -ENOEXEC, "and it does not wait for a writer");
}

static void image_save(const void *bytes, size_t n)
{
	FILE *file = fopen("file", "w");

	cr_assert_not_null(file);
	cr_assert_eq(fwrite(bytes, 1, n, file), n);
	cr_assert_eq(fclose(file), 0);
}

Test(elf, a_file_that_shrinks_after_it_was_opened_has_no_names)
{
	struct tp_elf elf;
	char id[TP_ELF_ID];

	image_make();
	image_save(&image, sizeof image);
	cr_assert_eq(tp_elf_open(&elf, "file"), 0);
	cr_assert_str_eq(name_at(&elf, AT(0)), "outer");
	cr_assert_eq(truncate("file", PLACE(symbol) + 100), 0);
	cr_assert_str_eq(name_at(&elf, AT(0)), "");
	cr_assert_eq(truncate("file", 0), 0);
	cr_assert_str_eq(name_at(&elf, AT(0)), "");
	tp_elf_build_id(&elf, id);
	cr_assert_str_eq(id, "");
	cr_assert_eq(tp_elf_bias(&elf, CODE), 0);
	tp_elf_close(&elf);
}

Test(elf, a_name_that_does_not_end_is_cut_at_the_end_of_the_file_or_of_the_room)
{
	struct tp_elf elf;
	char name[8];

	image_make();
	memset(image.names[1], 'x', sizeof image.names - 16);
	cr_assert_eq(tp_elf_open_memory(&elf, &image, sizeof image), 0);
	tp_elf_name(&elf, PLACE(names) + 16, name, sizeof name);
	cr_assert_str_eq(name, "xxxxxxx");
	tp_elf_name(&elf, sizeof image - 3, name, sizeof name);
	cr_assert_str_eq(name, "xxx");
	tp_elf_name(&elf, sizeof image, name, sizeof name);
	cr_assert_str_eq(name, "");
	tp_elf_name(&elf, UINT64_MAX, name, sizeof name);
	cr_assert_str_eq(name, "");
}

/* ---- hostile ---- */

/* All that is asked of a file; a copy of n bytes, so that a read beyond it is seen. */
static void ask_all(const void *bytes, size_t n)
{
	void *copy = malloc(n ? n : 1);
	struct tp_elf_function f[64];
	struct tp_elf elf;
	char text[TP_ELF_ID], name[64];

	cr_assert_not_null(copy);
	memcpy(copy, bytes, n);
	if (tp_elf_open_memory(&elf, copy, n) == 0) {
		tp_elf_build_id(&elf, text);
		tp_elf_bias(&elf, CODE);
		for (unsigned i = 0; i < 64; i++)
			f[i] = (struct tp_elf_function){.address = AT(i * 20)};
		tp_elf_find(&elf, f, 64);
		for (unsigned i = 0; i < 64; i++)
			if (f[i].name) {
				tp_elf_name(&elf, f[i].name, name, sizeof name);
				cr_assert_lt(strlen(name), sizeof name);
			}
	}
	free(copy);
}

Test(elf, a_file_cut_at_each_byte_does_no_harm)
{
	image_make();
	for (size_t n = 0; n <= sizeof image; n++)
		ask_all(&image, n);
}

/* Numbers that break sums and loops, at random places that have numbers. */
Test(elf, random_numbers_do_no_harm)
{
	static const uint64_t odd[] = {0, 1, 0xff, 0xffff, 0x7fffffff, 0xffffffff, INT64_MAX,
		UINT64_MAX, UINT64_MAX - 63, sizeof image, sizeof image - 1};
	uint64_t state = 88172645463325252;

	for (unsigned i = 0; i < 20000; i++) {
		image_make();
		for (unsigned change = 0; change < 1 + i % 4; change++) {
			size_t width = (size_t)1 << next_random(&state) % 4;
			size_t at = next_random(&state) % ((PLACE(names) - EI_NIDENT) / width);
			uint64_t n = odd[next_random(&state) % (sizeof odd / sizeof *odd)];

			memcpy((char *)&image + EI_NIDENT + at * width, &n, width);
		}
		ask_all(&image, sizeof image);
	}
}
