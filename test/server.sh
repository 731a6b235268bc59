#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The example server (test/examples/server): each route; requests and answers in pieces, ahead of time, too
# large and broken; a full queue; then ten seconds under wrk, scraped by a real Prometheus, with steady
# memory; and its end. It has a memcached, a database, and a second server as its upstream. The same server
# with malloc answers too.
#
# usage: test/server.sh SERVER SERVER_MALLOC     from the top of the source; MAKE, SERVER_PACKAGES
#
# The programs are built here, by make, if all is there that they want.
#
# A line a check: "ok  what", "FAIL  what" with what was said, or "skip  what: why". The last line is
# "N passed, M failed"; exits 1 when a check failed, 77 where something is missing.
set -euo pipefail

server=$1 server_malloc=$2
read -ra make <<<"${MAKE:-make}"
for tool in curl jq memcached pkg-config prometheus promtool wrk; do
	if ! command -v $tool >/dev/null; then
		echo "skipped: $tool is not installed"
		exit 77
	fi
done
for package in $SERVER_PACKAGES; do
	if ! pkg-config --exists "$package"; then
		echo "skipped: pkg-config knows no $package"
		exit 77
	fi
done
if [[ ! -e /usr/include/http_parser.h ]]; then
	echo "skipped: no http_parser.h (Debian: libhttp-parser-dev)"
	exit 77
fi

temporary=$(mktemp -d "${TMPDIR:-/tmp}/tierpool-server.XXXXXX")
port='' server_pid='' upstream_port='' upstream_pid='' memcached_pid='' malloc_pid='' spare_pid='' spare_port=''
trap 'end' EXIT

. test/support/checks.sh
. test/support/prometheus.sh

end() {
	local pid
	for pid in $server_pid $upstream_pid $memcached_pid $malloc_pid $spare_pid $prometheus_pid; do
		kill "$pid" 2>/dev/null || true
	done
	wait
	rm -rf "$temporary"
}

# ---- the processes ----

# starts NAME PROGRAM ARGUMENT...: a server, whose process is $pid and whose port is $port.
starts() {
	local name=$1 program=$2
	shift 2
	"$program" --database="$temporary/$name.db" "$@" >"$temporary/$name.out" 2>&1 &
	pid=$!
	soon grep -q '^port' "$temporary/$name.out" || { cat "$temporary/$name.out"; return 1; }
	port=$(sed -n 's/^port //p' "$temporary/$name.out")
}

memcached_starts() {
	memcached -u "$(id -un)" -s "$temporary/memcached" -m 16 -t 1 >"$temporary/memcached.out" 2>&1 &
	memcached_pid=$!
	soon test -S "$temporary/memcached"
}

# One worker, and one place in its queue.
upstream_starts() {
	starts upstream "$server" --workers=1 --queue=1 || return
	upstream_pid=$pid upstream_port=$port port=''
}

server_starts() {
	starts server "$server" --workers=4 --patience=600 --upstream="http://127.0.0.1:$upstream_port" \
		--memcached="$temporary/memcached" || return
	server_pid=$pid
}

# ---- what it answers ----

# asks PATH [CURL_OPTION...]: the body. Fails if the status is 400 or more.
asks() {
	local path=$1
	shift
	curl -sS --fail-with-body --max-time 60 "$@" "http://127.0.0.1:$port$path"
}

# says TEXT PATH...
says() {
	local text=$1
	shift
	[[ $(asks "$@" | tee /dev/stderr) == "$text" ]]
}

# status CODE PATH [CURL_OPTION...]
status() {
	local code=$1 path=$2
	shift 2
	[[ $(curl -sS --max-time 60 -o /dev/null -w '%{http_code}' "$@" "http://127.0.0.1:$port$path" |
		tee /dev/stderr) == "$code" ]]
}

counter() { # NAME
	asks /metrics | awk -v name="$1" '$1 ~ "^" name { sum += $2 } END { printf "%.0f\n", sum }'
}

list_is_json() {
	[[ $(asks /list/1000 | jq length) == 1000 ]]
}

