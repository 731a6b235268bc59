/* SPDX-License-Identifier: MIT */
/*
 * A plugin whose constructor waits for a thread that makes the first pool and borrows: meanwhile the
 * dynamic linker holds a lock for the dlopen.
 */
#include <pthread.h>
#include <stdlib.h>

#include <tierpool.h>

static void *borrow(void *unused)
{
	tierpool *pool;

	if (tierpool_create(&pool, NULL))
		abort();
	for (unsigned i = 0; i < 1000; i++)
		tierpool_put(tierpool_get_sized(pool, 100));
	tierpool_destroy(pool);
	return unused;
}

__attribute__((constructor)) static void construct(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, borrow, NULL) || pthread_join(thread, NULL))
		abort();
}
