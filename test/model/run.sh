#!/bin/sh
# SPDX-License-Identifier: MIT
# Proves with spin the protocol of the per-CPU stacks (stack.pml), and of what stands on it: ticks
# (tick.pml), how growths are counted (exchange.pml), and what aarch64 may do out of order (order.pml).
# Each configuration by a search of all states, and it must reach what it is about. Then breaks the
# protocols in one place after the other: each breakage must be found. A proof that stays without the
# fence proves nothing.
# Skipped (77) without spin. Needs 2 GiB of memory. The last line is "N passed, N failed".
set -u
if ! command -v spin >/dev/null 2>&1; then
	echo "skipped: spin is not installed"
	exit 77
fi
models=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
cd "$dir" || exit 1
passed=0 failed=0

fail() { # WHAT
	echo "FAILED: $1" >&2
	failed=$((failed + 1))
}

# verify OPTIMIZATION DEFINE...: runs the verifier on $model; what it says is in the file said.
verify() {
	optimization=$1
	shift
	rm -f pan pan.* ./*.trail said
	for name in STOPPERS TICK_ONLY CHANGE BATCH DROP LAZY CLOSE COUNT OPS WATCH NO_FENCE DRAIN_OFF_BY_ONE \
		UNSHIFTED RACING_INSTALL CARELESS_ARM EARLY_COMMIT SUMMING_WATCHER EARLY_RELEASE \
		CPUS_FIRST REFILL_OLD UNANNOUNCED ANNOUNCED_LAST OWN_CPU_ONLY COUNTED_LATE UNDONE_ELSEWHERE READ_EARLY \
		COMMIT PUBLISH LEASES PLAIN_COMMIT PLAIN_COUNT PLAIN_READING PLAIN_FIRST PLAIN_PUBLISH \
		NO_ADDRESS PLAIN_CHANGE PLAIN_YIELD; do
		case " $* " in
		*" -D$name"[\ =]*) ;;
		*) set -- "$@" "-D$name=0" ;;
		esac
	done
	# Safety only: no cycles are looked for, since a thread may take its slow path for ever.
	spin -a "$@" "$models/$model" >said 2>&1 &&
		"${CC:-cc}" "$optimization" -w -DSAFETY -DMEMLIM=3000 -o pan pan.c >>said 2>&1 &&
		./pan -m4000000 -w23 >said 2>&1
}

# proves WHAT "EVENT..." "DEFINE...": no error in all states, and each event happens in one of them.
proves() {
	what=$1 events=$2 missing=
	verify -O1 $3
	if ! grep -q 'errors: 0$' said || grep -qE 'error:|not complete|too small|out of memory' said; then
		fail "model: $what"
		grep -E '^pan|rror' said >&2
		return
	fi
	for event in $events; do
		grep -qx "reached: $event" said || missing="$missing $event"
	done
	if [ -n "$missing" ]; then
		fail "model: $what: never happens:$missing"
		return
	fi
	states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' said)
	depth=$(sed -n 's/.*depth reached \([0-9]*\).*/\1/p' said)
	echo "ok  model: $what: $states states, depth $depth"
	passed=$((passed + 1))
}

# breaks WHAT CONTROL "DEFINE...": an assertion must fail.
breaks() {
	what=$1
	verify -O0 "-D$2" $3
	found=$(sed -n 's/^pan:1: assertion violated \([a-z_]*\) .*/\1/p' said)
	if [ -z "$found" ]; then
		fail "model without $what: not found"
		grep -E '^pan|rror' said >&2
		return
	fi
	echo "ok  model without $what: found: $found"
	passed=$((passed + 1))
}

two="-DTHREADS=2 -DITEMS=2 -DCAP=2 -DRETAIN=2"
three="-DTHREADS=3 -DITEMS=2 -DCAP=2 -DRETAIN=2"
items="-DTHREADS=2 -DITEMS=3 -DCAP=2 -DRETAIN=3"
calls="interrupted pop push"
slow="$calls empty_slab depot_put refused release"
stops="stop_own fence take_out room_set"
changes="change_put change_outrun change_elsewhere"

