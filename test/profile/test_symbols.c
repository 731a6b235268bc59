/* SPDX-License-Identifier: MIT */
/*
 * The names of addresses in this process: the program's own static functions, libraries, the vdso,
 * files with odd names, files that are gone; and lists of mappings that no kernel writes.
 */
#include "profile/symbols.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "allocations.h"
#include "folder.h"

TestSuite(symbols, .init = folder_new, .fini = folder_end);

__attribute__((noinline)) static void here(void)
{
	__asm__ volatile("");
}

__attribute__((noinline)) static void there(void)
{
	__asm__ volatile("" ::: "memory");
}

static struct tp_symbols *s;

int main(int argc, char **argv); /* of Criterion */

static void find(const uintptr_t *address, size_t n)
{
	cr_assert_eq(tp_symbols_find(&s, TP_SYMBOLS_MAPS, address, n), 0);
}

/* "": it has none. */
static const char *name_of(uintptr_t address)
{
	size_t index = tp_symbols_index(s, address);

	cr_assert_neq(index, TP_SYMBOLS_NONE);
	cr_assert_eq(s->symbol[index].address, address);
	index = s->symbol[index].function;
	return index == TP_SYMBOLS_NONE ? "" : s->function[index];
}

static const struct tp_mapping *mapping_of(uintptr_t address)
{
	size_t index = s->symbol[tp_symbols_index(s, address)].mapping;

	return index == TP_SYMBOLS_NONE ? NULL : &s->mapping[index];
}

/* ---- this process ---- */

Test(symbols, a_static_function_of_the_program_has_its_name_and_its_file)
{
	const uintptr_t address[] = {(uintptr_t)here, (uintptr_t)there};
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

	cr_assert_gt(n, 0);
	path[n] = '\0';
	find(address, 2);
	cr_assert_str_eq(name_of((uintptr_t)here), "here");
	cr_assert_str_eq(name_of((uintptr_t)there), "there");
	cr_assert_str_eq(mapping_of((uintptr_t)here)->file, path);
	cr_assert(mapping_of((uintptr_t)here)->used && mapping_of((uintptr_t)here)->named);
	tp_symbols_free(s);
}

Test(symbols, addresses_may_come_in_any_order_and_twice_and_share_a_name)
{
	const uintptr_t address[] = {(uintptr_t)main, 16, (uintptr_t)here, 0, (uintptr_t)main + 1,
		(uintptr_t)here, UINTPTR_MAX, (uintptr_t)main};

	find(address, sizeof address / sizeof *address);
	cr_assert_eq(s->symbols, 6);
	for (size_t i = 1; i < s->symbols; i++)
		cr_assert_lt(s->symbol[i - 1].address, s->symbol[i].address);
	cr_assert_str_eq(name_of((uintptr_t)here), "here");
	cr_assert_str_eq(name_of((uintptr_t)main), "main");
	cr_assert_eq(name_of((uintptr_t)main), name_of((uintptr_t)main + 1));
	cr_assert_str_eq(name_of(0), "");
	cr_assert_null(mapping_of(0));
	cr_assert_null(mapping_of(UINTPTR_MAX));
	cr_assert_eq(tp_symbols_index(s, 17), TP_SYMBOLS_NONE);
	tp_symbols_free(s);
	find(NULL, 0);
	cr_assert_eq(s->symbols, 0);
	tp_symbols_free(s);
	tp_symbols_free(NULL);
}

/* ASan has functions of its own in place of many. */
Test(symbols, a_function_of_the_C_library_has_its_name)
{
	const uintptr_t address[] = {(uintptr_t)dlsym(RTLD_DEFAULT, "qsort")};

	find(address, 1);
	cr_assert_not_null(strstr(name_of(address[0]), "qsort"), "%s", name_of(address[0]));
	tp_symbols_free(s);
}

