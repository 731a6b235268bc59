/* SPDX-License-Identifier: MIT */
#include "allocations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct failing allocation_fails;

static bool fails(void)
{
	if (!allocation_fails.at || --allocation_fails.at)
		return false;
	allocation_fails.at = allocation_fails.forever;
	errno = ENOMEM;
	return true;
}

/* The names that the linker gives to calls (--wrap), and to what they would call. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__real_realloc(void *block, size_t n);
void *__wrap_realloc(void *block, size_t n);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
	return fails() ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *block, size_t n)
{
	return fails() ? NULL : __real_realloc(block, n);
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
