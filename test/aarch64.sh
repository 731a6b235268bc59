#!/bin/sh
# SPDX-License-Identifier: MIT
# aarch64 on another machine: compiles the library for it, and runs under an emulator what can be
# run there. The emulator has no restartable sequences, so the library has to end in locked mode and
# to say why; the sequences themselves are run by test/percpu/rseq_paths.c, which needs no kernel's.
#
# usage: test/aarch64.sh      from the top of the source; AARCH64_CC, QEMU_AARCH64
#
# The last line is "N passed, N failed"; exits 1 when a check failed, 77 when there is no such
# compiler or emulator.
set -u
cc=${AARCH64_CC:-aarch64-linux-gnu-gcc}
qemu=${QEMU_AARCH64:-qemu-aarch64}
for tool in "$cc" "$qemu"; do
	command -v "$tool" >/dev/null || {
		echo "skipped: no $tool"
		exit 77
	}
done
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0
unset TIERPOOL_PERCPU TIERPOOL_BACKING

# check WHAT COMMAND...: passed when the command succeeds; else shows the first lines it wrote.
check() {
	what=$1
	shift
	if "$@" >"$dir/log" 2>&1; then
		echo "ok  $what"
		passed=$((passed + 1))
	else
		echo "FAILED: $what"
		head -n 20 "$dir/log" | sed 's/^/      /'
		failed=$((failed + 1))
	fi
}

compile() { # compile OUTPUT ARGUMENT...
	output=$1
	shift
	"$cc" -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wshadow -Wconversion -Werror -pthread \
		-Iinclude -Ilib -Itest/support "$@" -static -o "$dir/$output"
}

emulate() { # emulate PROGRAM ARGUMENT...
	program=$1
	shift
	timeout -k 1 60 "$qemu" "$dir/$program" "$@"
}

# Passes, says that it is locked, and on standard error what the file says, R being any reason.
stress() { # stress FILE
	emulate stress_pool 2 >"$dir/out" 2>"$dir/err"
	status=$?
	cat "$dir/out" "$dir/err"
	[ $status = 0 ] && grep -q ', locked, ' "$dir/out" &&
		sed 's/rseq: .*; locked$/rseq: R; locked/' "$dir/err" | diff "$1" -
}

rseq_paths() { # rseq_paths FLAG...
	compile rseq_paths "$@" test/percpu/rseq_paths.c test/support/sequence_memory.c && emulate rseq_paths
}

# The same that is wrong on purpose: it has to be found, and not to fail for something else.
rseq_paths_found() { # rseq_paths_found WHAT FLAG...
	found=$1
	shift
	compile rseq_paths "$@" test/percpu/rseq_paths.c test/support/sequence_memory.c || return 1
	! emulate rseq_paths >"$dir/out" 2>&1 && cat "$dir/out" && grep -q "$found" "$dir/out"
}

check 'the library and stress_pool compile' compile stress_pool -O2 lib/*/*.c test/stress/stress_pool.c \
	test/support/stress_finding.c test/support/stress_threads.c test/support/random.c
: >"$dir/silence"
echo 'tierpool: TIERPOOL_PERCPU=rseq: R; locked' >"$dir/reason"
check 'stress_pool: locked by itself' stress "$dir/silence"
export TIERPOOL_PERCPU=rseq
check 'stress_pool: asked for rseq, locked, with the reason' stress "$dir/reason"
unset TIERPOOL_PERCPU
for flags in -O0 -O2 -O3 '-O3 -flto' '-O2 -DTP_INJECT'; do
	# In words.
	# shellcheck disable=SC2086
	check "rseq_paths $flags" rseq_paths $flags
done
check 'rseq_paths finds an early commit' rseq_paths_found 'aborted push' -O2 \
	-DTP_FAULT=TP_FAULT_EARLY_COMMIT
echo "$passed passed, $failed failed"
[ $failed = 0 ]
