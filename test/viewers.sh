#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The profile in the viewers that people have: go tool pprof, Go's standalone pprof, google-pprof and
# jeprof name the functions of a program (test/viewers/borrowers.c) and have the right numbers, in use
# and cumulative. The program is built with and without -g, with and without frame pointers, at -O0, at
# -O2 and with -flto.
#   profile.proto   go tool pprof, pprof: each build; from a path with a space, with the program
#                   stripped after the run, and without the program
#   text heap       all four: unstripped, no space in the path; go tool pprof if with -g, without -flto
#   folded          no viewer: the stacks are read here
#
# usage: test/viewers.sh     from the top of the source, after `make all`; CC, CFLAGS, LDFLAGS, LIBRARY
#
# A line a check: "ok  what", "FAIL  what" with what was said, or "skip  what: why". The last line is
# "N passed, M failed"; exits 1 when a check failed, 77 when there is no viewer.
set -euo pipefail

library=${LIBRARY:-build/release/libtierpool.a}
read -ra cc <<<"${CC:-cc} ${CFLAGS:-}"
read -ra ldflags <<<"${LDFLAGS:-}"

temporary=$(mktemp -d "${TMPDIR:-/tmp}/tierpool-viewers.XXXXXX")
trap 'rm -rf "$temporary"' EXIT
mkdir "$temporary/plain" "$temporary/a space"
export PPROF_TMPDIR=$temporary PPROF_BINARY_PATH=$temporary/none

. test/support/checks.sh

# ---- the viewers ----

# Debian has standalone pprof as source. (A program called pprof may be that of gperftools, in perl.)
pprof=
standalone() {
	local source=/usr/share/gocode/src/github.com/google/pprof
	if command -v pprof >/dev/null && ! head -c 2 "$(command -v pprof)" | grep -q '#!'; then
		pprof=$(command -v pprof)
	elif [[ -d $source ]] && command -v go >/dev/null &&
		GO111MODULE=off GOFLAGS='' GOTOOLCHAIN=local GOPATH=/usr/share/gocode GOCACHE=$temporary/go \
			go build -o "$temporary/pprof" github.com/google/pprof >"$temporary/log" 2>&1; then
		pprof=$temporary/pprof
	fi
}
standalone

go_viewers=() perl_viewers=()
if command -v go >/dev/null; then
	go_viewers+=("go tool pprof")
else
	skip "go tool pprof" "no go here"
fi
if [[ $pprof ]]; then
	go_viewers+=("$pprof")
else
	skip "standalone pprof" "neither a program nor Debian's source of it, or it does not build"
fi
for viewer in google-pprof jeprof; do
	if command -v $viewer >/dev/null; then
		perl_viewers+=($viewer)
	else
		skip $viewer "not installed"
	fi
