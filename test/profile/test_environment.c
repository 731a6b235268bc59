/* SPDX-License-Identifier: MIT */
/*
 * TIERPOOL_PROFILE: the file that is written when a process exits: its name and format, what happens
 * if it cannot be written, and that nothing is lost of what was there before. SHARED_LIBRARY is the path of
 * the library, to be loaded as a plugin.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/atomic.h"
#include "profiled_program.h"

TestSuite(environment, .init = folder_new, .fini = folder_end, .timeout = 100);

static tierpool_site here = TIERPOOL_SITE_INIT("borrowed here");

/* So that symbols of it can be found. */
__attribute__((noinline)) static void a_function_that_borrows(tierpool *pool)
{
	borrow_and_put(pool, &here);
	__asm__ volatile("" ::: "memory");
}

static void uses_a_pool(void)
{
	tierpool *pool = MAKE(.name = "pool of it");

	for (unsigned i = 0; i < 1000; i++)
		a_function_that_borrows(pool);
	NEED(!tierpool_destroy(pool));
}

static void assert_begins(const char *name, const char *with)
{
	const char *text = file_text(name);

	cr_assert_not_null(text, "there is no %s", name);
	cr_assert(!strncmp(text, with, strlen(with)), "%s begins with %.20s", name, text);
}

/* ---- name and format ---- */

static void assert_written(const char *variable, const char *name, const char *begins)
{
	program_run_in(uses_a_pool, variable);
	cr_assert_str_eq(program_said, "");
	assert_begins(name, begins);
	cr_assert_eq(files(), 1, "%s alone", name);
	cr_assert_eq(unlink(name), 0);
}

Test(environment, has_each_format_written)
{
	assert_written("TIERPOOL_PROFILE=out", "out", "tierpool ");
	assert_written("TIERPOOL_PROFILE=out:text", "out", "tierpool ");
	assert_written("TIERPOOL_PROFILE=out:pprof", "out", "heap profile:");
	assert_written("TIERPOOL_PROFILE=out:json", "out", "{");
	assert_written("TIERPOOL_PROFILE=out:proto", "out", "\x1f\x8b");
	assert_written("TIERPOOL_PROFILE=out:folded", "out", "");
}

Test(environment, takes_what_is_no_format_for_a_part_of_the_name)
{
	assert_written("TIERPOOL_PROFILE=out:html", "out:html", "tierpool ");
	assert_written("TIERPOOL_PROFILE=out:", "out:", "tierpool ");
	assert_written("TIERPOOL_PROFILE=out:json:text", "out:json", "tierpool ");
	assert_written("TIERPOOL_PROFILE=json", "json", "tierpool ");
	assert_written("TIERPOOL_PROFILE=out:JSON", "out:JSON", "tierpool ");
}

Test(environment, names_sites_pools_and_functions)
{
	const char *text;

	program_run_in(uses_a_pool, "TIERPOOL_PROFILE=out");
	text = file_text("out");
	cr_assert(strstr(text, "borrowed here of pool of it"), "%s", text);
	program_run_in(uses_a_pool, "TIERPOOL_PROFILE=out:folded");
	text = file_text("out");
	cr_assert(strstr(text, "a_function_that_borrows"), "%s", text);
}

Test(environment, has_the_process_in_the_name)
{
	char name[64];

	program_run_in(uses_a_pool, "TIERPOOL_PROFILE=before%pbehind:json");
	snprintf(name, sizeof name, "before%ldbehind", (long)program_id);
	assert_begins(name, "{");
}

static void has_no_profile(void)
{
	FILE *nowhere = fopen("/dev/null", "w");

	uses_a_pool();
	NEED(nowhere && tierpool_profile_write(nowhere, TIERPOOL_PROFILE_TEXT) == -ENODATA);
	fclose(nowhere);
}

Test(environment, without_the_variable_there_is_no_profile)
{
	program_run_in(has_no_profile, "TIERPOOL_PROFILE");
	cr_assert_str_eq(program_said, "");
	program_run_in(has_no_profile, "TIERPOOL_PROFILE=");
	cr_assert_str_eq(program_said, "");
	cr_assert_eq(files(), 0);
}

