# SPDX-License-Identifier: MIT
# A real Prometheus that scrapes one process, for scripts of checks. Sourced behind checks.sh. The script ends it:
# kill "$prometheus_pid", if that is not empty.

prometheus_pid='' prometheus_port=''

# soon COMMAND...: tries it for a minute.
soon() {
	local until=$((SECONDS + 60))
	until "$@"; do
		[[ $SECONDS -lt $until ]] || return 1
		sleep 0.1
	done
}

# On the first free port of a few. Scrapes 127.0.0.1:PORT twice a second.
prometheus_starts() { # PORT
	cat >"$temporary/prometheus.yml" <<-END
		global: {scrape_interval: 500ms, scrape_timeout: 500ms}
		scrape_configs:
		  - job_name: tierpool
		    static_configs: [{targets: ["127.0.0.1:$1"]}]
	END
	promtool check config "$temporary/prometheus.yml" || return
	for ((try = 0; try < 20; try++)); do
		prometheus_port=$((20000 + RANDOM % 12000))
		prometheus --config.file="$temporary/prometheus.yml" --storage.tsdb.path="$temporary/data$try" \
			--web.listen-address="127.0.0.1:$prometheus_port" >"$temporary/prometheus.log" 2>&1 &
		prometheus_pid=$!
		soon prometheus_is_ready_or_gone
		kill -0 "$prometheus_pid" 2>/dev/null && return
		wait "$prometheus_pid" || true
	done
	prometheus_pid=''
	tail -n 5 "$temporary/prometheus.log"
	return 1
}

prometheus_is_ready_or_gone() {
	! kill -0 "$prometheus_pid" 2>/dev/null || query 'vector(1)' >/dev/null 2>&1
}

query() { # EXPRESSION
	promtool query instant "http://127.0.0.1:$prometheus_port" "$1"
}

# The values of all series that answer a query, sorted, in a line.
values() { # EXPRESSION
	query "$1" | sed -n 's/.*=> \([^ ]*\) @.*/\1/p' | sort | xargs
}

# answers EXPRESSION VALUES
answers() {
	local found
	found=$(values "$1")
	echo "$1 is $found"
	[[ $found == "$2" ]]
}

scraped_often() {
	local found
	found=$(values 'count_over_time(up{job="tierpool"}[5m]) >= bool 10')
	[[ $found == 1 ]]
}

# Of those that the text in $temporary/metrics has.
no_counter_went_back() {
	local name sum=0
	for name in $(sed -n 's/^# TYPE \(.*\) counter$/\1/p' "$temporary/metrics"); do
		sum+=" + sum(resets(${name}[10m]))"
	done
	answers "$sum" 0
}
