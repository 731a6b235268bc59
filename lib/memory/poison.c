/* SPDX-License-Identifier: MIT */
#include "memory/poison.h"

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define RUNNING_ON_VALGRIND 0
#define VALGRIND_MAKE_MEM_NOACCESS(block, n) ((void)0)
#define VALGRIND_MAKE_MEM_UNDEFINED(block, n) ((void)0)
#define VALGRIND_MAKE_MEM_DEFINED(block, n) ((void)0)
#endif

/* Weak: a program that is built with -fsanitize=address has them. */
extern void __asan_poison_memory_region(const volatile void *block, size_t n) __attribute__((weak));
extern void __asan_unpoison_memory_region(const volatile void *block, size_t n)
	__attribute__((weak));

bool tp_poison_watched;

__attribute__((constructor)) void tp_poison_init(void)
{
	tp_poison_watched = __asan_poison_memory_region || RUNNING_ON_VALGRIND;
}

tp_cold void tp_poison_slow(const void *block, size_t n)
{
	if (__asan_poison_memory_region)
		__asan_poison_memory_region(block, n);
	VALGRIND_MAKE_MEM_NOACCESS(block, n);
}

tp_cold void tp_unpoison_slow(const void *block, size_t n)
{
	if (__asan_unpoison_memory_region)
		__asan_unpoison_memory_region(block, n);
	VALGRIND_MAKE_MEM_UNDEFINED(block, n);
}

void tp_unpoison_filled(const void *block, size_t n)
{
	tp_unpoison(block, n);
	VALGRIND_MAKE_MEM_DEFINED(block, n);
}