static void uses_no_pool(void)
{
}

Test(environment, of_a_program_without_pools_there_is_none)
{
	program_run_in(uses_no_pool, "TIERPOOL_PROFILE=out");
	cr_assert_str_eq(program_said, "");
	cr_assert_eq(files(), 0);
}

static bool privileged; /* as a program with the set-user-ID bit is */

/* In place of the C library's. */
char *secure_getenv(const char *name)
{
	return privileged ? NULL : getenv(name);
}

Test(environment, is_not_read_by_a_program_with_another_user_s_rights)
{
	privileged = true;
	program_run_in(has_no_profile, "TIERPOOL_PROFILE=out", "TIERPOOL_PROFILE_SIGNAL=USR2",
		"TIERPOOL_DEBUG=leaks");
	cr_assert_str_eq(program_said, "");
	cr_assert_eq(files(), 0);
}

/* ---- what cannot be written ---- */

static void assert_not_written(const char *name, int error, const char *instead)
{
	char variable[2 * PATH_MAX], wanted[3 * PATH_MAX];

	snprintf(variable, sizeof variable, "TIERPOOL_PROFILE=%s", name);
	snprintf(wanted, sizeof wanted, "tierpool: %s: %s; %s\n", variable, strerror(error),
		instead);
	program_run_in(uses_a_pool, variable);
	cr_assert_str_eq(program_said, wanted);
	cr_assert_eq(files(), 0);
}

Test(environment, that_cannot_be_written_is_said_once_and_the_pool_works)
{
	char name[PATH_MAX + 2];

	assert_not_written("nowhere/out", ENOENT, "not written");
	assert_not_written(".", EISDIR, "not written");
	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	assert_not_written(name, ENAMETOOLONG, "no profile");
	strcpy(name + 300, "%p");
	assert_not_written(name, ENAMETOOLONG, "not written");
	name[250] = '\0'; /* there is no room for .part */
	assert_not_written(name, ENAMETOOLONG, "not written");
	assert_not_written(":json", ENOENT, "no profile");
}

Test(environment, leaves_the_last_file_if_the_next_one_cannot_be_written)
{
	program_run_in(uses_a_pool, "TIERPOOL_PROFILE=out");
	cr_assert_eq(symlink("/dev/full", "full"), 0);
	program_run_in(uses_a_pool, "TIERPOOL_PROFILE=full");
	cr_assert_str_eq(program_said,
		"tierpool: TIERPOOL_PROFILE=full: No space left on device; not written\n");
	assert_begins("out", "tierpool ");
	cr_assert_eq(files(), 2);
}

/* A new file in the place of a device would be there for all. */
Test(environment, writes_to_a_device_a_pipe_or_a_link_and_does_not_take_its_place)
{
	struct stat link;

	program_run_in(uses_a_pool, "TIERPOOL_PROFILE=/proc/self/fd/2");
	cr_assert(!strncmp(program_said, "tierpool ", 9), "%s", program_said);
	cr_assert_eq(symlink("file", "link"), 0);
	program_run_in(uses_a_pool, "TIERPOOL_PROFILE=link");
	cr_assert_str_eq(program_said, "");
	cr_assert_eq(lstat("link", &link), 0);
	cr_assert(S_ISLNK(link.st_mode));
	assert_begins("file", "tierpool ");
}

/* ---- how a program ends ---- */

static void exits_with_seven(void)
{
	uses_a_pool();
	exit(7);
}

static void exits_at_once(void)
{
	uses_a_pool();
	_exit(0);
}

Test(environment, leaves_the_exit_status_alone)
{
	int status = program_status(exits_with_seven, "TIERPOOL_PROFILE=out");

	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7, "%#x", (unsigned)status);
	assert_begins("out", "tierpool ");
	cr_assert_eq(unlink("out"), 0);
	status = program_status(exits_with_seven, "TIERPOOL_PROFILE=nowhere/out");
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7, "%#x", (unsigned)status);
	program_run_in(exits_at_once, "TIERPOOL_PROFILE=out");
	cr_assert_eq(files(), 0);
}

