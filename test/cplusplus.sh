#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# tierpool/tierpool.hpp in a program: the files of test/cplusplus/, by the oldest and the newest standard that it
# knows, in both modes; and where clang's own C++ library is, which has std::format, with that.
#
# usage: test/cplusplus.sh     from the top of the source; CC, whose C++ compiler is taken, or CXX; CXXFLAGS,
#                              LDFLAGS, BUILD, MODES
#
# A line a check, as test/installed.sh.
set -euo pipefail

case ${CC:-gcc} in *clang*) default=clang++ ;; *) default=g++ ;; esac
read -ra flags <<<"-O1 -g -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Iinclude ${CXXFLAGS:-}"
read -ra ldflags <<<"${LDFLAGS:-} -pthread"

temporary=$(mktemp -d "${TMPDIR:-/tmp}/tierpool-cplusplus.XXXXXX")
trap 'rm -rf "$temporary"' EXIT
. test/support/checks.sh

# works COMPILER STANDARD [FLAG...]: builds the program, and runs it in each mode.
works() {
	local mode
	"$1" -std="$2" "${flags[@]}" "${@:3}" test/cplusplus/*.cpp "${BUILD:-build/release}/libtierpool.a" \
		"${ldflags[@]}" -o "$temporary/program" || return
	for mode in ${MODES:-rseq locked}; do
		TIERPOOL_PERCPU=$mode timeout 300 "$temporary/program" || return
	done
}

# What the program itself has skipped is in the log.
check_program() { # WHAT COMMAND...
	check "$@"
	sed -n 's/^\(skip  .*\)/\1 ('"$1"')/p' "$temporary/log" | sort -u
}

cxx=${CXX:-$default}
for standard in c++17 c++2b; do
	check_program "tierpool.hpp, $cxx, $standard" works "$cxx" "$standard"
done
if clang++-19 -stdlib=libc++ -std=c++23 -fsyntax-only -include format -x c++ /dev/null 2>/dev/null; then
	check_program "tierpool.hpp, libc++, c++23" works clang++-19 c++23 -stdlib=libc++
else
	skip "tierpool.hpp, libc++, c++23" "clang++-19 with libc++ is not installed"
fi
report
