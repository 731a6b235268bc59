/* SPDX-License-Identifier: MIT */
/*
 * What the tests of tierpool/tierpool.hpp share: a check that goes on, and a pool. They are one program, which
 * test/cplusplus.sh builds.
 */
#ifndef CHECKS_HPP
#define CHECKS_HPP

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include <tierpool.h>
#include <tierpool/tierpool.hpp>

inline int failures;

#define CHECK(what)                                                            \
	do {                                                                   \
		if (!(what)) {                                                 \
			std::printf("%s:%d: %s\n", __FILE__, __LINE__, #what); \
			failures++;                                            \
		}                                                              \
	} while (0)

/* The tests of each file. */
void buffers();
void streams();
void memory_resources();

/* What the backing of a limited pool gives at once, at most. */
inline std::size_t memory_left = SIZE_MAX;

inline void *limited_alloc(void *, std::size_t n, std::size_t alignment)
{
	void *block = nullptr;

	return n > memory_left || posix_memalign(&block, alignment, n) != 0 ? nullptr : block;
}

inline void limited_free(void *, void *block, std::size_t)
{
	std::free(block);
}

/* A pool that ends with its test; nothing must be borrowed then. */
struct test_pool {
	tierpool *pool = nullptr;

	explicit test_pool(bool limited = false)
	{
		tierpool_backing backing = {sizeof backing, limited_alloc, limited_free, nullptr};
		tierpool_options options = TIERPOOL_OPTIONS_INIT;

		options.backing = limited ? &backing : nullptr;
		CHECK(tierpool_create(&pool, &options) == 0);
	}
	test_pool(const test_pool &) = delete;
	test_pool &operator=(const test_pool &) = delete;
	~test_pool()
	{
		memory_left = SIZE_MAX;
		CHECK(tierpool_destroy(pool) == 0);
	}
	operator tierpool *() const
	{
		return pool;
	}
	std::size_t borrowed() const
	{
		tierpool_stats s{};

		s.size = sizeof s;
		CHECK(tierpool_stats_read(pool, &s) == 0);
		return s.borrowed;
	}
};

#endif