cached_is_filled_once() {
	says '{"key":"a","made":1}' /cached/a && says '{"key":"a","made":1}' /cached/a &&
		says '{"key":"b","made":2}' /cached/b
}

connection_is_kept() {
	[[ $(curl -sS -o /dev/null -o /dev/null -w '%{num_connects}' "http://127.0.0.1:$port/"{hello,row/1}) == 10 ]]
}

# raw SCRIPT: what the server answers to the script's output, until it closes.
raw() {
	exec 3<>"/dev/tcp/127.0.0.1/$port"
	"$@" >&3 || return
	timeout 20 cat <&3
	local result=$?
	exec 3>&-
	return $result
}

get() { # PATH [HEADER]
	printf 'GET %s HTTP/1.1\r\nHost: here\r\n%s\r\n' "$1" "${2:+$2$'\r\n'}"
}

ahead() {
	get /sleep/50
	get /hello
	get /nothing
	printf 'HEAD /list/2 HTTP/1.1\r\n\r\n'
	get /list/1
	printf 'POST /echo HTTP/1.1\r\nContent-Length: 4\r\n\r\nfour'
	get /row/5 'Connection: close'
}

# All at once, the slow one first: the answers come in the order of the requests, and of HEAD no body.
ahead_is_answered_in_order() {
	raw ahead | tr -d '\r' | grep -aoE '^(awake|404 Not Found)$|^\{.*\}|^\[.*\]|fourHTTP' | cut -c 1-16 |
		tee /dev/stderr >"$temporary/bodies"
	printf '%s\n' awake '{"hello":"world"' '404 Not Found' '[{"number":0,"te' fourHTTP '{"number":5,"nam' |
		diff "$temporary/bodies" -
}

