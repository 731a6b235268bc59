#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The USDT probes of lib/base/probe.h: that the notes in the shared library and in a program with the
# static one name each probe once, with all its arguments and its semaphore; that gdb and bpftrace see
# each event of a program with the values that the program expects, and as many as it counts; and that
# each bpftrace command of lib/PROFILING.md says what it is shown to say.
#
# usage: test/probes.sh        from the top of the source; CC, BUILD
#
# A line a check: "ok  what", "FAIL  what" with what was said, or "skip  what: why". The last line is
# "N passed, M failed"; exits 1 when a check failed, 77 when the probes are not built in.
set -euo pipefail

cc=${CC:-cc}
build=${BUILD:-build/release}
doc=lib/PROFILING.md
probes='drop 5
get_miss 6
grow 6
learn 5
misuse 3
tick 4'

temporary=$(mktemp -d "${TMPDIR:-/tmp}/tierpool-probes.XXXXXX")
trap 'rm -rf "$temporary"' EXIT

if ! "$cc" -E -x c - <<<'#include <sys/sdt.h>' >/dev/null 2>&1; then
	echo 'skipped: there is no <sys/sdt.h> (Debian: systemtap-sdt-dev), so no probes are built in'
	exit 77
fi
# Make does not know that the header has come.
if ! nm "$build/lib/base/probe.o" | grep -q _semaphore && "$cc" -Ilib -c lib/base/probe.c -o "$temporary/probe.o" &&
	nm "$temporary/probe.o" | grep -q _semaphore; then
	echo "skipped: $build was built before there was <sys/sdt.h>: make clean"
	exit 77
fi

. test/support/checks.sh

# Lines "NAME ARGUMENTS", and "no semaphore" if there is none.
notes_of() { # FILE
	LC_ALL=C readelf -n "$1" | awk '
		$1 == "Provider:" { ours = $2 == "tierpool" }
		$1 == "Name:" { name = $2 }
		ours && /Semaphore: 0x0*$/ { print "no semaphore" }
		ours && $1 == "Arguments:" { print name, NF - 1 }' | sort
}

notes_are_right() { # FILE
	diff <(echo "$probes") <(notes_of "$1")
}

# Does everything that fires a probe. Its output is what the events have to be, and how many.
cat >"$temporary/probed.c" <<'END_C'
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <tierpool.h>

static struct tierpool_stats read_stats(tierpool *pool)
{
	struct tierpool_stats s = {.size = sizeof s};

	if (tierpool_stats_read(pool, &s))
		puts("no statistics");
	return s;
}

static tierpool *create(const char *name, unsigned decay_ms)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	tierpool *pool = NULL;

	options.name = name;
	options.retain = 1 << 20;
	options.max_size = 64 << 10;
	options.decay_ms = decay_ms;
	if (tierpool_create(&pool, &options))
		puts("no pool");
	return pool;
}

static void miss_and_grow(tierpool *pool)
{
	char text[300] = {0};
#line 100
	tierpool_buf *sized = TIERPOOL_GET_SIZED(pool, 3000);
	puts("get_miss probed 3000 probed.c 100 0 1048576");
	tierpool_buf_append(sized, text, 10);
	tierpool_buf_reserve(sized, 5000);
	puts("grow probed 4096 8192 10  0");
#line 200
	tierpool_buf *learned = TIERPOOL_GET(pool);
	printf("get_miss probed 1024 probed.c 200 %zu 1048576\n", read_stats(pool).idle_bytes);
	tierpool_buf_append(learned, text, 300);
	tierpool_buf_reserve(learned, 3000);
	puts("grow probed 1024 4096 300 probed.c 200");
	tierpool_put(learned);
	tierpool_put(sized);
}

static void drop_and_tick(tierpool *pool)
{
	size_t idle = read_stats(pool).idle_bytes;
#line 300
	tierpool_buf *large = TIERPOOL_GET_SIZED(pool, 1 << 20);
	printf("get_miss probed 1048576 probed.c 300 %zu 1048576\n", idle);
	printf("drop probed %zu oversize %zu 1048576\n", large->cap, idle);
	tierpool_put(large);
	tierpool_tick(pool);
	puts("tick probed 1 0 1");
	tierpool_tick(pool);
	printf("tick probed 2 %zu 1\n", idle);
	puts("drop probed 1024 decay 0 1048576");
}

