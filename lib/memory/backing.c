/* SPDX-License-Identifier: MIT */
#include "memory/backing.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/debug.h"
#include "base/options.h"
#include "memory/poison.h"

static const struct tp_backing *backing_default;

static void backing_default_choose(void)
{
	const char *wish = secure_getenv("TIERPOOL_BACKING");
	bool present = tp_backing_jemalloc_present();
	bool use_jemalloc;

	tp_poison_init();
	tp_debug_init();
	use_jemalloc = present && !tp_poison_watched;

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
	backing_default =
		use_jemalloc && !tp_debug.unpooled ? &tp_backing_jemalloc : &tp_backing_libc;
}

int tp_backing_init(struct tp_backing *backing, const struct tierpool_backing *custom)
{
	static pthread_once_t chosen = PTHREAD_ONCE_INIT;

	if (custom) {
		*backing = (struct tp_backing){.name = "custom"};
		int error = tp_options_copy(&backing->call, sizeof backing->call, custom);

		return error ? error : backing->call.alloc && backing->call.free ? 0 : -EINVAL;
	}
	pthread_once(&chosen, backing_default_choose);
	*backing = *backing_default;
	if (backing_default == &tp_backing_jemalloc)
		tp_backing_jemalloc_start();
	/* So that Valgrind and ASan see each block by itself, with nothing of ours beside it. */
	if (tp_poison_watched || tp_debug.unpooled)
		backing->runs = NULL;
	return 0;
}

void *tp_backing_alloc_aligned(const struct tp_backing *backing, size_t n, size_t alignment)
{
	/* No C object is larger, and below it the backing's own sums do not overflow. */
	void *block =
		n > PTRDIFF_MAX ? NULL : backing->call.alloc(backing->call.context, n, alignment);

	if ((uintptr_t)block % alignment) {
		/* A custom backing that does not align: no block is better than a wrong one. */
		tp_backing_free(backing, block, n);
		return NULL;
	}
	return block;
}

void *tp_backing_alloc(const struct tp_backing *backing, size_t n)
{
	return tp_backing_alloc_aligned(backing, n, TP_LINE);
}

void tp_backing_free(const struct tp_backing *backing, void *block, size_t n)
{
	backing->call.free(backing->call.context, block, n);
}
