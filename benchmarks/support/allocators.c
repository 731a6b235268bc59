/* SPDX-License-Identifier: MIT */
/*
 * How the allocators are found: allocators.h.
 */
#include "support/allocators.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/program.h"

struct allocator allocators[ALLOCATORS] = {
	{.name = "glibc", .library = "libc.so.6", .prefix = ""},
	{.name = "jemalloc", .library = "libjemalloc.so.2", .prefix = ""},
	{.name = "mimalloc", .library = "libmimalloc.so.2", .prefix = "mi_"},
	{.name = "tcmalloc", .library = "libtcmalloc_minimal.so.4", .prefix = "tc_"},
};

/* What dlsym finds must belong to that library, not to one that it was linked with. */
static void *allocator_entry(struct allocator *a, void *library, const char *function)
{
	char name[32];
	void *entry;

	snprintf(name, sizeof name, "%s%s", a->prefix, function);
	entry = dlsym(library, name);
	/* A prefix: a file may be called by its full version. */
	if (strncmp(library_of(entry), a->library, strlen(a->library)))
		snprintf(a->absent, sizeof a->absent, "its %s is %s's", name, library_of(entry));
	return entry;
}

/* Loads one allocator for itself alone (RTLD_LOCAL). */
static bool allocator_load(struct allocator *a)
{
	void *library = dlopen(a->library, RTLD_NOW | RTLD_LOCAL);
	const char *error = library ? NULL : dlerror();

	if (error) {
		if (strstr(error, "No such file"))
			error = "not installed";
		snprintf(a->absent, sizeof a->absent, "%s", error);
		return false;
	}
	a->alloc = (void *(*)(size_t))allocator_entry(a, library, "malloc");
	a->realloc = (void *(*)(void *, size_t))allocator_entry(a, library, "realloc");
	a->align = (int (*)(void **, size_t, size_t))allocator_entry(a, library, "posix_memalign");
	a->free = (void (*)(void *))allocator_entry(a, library, "free");
	return !*a->absent;
}

/*
 * The allocators want static TLS. glibc keeps less of it for libraries that are loaded later than
 * the 2.6 KiB of jemalloc. How much it keeps is decided when a process starts, so this starts the
 * program again, once. It returns if that was done already, or if it cannot.
 */
static void allocators_get_tls(char **argv)
{
	const char *tunables = getenv("GLIBC_TUNABLES");
	const char *more = "glibc.rtld.optional_static_tls=16384";
	char value[1024];

	if (tunables && strstr(tunables, "optional_static_tls"))
		return;
	snprintf(
		value, sizeof value, "%s%s%s", tunables ? tunables : "", tunables ? ":" : "", more);
	if (!setenv("GLIBC_TUNABLES", value, 1))
		execv("/proc/self/exe", argv);
}

/*
 * tcmalloc takes memory by sbrk unless it is set otherwise. In libc's own heap that leaves a hole,
 * and each malloc above 1 KiB would search it: 30 ns in place of 16.
 */
void allocators_load(char **argv)
{
	setenv("TCMALLOC_SKIP_SBRK", "1", 1);
	for (int i = 0; i < ALLOCATORS; i++) {
		if (!allocator_load(&allocators[i]) && strstr(allocators[i].absent, "static TLS"))
			allocators_get_tls(argv);
	}
}

void allocators_print(void)
{
	printf("The process's own malloc is %s's.\n", library_of(dlsym(RTLD_DEFAULT, "malloc")));
	for (int i = 0; i < ALLOCATORS; i++) {
		if (*allocators[i].absent)
			printf("%s: %s\n", allocators[i].name, allocators[i].absent);
	}
}

int allocators_best(const double *values)
{
	int best = -1;

	for (int i = 0; i < ALLOCATORS; i++) {
		if (!*allocators[i].absent && (best < 0 || values[i] < values[best]))
			best = i;
	}
	return best;
}
