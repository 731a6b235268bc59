#!/bin/bash
# SPDX-License-Identifier: MIT
# Negative controls: builds each fault of lib/base/inject.h into the library, with delays injected, and requires
# that the stress program which is to find it fails. A stress test that passes with the fence left out tests
# nothing. The same programs without a fault have to pass.
# The last line is "N passed, N failed", and ", N skipped" where there is no rseq mode.
#
# usage: test/controls.sh [build|run FOLDER]
# build: only compiles. run: runs what was compiled, on another machine (test/vm.sh): each control in the first of
# its modes; without a fault for SECONDS_EACH seconds.
set -u

# FAULT  MODES  PROGRAM  ARGUMENTS: for how many seconds at the most it runs. It stops at the first finding, mostly
# within a second; on a busy machine it has taken more than twenty. But a lost lease shows only at the end.
# stress_budget's second argument is after how many seconds without a take-over it calls that a finding: with
# NO_RECLAIM none ever comes.
controls='
NONE             rseq,locked stress_stack  2
NONE             rseq,locked stress_pool   2
NONE             rseq,locked stress_budget 4
NONE             rseq,locked stress_cache  2
NONE             rseq,locked stress_profile 4
UNLOCKED_CPU     locked      stress_stack  60
UNLOCKED_CPU     locked      stress_cache  60
UNBOUNDED        rseq,locked stress_pool   60
UNBOUNDED        rseq,locked stress_budget 60
LOST_LEASE       rseq,locked stress_pool   1
UNSHIFTED        rseq,locked stress_stack  60
UNSHIFTED        rseq,locked stress_cache  60
NO_FENCE         rseq        stress_stack  60
NO_FENCE         rseq        stress_cache  60
DRAIN_OFF_BY_ONE rseq,locked stress_stack  60
RACING_INSTALL   rseq,locked stress_stack  60
CARELESS_ARM     rseq        stress_stack  60
EARLY_COMMIT     rseq        stress_stack  60
EARLY_COMMIT     rseq        stress_cache  60
SUMMING_WATCHER  rseq,locked stress_pool   60
NO_RECLAIM       rseq,locked stress_budget 1 3
LATE_START       rseq,locked stress_profile 60
STALE_GAP        rseq,locked stress_profile 60
'

step=${1:-all} dir=${2:-}
if [ "$step" = all ]; then
	dir=$(mktemp -d) || exit 1
	trap 'rm -rf "$dir"' EXIT
fi
passed=0 failed=0 skipped=0

ok() {
	passed=$((passed + 1))
	echo "ok  $*"
}

fail() {
	failed=$((failed + 1))
	echo "FAILED: $*"
}

compile() { # compile FAULT ARGUMENT...
	# In words.
	# shellcheck disable=SC2086
	${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O1 -pthread -Iinclude -Ilib -Itest/support -DTP_INJECT \
		"-DTP_FAULT=TP_FAULT_$1" "${@:2}"
}

object() { # object FAULT SOURCE
	compile "$1" -MMD -MT object -c "$2" -o "$dir/$1/$(basename "$2" .c).o"
}
export -f compile object
export CC dir

# The library and what stress programs share (LIBSTRESS in test/test.mk), without a fault.
build_all() {
	mkdir -p "$dir/NONE" && printf '%s\n' lib/*/*.c test/support/stress_*.c \
		test/support/{counting_backing,random}.c |
		xargs -P "$(nproc)" -I {} bash -c 'object NONE {}'
}

# The same with a fault: built anew is only what depends on a file that has it.
build_library() { # build_library FAULT
	mkdir -p "$dir/$1" && ln -f "$dir/NONE/"*.o "$dir/$1/" || return
	grep -lr "tp_fault(TP_FAULT_$1)" lib | sed 's,^lib/,[ /],; s/$/\\>/' >"$dir/$1/has"
	grep -lf "$dir/$1/has" "$dir/NONE/"*.d | xargs -r sed -sn '1s/^object: *\([^ ]*\).*/\1/p' |
		while read -r source; do
			rm "$dir/$1/$(basename "$source" .c).o" && object "$1" "$source" || return
		done
}

build() { # build FAULT PROGRAM
	[ -e "$dir/$1/$2" ] || compile "$1" "test/stress/$2.c" "$dir/$1/"*.o -o "$dir/$1/$2"
}

judge() { # judge FAULT "PROGRAM (MODE)" STATUS
	said=$(head -n 1 "$dir/out" | cut -c 1-100)
	case $1,$3 in
	NONE,0) ok "$2 passes without a fault" ;;
	NONE,*) fail "$2 without a fault: status $3: $said" ;;
	*,0) fail "$2 passes with $1" ;;
	*,1) ok "$1 is found by $2: $said" ;;
	*,124 | *,137 | *,143) ok "$1 is found by $2: it hangs" ;;
	*,13[2-9]) ok "$1 is found by $2: it crashes, signal $(($3 - 128))" ;;
	*) fail "$2 with $1 could not run: status $3: $said" ;;
	esac
}

control() { # control FAULT MODE PROGRAM ARGUMENT...
	fault=$1 mode=$2 program=$3
	shift 3
	[ "$step,$fault" != run,NONE ] || set -- "$SECONDS_EACH"
	if [ "$mode" = rseq ] && [ "$rseq" = no ]; then
		skipped=$((skipped + 1))
		echo "skipped $fault, $program (rseq): there is no rseq mode here"
		return
	fi
	TIERPOOL_PERCPU=$mode timeout -k 1 $(($1 + 30)) "$dir/$fault/$program" "$@" >"$dir/out" 2>&1
	judge "$fault" "$program ($mode)" $?
}

faults=$(sed -n 's/^#define TP_FAULT_\([A-Z_]*\) .*/\1/p' lib/base/inject.h)
for fault in $faults; do
	case $controls in
	*"
$fault "*) ;;
	*) fail "there is no control for $fault" ;;
	esac
done

# All libraries at first: what runs then has the processors to itself.
# A library that is not built is noticed where a program is.
if [ "$step" != run ]; then
	build_all
	for fault in $faults; do
		[ "$fault" = NONE ] || build_library "$fault"
	done
fi

# What the library itself says of the mode.
rseq=yes
if [ "$step" != build ] && build NONE stress_stack; then
	TIERPOOL_PERCPU=rseq "$dir/NONE/stress_stack" 1 >"$dir/out" 2>&1
	! grep -q ', locked$' "$dir/out" || rseq=no
fi

while read -r fault modes program arguments; do
	[ -n "$fault" ] || continue
	if ! build "$fault" "$program"; then
		fail "$program with $fault cannot be built"
		continue
	fi
	case $step in
	build) ok "$program with $fault" && continue ;;
	run) modes=${modes%%,*} ;;
	esac
	# Arguments are words.
	# shellcheck disable=SC2086
	for mode in ${modes//,/ }; do control "$fault" "$mode" "$program" $arguments; done
done <<<"$controls"

echo "$passed passed, $failed failed$([ $skipped = 0 ] || echo ", $skipped skipped")"
[ $failed = 0 ] && [ $passed -gt 0 ]
