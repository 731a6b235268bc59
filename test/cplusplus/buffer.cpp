/* SPDX-License-Identifier: MIT */
/*
 * tierpool::buffer, and std::format into it. Exits 0 if all of the program is as tierpool/tierpool.hpp says; else
 * each line is printed that is not.
 */
#include <cerrno>
#include <iterator>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "checks.hpp"

using buffer = tierpool::buffer;

static_assert(sizeof(buffer) == sizeof(void *));
static_assert(!std::is_copy_constructible_v<buffer> && !std::is_copy_assignable_v<buffer>);
static_assert(
	std::is_nothrow_move_constructible_v<buffer> && std::is_nothrow_move_assignable_v<buffer>);
static_assert(!std::is_convertible_v<tierpool_buf *, buffer> &&
	      !std::is_convertible_v<tierpool *, buffer>);
static_assert(std::is_convertible_v<const buffer &, std::string_view>);
static_assert(
	!std::is_copy_constructible_v<tierpool::ostream> && !std::is_destructible_v<tierpool>);
#if __cplusplus >= 202002L
static_assert(std::contiguous_iterator<decltype(std::declval<buffer &>().begin())>);
#endif

static void an_empty_buffer_fails_and_harms_nobody()
{
	buffer b;

	CHECK(!b && !b.get() && !b.data() && b.size() == 0 && b.capacity() == 0 &&
		b.view().empty());
	CHECK(b.begin() == b.end() && std::as_const(b).begin() == std::as_const(b).end());
	CHECK(b.append("x") == -ENOMEM && b.push_back('x') == -ENOMEM && b.error() == -ENOMEM);
	b.clear();
	errno = 0;
	CHECK(!buffer(static_cast<tierpool *>(nullptr)) && errno == EINVAL);
	CHECK(!b.release());
}

static void a_buffer_owns_what_it_was_given()
{
	test_pool pool;
	buffer a{TIERPOOL_GET(pool)}, sized(pool, 5000), plain(pool);
	tierpool_buf *raw = a.get();

	CHECK(a && sized.capacity() >= 5000 && plain && pool.borrowed() == 3);
	CHECK(a.append("one") == 0 && a.push_back('!') == 0 && a.view() == "one!" &&
		a.error() == 0);
	buffer moved(std::move(a));
	CHECK(moved.get() == raw && !a && pool.borrowed() == 3);
	sized = std::move(moved);
	CHECK(sized.get() == raw && !moved && pool.borrowed() == 2);
	buffer &itself = sized;
	sized = std::move(itself);
	CHECK(sized.get() == raw && sized.view() == "one!" && pool.borrowed() == 2);
	std::swap(sized, plain);
	CHECK(plain.get() == raw && sized && sized.size() == 0);
	std::swap(plain, plain);
	CHECK(plain.get() == raw);
	sized = {};
	CHECK(!sized && pool.borrowed() == 1);
	raw = plain.release();
	CHECK(!plain && pool.borrowed() == 1);
	plain = buffer(raw);
	std::vector<buffer> several;
	for (int i = 0; i < 100; i++)
		several.emplace_back(TIERPOOL_GET(pool)), several.back().append(std::to_string(i));
	several.erase(several.begin() + 3, several.begin() + 90);
	CHECK(several[3].view() == "90" && pool.borrowed() == 14);
}

static void the_content_is_a_range_of_char()
{
	test_pool pool;
	buffer b(pool);
	std::string expected;

	for (char c = 'a'; c <= 'z'; c++)
		*std::back_inserter(b) = c;
	for (char &c : b)
		c = static_cast<char>(c - 'a' + 'A');
	for (int i = 0; i < 10; i++)
		b.append(b); /* its own content, which moves */
	for (int i = 0; i < 1024; i++)
		expected += "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	CHECK(b == std::string_view(expected));
	CHECK(std::string(std::as_const(b).begin(), std::as_const(b).end()) == expected);
	b.get()->len = 3;
	CHECK(b.view() == "ABC");
	b.clear();
	CHECK(b && b.size() == 0);
}

static void errors_of_a_buffer_stick()
{
	test_pool pool(true);
	buffer b(pool);
	std::string large(1 << 20, 'x');

	b.append("whole");
	memory_left = 0;
	CHECK(!buffer(pool, 1 << 20) && b.append(large) == -ENOMEM && b.push_back('x') == -ENOMEM);
	memory_left = SIZE_MAX;
	CHECK(b.append("x") == -ENOMEM && b.error() == -ENOMEM && b.view() == "whole");
	b.clear();
	CHECK(b.append(large) == 0 && b == std::string_view(large));
}

static void each_place_learns_its_own_sizes()
{
	test_pool pool;
	std::string large(10000, 'x');
	std::size_t last = 0;

	for (int i = 0; i < 200; i++) {
		buffer b{TIERPOOL_GET(pool)}, elsewhere{TIERPOOL_GET_SIZED(pool, 0)};
		last = b.capacity();
		b.append(large);
	}
	CHECK(last >= large.size());
	CHECK(buffer(TIERPOOL_GET(pool)).capacity() < large.size());
}

/* ---- std::format ---- */

#ifdef __cpp_lib_format
struct thrower {
};

template <> struct std::formatter<thrower> {
	constexpr auto parse(std::format_parse_context &context)
	{
		return context.begin();
	}
	template <class Context>
	auto format(const thrower &, Context &) const -> typename Context::iterator
	{
		throw std::format_error("thrown");
	}
};

static void format_gives_what_std_format_does()
{
	test_pool pool(true);
	std::mt19937 random;
	std::string expected;
	buffer b(pool, 1), by_char(pool), none;

	for (int i = 0; i < 300; i++) {
		std::string text(random() % 200, 'x');
		double number = static_cast<double>(random()) / 1000;
		CHECK(tierpool::format_to(b, "{:>{}}|{}|{:#x}\n", text, i, number, i) == 0);
		expected += std::format("{:>{}}|{}|{:#x}\n", text, i, number, i);
		std::format_to(
			std::back_inserter(by_char), "{:>{}}|{}|{:#x}\n", text, i, number, i);
		CHECK(b == std::string_view(expected) && by_char == b.view());
	}
	std::string kept(1000, 'k');
	CHECK(tierpool::format_to(b, "{}", std::move(kept)) == 0 && kept.size() == 1000);
	b.clear();
	CHECK(tierpool::format_to(b, "") == 0 && b.size() == 0);
	CHECK(tierpool::format_to(none, "{}", 1) == -ENOMEM);
	bool thrown = false;
	try {
		tierpool::format_to(b, "some{}", thrower());
	} catch (const std::format_error &) {
		thrown = true;
	}
	CHECK(thrown && b.size() == 0 && b.error() == 0);
	tierpool::format_to(b, "whole");
	memory_left = 0;
	CHECK(tierpool::format_to(b, "{:>1000000}", 1) == -ENOMEM && b.view() == "whole");
	CHECK(tierpool::format_to(b, "{}", 1) == -ENOMEM && b.view() == "whole");
}
#else
static void format_gives_what_std_format_does()
{
	std::printf("skip  std::format: this C++ library has none\n");
}
#endif

void buffers()
{
	an_empty_buffer_fails_and_harms_nobody();
	a_buffer_owns_what_it_was_given();
	the_content_is_a_range_of_char();
	errors_of_a_buffer_stick();
	each_place_learns_its_own_sizes();
	format_gives_what_std_format_does();
}

int main()
{
	buffers();
	streams();
	memory_resources();
	return failures != 0;
}
