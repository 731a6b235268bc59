/* SPDX-License-Identifier: MIT */
/*
 * What a block costs: never less than the process really spends on it, or the bound on idle bytes
 * would not be one.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpus.h"
#include "memory/backing.h"

extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
	__attribute__((weak));
extern int __asan_address_is_poisoned(const volatile void *address) __attribute__((weak));

static struct tp_backing backing;

static void use(const char *name)
{
	setenv("TIERPOOL_BACKING", name, 1);
	cr_assert_eq(tp_backing_init(&backing, NULL, 10000), 0);
	cr_assert_str_eq(backing.name, name);
}

/* ---- three meters ---- */

static size_t heap_bytes(void)
{
	return (size_t)(uintptr_t)sbrk(0);
}

static size_t mapped_bytes(void)
{
	/* By hand: stdio takes memory of its own. */
	char text[128] = "";
	int statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

	cr_assert_geq(statm, 0);
	cr_assert_gt(read(statm, text, sizeof text - 1), 0);
	close(statm);
	return strtoull(text, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

static size_t jemalloc_bytes(void)
{
	uint64_t epoch = 1;
	size_t active = 0, size = sizeof active;

	mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
	cr_assert_eq(mallctl("stats.active", &active, &size, NULL, 0), 0);
	return active;
}

static void *blocks[20000];

/*
 * Takes count blocks of n bytes, and checks what the meter says of them against their cost: not
 * more, but for slack; and that the cost is not far above it, which would waste the bound.
 */
static void check_cost(size_t n, size_t count, size_t (*meter)(void), size_t slack)
{
	size_t cost = backing.cost(n), before = meter(), spent;

	for (size_t i = 0; i < count; i++)
		blocks[i] = tp_backing_alloc(&backing, n);
	spent = meter() - before;
	cr_expect_leq(spent, count * cost + slack, "%zu bytes: %zu each, cost says %zu", n,
		spent / count, cost);
	cr_expect_geq(spent + slack + count * (cost / 4), count * cost,
		"%zu bytes: only %zu each, cost says %zu", n, spent / count, cost);
}

static void blocks_free(size_t n, size_t count)
{
	for (size_t i = 0; i < count; i++)
		tp_backing_free(&backing, blocks[i], n);
}

/* In a child, whose heap has no holes of earlier sizes that new blocks could fill. */
static void check_heap_cost(size_t n)
{
	int status;
	pid_t child = fork();

	if (!child) {
		size_t count = n < 4096 ? 4000 : 1000, before, spent;

		tp_backing_alloc(&backing, n);
		before = heap_bytes();
		for (size_t i = 0; i < count; i++)
			tp_backing_alloc(&backing, n);
		spent = heap_bytes() - before;
		/* The heap grows by 132 KiB at a time: so much may be there and not be used. */
		_exit(spent <= count * backing.cost(n) + (132 << 10) ? 0 : 1);
	}
	waitpid(child, &status, 0);
	cr_expect_eq(status, 0, "%zu bytes cost more than %zu", n, backing.cost(n));
}

Test(backing_cost, libc_heap_blocks_take_no_more_than_they_cost)
{
	if (mallctl)
		skip("jemalloc is this program's malloc");
	if (__asan_address_is_poisoned)
		skip("AddressSanitizer is this program's malloc");
	use("libc");
	for (size_t n = 1; n < 64 << 10; n = n < 300 ? n + 7 : n + n / 6)
		check_heap_cost(n);
	for (size_t n = 64; n < 64 << 10; n *= 2) {
		check_heap_cost(n - 1);
		check_heap_cost(n);
		check_heap_cost(n + 1);
	}
	check_heap_cost((64 << 10) - 1);
}

Test(backing_cost, libc_mapped_blocks_take_what_they_cost_and_give_all_of_it_back)
{
	static const size_t sizes[] = {64 << 10, (64 << 10) + 1, (64 << 10) + 64, (64 << 10) + 65,
		65536 + 4032, 65536 + 4096, 100000, 1 << 20, (1 << 20) + 1, 4 << 20};
	enum { COUNT = 128 };

	if (under_valgrind())
		skip("Valgrind has mappings of its own");
	use("libc");
	mapped_bytes();
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		size_t before = mapped_bytes();

		check_cost(sizes[i], COUNT, mapped_bytes, 0);
		blocks_free(sizes[i], COUNT);
		cr_expect_eq(mapped_bytes(), before, "%zu bytes were not all given back", sizes[i]);
	}
}

static void check_jemalloc_cost(size_t n)
{
	size_t count = n < 4096 ? 20000 : 400;

	/* The last slab of each size, and what a thread cache holds, may be there and not used. */
	check_cost(n, count, jemalloc_bytes, count * n / 40 + (64 << 10));
	blocks_free(n, count);
}

Test(backing_cost, jemalloc_blocks_take_no_more_than_they_cost)
{
	/* About its last small size and its first large one, and where our arenas begin. */
	static const size_t edges[] = {64, 1024, 4096, 8192, 12288, 14336, 14337, 15000, 16383,
		16384, 16385, 20480, 28672, 28673, 32768, 65536, 1 << 20, (1 << 20) + 1};

	if (!mallctl)
		skip("this program is not linked with jemalloc");
	use("jemalloc");
	for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
		check_jemalloc_cost(edges[i]);
	for (size_t n = 1; n < 1 << 20; n = n + 1 + n / 5)
		check_jemalloc_cost(n);
}