static void learn(tierpool *pool)
{
	for (int i = 0; i < 64; i++) {
#line 400
		tierpool_buf *b = TIERPOOL_GET(pool);
		tierpool_buf_printf(b, "%5000d", i);
		tierpool_put(b);
	}
	puts("learn probed probed.c 400 1024 8192");
}

/* A slow call begins the tick that is due. */
static void decay(void)
{
	tierpool *pool = create("decaying", 1);

	while (!read_stats(pool).ticks)
		tierpool_put(tierpool_get_sized(pool, 1 << 20));
	puts("tick decaying 1 0 0");
	tierpool_destroy(pool);
}

static void on_misuse(const char *pool, const char *what, const tierpool_buf *b)
{
	printf("misuse %s %zu %s\n", pool, b->cap, what);
}

static void once(void)
{
	tierpool *pool = create("probed", TIERPOOL_DECAY_NEVER);
	tierpool_buf *b;
	struct tierpool_stats s;

	miss_and_grow(pool);
	drop_and_tick(pool);
	learn(pool);
	decay();
	b = tierpool_get_sized(pool, 2000);
	tierpool_put(b);
	tierpool_put(b);
	tierpool_trim(pool, 0);
	s = read_stats(pool);
	printf("= get_miss %llu\n", (unsigned long long)(s.gets - s.hits));
	printf("= grow %llu\n", (unsigned long long)s.grows);
	printf("= drop %llu\n", (unsigned long long)s.frees);
	printf("= tick %llu\n", (unsigned long long)s.ticks);
	tierpool_destroy(pool);
}

/* probed FILE [again]: again: until it is killed. */
int main(int argc, char **argv)
{
	alarm(300);
	tierpool_on_misuse(on_misuse);
	do {
		if (argc < 2 || !freopen(argv[1], "w", stdout))
			return 1;
		once();
		fflush(stdout);
	} while (argc > 2);
	return 0;
}
END_C

# Each event as a line, in the words of the program: the same for both tools.
events='get_miss %s %lu %s %u %lu %lu|0s 1 2s 3 4 5
grow %s %lu %lu %lu %s %u|0s 1 2 3 4s 5
drop %s %lu %s %lu %lu|0s 1 2s 3 4
tick %s %lu %lu %d|0s 1 2 3
learn %s %s %u %lu %lu|0s 1s 2 3 4
misuse %s %lu %s|0s 2 1s'

# event_arguments HOW WORDS: HOW is a number's and a string's form, with N for its place.
event_arguments() {
	local number=$1 string=$2 word
	shift 2
	for word; do
		case $word in
		*s) printf ', %s' "${string//N/${word%s}}" ;;
		*) printf ', %s' "${number//N/$word}" ;;
		esac
	done
}

gdb_commands() {
	printf '%s\n' 'set pagination off' 'set confirm off' 'set debuginfod enabled off' 'break main' 'run'
	while IFS='|' read -r format words; do
		# shellcheck disable=SC2016,SC2086
		printf '%s\n' "break -probe-stap tierpool:${format%% *}" 'commands' 'silent' \
			"printf \"$format\\n\"$(event_arguments '$_probe_argN' '(char *) $_probe_argN' $words)" \
			'continue' 'end'
	done <<<"$events"
	echo 'continue'
}

bpftrace_program() { # WHERE
	while IFS='|' read -r format words; do
		# shellcheck disable=SC2086
		printf 'usdt:%s:tierpool:%s { printf("%s\\n"%s); }\n' "$1" "${format%% *}" "$format" \
			"$(event_arguments argN 'str(argN)' $words)"
	done <<<"$events"
}

# What was expected is in what was seen, and of the pool "probed" there is as much as it counts.
events_are_right() { # EXPECTED SEEN
	local line name count status=0
	cat "$2"
	while read -r line; do
		case $line in
		=*)
			read -r _ name count <<<"$line"
			[[ $(grep -c "^$name probed " "$2") == "$count" ]] ||
				{ echo "$name: not $count times" && status=1; }
			;;
		*) grep -qxF -e "$line" "$2" || { echo "not seen: $line" && status=1; } ;;
		esac
	done <"$1"
	! grep -E '^learn .* ([0-9]+) \1$' "$2" || { echo 'a change that is none' && status=1; }
	[[ $status -eq 0 ]] && grep -q '^misuse' "$1"
}