Test(symbols, the_vdso_is_read_where_it_lies)
{
	void *vdso = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
	void *function = vdso ? dlsym(vdso, "__vdso_clock_gettime") : NULL;
	const uintptr_t address[] = {(uintptr_t)function};

	if (!function)
		cr_skip_test("no vdso, or its functions have other names");
	find(address, 1);
	cr_assert_not_null(strstr(name_of(address[0]), "clock_gettime"), "%s", name_of(address[0]));
	cr_assert_str_eq(mapping_of(address[0])->file, "[vdso]");
	tp_symbols_free(s);
}

static int find_id(struct dl_phdr_info *info, size_t size, void *data)
{
	char *text = data;

	(void)size;
	if (*info->dlpi_name)
		return 0;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		const char *note = (const char *)(info->dlpi_addr + segment->p_vaddr);
		const ElfW(Nhdr) *head = (const void *)note;

		if (segment->p_type == PT_NOTE && head->n_type == NT_GNU_BUILD_ID)
			for (unsigned byte = 0; byte < head->n_descsz; byte++)
				sprintf(text + 2 * byte, "%02x",
					(unsigned char)note[sizeof *head + 4 + byte]);
	}
	return 1;
}

Test(symbols, the_build_id_is_that_of_the_note_in_memory)
{
	const uintptr_t address[] = {(uintptr_t)here};
	char id[2 * 64 + 1] = "";

	dl_iterate_phdr(find_id, id);
	find(address, 1);
	cr_assert_str_eq(mapping_of(address[0])->build_id, id);
	tp_symbols_free(s);
}

/* ---- other files ---- */

/* A copy of the math library under a name, loaded. Returns a function of it. */
static uintptr_t load_copy(const char *name)
{
	void *library = dlopen("libm.so.6", RTLD_NOW), *function;
	char command[2 * 4096];
	Dl_info info;

	cr_assert_not_null(library);
	cr_assert(dladdr(dlsym(library, "cbrt"), &info));
	snprintf(command, sizeof command, "cp '%s' copy", info.dli_fname);
	cr_assert_eq(system(command), 0);
	cr_assert_eq(rename("copy", name), 0);
	snprintf(command, sizeof command, "./%s", name);
	library = dlopen(command, RTLD_NOW | RTLD_LOCAL);
	cr_assert_not_null(library, "%s", dlerror());
	function = dlsym(library, "cbrt");
	cr_assert_not_null(function);
	return (uintptr_t)function;
}

Test(symbols, a_path_may_have_spaces_and_newlines)
{
	const char *name = " a  path\nwith all (deleted) of it ";
	const uintptr_t address[] = {load_copy(name)};

	find(address, 1);
	cr_assert_not_null(strstr(name_of(address[0]), "cbrt"), "%s", name_of(address[0]));
	cr_assert_str_eq(strrchr(mapping_of(address[0])->file, '/') + 1, name);
	tp_symbols_free(s);
}

Test(symbols, names_stay_when_the_file_is_gone_and_none_are_found_after_it)
{
	const uintptr_t address[] = {load_copy("gone")};

	find(address, 1);
	cr_assert_eq(unlink("gone"), 0);
	cr_assert_not_null(strstr(name_of(address[0]), "cbrt"));
	tp_symbols_free(s);
	find(address, 1);
	cr_assert_str_eq(name_of(address[0]), "");
	cr_assert_not_null(strstr(mapping_of(address[0])->file, "/gone (deleted)"));
	cr_assert_str_eq(mapping_of(address[0])->build_id, "");
	cr_assert_not(mapping_of(address[0])->named);
	tp_symbols_free(s);
}

/* Nor one under the name that the kernel makes of it. */
Test(symbols, another_file_under_the_name_of_one_that_is_gone_is_not_read)
{
	const uintptr_t address[] = {load_copy("replaced")};

	cr_assert_eq(system("cp replaced 'replaced (deleted)' && cp replaced other"), 0);
	cr_assert_eq(rename("other", "replaced"), 0);
	find(address, 1);
	cr_assert_str_eq(name_of(address[0]), "");
	tp_symbols_free(s);
}

/* ---- lists of mappings ---- */