done
if [[ ${#go_viewers[@]} -eq 0 && ${#perl_viewers[@]} -eq 0 ]]; then
	exit 77
fi

# go_top VIEWER INDEX FILE...: each function's flat and cumulative number; sizes in bytes.
go_top() {
	local words
	read -ra words <<<"$1"
	timeout 120 "${words[@]}" -top -nodefraction=0 -unit=B "-sample_index=$2" "${@:3}"
}

perl_top() {
	timeout 120 "$1" --text --show_bytes "--$2" "${@:3}"
}

# numbers NAME:FLAT:CUMULATIVE...: of a table "flat flat% sum% cum cum% name". Compilers add a suffix to
# the name of a copy of a function. A number with a + is the least; -: any.
numbers() {
	awk -v wanted="$*" '
		function fits(number, want) {
			sub(/B$/, "", number)
			if (want == "-")
				return 1
			return want ~ /[+]$/ ? number + 0 >= want + 0 : number == want
		}
		NF >= 6 { name = $6; sub(/[.].*/, "", name); flat[name] = $1; cumulative[name] = $4 }
		{ print }
		END {
			count = split(wanted, want, " ")
			for (i = 1; i <= count; i++) {
				split(want[i], part, ":")
				name = part[1]
				# With DWARF some viewers show the inline function of the header as the leaf.
				own = flat[name]
				if (own + 0 == 0 && part[2] + 0 > 0 && "tierpool_get_at" in flat) own = cumulative[name]
				if (!(name in flat) || !fits(own, part[2]) ||
					!fits(cumulative[name], part[3])) {
					print "not so: " want[i]
					bad = 1
				}
			}
			exit bad
		}'
}

# Ten gets of each function. In use are one large and one small buffer, and all that were never put.
# Of the text heap format viewers ask DWARF, which has tierpool_get_at inlined in the borrowers: then
# these have cumulative numbers only.
is_right() { # FLAT|CUMULATIVE TOP VIEWER FILE...
	local one=1 ten=10 small=20+ large=3000000+
	[[ $1 = FLAT ]] || one=- ten=- small=- large=-
	shift
	"$1" "$2" alloc_objects "${@:3}" |
		numbers borrow_large:$ten:10 borrow_small:$ten:10 never_put:$ten:10 borrow_all:0:30 &&
		"$1" "$2" inuse_objects "${@:3}" |
		numbers borrow_large:$one:1 borrow_small:$one:1 never_put:$ten:10 borrow_all:0:12 &&
		"$1" "$2" alloc_space "${@:3}" |
		numbers borrow_large:$large:3000000+ borrow_small:$small:20+ borrow_all:0:3000000+ &&
		"$1" "$2" inuse_space "${@:3}" |
		numbers borrow_large:-:300000+ borrow_small:-:2+ never_put:-:7000+ borrow_all:0:300000+
}

# The line of each borrower is known without -g.
has_lines() { # VIEWER FILE
	local borrower
	go_top "$1" alloc_objects -lines "$2" >"$temporary/top"
	cat "$temporary/top"
	for borrower in borrow_large borrow_small never_put; do
		grep -qE " $borrower[.a-z0-9]* [^ ]*borrowers\.c:[0-9]+" "$temporary/top" || return 1
	done
}

has_stacks() { # FOLDED
	local borrower
	cat "$1"
	for borrower in borrow_large borrow_small never_put; do
		grep -qE "(^|;)borrow_all[.a-z0-9]*;$borrower[.a-z0-9]*;[^;]*borrowers\.c:[0-9]+ [0-9]+$" "$1" ||
			return 1
	done
}

# What viewers are strict about.
is_strict() { # PPROF
	head -n 5 "$1"
	head -n 1 "$1" | grep -qE '^heap profile: [0-9]+: [0-9]+ \[[0-9]+: [0-9]+\] @ heapprofile$' &&
		! grep ' \]' "$1" &&
		grep -qx 'MAPPED_LIBRARIES:' "$1" &&
		grep -qE '^[0-9a-f]+-[0-9a-f]+ r-xp [0-9a-f]+ .*/borrowers' "$1" &&
		! grep -E '(^| |\[)0: [1-9]' "$1"
}

# ---- the builds ----

build() { # PROGRAM FLAG...
	"${cc[@]}" "${@:2}" -Iinclude test/viewers/borrowers.c -pthread "${ldflags[@]}" "$library" -o "$1"
}

profile() { # PROGRAM [keep|gone]
	timeout 120 "$1" "$1.proto" "$1.heap" "$1.folded" "${@:2}"
}

number=0
for level in -O0 -O2 "-O2 -flto"; do
	for debug in -g0 -g; do
		for pointers in -fno-omit-frame-pointer -fomit-frame-pointer; do
			flags=$level\ $debug\ $pointers
			read -ra words <<<"$flags"
			number=$((number + 1))
			program=$temporary/plain/borrowers$number
			spaced="$temporary/a space/borrowers$number"
			check "it builds: $flags" build "$program" "${words[@]}"
			cp "$program" "$spaced" || continue
			check "it runs: $flags" profile "$program"
			check "it runs in a path with a space: $flags" profile "$spaced"
			check "folded stacks: $flags" has_stacks "$program.folded"
			check "text heap, its format: $flags" is_strict "$program.heap"
			for viewer in "${perl_viewers[@]}"; do
				check "text heap, $viewer: $flags" is_right CUMULATIVE perl_top $viewer "$program" "$program.heap"
			done
			for viewer in "${go_viewers[@]}"; do
				name=${viewer##*/}
				if [[ $name != "go tool pprof" || ($debug = -g && $level != *-flto) ]]; then
					check "text heap, $name: $flags" is_right CUMULATIVE go_top "$viewer" "$program" \
						"$program.heap"
				fi
				check "proto, $name: $flags" is_right FLAT go_top "$viewer" "$program.proto"
				check "proto, lines, $name: $flags" has_lines "$viewer" "$program.proto"
				check "proto, a space, $name: $flags" is_right FLAT go_top "$viewer" "$spaced.proto"
			done
			strip "$program"
			for viewer in "${go_viewers[@]}"; do
				name=${viewer##*/}
				check "proto, stripped, $name: $flags" is_right FLAT go_top "$viewer" "$program.proto"
			done
			rm "$spaced"
			for viewer in "${go_viewers[@]}"; do
				name=${viewer##*/}
				check "proto, the program gone, $name: $flags" is_right FLAT go_top "$viewer" "$spaced.proto"
			done
		done
	done
done

# In each mode no function of the library stands between the borrower and its site.
for mode in rseq locked; do
	program=$temporary/plain/$mode
	check "it builds" build "$program" -O2 -g
	check "it runs: $mode" env TIERPOOL_PERCPU=$mode timeout 120 "$program" "$program.proto" \
		"$program.heap" "$program.folded"
	check "folded stacks: $mode" has_stacks "$program.folded"
	for viewer in "${go_viewers[@]}"; do
		check "proto, ${viewer##*/}: $mode" is_right FLAT go_top "$viewer" "$program.proto"
	done
done

# The program is replaced while it runs, as an update does.
program=$temporary/plain/gone
check "it builds" build "$program" -O1 -g
check "it runs, and its file is removed" profile "$program" gone
check "the file is removed: folded stacks" has_stacks "$program.folded"
for viewer in "${go_viewers[@]}"; do
	check "the file is removed: proto, ${viewer##*/}" is_right FLAT go_top "$viewer" "$program.proto"
done

# If nothing was put, what was borrowed is what is in use: viewers have both all the same.
program=$temporary/plain/kept
check "it builds" build "$program" -O1 -g
check "it runs, and puts nothing" profile "$program" keep
kept_is_right() { # TOP VIEWER FILE...
	"$1" "$2" alloc_objects "${@:3}" | numbers borrow_large:-:10 never_put:-:10 &&
		"$1" "$2" inuse_objects "${@:3}" | numbers borrow_large:-:10 never_put:-:10
}
for viewer in "${go_viewers[@]}"; do
	name=${viewer##*/}
	check "nothing put: text heap, $name" kept_is_right go_top "$viewer" "$program" \
						"$program.heap"
	check "nothing put: proto, $name" kept_is_right go_top "$viewer" "$program.proto"
	check "a tag has the site, $name" eval "go_top '$viewer' alloc_objects -tagfocus=borrow_large \
		'$program.proto' | numbers borrow_large:10:10"
done
for viewer in "${perl_viewers[@]}"; do
	check "nothing put: text heap, $viewer" kept_is_right perl_top $viewer "$program" "$program.heap"
done

report