byte_by_byte() {
	local text i
	text=$(get /row/6 'Connection: close'; printf x)
	text=${text%x}
	for ((i = 0; i < ${#text}; i++)); do
		printf %s "${text:i:1}"
	done
}

in_pieces() {
	raw byte_by_byte | grep -F '{"number":6,"name":"row 6"}'
}

# More than the sockets hold, so the server writes it in pieces, and serves others meanwhile.
slow_reader() {
	local sum
	exec 4<>"/dev/tcp/127.0.0.1/$port"
	get /list/400000 'Connection: close' >&4
	for i in 1 2 3 4 5; do
		says '{"hello":"world"}' /hello && says '{"number":8,"name":"row 8"}' /row/8 || return
		sleep 0.1
	done
	sum=$(sed '1,/^\r$/d' <&4 | md5sum)
	exec 4>&-
	[[ $sum == $(asks /list/400000 | md5sum) ]]
}

echoes() { # BYTES [CURL_OPTION...]
	local bytes=$1
	shift
	head -c "$bytes" /dev/urandom >"$temporary/body"
	asks /echo --data-binary "@$temporary/body" "$@" | cmp - "$temporary/body"
}

too_large() { # [CURL_OPTION...]
	head -c 300000 /dev/zero >"$temporary/body"
	status 413 /echo --data-binary "@$temporary/body" "$@"
}

# All of it: a close meanwhile would be a reset, which may overtake the answer.
sends_too_much() {
	printf 'POST /echo HTTP/1.1\r\nContent-Length: 20000000\r\n\r\n'
	head -c 20000000 /dev/zero
}

too_large_and_still_sent() {
	raw sends_too_much | grep -a ' 413 '
}

broken() {
	printf 'GET / HTTP/1.1\r\nno colon\r\n\r\n'
}

broken_is_400_and_closed() {
	raw broken | tee /dev/stderr | tr -d '\r' | awk '
		NR == 1 { good = $2 == 400 } /^Connection: close$/ { good++ } END { exit good != 2 }'
}

long_head() {
	status 431 /hello -H "X-Long: $(head -c 50000 /dev/zero | tr '\0' x)"
}

# Of six requests one is at work, one waits at most, the others are refused, at once; /metrics is not.
full_queue_is_503() {
	local port=$upstream_port began refused clients=()
	began=$(date +%s%N)
	for i in 1 2 3 4 5 6; do
		curl -sS -o /dev/null -w '%{http_code} %{time_total}\n' "http://127.0.0.1:$port/sleep/1000" >>"$temporary/codes" &
		clients+=($!)
	done
	refused=0
	while [[ $refused -lt 4 ]]; do
		sleep 0.05
		refused=$(counter server_refused_total) || return
		[[ $(($(date +%s%N) - began)) -lt 60000000000 ]] || return
	done
	wait "${clients[@]}" || return
	sort "$temporary/codes"
	[[ $(grep -c '^200' "$temporary/codes") -ge 1 ]] &&
		[[ $(grep -c '^503' "$temporary/codes") -eq $(counter server_refused_total) ]]
}

# Its end comes with the last byte, or right behind it.
gone_clients_are_let_go() {
	local before
	before=$(ls "/proc/$server_pid/fd" | wc -l)
	for i in {1..50}; do
		printf 'GET /' >"/dev/tcp/127.0.0.1/$port"
	done
	soon descriptors_are "$before"
}

descriptors_are() {
	[[ $(ls "/proc/$server_pid/fd" | wc -l) -le $1 ]]
}

half_a_request() {
	printf 'GET /hel'
}

# ---- a server whose upstream is gone, and which has one second of patience ----

spare_starts() {
	local port
	starts spare "$server" --patience=1 --upstream=http://127.0.0.1:1 || return
	spare_pid=$pid spare_port=$port
}

gone_upstream_is_502() {
	local port=$spare_port
	status 502 /upstream/hello
}

silent_client_is_closed() {
	local port=$spare_port
	local said
	said=$(raw half_a_request) && [[ -z $said ]]
}

# ---- load ----

cat >"$temporary/mix.lua" <<-END
	local paths = {"/hello", "/list/20", "/row/7", "/cached/key", "/upstream/hello", "/list/200", "/row/70"}
	local requests, n = {}, 0
	init = function()
		for i, path in ipairs(paths) do requests[i] = wrk.format("GET", path) end
	end
	request = function()
		n = n + 1
		return requests[n % #requests + 1]
	end
END

resident_kb() {
	awk '/^VmRSS/ { print $2 }' "/proc/$server_pid/status"
}

load() {
	wrk -t2 -c32 -d10s --timeout 30s --latency -s "$temporary/mix.lua" "http://127.0.0.1:$port" \
		>"$temporary/wrk" 2>&1 &
	local wrk_pid=$!
	sleep 4
	asks /metrics >"$temporary/metrics_4" && rss_4=$(resident_kb)
	wait $wrk_pid || return
	asks /metrics >"$temporary/metrics" && rss_end=$(resident_kb)
	cat "$temporary/wrk"
	grep -q '^Requests/sec' "$temporary/wrk" && ! grep -E 'Socket errors|Non-2xx' "$temporary/wrk"
}

# When it is warm, from second 4 to the end: a miss would be a block that was missing.
hit_share() {
	awk '/^tierpool_(gets|hits)_total/ {
			name = substr($1, 10, 4)
			sum[name] += FNR == NR ? -$2 : $2
		}
		END {
			printf "%d of %d gets\n", sum["hits"], sum["gets"]
			exit !(sum["gets"] > 0 && sum["hits"] > 0.99 * sum["gets"])
		}' "$temporary/metrics_4" "$temporary/metrics"
}

# Of six seconds: 8 MiB would be what one leaked buffer in fifty answers takes.
memory_is_steady() {
	echo "$rss_4 KiB after 4 s, $rss_end KiB at the end"
	[[ $rss_end -le $((rss_4 + 8192)) ]]
}

connections_are_reused() {
	local fetches connects rows
	fetches=$(counter server_upstream_fetches_total)
	connects=$(counter server_upstream_connects_total)
	rows=$(counter server_row_connects_total)
	echo "$fetches fetches over $connects connections; $rows connections to the database"
	# A handle may be destroyed when it was idle for two ticks, and then another one is made.
	[[ $connects -le 20 && $fetches -gt $((10 * connects)) && $rows -le 20 ]]
}

promtool_accepts() {
	promtool check metrics <"$temporary/metrics" >"$temporary/said" 2>&1
	local status=$?
	cat "$temporary/said"
	[[ $status -eq 0 && ! -s $temporary/said ]]
}

# ---- the end ----

# A request that is under way is answered; then the process ends, and no buffer is missing.
ends_well() {
	asks /sleep/300 >"$temporary/last" &
	local last=$!
	sleep 0.1
	kill -TERM "$server_pid"
	wait $last || { echo "the last answer is missing"; return 1; }
	local status=0
	wait "$server_pid" || status=$?
	server_pid=''
	tail -n 60 "$temporary/server.out"
	grep -q awake "$temporary/last" && [[ $status -eq 0 ]] &&
		[[ $(grep -c '^  borrowed 0 ' "$temporary/server.out") -eq 2 ]]
}

malloc_answers() {
	starts malloc "$server_malloc" --upstream="http://127.0.0.1:$upstream_port" || return
	malloc_pid=$pid
	list_is_json && ahead_is_answered_in_order && slow_reader && echoes 250000 &&
		says '{"hello":"world"}' /upstream/hello && promtool check metrics <<<"$(asks /metrics)"
}

# ---- checks ----

check "the server builds, with pools and with malloc" "${make[@]}" -s "$server" "$server_malloc"
[[ $failed -eq 0 ]] || { report; exit 1; }
check "memcached starts" memcached_starts
check "an upstream starts" upstream_starts
check "the server starts" server_starts
[[ -n $port ]] || { report; exit 1; }
check "Prometheus starts" prometheus_starts "$port" # which takes five seconds until it scrapes
check "an answer of the loop" says '{"hello":"world"}' /hello
check "JSON of a worker" list_is_json
check "a row of the database" says '{"number":999,"name":"row 999"}' /row/999
check "no such row" status 404 /row/1000
check "a value is made once, and then found in memcached" cached_is_filled_once
check "an answer of the upstream" says '{"number":3,"name":"row 3"}' /upstream/row/3
check "its errors too" status 404 /upstream/nothing
check "no such path" status 404 /nothing
check "a method that is not known here" status 405 /hello -X DELETE
check "a connection is kept" connection_is_kept
check "HTTP/1.0" says '{"hello":"world"}' /hello --http1.0
check "requests sent ahead are answered in order" ahead_is_answered_in_order
check "a request byte by byte" in_pieces
check "a slow reader gets all of a long answer, and holds nobody up" slow_reader
check "a body of 250 kB" echoes 250000
check "a body in chunks" echoes 250000 -H 'Transfer-Encoding: chunked'
check "a body that is too large" too_large
check "in chunks, too" too_large -H 'Transfer-Encoding: chunked'
check "and if the client goes on sending, it still gets the answer" too_large_and_still_sent
check "a broken request: 400, then closed" broken_is_400_and_closed
check "a head that is too large" long_head
check "a full queue refuses at once" full_queue_is_503
check "clients that go away are let go of" gone_clients_are_let_go
check "a server without upstream starts" spare_starts
check "it says so" gone_upstream_is_502
check "a client that says nothing for a second is closed" silent_client_is_closed
check "ten seconds of wrk without an error" load
sed -n 's/^ *\(50%\|99%\|Requests\)/      &/p' "$temporary/wrk"
check "steady memory" memory_is_steady
check "more than 99 % of gets are hits" hit_share
check "connections are reused" connections_are_reused
check "promtool check metrics says nothing" promtool_accepts
if [[ -n $prometheus_pid ]]; then
	check "Prometheus scrapes" soon scraped_often
	check "each scrape succeeded" answers 'min_over_time(up{job="tierpool"}[10m])' 1
	check "no counter went back" no_counter_went_back
	check "Prometheus saw gets of both pools" \
		answers 'increase(tierpool_gets_total{pool=~"requests|answers"}[1m]) > bool 1000' '1 1'
fi
check "SIGTERM: the last answer, then the end, and every buffer is back" ends_well
check "the same server with malloc" malloc_answers
report