gdb_sees() { # PROGRAM
	gdb_commands >"$temporary/gdb"
	rm -f "$temporary/expected"
	LC_ALL=C timeout 120 gdb -nx -batch -x "$temporary/gdb" --args "$1" "$temporary/expected" \
		>"$temporary/seen" 2>&1 </dev/null
	events_are_right "$temporary/expected" "$temporary/seen"
}

# trace FILE|-e PROGRAM: while the program with the static library runs.
trace() {
	rm -f "$temporary/expected"
	timeout 120 bpftrace -c "$temporary/static $temporary/expected" "$@" >"$temporary/seen" 2>"$temporary/said" ||
		{ cat "$temporary/said" && return 1; }
}

bpftrace_sees() {
	bpftrace_program "$temporary/static" >"$temporary/all.bt"
	trace "$temporary/all.bt" && events_are_right "$temporary/expected" "$temporary/seen"
}

# As the documentation says: by its process id, wherever the probes are.
bpftrace_sees_running() {
	local status=0 tries=600
	rm -f "$temporary/expected"
	"$temporary/shared" "$temporary/expected" again &
	until [[ -s $temporary/expected || $((tries--)) -eq 0 ]]; do sleep 0.1; done
	timeout 120 bpftrace -p $! -e 'usdt:*:tierpool:learn /arg2 == 400/ { printf("%s %lu to %lu\n", str(arg0), arg3, arg4); exit(); }' \
		>"$temporary/seen" 2>&1 || status=$?
	kill $!
	wait $! || true
	cat "$temporary/seen"
	[[ $status -eq 0 ]] && grep -qx 'probed 1024 to 8192' "$temporary/seen"
}

# The programs of the documented commands, each on a line.
documented() {
	sed -n '/^## Probes/,/^## /s/^    //p' "$doc" |
		awk -v RS="bpftrace -p PID -e '" 'NR > 1 { sub(/\x27.*/, ""); gsub(/\n */, " "); print }'
}

# A line that each of them prints of the program.
documented_print='get_miss @misses\[probed.c, 300\]: 1
drop @drops\[probed, oversize\]: count 1, average 1, total 1
grow @copied\[probed.c, 200\]: 300
learn [0-9:]{8} probed: probed.c:400 begins with 8192, not 1024
tick \[8K, 16K\) +1 .*
misuse probed: put twice, 2048 bytes'

documented_works() { # NAME PROGRAM
	local line
	line=$(sed -n "s/^$1 //p" <<<"$documented_print")
	trace -e "${2//usdt:\*/usdt:$temporary/static}" && cat "$temporary/seen" &&
		[[ -n $line ]] && grep -qxE -e "$line" "$temporary/seen"
}

(cd "$temporary" && "$cc" -I"$OLDPWD/include" -c probed.c)
"$cc" -o "$temporary/static" "$temporary/probed.o" "$build/libtierpool.a" -pthread
"$cc" -o "$temporary/shared" "$temporary/probed.o" -L"$build" -ltierpool -Wl,-rpath,"$(realpath "$build")" -pthread

check 'the notes of the shared library' notes_are_right "$build/libtierpool.so"
check 'the notes of a program with the static one' notes_are_right "$temporary/static"
if LC_ALL=C gdb -nx -batch -ex run --args "$temporary/static" "$temporary/expected" 2>&1 </dev/null | grep -q 'exited normally'; then
	check 'gdb, of the shared library' gdb_sees "$temporary/shared"
	check 'gdb, of the static one' gdb_sees "$temporary/static"
else
	skip 'gdb' 'there is none, or it cannot run a program here'
fi
if timeout 60 bpftrace -e 'BEGIN { exit(); }' >/dev/null 2>&1; then
	check 'bpftrace, of the static one' bpftrace_sees
	check 'bpftrace, of the shared one in a process that runs' bpftrace_sees_running
	while read -r program; do
		name=${program#usdt:\*:tierpool:}
		check "documented: ${name%% *}" documented_works "${name%% *}" "$program"
	done < <(documented)
else
	skip 'bpftrace' 'there is none, or it may not be used here: it wants root, and a kernel with BPF'
fi
report
