#!/bin/sh
# SPDX-License-Identifier: MIT
# Proves the protocol of the per-CPU stacks (stack.pml) with spin, each configuration by a search
# of all states, and requires that it reaches what it is about. Then breaks the protocol in one place
# after the other: each breakage must be found. A proof that stays without the fence proves nothing.
# Skipped (77) without spin. Needs 2 GiB of memory. The last line is "N passed, N failed".
set -u
if ! command -v spin >/dev/null 2>&1; then
	echo "skipped: spin is not installed"
	exit 77
fi
model=$(cd "$(dirname "$0")" && pwd)/stack.pml
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
cd "$dir" || exit 1
passed=0 failed=0

fail() { # WHAT
	echo "FAILED: $1" >&2
	failed=$((failed + 1))
}

# verify OPTIMIZATION DEFINE...: runs the verifier; what it says is in the file said.
verify() {
	optimization=$1
	shift
	rm -f pan pan.* stack.pml.trail said
	for name in STOPPERS TICK_ONLY CHANGE BATCH LAZY CLOSE COUNT OPS WATCH NO_FENCE DRAIN_OFF_BY_ONE \
		RACING_INSTALL CARELESS_ARM EARLY_COMMIT SUMMING_WATCHER EARLY_RELEASE; do
		case " $* " in
		*" -D$name"[\ =]*) ;;
		*) set -- "$@" "-D$name=0" ;;
		esac
	done
	# Safety only: no cycles are looked for, since a thread may take its slow path for ever.
	spin -a "$@" "$model" >said 2>&1 &&
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
	for event in interrupted pop push $events; do
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
slow="empty_slab depot_put refused release"
stops="stop_own fence move_out move_in"
changes="change_put change_room change_outrun change_elsewhere"

proves "pop and push against a stopper" "$slow $stops $changes" \
	"$three -DSTOPPERS=1 -DTICK_ONLY -DCHANGE"
proves "two stoppers" "$slow $stops $changes" "$two -DSTOPPERS=2 -DCHANGE"
proves "batches and leases" "change_in change_out release $changes" "$items -DCHANGE -DBATCH"
proves "slabs made when needed, destroy" "$slow install close rest stop_own fence $changes" \
	"$three -DLAZY -DCLOSE -DCHANGE"
proves "counts while a CPU is stopped" "arm reading rest $stops" \
	"$two -DSTOPPERS=1 -DTICK_ONLY -DCHANGE -DCOUNT -DOPS=3"
proves "counts while batches move" "arm change_out reading rest $changes" \
	"$two -DCHANGE -DBATCH -DCOUNT -DOPS=2"
proves "a sum while items move" "sum_above_leased $stops" "$two -DSTOPPERS=1 -DCHANGE -DWATCH"

breaks "the fence" NO_FENCE "$three -DSTOPPERS=1 -DTICK_ONLY"
breaks "the drained depth" DRAIN_OFF_BY_ONE "$two -DSTOPPERS=1"
breaks "the lock of install" RACING_INSTALL "$two -DLAZY -DCLOSE -DCHANGE"
breaks "a sequence to arm" CARELESS_ARM "$items -DCHANGE -DCOUNT -DOPS=2"
breaks "the slot before the commit" EARLY_COMMIT "$two -DCHANGE"
breaks "min in the sum" SUMMING_WATCHER "$two -DSTOPPERS=1 -DCHANGE -DWATCH"
breaks "the lease of what is being freed" EARLY_RELEASE "$two -DSTOPPERS=1"

echo "$passed passed, $failed failed"
[ $failed = 0 ]