model=stack.pml
proves "pop and push against a stopper" "$slow $stops $changes" \
	"$three -DSTOPPERS=1 -DTICK_ONLY -DCHANGE"
proves "two stoppers, who steal" "$slow $stops $changes steal change_room" \
	"$two -DSTOPPERS=2 -DCHANGE -DDROP"
proves "batches and leases" "$calls change_in change_out release $changes" "$items -DCHANGE -DBATCH"
proves "slabs made when needed, destroy" "$slow install close rest stop_own fence $changes" \
	"$three -DLAZY -DCLOSE -DCHANGE"
proves "counts while a CPU is stopped" "$calls arm reading rest $stops" \
	"$two -DSTOPPERS=1 -DTICK_ONLY -DCHANGE -DCOUNT -DOPS=3"
proves "counts while batches move" "$calls arm change_in change_out reading rest $changes" \
	"$two -DCHANGE -DBATCH -DCOUNT -DOPS=2"
proves "a sum while items move" "$calls sum_above_leased $stops" "$two -DSTOPPERS=1 -DCHANGE -DWATCH"

breaks "the fence" NO_FENCE "$three -DSTOPPERS=1 -DTICK_ONLY -DCHANGE"
breaks "the drained depth" DRAIN_OFF_BY_ONE "$two -DSTOPPERS=1 -DCHANGE"
breaks "the shift after a take-out" UNSHIFTED "$two -DSTOPPERS=1 -DCHANGE"
breaks "the lock of install" RACING_INSTALL "$two -DLAZY -DCLOSE -DCHANGE"
breaks "a sequence to arm" CARELESS_ARM "$items -DCHANGE -DCOUNT -DOPS=2"
breaks "the slot before the commit" EARLY_COMMIT "$two -DCHANGE"
breaks "min in the sum" SUMMING_WATCHER "$two -DSTOPPERS=1 -DCHANGE -DWATCH"
breaks "the lease of what is being freed" EARLY_RELEASE "$two -DSTOPPERS=1 -DCHANGE"

model=tick.pml
proves "ticks while items move" "put flush refill kept_old cpu_aged depot_aged" ""
breaks "depots that are aged before the CPUs" CPUS_FIRST ""
breaks "refills made young" REFILL_OLD ""
breaks "the announcement of a tick" UNANNOUNCED ""
breaks "the question whether one is announced first" ANNOUNCED_LAST ""
breaks "a look at the CPU to which a thread migrates" OWN_CPU_ONLY ""

model=exchange.pml
proves "growths counted apart" "get put pop push no_room undone reading rest" ""
breaks "a count before the pop" COUNTED_LATE ""
breaks "the same counter" UNDONE_ELSEWHERE ""
breaks "exchanges read last" READ_EARLY ""

model=order.pml
proves "the order of a commit and a count of it" "refilled flushed" -DCOMMIT
proves "the order of a publication and a pop or change" "popped changed refused fence shown" -DPUBLISH
proves "the order of a lease's two words" "counted uncounted yielded" -DLEASES
breaks "the release of a commit" PLAIN_COMMIT -DCOMMIT
breaks "the release of what is counted after it" PLAIN_COUNT -DCOMMIT
breaks "the acquire of a word that is read" PLAIN_READING -DCOMMIT
breaks "the acquire of what is read before it" PLAIN_FIRST -DCOMMIT
breaks "the release of a publication" PLAIN_PUBLISH -DPUBLISH
breaks "the address that a pop depends on" NO_ADDRESS -DPUBLISH
breaks "the acquire of a change" PLAIN_CHANGE -DPUBLISH
breaks "the fence of a publication" NO_FENCE -DPUBLISH
breaks "the release of a lease" PLAIN_YIELD -DLEASES

echo "$passed passed, $failed failed"
[ $failed = 0 ]
