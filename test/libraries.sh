#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The programs in test/examples/libraries: each uses real libraries in their own way and with tierpool,
# and writes the same bytes with no more allocations. Shared in each mode of the per-CPU cache, and
# static; without warnings of gcc and clang. A program whose libraries are missing is skipped; which it
# needs stands in its second line, as pkg-config names them.
#
# usage: test/libraries.sh FOLDER [--measure]     from the top of the source; CC, CFLAGS, MODES
#
# FOLDER has libtierpool.so.0 and libtierpool.a. A line a check: "ok  what", "FAIL  what" with what was
# said, or "skip  what: why". The last line is "N passed, M failed"; exits 1 when a check failed.
#
# --measure: prints the table of test/examples/libraries/README.md instead.
set -euo pipefail

folder=$(realpath "$1") measured=${2:-}
examples=test/examples/libraries
warnings=(-Wall -Wextra -Wpedantic -Werror)
read -ra cc <<<"${CC:-cc} ${CFLAGS:--O2}"
read -ra modes <<<"${MODES:-rseq locked}"

temporary=$(mktemp -d "${TMPDIR:-/tmp}/tierpool-libraries.XXXXXX")
trap 'rm -rf "$temporary"' EXIT

. test/support/checks.sh

needs() { # SOURCE
	sed -n '2s|^/\* needs: \(.*\)\*/$|\1|p' "$1"
}

# A module that pkg-config does not know, or nothing.
missing() { # MODULE...
	local module
	for module; do
		pkg-config --exists "$module" || echo "$module"
	done
}

flags() { # SOURCE WHICH...
	local modules
	read -ra modules <<<"$(needs "$1")"
	[[ ${#modules[@]} -eq 0 ]] || pkg-config "${@:2}" "${modules[@]}"
}

compile() { # OUT SOURCE LIBRARY...
	local words
	read -ra words <<<"$(flags "$2" --cflags --libs)" &&
		"${cc[@]}" "${warnings[@]}" -Iinclude -o "$1" "$2" $examples/ways.c "${@:3}" "${words[@]}" -pthread -ldl
}

compiles_by() { # COMPILER SOURCE
	local words
	read -ra words <<<"$(flags "$2" --cflags)" &&
		"$1" "${warnings[@]}" -fsyntax-only -Iinclude "${words[@]}" "$2" $examples/ways.c
}

# The counter of allocations is not loaded where a sanitizer has a malloc of its own.
counting=$temporary/allocations.so
if [[ ${cc[*]} == *-fsanitize* ]]; then
	counting=
else
	"${cc[@]}" "${warnings[@]}" -shared -fPIC -o "$counting" $examples/allocations.c -ldl
fi

counts() { # PROGRAM
	LD_PRELOAD=$counting timeout 120 "$1"
}

in_mode() { # MODE PROGRAM
	TIERPOOL_PERCPU=$1 counts "$2"
}

# Lines of code in a section of a source; 0: it has none.
lines() { # SOURCE SECTION
	awk -v section="/* ---- $2 ---- */" '$0 == section { inside = 1; next } /^\/\* ---- / { inside = 0 }
		inside && NF && !/^\t*(\/\*|\*| \*)/ { n++ } END { print n + 0 }' "$1"
}

# What a program says of each pair of ways, without and with --measure, as rows of the table.
rows() { # SOURCE PROGRAM
	local number='([0-9.]+)' name bytes from to own pooled ratio
	paste -d '|' <(counts "$2") <("$2" --measure) |
		sed -nE "s/^(.*): $number bytes, the same; $number allocations, $number with tierpool\|.*; $number us, $number with tierpool: times (.*)/\1|\2|\3|\4|\5|\6|\7/p" |
		while IFS='|' read -r name bytes from to own pooled ratio; do
			printf '| %s | %s | %s, %s | %s, %s | %s | %s, %s |\n' "$name" "$bytes" \
				"$(lines "$1" "${name}: its own way")" \
				"$(lines "$1" "${name/#*, hook*/hook}: with tierpool")" \
				"$own" "$pooled" "$ratio" "$from" "$to"
		done
}

if [[ $measured ]]; then
	echo '| library | bytes, the same | lines | µs | ratio (quartiles) | allocations |'
	echo '|---|---|---|---|---|---|'
fi
for source in "$examples"/*.c; do
	name=$(basename "$source" .c) program=$temporary/${source##*/}.program
	head -n 2 "$source" | grep -q 'needs:' || continue
	absent=$(missing $(needs "$source"))
	if [[ $absent ]]; then
		skip "$name" "pkg-config does not know $(echo $absent)"
	elif [[ $measured ]]; then
		compile "$program" "$source" "$folder/libtierpool.so" "-Wl,-rpath,$folder"
		rows "$source" "$program"
	else
		check "$name, shared" compile "$program" "$source" "$folder/libtierpool.so" "-Wl,-rpath,$folder"
		for mode in "${modes[@]}"; do
			check "$name, $mode" in_mode "$mode" "$program"
		done
		check "$name, static" compile "$program" "$source" "$folder/libtierpool.a"
		check "$name, runs" counts "$program"
		for compiler in gcc clang; do
			command -v $compiler >/dev/null || continue
			check "$name, $compiler" compiles_by $compiler "$source"
		done
	fi
done
[[ $measured ]] || report
