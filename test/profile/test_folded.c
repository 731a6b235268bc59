/* SPDX-License-Identifier: MIT */
/*
 * Folded stacks, word by word.
 */
#include "profile_fixture.h"

#include <stdlib.h>
#include <string.h>

/* Static: found by .symtab only. */
__attribute__((noinline)) static int borrow_here(void)
{
	__asm__ volatile("");
	return 1;
}

__attribute__((noinline)) static int serve(void)
{
	return borrow_here() + 1;
}

static char *text;

static const char *written(const struct tp_snapshot *snapshot)
{
	free(text);
	text = profile_written(tp_profile_write_folded, snapshot, NULL);
	return text;
}

Test(profile_folded, a_line_is_the_functions_from_the_outermost_and_the_site_then_the_bytes)
{
	const uintptr_t frames[] = {INSIDE(borrow_here), INSIDE(serve)};
	struct tp_snapshot_site sites[] = {{.file = "src/log.c", .line = 88, .label = "f"}};
	struct tp_snapshot_stack stacks[] = {STACK(0, frames, .gets = 3, .bytes = 65536.3)};

	cr_assert_eq(serve(), 2);
	cr_assert_str_eq(
		written(&SNAPSHOT(sites, stacks)), "serve;borrow_here;src/log.c:88 65536\n");
}

Test(profile_folded, names_do_not_part_frames_or_lines)
{
	const uintptr_t frames[] = {0x10};
	struct tp_snapshot_site sites[] = {{.file = "a;b\nc\xff d.c", .line = 1, .label = ""}};
	struct tp_snapshot_stack stacks[] = {STACK(0, frames, .gets = 1, .bytes = 64)};

	cr_assert_str_eq(written(&SNAPSHOT(sites, stacks)), "0x10;a:b?c? d.c:1 64\n");
}

Test(profile_folded, calls_without_a_site_say_so_and_what_borrowed_nothing_has_no_line)
{
	struct tp_snapshot_site sites[] = {{.file = "", .label = ""}};
	struct tp_snapshot_stack stacks[] = {{.gets = 1, .bytes = 64}, {.gets = 0.1, .bytes = 0.2}};

	cr_assert_str_eq(written(&SNAPSHOT(sites, stacks)), "(calls without a site) 64\n");
	cr_assert_str_eq(written(&(struct tp_snapshot){.sites = 0}), "");
}

/* An address that no symbol has: the program's own head of the file, which is not code. */
Test(profile_folded, a_function_without_a_name_is_its_place_in_its_file)
{
	FILE *maps = fopen(TP_SYMBOLS_MAPS, "r");
	char line[8192] = "", expected[8300], *name = NULL;
	unsigned long start = 0, limit, offset = 0;
	struct tp_snapshot_site sites[] = {{.file = "a.c", .line = 1, .label = ""}};

	cr_assert_not_null(maps);
	while (fgets(line, sizeof line, maps) && !name)
		if (strstr(line, "r-xp") && strchr(line, '/') &&
			sscanf(line, "%lx-%lx r-xp %lx", &start, &limit, &offset) == 3)
			name = strrchr(line, '/') + 1;
	fclose(maps);
	cr_assert_not_null(name);
	name[strcspn(name, "\n")] = '\0';
	{
		/* The last byte of the mapping is filling. */
		const uintptr_t frames[] = {limit - 1};
		struct tp_snapshot_stack stacks[] = {STACK(0, frames, .gets = 1, .bytes = 64)};

		snprintf(expected, sizeof expected, "%s+0x%lx;a.c:1 64\n", name,
			limit - 1 - start + offset);
		cr_assert_str_eq(written(&SNAPSHOT(sites, stacks)), expected);
	}
}

Test(profile_folded, errors_are_reported)
{
	const uintptr_t frames[] = {INSIDE(borrow_here), INSIDE(serve)};
	struct tp_snapshot_site sites[] = {{.file = "a.c", .line = 1, .label = ""}};
	struct tp_snapshot_stack stacks[] = {STACK(0, frames, .gets = 1, .bytes = 64)};

	profile_reports_errors(tp_profile_write_folded, &SNAPSHOT(sites, stacks));
}
