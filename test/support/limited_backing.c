/* SPDX-License-Identifier: MIT */
#include "limited_backing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void *limited_alloc(void *context, size_t n, size_t alignment)
{
	const struct limited_backing *from = context;
	char *block = NULL;

	errno = EDOM; /* a backing may do so; the caller of the library must not see it */
	if (n <= from->limit)
		block = aligned_alloc(alignment, (n + alignment - 1) / alignment * alignment);
	return block ? memset(block, 0, n) : NULL;
}

static void limited_free(void *context, void *block, size_t n)
{
	struct limited_backing *from = context;

	from->frees++;
	from->unwiped += memchr(block, 's', n) != NULL;
	memset(block, '#', n); /* a later reader does not find the content */
	__asm__ volatile(""
			 :
			 : "r"(block)
			 : "memory"); /* or the compiler drops it, before a free */
	free(block);
}

struct tierpool_backing limited_backing_calls(struct limited_backing *limited)
{
	return (struct tierpool_backing){
		sizeof(struct tierpool_backing), limited_alloc, limited_free, limited};
}
