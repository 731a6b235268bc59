/* SPDX-License-Identifier: MIT */
#include "mappings.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "base/atomic.h"

struct failing map_fails, unmap_fails, remap_fails;
size_t mapped, refused;

static bool fails(struct failing *failing)
{
	if (!failing->at || --failing->at)
		return false;
	failing->at = failing->forever;
	errno = ENOMEM;
	return true;
}

/* The names that the linker gives to calls (--wrap), and to what they would call. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
void *__real_mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset);
int __real_munmap(void *address, size_t bytes);
void *__real_mremap(void *address, size_t before, size_t after, int flags, ...);
void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset);
int __wrap_munmap(void *address, size_t bytes);
void *__wrap_mremap(void *address, size_t before, size_t after, int flags, ...);

void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset)
{
	void *at = MAP_FAILED;

	if (fails(&map_fails))
		refused++;
	else
		at = __real_mmap(address, bytes, protection, flags, file, offset);
	if (at != MAP_FAILED)
		tp_add_relaxed(&mapped, bytes);
	return at;
}

int __wrap_munmap(void *address, size_t bytes)
{
	if (fails(&unmap_fails) || __real_munmap(address, bytes))
		return -1;
	tp_sub_relaxed(&mapped, bytes);
	return 0;
}

void *__wrap_mremap(void *address, size_t before, size_t after, int flags, ...)
{
	void *at, *target = NULL;
	va_list rest;

	if (flags & MREMAP_FIXED) {
		va_start(rest, flags);
		target = va_arg(rest, void *);
		va_end(rest);
	}
	if (fails(&remap_fails))
		return MAP_FAILED;
	at = __real_mremap(address, before, after, flags, target);
	/* At a target, the mapping that was there has ended. */
	if (at != MAP_FAILED)
		tp_add_relaxed(&mapped, target ? -before : after - before);
	return at;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
