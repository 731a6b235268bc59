#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the test programs of a build folder, and further scripts: test/run.sh BUILD [SCRIPT...]
# Each passes by exit status 0 and is skipped by 77, having said why. WRAP goes before stress
# programs (valgrind); SECONDS_EACH is how long each of those runs.
# The last line is "N passed, N failed, N skipped": of programs, each of which counts its own.
set -u
build=$1
shift
passed=0 failed=0 skipped=0

judge() { # judge STATUS NAME
	case $1 in
	0) passed=$((passed + 1)) ;;
	77) skipped=$((skipped + 1)) ;;
	*) failed=$((failed + 1)) && echo "FAILED: $2 (status $1)" ;;
	esac
}

if [ -z "${WRAP:-}" ]; then
	# Criterion's tests expect signals, which ASan would take for itself.
	export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}handle_segv=0:handle_abort=0:allocator_may_return_null=1"
	for program in "$build"/test/test_*; do
		[ -x "$program" ] && [ ! -d "$program" ] || continue
		"$program" --short-filename --quiet
		status=$?
		[ $status = 0 ] && "$program" --list >/dev/null && echo "ok  $program"
		judge $status "$program"
	done
fi
for program in "$build"/test/stress_*; do
	[ -x "$program" ] && [ ! -d "$program" ] || continue
	${WRAP:-} "$program" "${SECONDS_EACH:-4}"
	judge $? "$program"
done
for script; do
	$script
	judge $? "$script"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $passed -gt 0 ]
