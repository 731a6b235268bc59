/* SPDX-License-Identifier: MIT */
/*
 * tierpool::ostream: what it writes is what a std::ostringstream does, byte for byte.
 */
#include <iomanip>
#include <iterator>
#include <locale>
#include <random>
#include <sstream>
#include <string>

#include "checks.hpp"

using buffer = tierpool::buffer;

struct grouped : std::numpunct<char> {
	char do_thousands_sep() const override
	{
		return '\'';
	}
	std::string do_grouping() const override
	{
		return "\3";
	}
};

static const std::string text(100000, '-');

/* Things that a program does to a stream: the same for the same n; small is from 0 to 31. */
static void (*const things[])(std::ostream &out, std::uint64_t n, int small, double real) = {
	[](auto &out, auto n, int small, double) {
		out << std::setw(small) << std::setfill('*') << n;
	},
	[](auto &out, auto n, int, double) { out << std::hex << std::showbase << n << std::dec; },
	[](auto &out, auto n, int, double) { out << std::oct << std::noshowbase << n << std::dec; },
	[](auto &out, auto, int small, double real) { out << std::setprecision(small) << real; },
	[](auto &out, auto, int, double real) {
		out << std::fixed << real << std::scientific << real;
	},
	[](auto &out, auto, int, double real) {
		out << std::hexfloat << real << std::defaultfloat;
	},
	[](auto &out, auto, int small, double) { out << std::left << std::setw(small) << "left"; },
	[](auto &out, auto, int small, double) {
		out << std::internal << std::setw(small) << small;
	},
	[](auto &out, auto, int small, double) { out << std::right << std::showpos << small; },
	[](auto &out, auto n, int, double) {
		out << std::noshowpos << std::boolalpha << !(n >> 63);
	},
	[](auto &out, auto n, int, double) { out << std::noboolalpha << !(n >> 63) << ' '; },
	[](auto &out, auto, int, double) { out << std::quoted("a \"quoted\" text"); },
	[](auto &out, auto n, int small, double) {
		for (int i = 0; i < small * 50; i++)
			out.put(static_cast<char>(n + static_cast<unsigned>(i)));
	},
	[](auto &out, auto, int small, double) { out.write(text.data(), small * small * small); },
	[](auto &out, auto, int, double) { out << std::endl
					       << std::ends << std::flush; },
	[](auto &out, auto n, int, double) { out << std::uppercase << std::hex << n << std::dec; },
	[](auto &out, auto n, int, double) { out << text.substr(0, n >> 40 & 255); },
	[](auto &out, auto, int, double) { out << static_cast<const void *>(&text) << nullptr; },
	[](auto &out, auto, int, double) { out.imbue(std::locale(out.getloc(), new grouped)); },
	[](auto &out, auto, int, double) { out.imbue(std::locale::classic()); },
	[](auto &out, auto, int, double real) {
		out << std::showpoint << static_cast<float>(real);
	},
	[](auto &out, auto, int small, double) { out << std::unitbuf << small << std::nounitbuf; },
	[](auto &out, auto, int, double) {
		out << std::istringstream(text.substr(0, 3000)).rdbuf();
	},
	[](auto &out, auto, int, double) { out << "" << std::nouppercase << std::noshowpoint; },
	[](auto &out, auto n, int, double) { out << '\xff' << -static_cast<long long>(n >> 1); },
};

static void print_something(std::ostream &out, std::uint64_t n)
{
	things[n % std::size(things)](out, n, static_cast<int>(n >> 32 & 31),
		static_cast<double>(static_cast<std::int64_t>(n)) / 1e9);
}

static void a_stream_writes_what_an_ostringstream_does(bool secret)
{
	test_pool pool;
	std::mt19937_64 random(secret);

	for (int round = 0; round < 40; round++) {
		buffer b(pool, random() % 3000);
		if (secret)
			tierpool_buf_secret(b.get());
		b.append("before ");
		std::ostringstream expected("before ", std::ios::ate);
		tierpool::ostream out(b);
		CHECK(out.tellp() == 7);
		for (auto left = random() % 300; left > 0; left--) {
			auto n = random();
			print_something(out, n);
			print_something(expected, n);
			CHECK(out.good() && out.tellp() == expected.tellp());
			if (n >> 58 == 0) {
				out.flush();
				CHECK(b == std::string_view(expected.str()));
			}
			if (n >> 58 ==
				1) { /* the owner's own, between a flush and the next write */
				out.flush();
				std::string own(n >> 48 & 4095, '+');
				b.append(own), expected << own;
			}
			if (n >> 58 == 2) { /* its own content, which moves */
				out.flush();
				auto whole = expected.str().substr(0, 5000);
				out.write(b.data(), static_cast<std::streamsize>(whole.size()));
				expected << whole;
			}
			if (n >> 58 == 3) {
				buffer elsewhere(std::move(b));
				out << "moved", expected << "moved";
				b = std::move(elsewhere);
			}
		}
		out.flush();
		CHECK(b == std::string_view(expected.str()));
	}
}

static void what_was_written_is_there_at_the_end_of_the_stream()
{
	test_pool pool;
	buffer b(pool);

	tierpool::ostream(b) << "one " << 2;
	tierpool::ostream(b.get()) << " three" << std::flush << '!';
	CHECK(b.view() == "one 2 three!");
	tierpool::ostream out(b);
	out << "gone" << std::flush;
	b.clear();
	CHECK(out.tellp() == 0);
	out << "begins again";
	CHECK(out.seekp(0, std::ios::end) && out.tellp() == 12);
	CHECK(!out.seekp(0, std::ios::beg) && out.tellp() == -1);
	out.clear();
	CHECK(!out.seekp(-1, std::ios::cur));
	out.clear();
	out << '!' << std::flush;
	CHECK(b.view() == "begins again!");
}

static void a_stream_that_fails_is_bad()
{
	test_pool pool(true);
	std::string large(1 << 20, 'x');
	buffer none, b(pool);
	tierpool::ostream nowhere(none);

	CHECK(nowhere.bad());
	nowhere.clear();
	CHECK(nowhere.tellp() == -1);
	CHECK(!(nowhere << 1) && nowhere.bad());
	tierpool::ostream out(b);
	out << "whole";
	memory_left = 0;
	CHECK(!(out << large) && out.bad() && b.view() == "whole" && b.error() == -ENOMEM);
	memory_left = SIZE_MAX;
	out.clear();
	CHECK(!(out << 1) && out.bad()); /* the error sticks */
	out.clear();
	CHECK(!out.flush() && tierpool::ostream(b).bad());
	b.clear();
	out.clear();
	CHECK(out << large << std::flush && b == std::string_view(large));
	memory_left = 0;
	out.exceptions(std::ios::badbit);
	bool thrown = false;
	try {
		for (;;)
			out << 'c';
	} catch (const std::ios_base::failure &) {
		thrown = true;
	}
	CHECK(thrown && b.size() == b.capacity() && b.view().substr(0, large.size()) == large);
}

void streams()
{
	a_stream_writes_what_an_ostringstream_does(false);
	a_stream_writes_what_an_ostringstream_does(true);
	what_was_written_is_there_at_the_end_of_the_stream();
	a_stream_that_fails_is_bad();
}
