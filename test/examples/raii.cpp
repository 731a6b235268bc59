/* SPDX-License-Identifier: MIT */
/*
 * C++: a borrowed buffer that goes back by itself, under a template renderer.
 *
 * A value may hold names of other values, so rendering nests, and each level borrows a buffer. A
 * wrong template throws in the middle of this, and every buffer is still put back.
 */
#include <cinttypes>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <vector>

#include <tierpool.h>
#include <tierpool/tierpool.hpp>

using values = std::map<std::string_view, std::string_view>;

static void check(int error, const char *what)
{
	if (error)
		throw std::system_error(-error, std::generic_category(), what);
}

/* The text with values in place of {names}, which may nest to this depth. */
static tierpool::buffer render(
	tierpool *pool, std::string_view text, const values &known, int depth = 8)
{
	tierpool::buffer out{TIERPOOL_GET(pool)};
	for (;;) {
		size_t open = text.find('{');
		out.append(text.substr(0, open));
		if (open == text.npos) {
			check(out.error(), "append");
			return out;
		}
		size_t close = text.find('}', open);
		if (close == text.npos)
			throw std::invalid_argument("a { without a }");
		auto value = known.find(text.substr(open + 1, close - open - 1));
		if (value == known.end())
			throw std::invalid_argument("an unknown name");
		if (depth == 0)
			throw std::invalid_argument("names within names without an end");
		out.append(render(pool, value->second, known, depth - 1));
		text.remove_prefix(close + 1);
	}
}

/* Whether render refuses the text. */
static bool refused(tierpool *pool, std::string_view text, const values &known)
{
	try {
		render(pool, text, known);
	} catch (const std::invalid_argument &refusal) {
		std::printf("refused: %s\n", refusal.what());
		return true;
	}
	return false;
}

static tierpool_stats stats_of(tierpool *pool)
{
	tierpool_stats s{};
	s.size = sizeof s;
	check(tierpool_stats_read(pool, &s), "statistics");
	return s;
}

static bool write_letters(tierpool *pool)
{
	values known = {{"greeting", "Dear {title} {name}"}, {"title", "Dr"}, {"loop", "-{loop}"}};
	std::vector<tierpool::buffer> letters;
	for (const char *name : {"Faust", "Jekyll", "Moreau"}) {
		known["name"] = name;
		letters.push_back(
			render(pool, "{greeting},\nyour order, {title} {name}.\n", known));
	}
	bool good = letters[1].view() == "Dear Dr Jekyll,\nyour order, Dr Jekyll.\n";
	good = refused(pool, "{greeting}, {nobody}", known) && good;
	good = refused(pool, "{greeting}, {name", known) && good;
	good = refused(pool, "{greeting}, {loop}", known) && good;
	return good && stats_of(pool).borrowed == letters.size();
}

int main()
{
	tierpool *pool;
	bool good = false;
	int error = tierpool_create(&pool, nullptr);
	try {
		check(error, "tierpool_create");
		good = write_letters(pool);
		tierpool_stats s = stats_of(pool);
		std::printf("%" PRIu64 " borrowed, %" PRIu64 " allocated, %zu bytes kept of %zu\n",
			s.gets, s.allocs, s.idle_bytes, s.retain);
		good = good && s.borrowed == 0 && s.gets == s.puts && s.idle_bytes <= s.retain &&
		       s.allocs - s.frees == s.idle;
		if (!good)
			std::fprintf(stderr, "raii: a letter is wrong or a buffer is missing\n");
	} catch (const std::exception &e) {
		std::fprintf(stderr, "raii: %s\n", e.what());
	}
	return tierpool_destroy(pool) == 0 && good ? 0 : 1;
}
