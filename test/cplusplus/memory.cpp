/* SPDX-License-Identifier: MIT */
/*
 * tierpool::memory_resource, under the containers of std::pmr.
 */
#include <cstring>
#include <list>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "checks.hpp"

#ifdef __cpp_lib_memory_resource
/* Counts what comes through it. */
struct counting_resource : std::pmr::memory_resource {
	std::size_t allocations = 0;

	void *do_allocate(std::size_t n, std::size_t alignment) override
	{
		allocations++;
		return std::pmr::new_delete_resource()->allocate(n, alignment);
	}
	void do_deallocate(void *p, std::size_t n, std::size_t alignment) override
	{
		std::pmr::new_delete_resource()->deallocate(p, n, alignment);
	}
	bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
	{
		return this == &other;
	}
};

static void small_allocations_go_upstream()
{
	test_pool pool;
	counting_resource upstream;
	tierpool::memory_resource resource(pool, 512, &upstream);

	for (std::size_t n : {1u, 511u, 512u, 513u, 4096u, 100000u, 20000000u}) {
		for (std::size_t alignment = 1; alignment <= 4096; alignment *= 2) {
			bool pooled = n >= 512 && alignment <= 64;
			auto before = upstream.allocations;
			void *p = resource.allocate(n, alignment);
			CHECK(reinterpret_cast<std::uintptr_t>(p) % alignment == 0);
			CHECK(pool.borrowed() == pooled &&
				upstream.allocations - before == !pooled);
			CHECK(!pooled || tierpool_buf_of(p)->len == n); /* for the profile */
			std::memset(p, 'x', n);
			resource.deallocate(p, n, alignment);
			CHECK(pool.borrowed() == 0);
		}
	}
}

static void resources_are_equal_if_pool_threshold_and_upstream_are()
{
	test_pool pool, other;
	counting_resource upstream;
	tierpool::memory_resource a(pool), b(pool), c(other), d(pool, 100), e(pool, 512, &upstream);

	CHECK(a == b && a != c && a != d && a != e && a != *std::pmr::new_delete_resource());
	std::pmr::vector<char> in_a(10000, 'a', &a), in_b(&b), in_c(&c);
	const char *data = in_a.data();
	in_b = std::move(in_a);
	CHECK(in_b.data() == data);
	in_c = std::move(in_b);
	CHECK(in_c.data() != data && in_c.size() == 10000 && in_c[9999] == 'a');
}

static void fill_containers(std::pmr::memory_resource *resource, unsigned seed, bool *same)
{
	std::mt19937 random(seed);
	std::pmr::vector<std::pmr::string> strings(resource);
	std::pmr::unordered_map<int, std::pmr::string> map(resource);
	std::pmr::list<std::pmr::vector<int>> list(resource);
	std::vector<std::string> expected;

	for (int i = 0; i < 2000; i++) {
		std::string text(random() % 2000, static_cast<char>('a' + i % 26));
		expected.push_back(text);
		strings.emplace_back(text);
		map[i] = text;
		list.emplace_back(random() % 300, i);
		if (i % 3 == 0)
			list.pop_front();
	}
	*same = true;
	for (std::size_t i = 0; i < expected.size(); i++)
		*same = *same && strings[i] == expected[i].c_str() &&
			map[static_cast<int>(i)] == strings[i];
	for (auto &vector : list)
		for (int n : vector)
			*same = *same && n == vector.front();
}

static void containers_work_in_several_threads()
{
	test_pool pool;
	tierpool::memory_resource resource(pool);
	bool same[4] = {};
	std::vector<std::thread> threads;

	for (unsigned i = 0; i < 4; i++)
		threads.emplace_back(fill_containers, &resource, i, &same[i]);
	for (auto &thread : threads)
		thread.join();
	for (bool each : same)
		CHECK(each);
	/* Filled here, freed there. */
	std::pmr::vector<std::pmr::string> strings(
		100, std::pmr::string(5000, 'x', &resource), &resource);
	CHECK(pool.borrowed() == 101);
	std::thread([taken = std::move(strings)] {}).join();
	CHECK(pool.borrowed() == 0);
	std::pmr::unsynchronized_pool_resource nodes(&resource);
	bool good;
	fill_containers(&nodes, 5, &good);
	CHECK(good && pool.borrowed() > 0);
	nodes.release();
	CHECK(pool.borrowed() == 0);
}

static void no_memory_is_bad_alloc()
{
	test_pool pool(true);
	tierpool::memory_resource resource(pool), without(nullptr);
	std::pmr::vector<char> v(1000, 'v', &resource);
	volatile std::size_t endless = SIZE_MAX - 5; /* gcc warns of a constant */
	int thrown = 0;

	memory_left = 0;
	try {
		v.resize(1 << 20);
	} catch (const std::bad_alloc &) {
		thrown++;
	}
	try {
		v.assign(1000, *static_cast<char *>(without.allocate(1000)));
	} catch (const std::bad_alloc &) {
		thrown++;
	}
	memory_left = SIZE_MAX;
	try {
		v.assign(1000, *static_cast<char *>(resource.allocate(endless)));
	} catch (const std::bad_alloc &) {
		thrown++;
	}
	CHECK(thrown == 3 && v == std::pmr::vector<char>(1000, 'v'));
}

void memory_resources()
{
	small_allocations_go_upstream();
	resources_are_equal_if_pool_threshold_and_upstream_are();
	containers_work_in_several_threads();
	no_memory_is_bad_alloc();
}
#else
void memory_resources()
{
	std::printf("skip  std::pmr: this C++ library has none\n");
}
#endif
