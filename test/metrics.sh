#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What Prometheus makes of the metrics: promtool checks the text of a real process, in which pools have
# equal names and one that is full of quotes and newlines; a real Prometheus scrapes that process, and
# answers queries through its HTTP API.
#
# usage: test/metrics.sh LIBRARY [SECONDS]     from the top of the source; CC, CFLAGS
#
# LIBRARY is a built libtierpool.a. Prometheus scrapes for as long as it takes to see ten scrapes, a
# minute at most; or for SECONDS.
#
# A line a check: "ok  what", or "FAIL  what" with what was said. The last line is "N passed, M failed";
# exits 1 when a check failed, 77 where there is no Prometheus.
set -euo pipefail

library=$1 seconds=${2:-}
for tool in promtool prometheus; do
	if ! command -v $tool >/dev/null; then
		echo "skipped: $tool is not installed (Debian: prometheus)"
		exit 77
	fi
done

read -ra cc <<<"${CC:-cc} ${CFLAGS:-}"
temporary=$(mktemp -d "${TMPDIR:-/tmp}/tierpool-metrics.XXXXXX")
server_pid='' port=''
trap 'end' EXIT

end() {
	[[ -z $server_pid ]] || kill "$server_pid" 2>/dev/null || true
	[[ -z $prometheus_pid ]] || kill "$prometheus_pid" 2>/dev/null || true
	wait
	rm -rf "$temporary"
}

. test/support/checks.sh
. test/support/prometheus.sh

# ---- the process ----

server_starts() {
	"${cc[@]}" -Iinclude -o "$temporary/server" test/examples/metrics_server.c "$library" -pthread || return
	"$temporary/server" 0 3600 >"$temporary/server.out" 2>&1 &
	server_pid=$!
	soon grep -q '^port' "$temporary/server.out" || return
	port=$(sed -n 's/^port //p' "$temporary/server.out")
}

# The body of an answer; fails if the status is not 200.
fetch() { # PATH
	exec 3<>"/dev/tcp/127.0.0.1/$port"
	printf 'GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n' "$1" >&3
	cat <&3 >"$temporary/answer"
	exec 3>&-
	head -n 1 "$temporary/answer" | grep -q ' 200 OK' && sed '1,/^\r$/d' "$temporary/answer"
}

# No complaint about the format, and none about names and types.
promtool_accepts() {
	fetch /metrics >"$temporary/metrics" && promtool check metrics <"$temporary/metrics" >"$temporary/said" 2>&1
	local status=$?
	cat "$temporary/said"
	[[ $status -eq 0 && ! -s $temporary/said ]]
}

promtool_refuses_a_broken_one() {
	sed 's/\\n/\n/' "$temporary/metrics" >"$temporary/broken"
	! promtool check metrics <"$temporary/broken"
}

ends_with_eof() {
	[[ $(tail -n 1 "$temporary/metrics") == '# EOF' ]]
}

# ---- checks ----

check "a server with metrics starts" server_starts
[[ -n $port ]] || { report; exit 1; }
check "promtool check metrics says nothing" promtool_accepts
check "the last line is # EOF" ends_with_eof
check "promtool refuses the text if a newline in a name is not escaped" promtool_refuses_a_broken_one
check "Prometheus starts" prometheus_starts "$port"
[[ -n $prometheus_pid ]] || { report; exit 1; }
if [[ -n $seconds ]]; then
	sleep "$seconds"
fi
check "Prometheus scrapes" soon scraped_often
check "each scrape succeeded" answers 'min_over_time(up{job="tierpool"}[10m])' 1
check "two pools of one name are two series" answers 'count(tierpool_gets_total{pool="kitchen"})' 2
check "gets of both go on growing" \
	answers 'changes(tierpool_gets_total{pool="kitchen"}[10m]) > bool 3' '1 1'
check "and have a rate" answers 'rate(tierpool_gets_total{pool="kitchen"}[10m]) > bool 0' '1 1'
check "no counter went back" no_counter_went_back
# (Of what was no UTF-8 stands U+FFFD, which the language of queries does not take.)
check "a name full of quotes and newlines comes through as it is" \
	answers 'tierpool_pool_info{pool=~"q\"u\\\\o\nte[{][}] . é"}' 1
check "no label was renamed" answers 'count({__name__=~"tierpool_.+",exported_pool=~".+"}) or vector(0)' 0
check "a budget and its pools are there" answers 'tierpool_budget_bytes{budget="house"}' 8388608
check "a cache is there" answers 'tierpool_cache_gets_total{cache="plates"} > bool 0' 1
[[ -z $seconds ]] || printf '%s scrapes in %s s\n' "$(values 'count_over_time(up[10m])')" "$seconds"
report
