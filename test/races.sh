#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Detectors of races on a program whose library is an ordinary one: test/races.sh FOLDER, the one with the built
# library. What changes hands by way of the library is no race, and each detector finds the race of the
# control (test/support/handing_over.c). A race shows only if the threads come by it: so each is run a few times.
set -euo pipefail

build=$(cd "$1" && pwd)
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
. test/support/checks.sh

unset TIERPOOL_PERCPU TIERPOOL_DEBUG TIERPOOL_PROFILE TIERPOOL_TRACE TSAN_OPTIONS
ways=(pool grow crowd cache)

# program NAME COMPILER FLAG...
program() {
	local name=$1
	shift
	"$@" -std=gnu11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror -Iinclude -pthread \
		test/support/handing_over.c -o "$temporary/$name" "${library[@]}"
}

# silent COMMAND...: no report, and locked mode, each time.
silent() {
	for _ in $(seq "${TIMES:-3}"); do
		timeout 300 "$@" | grep -q '^locked' || return 1
	done
}

# reported COMMAND...: the detector's exit status, 66.
reported() {
	local status=0
	timeout 300 "$@" || status=$?
	[[ $status = 66 ]]
}

detector() { # detector NAME COMMAND...
	local name=$1 way
	shift
	for way in "${ways[@]}"; do
		check "$name: $way" silent "$@" "$way"
	done
	check "$name: finds the control" reported "$@" race
}

for form in shared static; do
	case $form in
	shared) library=(-L"$build" -ltierpool "-Wl,-rpath,$build") ;;
	static) library=("$build/libtierpool.a") ;;
	esac
	for compiler in gcc clang; do
		if program tsan "$compiler" -fsanitize=thread 2>"$temporary/log"; then
			detector "TSan of $compiler, $form" "$temporary/tsan"
		else
			skip "TSan of $compiler, $form" "$(tail -n 1 "$temporary/log")"
		fi
	done
done

library=(-L"$build" -ltierpool "-Wl,-rpath,$build")
program plain gcc
for tool in helgrind drd; do
	if command -v valgrind >/dev/null; then
		# As many are suppressed in each run as matter.
		TIMES=1 detector "$tool" valgrind --tool="$tool" --error-exitcode=66 \
			--suppressions=lib/tierpool.supp "$temporary/plain"
	else
		skip "$tool" 'there is no valgrind'
	fi
done
report
