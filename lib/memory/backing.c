/* SPDX-License-Identifier: MIT */
#include "memory/backing.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

#include "base/compiler.h"
#include "base/options.h"

size_t tp_backing_page = 4096;

__attribute__((constructor)) static void backing_page_start(void)
{
	long size = sysconf(_SC_PAGESIZE);

	if (size > 0)
		tp_backing_page = (size_t)size;
}

static size_t backing_custom_cost(size_t n)
{
	return n;
}

static const struct tp_backing *backing_default;

static void backing_default_choose(void)
{
	const char *wish = secure_getenv("TIERPOOL_BACKING");
	bool present = tp_backing_jemalloc_present();
	bool use_jemalloc = present && !RUNNING_ON_VALGRIND;

	if (wish && !*wish)
		wish = NULL;
	if (wish && !strcmp(wish, "libc"))
		use_jemalloc = false;
	else if (wish && strcmp(wish, "jemalloc"))
		fprintf(stderr, "tierpool: TIERPOOL_BACKING=%s: not jemalloc or libc; ignored\n",
			wish);
	else if (wish && !present)
		fprintf(stderr,
			"tierpool: TIERPOOL_BACKING=jemalloc: this process has none; libc\n");
	backing_default = use_jemalloc ? &tp_backing_jemalloc : &tp_backing_libc;
}

int tp_backing_init(
	struct tp_backing *backing, const struct tierpool_backing *custom, unsigned decay_ms)
{
	static pthread_once_t chosen = PTHREAD_ONCE_INIT;

	if (custom) {
		*backing = (struct tp_backing){{0}, "custom", backing_custom_cost, NULL};
		int error = tp_options_copy(&backing->call, sizeof backing->call, custom);

		return error ? error : backing->call.alloc && backing->call.free ? 0 : -EINVAL;
	}
	pthread_once(&chosen, backing_default_choose);
	*backing = *backing_default;
	if (backing_default == &tp_backing_jemalloc)
		tp_backing_jemalloc_decay_set(decay_ms);
	return 0;
}

void *tp_backing_alloc(const struct tp_backing *backing, size_t n)
{
	/* No C object is larger, and below it the backing's own sums do not overflow. */
	void *block =
		n > PTRDIFF_MAX ? NULL : backing->call.alloc(backing->call.context, n, TP_LINE);

	if ((uintptr_t)block % TP_LINE) {
		/* A custom backing that does not align: no block is better than a wrong one. */
		tp_backing_free(backing, block, n);
		return NULL;
	}
	return block;
}

void tp_backing_free(const struct tp_backing *backing, void *block, size_t n)
{
	backing->call.free(backing->call.context, block, n);
}

void tp_backing_give_back(const struct tp_backing *backing, bool all)
{
	if (backing->give_back)
		backing->give_back(all);
}
