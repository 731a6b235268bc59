#!/bin/sh
# SPDX-License-Identifier: MIT
# Negative controls: builds each fault of lib/base/inject.h into the library and the stress program that is to
# find it, with delays injected, and requires that the program fails. A stress test that passes with the
# fence left out tests nothing. First, that the same programs pass without a fault.
# The last line is "N passed, N failed", and ", N skipped" where there is no rseq mode.
set -u

# In which modes which program finds it, and for how many seconds at the most it is tried: it stops at the
# first finding. But that a lease is lost shows only at the end; and that nothing is reclaimed, by a deadline of
# 20 seconds.
controls='
NONE             rseq,locked stress_cpucache 2
NONE             rseq,locked stress_pool     2
NONE             rseq,locked stress_budget   4
NONE             rseq,locked stress_cache    2
OPEN_DOOR        locked      stress_cpucache 8
OPEN_DOOR        locked      stress_cache    8
UNBOUNDED        rseq,locked stress_pool     8
UNBOUNDED        rseq,locked stress_budget   8
LOST_LEASE       rseq,locked stress_pool     1
UNSHIFTED        rseq,locked stress_cpucache 8
UNSHIFTED        rseq,locked stress_cache    8
NO_FENCE         rseq        stress_cpucache 8
NO_FENCE         rseq        stress_cache    8
DRAIN_OFF_BY_ONE rseq,locked stress_cpucache 8
RACING_INSTALL   rseq,locked stress_cpucache 20
CARELESS_ARM     rseq        stress_cpucache 8
EARLY_COMMIT     rseq        stress_cpucache 8
EARLY_COMMIT     rseq        stress_cache    8
SUMMING_WATCHER  rseq,locked stress_pool     20
NO_RECLAIM       rseq,locked stress_budget   1
'

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0 skipped=0

ok() {
	passed=$((passed + 1))
	echo "ok  $*"
}

fail() {
	failed=$((failed + 1))
	echo "FAILED: $*"
}

build() { # build FAULT PROGRAM
	"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -O1 -Iinclude -Ilib -pthread -DTP_INJECT \
		"-DTP_FAULT=TP_FAULT_$1" -Itest/support lib/*/*.c "test/stress/$2.c" -o "$dir/$2"
}

judge() { # judge FAULT "PROGRAM (MODE)" STATUS
	said=$(head -n 1 "$dir/out" | cut -c 1-100)
	case $1,$3 in
	NONE,0) ok "$2 passes without a fault" ;;
	NONE,*) fail "$2 without a fault: status $3: $said" ;;
	*,0) fail "$2 passes with $1" ;;
	*,1) ok "$1 is found by $2: $said" ;;
	*,124 | *,137) ok "$1 is found by $2: it hangs" ;;
	*,13[2-9]) ok "$1 is found by $2: it crashes, signal $(($3 - 128))" ;;
	*) fail "$2 with $1 could not run: status $3: $said" ;;
	esac
}

control() { # control FAULT MODE PROGRAM SECONDS
	if [ "$2" = rseq ] && [ "$rseq" = no ]; then
		skipped=$((skipped + 1))
		echo "skipped $1, $3 (rseq): there is no rseq mode here"
		return
	fi
	TIERPOOL_PERCPU=$2 timeout -k 1 $(($4 + 30)) "$dir/$3" "$4" >"$dir/out" 2>&1
	judge "$1" "$3 ($2)" $?
}

# What the library itself says of the mode.
rseq=yes
if build NONE stress_cpucache; then
	TIERPOOL_PERCPU=rseq "$dir/stress_cpucache" 1 >"$dir/out" 2>&1
	! grep -q ', locked$' "$dir/out" || rseq=no
fi

while read -r fault modes program seconds; do
	[ -n "$fault" ] || continue
	if ! build "$fault" "$program"; then
		fail "$program with $fault cannot be built"
		continue
	fi
	case $modes in *rseq*) control "$fault" rseq "$program" "$seconds" ;; esac
	case $modes in *locked*) control "$fault" locked "$program" "$seconds" ;; esac
done <<END
$controls
END

for fault in $(sed -n 's/^#define TP_FAULT_\([A-Z_]*\) .*/\1/p' lib/base/inject.h); do
	case $controls in
	*"
$fault "*) ;;
	*) fail "there is no control for $fault" ;;
	esac
done

echo "$passed passed, $failed failed$([ $skipped = 0 ] || echo ", $skipped skipped")"
[ $failed = 0 ] && [ $passed -gt 0 ]
