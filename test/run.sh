#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs tests, each a program or script: test/run.sh TEST...
# Each passes by exit status 0 and is skipped by 77, having said why. Programs run once in each of MODES, those
# in ONCE in the first of them; where one cannot be had the library says so, and runs them locked. Stress programs
# (stress_*) run for SECONDS_EACH seconds, 2 if nothing is said; WRAP goes before them (valgrind).
# Scripts run beside the programs: they compile for most of their time. What they print comes at the end.
# The last line is "N passed, N failed, N skipped": of what was given; a program counts its own.
set -u
# Criterion's tests expect signals, which ASan would take for itself.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}handle_segv=0:handle_abort=0:allocator_may_return_null=1"
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0 skipped=0
count() { # count STATUS WHAT
	case $1 in
	0) passed=$((passed + 1)) ;;
	77) skipped=$((skipped + 1)) ;;
	*) failed=$((failed + 1)) && echo "FAILED: $2" ;;
	esac
}
run() { # run MODE TEST
	echo "== ${2##*/}${1:+ ($1)}"
	[ -z "$1" ] || export TIERPOOL_PERCPU="$1"
	case $2 in
	*/stress_*) ${WRAP:-} "$2" "${SECONDS_EACH:-2}" ;;
	*/test_*) "$2" --short-filename ;;
	*) "$2" ;;
	esac
	count $? "$2${1:+ ($1)}"
	unset TIERPOOL_PERCPU
}
for test; do
	case $test in
	*.sh)
		script=$dir/${test##*/}
		{ "$test" >"$script.out" 2>&1; echo $? >"$script.status"; } &
		;;
	esac
done
for test; do
	case $test in
	*.sh) ;;
	*)
		modes=${MODES-rseq locked}
		case " ${ONCE:-} " in *" ${test##*/} "*) modes=${modes%% *} ;; esac
		for mode in $modes; do run "$mode" "$test"; done
		;;
	esac
done
wait
for test; do
	case $test in
	*.sh)
		echo "== ${test##*/}"
		cat "$dir/${test##*/}.out"
		count "$(cat "$dir/${test##*/}.status")" "$test"
		;;
	esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $passed -gt 0 ]