static void find_in(const char *maps, const uintptr_t *address, size_t n)
{
	FILE *file = fopen("maps", "w");

	cr_assert_not_null(file);
	cr_assert_geq(fputs(maps, file), 0);
	cr_assert_eq(fclose(file), 0);
	cr_assert_eq(tp_symbols_find(&s, "maps", address, n), 0);
}

Test(symbols, lines_that_no_kernel_writes_are_left_out)
{
	const uintptr_t address[] = {0x1000, 0x2fff, 0x3000, 0x4000};

	find_in("\n"
		"nothing\n"
		"1000-2000\n"
		"1000-2000 r-x\n"
		"1000-2000 r-xp\n"
		"1000-2000 r-xp zz 00:00 0\n"
		"2000-1000 r-xp 0 00:00 0 /backwards\n"
		"11111111111111111-22222222222222222 r-xp 0 00:00 0 /large\n"
		"1000-3000 r-xp 00001000 00:00 0     /first\n"
		"2000-3000 r-xp 0 00:00 0 /inside\n"
		"3000-4000 rw-p 0 00:00 0 /data\n"
		"4000-5000 r-xp 0 00:00 0",
		address, 4);
	cr_assert_eq(s->mappings, 2);
	cr_assert_str_eq(mapping_of(0x1000)->file, "/first");
	cr_assert_eq(mapping_of(0x1000)->offset, 0x1000);
	cr_assert_eq(mapping_of(0x2fff), mapping_of(0x1000));
	cr_assert_null(mapping_of(0x3000));
	cr_assert_str_eq(mapping_of(0x4000)->file, "");
	tp_symbols_free(s);
}

Test(symbols, without_a_list_of_mappings_there_are_addresses)
{
	const uintptr_t address[] = {(uintptr_t)here};

	cr_assert_eq(tp_symbols_find(&s, "nothing", address, 1), 0);
	cr_assert_eq(s->symbols, 1);
	cr_assert_str_eq(name_of(address[0]), "");
	tp_symbols_free(s);
	cr_assert_eq(tp_symbols_find(&s, "/", address, 1), 0);
	tp_symbols_free(s);
}

/* Longer than what is read at first. */
Test(symbols, a_long_list_is_read_whole)
{
	FILE *file = fopen("maps", "w");
	const uintptr_t address[] = {4999 * 0x1000 + 5};

	cr_assert_not_null(file);
	for (unsigned i = 1; i < 5000; i++)
		fprintf(file, "%x-%x r-xp 0 00:00 0 /a/file/that/is/not/there/%u\n", i * 0x1000,
			i * 0x1000 + 0x1000, i);
	cr_assert_eq(fclose(file), 0);
	cr_assert_eq(tp_symbols_find(&s, "maps", address, 1), 0);
	cr_assert_eq(s->mappings, 4999);
	cr_assert_str_eq(mapping_of(address[0])->file, "/a/file/that/is/not/there/4999");
	tp_symbols_free(s);
}

Test(symbols, a_mapping_of_what_is_no_elf_file_has_no_names)
{
	const uintptr_t address[] = {0x1000, 0x2000, 0x3000};

	find_in("1000-2000 r-xp 0 00:00 0 /dev/zero\n"
		"2000-3000 r-xp 0 00:00 0 /etc/passwd\n"
		"3000-4000 r-xp 0 00:00 0 /tmp\n",
		address, 3);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_str_eq(name_of(address[i]), "");
	tp_symbols_free(s);
}

Test(symbols, out_of_memory_is_ENOMEM)
{
	const uintptr_t address[] = {(uintptr_t)here, (uintptr_t)main};
	unsigned nth = 0;
	int error;

	do {
		s = (struct tp_symbols *)&nth;
		allocation_fails = (struct failing){.at = ++nth};
		error = tp_symbols_find(&s, TP_SYMBOLS_MAPS, address, 2);
		cr_assert(error == 0 || (error == -ENOMEM && !s), "allocation %u: %d", nth, error);
		cr_assert_eq(error == 0, allocation_fails.at != 0);
	} while (error);
	allocation_fails.at = 0;
	cr_assert_gt(nth, 5);
	tp_symbols_free(s);
}
