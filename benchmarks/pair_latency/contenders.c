/* SPDX-License-Identifier: MIT */
/*
 * The measured loops, the contenders, and how the allocators are found: contenders.h.
 *
 * A loop does a get, one store to the first bytes, and the put. The loops are alike but for the
 * calls, and do not ask whether a get succeeded. The store is volatile and the callees are in other
 * libraries, so the compiler can leave nothing out.
 */
#include "contenders.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/floor.h"
#include "support/measure.h"
#include "support/program.h"

MEASURED pairs_floor(const struct contender *c, size_t n, uint64_t count)
{
	(void)c;
	for (uint64_t i = 0; i < count; i++) {
		struct floor_buf *b = floor_get(n);

		touch(b->data, i);
		floor_put(b);
	}
}

MEASURED pairs_tierpool(const struct contender *c, size_t n, uint64_t count)
{
	tierpool *pool = c->pool;

	for (uint64_t i = 0; i < count; i++) {
		tierpool_buf *b = tierpool_get_sized(pool, n);

		touch(b->data, i);
		tierpool_put(b);
	}
}

MEASURED pairs_allocator(const struct contender *c, size_t n, uint64_t count)
{
	void *(*block_alloc)(size_t) = c->alloc;
	void (*block_free)(void *) = c->free;

	for (uint64_t i = 0; i < count; i++) {
		void *block = block_alloc(n);

		touch(block, i);
		block_free(block);
	}
}

#define ALLOCATOR(called, file, prefix)                                        \
	{                                                                      \
		.name = (called), .pairs = pairs_allocator, .library = (file), \
		.alloc_name = prefix "malloc", .free_name = prefix "free",     \
	}

struct contender contenders[CONTENDERS] = {
	[FLOOR] = {.name = "floor", .pairs = pairs_floor},
	[TIERPOOL] = {.name = "tierpool", .pairs = pairs_tierpool},
	[GLIBC] = ALLOCATOR("glibc", "libc.so.6", ""),
	[JEMALLOC] = ALLOCATOR("jemalloc", "libjemalloc.so.2", ""),
	[MIMALLOC] = ALLOCATOR("mimalloc", "libmimalloc.so.2", "mi_"),
	[TCMALLOC] = ALLOCATOR("tcmalloc", "libtcmalloc_minimal.so.4", "tc_"),
};

/*
 * Loads one allocator for itself alone (RTLD_LOCAL): the process goes on with its own malloc. What
 * dlsym finds must belong to that library, not to one that it was linked with.
 */
static bool allocator_load(struct contender *c)
{
	void *library = dlopen(c->library, RTLD_NOW | RTLD_LOCAL);
	const char *error = library ? NULL : dlerror();
	void *entry[2];

	if (error) {
		if (strstr(error, "No such file"))
			error = "not installed";
		snprintf(c->absent, sizeof c->absent, "%s", error);
		return false;
	}
	entry[0] = dlsym(library, c->alloc_name);
	entry[1] = dlsym(library, c->free_name);
	/* A prefix: a file may be called by its full version. */
	for (int i = 0; i < 2; i++) {
		if (strncmp(library_of(entry[i]), c->library, strlen(c->library))) {
			snprintf(c->absent, sizeof c->absent, "its entry points are %s's",
				library_of(entry[i]));
			return false;
		}
	}
	c->alloc = (void *(*)(size_t))entry[0];
	c->free = (void (*)(void *))entry[1];
	return true;
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
void contenders_load(char **argv)
{
	setenv("TCMALLOC_SKIP_SBRK", "1", 1);
	for (int i = GLIBC; i < CONTENDERS; i++) {
		struct contender *c = &contenders[i];

		if (!allocator_load(c) && strstr(c->absent, "static TLS"))
			allocators_get_tls(argv);
	}
}
