#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What a program finds after `make install`: the files; that each header and each example compiles
# against them through pkg-config, shared and static, with and without jemalloc, and runs; that the
# library loads by dlopen, brings no malloc and exports nothing but its own; that `make uninstall`
# leaves nothing behind.
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
for header in version buffer pool cache stats; do
	headers+=("tierpool/$header.h")
done

temporary=$(mktemp -d "${TMPDIR:-/tmp}/tierpool-installed.XXXXXX")
trap 'rm -rf "$temporary"' EXIT
prefix=$temporary/prefix stage=$temporary/stage
passed=0 failed=0

# check WHAT COMMAND...: passed when the command succeeds; else shows the first lines it wrote.
check() {
	local what=$1
	shift
	if "$@" >"$temporary/log" 2>&1; then
		printf 'ok  %s\n' "$what"
		passed=$((passed + 1))
	else
		printf 'FAIL  %s\n' "$what"
		head -n 20 "$temporary/log" | sed 's/^/      /'
		failed=$((failed + 1))
	fi
}

skip() {
	printf 'skip  %s: %s\n' "$1" "$2"
}

report() {
	printf '%d passed, %d failed\n' "$passed" "$failed"
	[[ $failed -eq 0 ]]
}

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

shared_works() { # SOURCE MODULE
	local out=$temporary/program words
	read -ra words <<<"$(flags --cflags --libs "$2")" &&
		compile "$out" "$1" "${words[@]}" && needs "$out" libtierpool.so.0 && run "$out"
}

static_works() { # SOURCE MODULE
	local out=$temporary/program libs words
	libs=$(flags --static --cflags --libs "$2") &&
		read -ra words <<<"${libs/-ltierpool/-Wl,-Bstatic -ltierpool -Wl,-Bdynamic}" &&
		compile "$out" "$1" "${words[@]}" && ! needs "$out" libtierpool && "$out"
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
	*(void **)&put = dlsym(library, "tierpool_put");
	*(void **)&destroy = dlsym(library, "tierpool_destroy");
	return create && get_at && put && destroy ? library : NULL;
}

static int use(tierpool *pool)
{
	for (size_t i = 0; i < 10000; i++) {
		tierpool_buf *b = get_at(pool, i % 7 * 1000, &site);
		if (!b)
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

check "make install" "${make[@]}" -s install PREFIX="$prefix" DESTDIR=
check "make install with DESTDIR" "${make[@]}" -s install PREFIX=/usr DESTDIR="$stage"
if [[ $failed -gt 0 ]]; then
	report
	exit 1
fi

version=$(flags --modversion tierpool)
for file in "${headers[@]/#/include/}" "lib/libtierpool.so.$version" lib/libtierpool.so.0 lib/libtierpool.a \
	lib/pkgconfig/tierpool.pc lib/pkgconfig/tierpool-jemalloc.pc; do
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
for header in "${headers[@]}"; do
	check "<$header> stands alone in C11" stands_alone "$header" C
	check "<$header> stands alone in C++17" stands_alone "$header" C++
done

check "the library is of the version that tierpool.pc tells" \
	contains "$version" shared_works "$temporary/version.c" tierpool
check "tierpool.pc names no jemalloc" lacks jemalloc flags --static --libs tierpool
check "malloc stays the C library's, shared" shared_works "$temporary/malloc.c" tierpool
check "malloc stays the C library's, static" static_works "$temporary/malloc.c" tierpool
check "the backing is libc" contains libc shared_works "$temporary/backing.c" tierpool
check "dlopen, dlclose, and again" plugin_works libtierpool.so.0
check "the same of a plugin with the static library in it" static_plugin_works

# The program that the README shows, as it stands there.
readme=$temporary/readme.c
sed -n '/^```c$/,/^```$/p' README.md | sed '1d;$d' >"$readme"
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
apart=(PREFIX=/usr LIBDIR=/usr/lib/x86_64-linux-gnu INCLUDEDIR=/usr/include/apart DESTDIR="$stage/apart")
check "make install, each folder apart" "${make[@]}" -s install "${apart[@]}"
check "the library, in LIBDIR" test -e "$stage/apart/usr/lib/x86_64-linux-gnu/libtierpool.so.$version"
check "the headers, in INCLUDEDIR" test -e "$stage/apart/usr/include/apart/tierpool/pool.h"
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
