#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What a program finds after `make install`: the files; that each header and each example compiles
# against them through pkg-config and CMake, shared and static, with and without jemalloc, and runs; that
# inline functions are symbols too, and the compiler warns of lost results; that the library loads by
# dlopen and into Python, brings no malloc and exports nothing but its own; that the manual pages have no
# faults, and their examples run; that `make uninstall` leaves nothing behind.
#
# usage: test/installed.sh     from the top of the source; CC, CXX, CFLAGS, CXXFLAGS, LDFLAGS, MAKE
#
# A line a check: "ok  what", "FAIL  what" with what was said, or "skip  what: why". The last line is
# "N passed, M failed"; exits 1 when a check failed.
set -euo pipefail

read -ra make <<<"${MAKE:-make}"
read -ra cc <<<"${CC:-cc} ${CFLAGS:-} -Wall -Wextra -Wpedantic -Werror"
read -ra cxx <<<"${CXX:-c++} ${CXXFLAGS:-} -std=c++17 -Wall -Wextra -Wpedantic -Werror"
read -ra ldflags <<<"${LDFLAGS:-}"
unset TIERPOOL_BACKING # which one is found by itself is a question here

headers=(tierpool.h)
for header in version buffer pool cache profile stats chain callbacks; do
	headers+=("tierpool/$header.h")
done

temporary=$(mktemp -d "${TMPDIR:-/tmp}/tierpool-installed.XXXXXX")
trap 'rm -rf "$temporary"' EXIT
prefix=$temporary/prefix stage=$temporary/stage

. test/support/checks.sh

# flags ARGUMENT...: pkg-config as one calls it who has installed under the prefix.
flags() {
	PKG_CONFIG_PATH=$prefix/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH} pkg-config "$@"
}

# The same for a tree under DESTDIR. Its folders are the system's own, which pkg-config leaves out
# unless told otherwise.
staged_flags() {
	PKG_CONFIG_SYSROOT_DIR=$stage PKG_CONFIG_LIBDIR=$stage/usr/lib/pkgconfig \
		PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 pkg-config "$@"
}

# compile OUT SOURCE FLAG...: C or C++, by the name of the source.
compile() {
	local out=$1 source=$2
	shift 2
	if [[ $source == *.cpp ]]; then
		"${cxx[@]}" -o "$out" "$source" "$@" -pthread "${ldflags[@]}"
	else
		"${cc[@]}" -o "$out" "$source" "$@" -lz -pthread "${ldflags[@]}"
	fi
}

# run PROGRAM ARGUMENT...: with the library of the prefix.
run() {
	LD_LIBRARY_PATH=$prefix/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} timeout 120 "$@"
}

needs() {
	readelf -d "$1" | grep -q "NEEDED.*\[$2"
}

shared_works() { # SOURCE MODULE [FLAG...]
	local out=$temporary/program words
	read -ra words <<<"$(flags --cflags --libs "$2")" &&
		compile "$out" "$1" "${@:3}" "${words[@]}" && needs "$out" libtierpool.so.0 &&
		run "$out"
}

static_works() { # SOURCE MODULE [FLAG...]
	local out=$temporary/program libs words
	libs=$(flags --static --cflags --libs "$2") &&
		read -ra words <<<"${libs/-ltierpool/-Wl,-Bstatic -ltierpool -Wl,-Bdynamic}" &&
		compile "$out" "$1" "${@:3}" "${words[@]}" && ! needs "$out" libtierpool && "$out"
}

staged_works() { # SOURCE
	local out=$temporary/program words
	read -ra words <<<"$(staged_flags --cflags --libs tierpool)" &&
		compile "$out" "$1" "${words[@]}" &&
		LD_LIBRARY_PATH=$stage/usr/lib timeout 120 "$out"
}

stands_alone() { # HEADER LANGUAGE
	local words
	read -ra words <<<"$(flags --cflags tierpool)" || return
	if [[ $2 == C ]]; then
		"${cc[@]}" -std=c11 "${words[@]}" -fsyntax-only -x c - <<<"#include <$1>"
	else
		"${cxx[@]}" "${words[@]}" -fsyntax-only -x c++ - <<<"#include <$1>"
	fi
}

