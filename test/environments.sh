#!/bin/sh
# SPDX-License-Identifier: MIT
# The tests where the system refuses something: test/environments.sh PROGRAM...
# The programs are built tests, stress_pool among them, which tells the mode. Each environment is first
# required to end in the mode that it must end in, and the library to say why that is not the one asked
# for; then test/run.sh runs the programs there, stress programs for SECONDS_EACH seconds. A line for
# each, and what failed, if anything did. The last line is "N passed, N failed, N skipped": environments.
set -u
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -O1 -Itest/support \
	test/support/under_filter.c test/support/syscall_filter.c -o "$dir/under_filter" || exit 1
PATH="$dir:$PATH"
unset TIERPOOL_PERCPU
export SECONDS_EACH="${SECONDS_EACH:-1}"

stress= choosing= threaded=
for program; do
	case $program in
	*/stress_pool) stress=$program choosing="$choosing $program" ;;
	*/test_cpu | */test_fence_lost | */test_create) choosing="$choosing $program" ;;
	esac
	case $program in
	*/stress_* | */test_*threads | */percpu/*) threaded="$threaded $program" ;;
	esac
done
if [ -z "$stress" ]; then
	echo "usage: test/environments.sh PROGRAM..., of which one is stress_pool" >&2
	exit 2
fi

# What the machine does of itself, and what stands against rseq mode in every environment.
"$stress" 0 >"$dir/out" || exit 1
default=$(sed -n 's/.*, \([a-z]*\), [a-z]*$/\1/p' "$dir/out")
TIERPOOL_PERCPU=rseq "$stress" 0 2>"$dir/err" >/dev/null
obstacle=$(sed -n 's/^tierpool: TIERPOOL_PERCPU=rseq: \(.*\); locked$/\1/p' "$dir/err")

# said MODE [REASON]: stress_pool, whose output is in $out and $err, ran in a mode, and the library said
# once that it cannot be rseq, for a reason (a pattern); without one it said nothing.
said() {
	grep -q ", $1, [a-z]*\$" "$out" || return 1
	if [ -z "${2:-}" ]; then
		[ ! -s "$err" ]
	else
		[ "$(wc -l <"$err")" = 1 ] &&
			grep -Eqx "tierpool: TIERPOOL_PERCPU=rseq: ($2${obstacle:+|$obstacle}); locked" "$err"
	fi
}

verdict() { # verdict passed|failed|skipped LINE
	echo "$1" >>"$dir/verdicts"
	case $1 in
	passed) echo "ok  $2" ;;
	failed) echo "FAILED: $2" ;;
	skipped) echo "skipped: $2" ;;
	esac
}

# environment NAME ASKED MODE REASON COMMAND PROGRAM...: with TIERPOOL_PERCPU=ASKED, behind a command,
# which is split into words. REASON: what stands against rseq mode there; empty: nothing.
environment() {
	name="$1, $2 asked for" asked=$2 mode=$3 reason=$4 command=$5
	shift 5
	out=$dir/$lane.out err=$dir/$lane.err start=$(date +%s)
	by_itself=$default
	[ -z "$reason" ] || by_itself=locked
	if ! command -v "${command%% *}" >/dev/null; then
		verdict skipped "$name: no ${command%% *} here"
		return
	elif [ "$mode" = rseq ] && [ -n "$obstacle" ]; then
		verdict skipped "$name: $obstacle"
		return
	fi
	$command "$stress" 0 >"$out" 2>"$err"
	if [ $? = 77 ]; then
		verdict skipped "$name: $(cat "$err")"
		return
	elif ! said "$by_itself"; then
		verdict failed "$name: not $by_itself by itself, or not in silence: $(cat "$out" "$err")"
		return
	fi
	TIERPOOL_PERCPU=$asked $command "$stress" 0 >"$out" 2>"$err"
	if ! said "$mode" "$reason"; then
		verdict failed "$name: not $mode, or not for the reason: $(cat "$out" "$err")"
		return
	fi
	MODES=$asked timeout -k 5 300 $command test/run.sh "$@" >"$out" 2>&1
	status=$?
	line="$name: $mode; $(tail -n 1 "$out"), $(($(date +%s) - start)) s"
	if [ $status = 0 ]; then
		verdict passed "$line"
	else
		verdict failed "$line"
		grep -Ev '^== |Failing: 0 | 0 failed,|^ok  ' "$out"
	fi
}

# Two at a time. Where rseq cannot be had the mode is the locked one, which run.sh has tried with all programs: here
# once with those that have threads, or ask for the current CPU, which there is another way to learn; then, since
# nothing else differs, with those to which it matters how the mode was chosen. Where fences are refused, all that
# stop CPUs go another way: all programs.
lane_refused() {
	lane=refused
	environment 'glibc told not to register' rseq locked 'glibc has not registered it' \
		'env GLIBC_TUNABLES=glibc.pthread.rseq=0' $threaded
	# Which of the two depends on glibc's version.
	environment 'rseq refused' rseq locked \
		"glibc has not registered it|the kernel refused glibc's registration" 'under_filter rseq' \
		$choosing
	environment 'membarrier refused' rseq locked 'the kernel has no membarrier for it' \
		'under_filter membarrier' $choosing
	environment 'fences refused' rseq rseq '' 'under_filter fence' "$@"
}

lane_one_cpu() {
	lane=one_cpu
	cpu=$(sed -n 's/^Cpus_allowed_list:[^0-9]*\([0-9]*\).*/\1/p' /proc/self/status)
	environment 'one CPU' rseq rseq '' "taskset -c $cpu" "$@"
	# One CPU differs from several only where a thread waits for another one.
	environment 'one CPU' locked locked '' "taskset -c $cpu" $threaded
}

lane_refused "$@" &
lane_one_cpu "$@"
wait
count() {
	grep -cx "$1" "$dir/verdicts"
}
echo "$(count passed) passed, $(count failed) failed, $(count skipped) skipped"
[ "$(count failed)" = 0 ] && [ "$(count passed)" -gt 0 ]
