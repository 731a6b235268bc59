#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The server with tierpool and with malloc, under wrk: requests a second, CPU time of the server for a
# request, latency, resident memory. The contenders take turns; each value is the median of the rounds.
# Wants memcached, wrk, and both programs.
#
# usage: test/examples/server/compare.sh SERVER SERVER_MALLOC [ROUNDS [SECONDS]]
#
# It asserts nothing. On a busy machine only the CPU time says much.
set -euo pipefail

server=$1 server_malloc=$2 rounds=${3:-5} seconds=${4:-2}
temporary=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$temporary"' EXIT

start() { # NAME PRELOAD PROGRAM ARGUMENT...: sets port
	local name=$1 preload=$2
	shift 2
	: >"$temporary/$name.out"
	LD_PRELOAD=$preload "$@" --database="$temporary/$name.db" >>"$temporary/$name.out" 2>/dev/null &
	pids+=($!)
	until port=$(sed -n 's/^port //p' "$temporary/$name.out") && [[ -n $port ]]; do sleep 0.05; done
}

cat >"$temporary/mix.lua" <<-END
	local paths, requests, n = {"/hello", "/list/20", "/cached/key", "/upstream/hello", "/list/200"}, {}, 0
	init = function() for i, path in ipairs(paths) do requests[i] = wrk.format("GET", path) end end
	request = function() n = n + 1; return requests[n % #requests + 1] end
END

memcached -u "$(id -un)" -s "$temporary/memcached" -t 1 &
pids+=($!)
start upstream '' "$server"
upstream=$port
until [[ -S $temporary/memcached ]]; do sleep 0.05; done

preload() { # NAME
	ls /usr/lib/*/"$1" 2>/dev/null | head -n 1
}

cpu_us() { # PID
	awk -v tick="$(getconf CLK_TCK)" '{ printf "%.0f\n", ($14 + $15) * 1000000 / tick }' "/proc/$1/stat"
}

# measure NAME PRELOAD PROGRAM
measure() {
	local pid what before
	start "$@" --workers=4 --memcached="$temporary/memcached" --upstream="http://127.0.0.1:$upstream"
	pid=${pids[-1]}
	for what in hello list/20 list/2000 mix; do
		local arguments=(-t1 -c32 --latency "http://127.0.0.1:$port/$what")
		[[ $what != mix ]] || arguments=(-t1 -c32 --latency -s "$temporary/mix.lua" "http://127.0.0.1:$port")
		wrk -d1s "${arguments[@]}" >/dev/null # warms up
		before=$(cpu_us "$pid")
		wrk -d"${seconds}s" "${arguments[@]}" >"$temporary/wrk"
		awk -v what="$what $1" -v cpu=$(($(cpu_us "$pid") - before)) '
			function us(t) { return t ~ /us$/ ? t + 0 : t ~ /ms$/ ? t * 1000 : t * 1000000 }
			/ 50%/ { p50 = us($2) }
			/ 99%/ { p99 = us($2) }
			/ requests in / { cpu /= $1 }
			/^Requests/ { rate = $2 }
			/Socket|Non-2xx/ { print >"/dev/stderr" }
			/^VmRSS/ { mib = $2 / 1024 }
			END { print what, rate, cpu, p50, p99, mib }' "$temporary/wrk" "/proc/$pid/status" >>"$temporary/values"
	done
	kill "$pid" && wait "$pid" || true
	unset 'pids[-1]'
}

for ((round = 0; round < rounds; round++)); do
	measure tierpool '' "$server"
	measure glibc '' "$server_malloc"
	for name in jemalloc:libjemalloc.so.2 tcmalloc:libtcmalloc_minimal.so.4 mimalloc:libmimalloc.so.2; do
		library=$(preload "${name#*:}")
		[[ -z $library ]] || measure "${name%:*}" "$library" "$server_malloc"
	done
done

# Medians, and the ratio of the CPU times to that of tierpool on the same path.
for key in $(awk '{ print $1 "," $2 }' "$temporary/values" | awk '!seen[$0]++' | sort -s -t, -k1,1); do
	row=()
	for column in 3 4 5 6 7; do
		row+=("$(awk -v key="$key" -v column=$column '$1 "," $2 == key { print $column }' "$temporary/values" |
			sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')")
	done
	[[ $key != *,tierpool ]] || base=${row[1]}
	echo "${key/,/ } ${row[*]} $base"
done | awk '
	BEGIN { printf "%-9s %-9s %10s %11s %6s %8s %8s %6s\n", "path", "buffers", "requests/s", "CPU us each", "ratio", "50%, us", "99%, us", "MiB" }
	{ printf "%-9s %-9s %10.0f %11.2f %6.2f %8.0f %8.0f %6.1f\n", $1, $2, $3, $4, $4 / $8, $5, $6, $7 }'