plugin_works() { # LIBRARY
	local out=$temporary/program words
	read -ra words <<<"$(flags --cflags tierpool)" &&
		compile "$out" "$temporary/plugin.c" "${words[@]}" -ldl &&
		! needs "$out" libtierpool && run "$out" "$1"
}

static_plugin_works() {
	"${cc[@]}" -shared -o "$temporary/plugin.so" -Wl,--whole-archive "$prefix/lib/libtierpool.a" \
		-Wl,--no-whole-archive -pthread "${ldflags[@]}" && plugin_works "$temporary/plugin.so"
}

# Two object files that call the inline functions, and take their addresses, in one program.
inlines_work() { # shared_works|static_works SUFFIX FLAG...
	local works=$1 suffix=$2
	shift 2
	cp "$temporary/inline.c" "$temporary/inline.$suffix" 2>/dev/null
	cp "$temporary/inline_other.c" "$temporary/inline_other.$suffix" 2>/dev/null
	"$works" "$temporary/inline.$suffix" tierpool "$temporary/inline_other.$suffix" "$@"
}

# lto_works HOW FLAG...: a program with the static library of LTO=yes. HOW: inlined, if its loop has the
# code of get and put itself; called, if it calls them.
lto_works() {
	local out=$temporary/program calls=called
	compile "$out" "$temporary/lto.c" -O2 "${@:2}" "-I$lto/include" "-L$lto/lib" -l:libtierpool.a &&
		! needs "$out" libtierpool && "$out" && objdump -d "$out" >"$temporary/code" || return
	sed -nE '/^[0-9a-f]+ <loop(\.cold)?>:/,/^$/p' "$temporary/code" >"$temporary/loop"
	grep -E '<tierpool_(get|put)' "$temporary/loop" || calls=inlined
	[[ -s $temporary/loop && $1 == "$calls" ]]
}

# The compiler warns in each line with LOST, and in no other.
is_warned_of() { # SOURCE
	local words
	read -ra words <<<"$(flags --cflags tierpool)" &&
		compile "$temporary/lost.s" "$1" -S "${words[@]}" -Wno-error 2>&1 |
		tee "$temporary/said" &&
		diff <(grep -n LOST "$1" | cut -d: -f1) \
			<(sed -n 's|^[^ ]*/lost\.[a-z]*:\([0-9]*\):[0-9]*: .*|\1|p' "$temporary/said" | sort -nu)
}

is_in_both() { # FILE
	[[ -s $prefix/$1 && -s $stage/usr/$1 ]]
}

exports_only_its_own() {
	local names
	names=$(nm -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }') &&
		grep -qx tierpool_create <<<"$names" && ! grep -v '^tierpool_' <<<"$names"
}

