#!/bin/sh
# SPDX-License-Identifier: MIT
# Negative controls: builds the stress program with each fault of lib/inject.h in the library, and
# requires that it fails. A stress test that passes with the locks left out tests nothing.
set -u
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
status=0
for fault in $(sed -n 's/^#define \(TP_FAULT_[A-Z_]*\) *[1-9].*/\1/p' lib/inject.h); do
	"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -O1 -Iinclude -Ilib -pthread "-DTP_FAULT=$fault" \
		lib/*.c test/stress_pool.c -o "$dir/$fault" || exit 1
	# It stops at the first thing that it finds; where it crashes or hangs, it found that.
	if timeout -k 1 40 "$dir/$fault" 8 >"$dir/out" 2>&1; then
		echo "FAILED: stress_pool passes with $fault" >&2
		status=1
	else
		echo "ok  $fault is found: $(head -n 1 "$dir/out" | cut -c 1-100)"
	fi
done
exit $status