static void closes_stderr(void)
{
	uses_a_pool();
	close(STDERR_FILENO);
}

/* As a daemon does. */
static void closes_all_files(void)
{
	uses_a_pool();
	for (int file = 0; file < 256; file++)
		close(file);
}

static void closes_all_files_at_first(void)
{
	for (int file = 0; file < 256; file++)
		close(file);
	uses_a_pool();
}

Test(environment, writes_though_the_program_has_closed_its_files)
{
	static void (*const program[])(void) = {
		closes_stderr, closes_all_files, closes_all_files_at_first};

	for (size_t i = 0; i < 3; i++) {
		program_run_in(program[i], "TIERPOOL_PROFILE=out", "TIERPOOL_DEBUG=leaks");
		cr_assert_str_eq(program_said, "");
		assert_begins("out", "tierpool ");
		cr_assert_eq(unlink("out"), 0);
	}
}

#define THREADS 3

static tierpool *shared;
static uint64_t borrowed[THREADS];

static void *borrows_for_ever(void *count)
{
	for (;;) {
		tierpool_buf *b = tierpool_get_at(shared, 0, &here);

		NEED(b && !tierpool_buf_reserve(b, b->cap + 1));
		tierpool_put(b);
		tp_add_relaxed((uint64_t *)count, 1u);
	}
	return NULL;
}

static void ends_while_threads_borrow(void)
{
	pthread_t thread[THREADS];

	shared = MAKE(TIERS);
	for (unsigned i = 0; i < THREADS; i++)
		NEED(!pthread_create(&thread[i], NULL, borrows_for_ever, &borrowed[i]));
	for (unsigned i = 0; i < THREADS; i++)
		NEED_SOON(tp_load_relaxed(&borrowed[i]) > 1000);
}

Test(environment, is_written_while_other_threads_borrow)
{
	for (unsigned i = 0; i < 4; i++) {
		program_run_in(ends_while_threads_borrow,
			i % 2 ? "TIERPOOL_PROFILE=out" : "TIERPOOL_PROFILE=out:proto");
		cr_assert_str_eq(program_said, "");
		assert_begins("out", i % 2 ? "tierpool " : "\x1f\x8b");
		cr_assert_eq(files(), 1);
	}
}

/* ---- a plugin ---- */

static void uses_the_library_as_a_plugin(void)
{
	/* Apart from the one in this program. */
	void *plugin = dlopen(SHARED_LIBRARY, RTLD_NOW | RTLD_LOCAL);
	__typeof__(tierpool_create) *create;
	__typeof__(tierpool_get_at_site) *get;
	__typeof__(tierpool_put_buf) *put;
	tierpool *pool;

	if (!plugin) {
		fprintf(stderr, "%s\n", dlerror());
		_exit(1);
	}
	*(void **)&create = dlsym(plugin, "tierpool_create");
	*(void **)&get = dlsym(plugin, "tierpool_get_at_site");
	*(void **)&put = dlsym(plugin, "tierpool_put_buf");
	NEED(create && get && put);
	NEED(!create(&pool, &pool_options(.name = "plugin's")));
	put(get(pool, 1000, &here));
	dlclose(plugin);
}

Test(environment, is_written_for_a_plugin)
{
	program_run_in(uses_the_library_as_a_plugin, "TIERPOOL_PROFILE=out");
	cr_assert_str_eq(program_said, "");
	cr_assert_eq(occurrences(file_text("out"), "borrowed here of plugin's"), 1);
}

static void loads_a_plugin_that_borrows_in_its_constructor(void)
{
	alarm(20);
	NEED(dlopen(PLUGIN, RTLD_NOW | RTLD_LOCAL));
}

Test(environment, no_sample_waits_for_a_dlopen)
{
	program_run_in(loads_a_plugin_that_borrows_in_its_constructor, "TIERPOOL_PROFILE=out");
	cr_assert_str_eq(program_said, "");
}