needs_only_libc() {
	local names
	names=$(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p') &&
		! grep -vE '^(libc|libpthread|ld-linux[a-z0-9_-]*|ld-musl-[a-z0-9_]*)\.so' <<<"$names"
}

# What the formatter says of the pages, if anything, goes to the log.
pages_are_clean() { # COMMAND...
	local page pages
	pages=$(grep -L '^\.so ' "$prefix"/share/man/man[37]/*.[37]) || return
	for page in $pages; do
		"$@" "$page" 2>"$temporary/said" >"$temporary/page" && cat "$temporary/said" &&
			[[ -s $temporary/page && ! -s $temporary/said ]] || return
	done
}

# What names another page names one that is there.
links_lead() {
	local link
	for link in $(grep -l '^\.so ' "$prefix"/share/man/man3/*); do
		[[ -s $prefix/share/man/$(sed 's/^\.so //' "$link") ]] || return
	done
}

# cmake_works FOLDER [VERSION]: a project that finds the package there, in this version or a newer one.
cmake_works() {
	rm -rf "$temporary/built" &&
		cmake -S "$temporary/project" -B "$temporary/built" -DCMAKE_PREFIX_PATH="$1" \
			-DCMAKE_C_COMPILER="${cc[0]}" -DCMAKE_C_FLAGS="${CFLAGS:-} ${LDFLAGS:-}" -DWANTED="${2:-}" &&
		cmake --build "$temporary/built" && needs "$temporary/built/shared" libtierpool.so.0 &&
		! needs "$temporary/built/static" libtierpool &&
		contains "$version" "$temporary/built/shared" && contains "$version" "$temporary/built/static"
}

cmake_refuses() { # VERSION
	! cmake_works "$prefix" "$1" && grep -q 'compatible with requested version' "$temporary/log"
}

soname_is() {
	readelf -d "$1" | grep -q "SONAME.*\[$2\]"
}

is_empty_of_files() {
	local left
	left=$(find "$1" ! -type d -o -name tierpool) && printf '%s\n' "$left" && [[ -z $left ]]
}

contains() { # TEXT COMMAND...
	local text=$1
	shift
	"$@" | tee "$temporary/said" && grep -qxF -- "$text" "$temporary/said"
}

lacks() { # TEXT COMMAND...
	local text=$1
	shift
	"$@" >"$temporary/said" && ! grep -F -- "$text" "$temporary/said"
}

cat >"$temporary/version.c" <<'END'
#include <stdio.h>

#include <tierpool.h>

int main(void)
{
	puts(tierpool_version());
	return 0;
}
END

mkdir "$temporary/project"
cat >"$temporary/project/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.13)
project(finds C)
find_package(tierpool ${WANTED} CONFIG REQUIRED)
add_executable(shared ../version.c)
target_link_libraries(shared tierpool::tierpool)
add_executable(static ../version.c)
target_link_libraries(static tierpool::static)
END

# Prints which backing the default takes; fails when the pool does not work.
cat >"$temporary/backing.c" <<'END'
#include <stdio.h>

#include <tierpool.h>

int main(void)
{
	struct tierpool_stats s = {.size = sizeof s};
	tierpool *pool;
	int error = tierpool_create(&pool, NULL);
	for (size_t n = 1; n < 4 << 20 && !error; n = n * 3 + 1) {
		tierpool_buf *b = tierpool_get_sized(pool, n);
		tierpool_buf_append_str(b, "tierpool");
		error = tierpool_buf_error(b);
		tierpool_put(b);
	}
	if (error || tierpool_stats_read(pool, &s) != 0)
		return 1;
	puts(s.backing);
	return tierpool_destroy(pool) != 0;
}
END

# Fails when malloc, with the library in use, is not the C library's.
cat >"$temporary/malloc.c" <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <tierpool.h>

int main(void)
{
	Dl_info in;
	tierpool_put(tierpool_get(tierpool_default()));
	if (!dladdr(dlsym(RTLD_DEFAULT, "malloc"), &in))
		return 1;
	const char *slash = strrchr(in.dli_fname, '/');
	const char *name = slash ? slash + 1 : in.dli_fname;
	puts(in.dli_fname);
	return strncmp(name, "libc.", 5) != 0 && strncmp(name, "ld-musl", 7) != 0;
}
END

# A plugin's life: load, use, close while a buffer is out, put it, load and use again.
cat >"$temporary/plugin.c" <<'END'
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <tierpool.h>

static tierpool_site site = TIERPOOL_SITE_INIT("plugin");
static int (*create)(tierpool **, const struct tierpool_options *);
static tierpool_buf *(*get_at)(tierpool *, size_t, tierpool_site *);
static int (*append)(tierpool_buf *, const void *, size_t);
static int (*append_byte)(tierpool_buf *, char);
static void (*put)(tierpool_buf *);
static size_t (*destroy)(tierpool *);

static void *load(const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return NULL;
	}
	*(void **)&create = dlsym(library, "tierpool_create");
	*(void **)&get_at = dlsym(library, "tierpool_get_at");
	*(void **)&append = dlsym(library, "tierpool_buf_append");
	*(void **)&append_byte = dlsym(library, "tierpool_buf_append_byte");
	*(void **)&put = dlsym(library, "tierpool_put");
	*(void **)&destroy = dlsym(library, "tierpool_destroy");
	return create && get_at && append && append_byte && put && destroy ? library : NULL;
}

static int use(tierpool *pool)
{
	for (size_t i = 0; i < 10000; i++) {
		tierpool_buf *b = get_at(pool, i % 7 * 1000, &site);
		if (!b || append(b, "inline", 6) != 0 || append_byte(b, '!') != 0 || b->len != 7)
			return -1;
		memset(b->data, 'x', b->cap);
		put(b);
	}
	return 0;
}

int main(int argc, char **argv)
{
	tierpool *first, *second;
	void *library = load(argv[argc - 1]);
	if (!library || create(&first, NULL) != 0 || use(first) != 0)
		return 1;
	tierpool_buf *held = get_at(first, 100, &site);
	if (!held || dlclose(library) != 0)
		return 2;
	put(held);
	if (use(first) != 0)
		return 3;
	library = load(argv[argc - 1]);
	if (!library || create(&second, NULL) != 0 || use(second) != 0 || use(first) != 0)
		return 4;
	if (destroy(first) != 0 || destroy(second) != 0)
		return 5;
	return dlclose(library);
}
END

# The inline functions, in C of any year and in C++; declared once more, as bindings do.
cat >"$temporary/inline.h" <<'END'
#include <string.h>

#include <tierpool.h>
#include <tierpool/chain.h>

typedef int append_function(tierpool_buf *, const void *, size_t);
typedef int append_byte_function(tierpool_buf *, char);
typedef tierpool_buf *get_at_function(tierpool *, size_t, tierpool_site *);
typedef int chain_append_function(tierpool_chain *, const void *, size_t);

#ifdef __cplusplus
extern "C" {
#endif
int tierpool_buf_append(tierpool_buf *b, const void *src, size_t n);
extern int tierpool_buf_append_byte(tierpool_buf *b, char c);
tierpool_buf *tierpool_get_at(tierpool *pool, size_t n, tierpool_site *site);
int tierpool_chain_append(tierpool_chain *c, const void *src, size_t n);
append_function *other_append(void);
append_byte_function *other_append_byte(void);
get_at_function *other_get_at(void);
chain_append_function *other_chain_append(void);
int other_appends(tierpool_buf *b);
#ifdef __cplusplus
}
#endif
END
cat >"$temporary/inline.c" <<'END'
#include "inline.h"

int main(void)
{
	tierpool_buf *b = TIERPOOL_GET(tierpool_default());
	tierpool_buf *without_site = tierpool_get_at(tierpool_default(), 100, NULL);
	tierpool_chain c;
	int i, works = b && without_site && tierpool_buf_append(b, "inline", 6) == 0 &&
		    tierpool_buf_append_byte(b, '!') == 0 && other_appends(b) == 0 &&
		    b->len == 14 && memcmp(b->data, "inline!symbol!", 14) == 0;
	int same = other_append() == tierpool_buf_append &&
		   other_append_byte() == tierpool_buf_append_byte &&
		   other_get_at() == tierpool_get_at &&
		   other_chain_append() == tierpool_chain_append;
	tierpool_chain_init(&c, tierpool_default(), 64);
	for (i = 0; i < 100; i++)
		works = works && tierpool_chain_append(&c, "inline!", 7) == 0;
	works = works && tierpool_chain_len(&c) == 700;
	tierpool_chain_reset(&c);
	tierpool_put(b);
	tierpool_put(without_site);
	return !works || !same;
}
END
cat >"$temporary/inline_other.c" <<'END'
#include "inline.h"

append_function *other_append(void)
{
	return tierpool_buf_append;
}

append_byte_function *other_append_byte(void)
{
	return tierpool_buf_append_byte;
}

get_at_function *other_get_at(void)
{
	return tierpool_get_at;
}

chain_append_function *other_chain_append(void)
{
	return tierpool_chain_append;
}

int other_appends(tierpool_buf *b)
{
	int error = tierpool_buf_append(b, "symbol", 6);
	return error ? error : tierpool_buf_append_byte(b, '!');
}
END

# Two gets and two puts: what is called once is inlined in any case.
cat >"$temporary/lto.c" <<'END'
#include <tierpool.h>

int loop(tierpool *pool, size_t n);

__attribute__((__noinline__, __noclone__)) int loop(tierpool *pool, size_t n)
{
	int error = 0;
	for (int i = 0; i < 100000; i++) {
		tierpool_buf *a = tierpool_get(pool), *b = tierpool_get_sized(pool, n);
		error |= tierpool_buf_append(a, "inlined", 7) | tierpool_buf_append(b, "too", 3);
		tierpool_put(b);
		tierpool_put(a);
	}
	return error;
}

int main(int argc, char **argv)
{
	struct tierpool_stats s = {.size = sizeof s};
	tierpool *pool = tierpool_default();
	(void)argv;
	return loop(pool, (size_t)argc * 3000) || tierpool_stats_read(pool, &s) || s.gets != 200000 ||
	       s.borrowed != 0;
}
END

# Drops every result. The compiler has to warn of those that are lost by it, and of no other.
cat >"$temporary/lost.c" <<'END'
#include <tierpool.h>
#include <tierpool/chain.h>

void drop(tierpool *pool, tierpool_buf *b, tierpool_cache *cache, struct tierpool_stats *s,
	struct tierpool_cache_stats *o);

void drop(tierpool *pool, tierpool_buf *b, tierpool_cache *cache, struct tierpool_stats *s,
	struct tierpool_cache_stats *o)
{
	tierpool_budget *budget;
	tierpool_create(&pool, NULL);        /* LOST */
	tierpool_budget_create(&budget, 1);  /* LOST */
	tierpool_budget_create_named(&budget, 1, "x"); /* LOST */
	tierpool_cache_create(&cache, NULL); /* LOST */
	tierpool_get(pool);                  /* LOST */
	(tierpool_get)(pool);                /* LOST */
	tierpool_get_sized(pool, 1);         /* LOST */
	(tierpool_get_sized)(pool, 1);       /* LOST */
	TIERPOOL_GET(pool);                  /* LOST */
	TIERPOOL_GET_SIZED(pool, 1);         /* LOST */
	tierpool_get_at(pool, 1, NULL);      /* LOST */
	tierpool_cache_get(cache);           /* LOST */
	tierpool_buf_cstr(b);                /* LOST */
	tierpool_buf_read_fd(b, 0, 1);       /* LOST */
	tierpool_buf_write_fd(b, 1);         /* LOST */
	tierpool_buf_write_fd_from(b, 1, NULL); /* LOST */
	tierpool_buf_detach(b, NULL);        /* LOST */
	tierpool_buf_of(b);                  /* LOST */
	tierpool_buf_open(b);                /* LOST */
	tierpool_reaper_start();             /* LOST */
	tierpool_chain chain;
	tierpool_chain_init(&chain, pool, 0);
	tierpool_chain_append(&chain, "x", 1);
	tierpool_chain_iovec(&chain, 0, NULL, 0);
	tierpool_chain_len(&chain);          /* LOST */
	tierpool_chain_write_fd(&chain, 1, NULL); /* LOST */
	tierpool_chain_flatten(&chain, b);   /* LOST */
	tierpool_chain_error(&chain);        /* LOST */
	tierpool_put(TIERPOOL_GET(pool));
	tierpool_buf_reserve(b, 1);
	tierpool_buf_append(b, "x", 1);
	tierpool_buf_append_byte(b, 'x');
	tierpool_buf_append_str(b, "x");
	tierpool_buf_append_u64(b, 1);
	tierpool_buf_append_i64(b, 1);
	tierpool_buf_append_hex(b, 1);
	tierpool_buf_append_double(b, 1);
	tierpool_buf_append_json(b, "x", 1);
	tierpool_buf_consume(b, 1);
	tierpool_buf_printf(b, "x");
	tierpool_buf_set(b, "x", 1);
	tierpool_buf_error(b);               /* LOST */
	tierpool_tick(pool);
	tierpool_trim(pool, 0);
	tierpool_cache_tick(cache);
	tierpool_stats_read(pool, s);        /* LOST */
	tierpool_cache_stats_read(cache, o); /* LOST */
	tierpool_on_misuse(NULL);
	tierpool_default();
	tierpool_default_setup(NULL);        /* LOST */
	tierpool_destroy(pool);
}
END

# What is noexcept, and what is not since it can reach a callback, a report or a cancellation point.
cat >"$temporary/noexcept.cpp" <<'END'
#include <type_traits>

#include <tierpool.h>
#include <tierpool/callbacks.h>
#include <tierpool/chain.h>

int main()
{
	tierpool *pool = nullptr;
	tierpool_buf *b = nullptr;
	tierpool_cache *cache = nullptr;
	tierpool_budget *budget = nullptr;
	static_assert(noexcept(tierpool_version()) && noexcept(tierpool_version_number()));
	static_assert(noexcept(tierpool_on_misuse(nullptr)));
	static_assert(noexcept(tierpool_budget_create(&budget, 1)));
	static_assert(noexcept(tierpool_budget_create_named(&budget, 1, "x")));
	static_assert(noexcept(tierpool_budget_destroy(budget)));
	static_assert(noexcept(tierpool_reaper_start()) && noexcept(tierpool_reaper_stop()));
	tierpool_chain chain, zero{};
	static_assert(noexcept(tierpool_chain_init(&chain, pool, 0)));
	static_assert(noexcept(tierpool_chain_len(&chain)) && noexcept(tierpool_chain_error(&chain)));
	static_assert(noexcept(tierpool_chain_iovec(&chain, 0, nullptr, 0)));

	static_assert(!noexcept(tierpool_create(&pool, nullptr)) && !noexcept(tierpool_default()));
	static_assert(!noexcept(tierpool_destroy(pool)) && !noexcept(tierpool_retain_set(pool, 1)));
	static_assert(!noexcept(tierpool_get(pool)) && !noexcept(tierpool_put(b)));
	static_assert(!noexcept(tierpool_tick(pool)) && !noexcept(tierpool_trim(pool, 0)));
	static_assert(!noexcept(tierpool_stats_read(pool, nullptr)));
	static_assert(!noexcept(tierpool_buf_append(b, "x", 1)) && !noexcept(tierpool_buf_reset(b)));
	static_assert(!noexcept(tierpool_buf_read_fd(b, 0, 1)) && !noexcept(tierpool_buf_error(b)));
	static_assert(!noexcept(tierpool_cache_get(cache)));
	static_assert(!noexcept(tierpool_cache_put(cache, nullptr)));
	static_assert(!noexcept(tierpool_chain_append(&chain, "x", 1)));
	static_assert(!noexcept(tierpool_chain_write_fd(&chain, 1, nullptr)));
	static_assert(!noexcept(tierpool_chain_reset(&chain)) && !noexcept(tierpool_write_cb(b, "x", 1)));
	static_assert(!std::is_copy_constructible<tierpool_chain>::value);
	static_assert(!std::is_copy_assignable<tierpool_chain>::value);
	tierpool_chain_init(&chain, pool, 0);
	if (tierpool_chain_error(&chain) || tierpool_chain_error(&zero))
		return 1;
	return pool || b || cache || budget || tierpool_version_number() != TIERPOOL_VERSION_NUMBER;
}
END

check "make install" "${make[@]}" -s install PREFIX="$prefix" DESTDIR=
check "make install with DESTDIR" "${make[@]}" -s install PREFIX=/usr DESTDIR="$stage"
if [[ $failed -gt 0 ]]; then
	report
	exit 1
fi

version=$(flags --modversion tierpool)
for file in "${headers[@]/#/include/}" include/tierpool/tierpool.hpp \
	"lib/libtierpool.so.$version" lib/libtierpool.so.0 lib/libtierpool.a \
	lib/pkgconfig/tierpool.pc lib/pkgconfig/tierpool-jemalloc.pc lib/valgrind/tierpool.supp \
	lib/cmake/tierpool/tierpool-config.cmake lib/cmake/tierpool/tierpool-config-version.cmake \
	share/man/man7/tierpool.7 share/man/man3/tierpool_create.3 share/man/man3/tierpool_buf_printf.3; do
	check "$file" is_in_both "$file"
done
library=$prefix/lib/libtierpool.so.0
check "libtierpool.so points to libtierpool.so.0" \
	contains libtierpool.so.0 readlink "$prefix/lib/libtierpool.so"
check "libtierpool.so.0 points to libtierpool.so.$version" \
	contains "libtierpool.so.$version" readlink "$library"
check "the soname is libtierpool.so.0" soname_is "$library" libtierpool.so.0
check "only tierpool_ is exported" exports_only_its_own "$library"
check "nothing is needed beyond the C library" needs_only_libc "$library"
check "no .pc file names the stage" lacks "$stage" cat "$stage"/usr/lib/pkgconfig/tierpool*.pc
check "no .cmake file names a folder" lacks "$prefix" cat "$prefix"/lib/cmake/tierpool/*
if command -v groff >/dev/null; then
	check "the manual pages have no warnings" pages_are_clean groff -man -Tutf8 -ww
else
	skip "the manual pages have no warnings" "groff is not installed"
fi
check "each link among the manual pages leads to one" links_lead
for header in "${headers[@]}"; do
	check "<$header> stands alone in C11" stands_alone "$header" C
	check "<$header> stands alone in C++17" stands_alone "$header" C++
done
check "<tierpool/tierpool.hpp> stands alone in C++17" stands_alone tierpool/tierpool.hpp C++

check "the library is of the version that tierpool.pc tells" \
	contains "$version" shared_works "$temporary/version.c" tierpool
for works in shared_works static_works; do
	for level in -O0 -O2; do
		for language in "c -std=c11" "c -std=gnu89" "c -fgnu89-inline" "cpp"; do
			read -ra words <<<"$language"
			for visibility in default hidden; do
				check "inline functions: $language $level, $visibility, ${works%_works}" \
					inlines_work "$works" "${words[@]}" "$level" "-fvisibility=$visibility"
			done
		done
	done
done
cp "$temporary/lost.c" "$temporary/lost.cpp"
check "a result that must not be lost, C" is_warned_of "$temporary/lost.c"
check "a result that must not be lost, C++" is_warned_of "$temporary/lost.cpp"
check "noexcept" shared_works "$temporary/noexcept.cpp" tierpool
check "tierpool.pc names no jemalloc" lacks jemalloc flags --static --libs tierpool
check "malloc stays the C library's, shared" shared_works "$temporary/malloc.c" tierpool
check "malloc stays the C library's, static" static_works "$temporary/malloc.c" tierpool
check "the backing is libc" contains libc shared_works "$temporary/backing.c" tierpool
check "dlopen, dlclose, and again" plugin_works libtierpool.so.0
check "the same of a plugin with the static library in it" static_plugin_works

lto=$temporary/lto
if "${cc[@]}" -flto -ffat-lto-objects -c -x c -o "$temporary/fat.o" - <<<'int fat;' 2>/dev/null; then
	check "make install LTO=yes" "${make[@]}" -s install LTO=yes PREFIX="$lto" DESTDIR=
	check "get and put are inlined with -flto" lto_works inlined -flto
	check "the same library without -flto" lto_works called
	check "the same library with -fno-lto" lto_works called -fno-lto
else
	skip "get and put are inlined with -flto" "${cc[0]} makes no machine code beside that for -flto"
fi

if command -v cmake >/dev/null; then
	check "find_package(tierpool)" cmake_works "$prefix"
	check "find_package(tierpool), from the stage" cmake_works "$stage/usr"
	check "find_package(tierpool $version)" cmake_works "$prefix" "$version"
	check "find_package(tierpool) refuses a newer version" cmake_refuses "${version%.*}.999"
	check "find_package(tierpool) refuses another soname" cmake_refuses 1.0
else
	skip "find_package(tierpool)" "cmake is not installed"
fi
if command -v python3 >/dev/null; then
	check "ctypes_program.py" run python3 test/examples/ctypes_program.py
else
	skip "ctypes_program.py" "python3 is not installed"
fi

# The program that the README shows, as it stands there.
readme=$temporary/readme.c
sed -n '/^```c$/,/^```$/p' README.md | sed '1d;$d' >"$readme"
# And those of the manual pages.
for page in lib/man/*.page; do
	name=${page##*/}
	sed -n 's/^\t//p; s/^$//p' "$page" >"$temporary/${name%.page}.c"
	[[ ! -s $temporary/${name%.page}.c ]] ||
		check "the example of ${name%.page}(3)" shared_works "$temporary/${name%.page}.c" tierpool
done
for example in "$readme" test/examples/*.c test/examples/*.cpp; do
	name=${example##*/}
	check "$name, shared" shared_works "$example" tierpool
	check "$name, static" static_works "$example" tierpool
	check "$name, from the stage" staged_works "$example"
