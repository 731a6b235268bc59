#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The system calls that tierpool.7 lists: test/system_calls.sh, with the built library in $BUILD. A program that calls
# each function that the library exports (test/support/every_call.c) runs under a filter that kills it at any
# other one, in both modes, on libc and on jemalloc; and without any one of them, but those of SELDOM, it is killed
# somewhere.
set -euo pipefail

build=$(cd "${BUILD:-build/release}" && pwd)
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
. test/support/checks.sh

if [[ $(uname -m) != x86_64 || $(getconf GNU_LIBC_VERSION 2>/dev/null) != 'glibc 2.36' ]]; then
	echo 'skip  system calls: the list is that of x86-64 with glibc 2.36'
	exit 77
fi
unset TIERPOOL_DEBUG TIERPOOL_TRACE TIERPOOL_BACKING TIERPOOL_PROFILE TIERPOOL_PROFILE_SIGNAL

listed() { # listed NAME: the words of the list of this name
	sed -n "/^\.\\\\\" list $1\$/{n;s/^\.I //p}" lib/tierpool.7
}

# -O0: else what is inline in the headers would be no reference.
jemalloc=("-Wl,--no-as-needed" -ljemalloc)
for backing in libc jemalloc; do
	linked=()
	[[ $backing = libc ]] || linked=("${jemalloc[@]}")
	gcc -std=gnu11 -D_GNU_SOURCE -O0 -g -Wall -Wextra -Werror -Iinclude -pthread \
		"-DPOOLS=$(echo "$(listed POOLS) $(listed SELDOM)" | sed 's/[^ ]*/SYS_&/g; s/ /, /g')" \
		"-DMORE=$(listed MORE | sed 's/[^ ]*/SYS_&/g; s/ /, /g')" \
		test/support/every_call.c -o "$temporary/$backing" -L"$build" -ltierpool \
		"-Wl,-rpath,$build" "${linked[@]}"
done

calls_all() {
	comm -23 <(nm -D --defined-only "$build/libtierpool.so" | sed -n 's/.* T \(tierpool_[a-z0-9_]*\)@.*/\1/p' | sort) \
		<(nm -u "$temporary/libc" | sed 's/.* //; s/@.*//' | sort) >"$temporary/missing"
	cat "$temporary/missing"
	[[ ! -s $temporary/missing ]]
}

# run MODE BACKING LISTS LEFT_OUT
run() {
	# In a shell of its own, which says on stderr that the program was killed.
	(TIERPOOL_PERCPU=$1 timeout 60 "$temporary/$2" "$3" "$4" "${wait:-50}" || exit) >"$temporary/out" 2>&1
}

# The same; with both lists, also where the environment asks for a profile.
under() {
	run "$@" || return
	[[ $3 = 1 ]] || TIERPOOL_PROFILE="$temporary/profile.%p" TIERPOOL_PROFILE_SIGNAL=USR1 run "$@"
}

passes() { # passes MODE BACKING LISTS
	local status=0
	under "$1" "$2" "$3" -1 || status=$?
	cat "$temporary/out"
	[[ $status != 159 ]] || echo "killed: strace -f says by what"
	[[ $status = 0 ]] && grep -q "$2\$" "$temporary/out"
}

# Twice, as some calls depend on how long a thread waits: on a busy machine that has to be longer.
is_needed() { # is_needed LISTS PLACE
	local mode backing status wait
	for wait in 50 3000; do
		for mode in rseq locked; do
			for backing in libc jemalloc; do
				status=0
				under $mode $backing "$1" "$2" 2>/dev/null || status=$?
				[[ $status != 159 ]] || return 0
			done
		done
	done
	return 1
}

check "every function of the library is called" calls_all
status=0
under locked libc 1 -1 || status=$?
if [[ $status = 77 ]]; then
	cat "$temporary/out"
	exit 77
fi
for backing in libc jemalloc; do
	for mode in rseq locked; do
		check "pools, $backing, $mode" passes $mode $backing 1
		check "the rest, $backing, $mode" passes $mode $backing 2
	done
done
place=0
for call in $(listed POOLS); do
	check "$call is needed" is_needed 1 $((place++))
done
place=0
for call in $(listed MORE); do
	check "$call is needed" is_needed 2 $((place++))
done
report