done

if flags --exists jemalloc; then
	check "the backing is jemalloc, shared" \
		contains jemalloc shared_works "$temporary/backing.c" tierpool-jemalloc
	check "the backing is jemalloc, static" \
		contains jemalloc static_works "$temporary/backing.c" tierpool-jemalloc
	for example in test/examples/*.c test/examples/*.cpp; do
		name=${example##*/}
		check "$name, shared, with jemalloc" shared_works "$example" tierpool-jemalloc
		check "$name, static, with jemalloc" static_works "$example" tierpool-jemalloc
	done
else
	skip "tierpool-jemalloc" "jemalloc.pc is not installed"
fi

# As a distribution with multiarch lays them out: each folder apart from the prefix, and from DESTDIR.
apart=(PREFIX=/usr LIBDIR=/usr/lib/x86_64-linux-gnu INCLUDEDIR=/usr/include/apart
	MANDIR=/usr/man DESTDIR="$stage/apart")
check "make install, each folder apart" "${make[@]}" -s install "${apart[@]}"
check "the library, in LIBDIR" test -e "$stage/apart/usr/lib/x86_64-linux-gnu/libtierpool.so.$version"
check "the headers, in INCLUDEDIR" test -e "$stage/apart/usr/include/apart/tierpool/pool.h"
check "the manual pages, in MANDIR" test -e "$stage/apart/usr/man/man7/tierpool.7" -a \
	-e "$stage/apart/usr/man/man3/tierpool_get.3"
if command -v cmake >/dev/null; then
	check "find_package(tierpool), each folder apart" \
		cmake_works "$stage/apart/usr/lib/x86_64-linux-gnu/cmake"
fi
check "tierpool.pc says LIBDIR" grep -qx 'libdir=/usr/lib/x86_64-linux-gnu' \
	"$stage/apart/usr/lib/x86_64-linux-gnu/pkgconfig/tierpool.pc"
check "tierpool.pc says INCLUDEDIR" grep -qx 'includedir=/usr/include/apart' \
	"$stage/apart/usr/lib/x86_64-linux-gnu/pkgconfig/tierpool.pc"
check "make uninstall, each folder apart" "${make[@]}" -s uninstall "${apart[@]}"
check "nothing is left of it" is_empty_of_files "$stage/apart"

check "make uninstall" "${make[@]}" -s uninstall PREFIX="$prefix" DESTDIR=
check "nothing is left" is_empty_of_files "$prefix"
check "make uninstall with DESTDIR" "${make[@]}" -s uninstall PREFIX=/usr DESTDIR="$stage"
check "nothing is left in the stage" is_empty_of_files "$stage"
report
