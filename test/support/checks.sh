# SPDX-License-Identifier: MIT
# What scripts of checks have in common. Sourced, once $temporary is a folder.

passed=0 failed=0

# check WHAT COMMAND...: passed when the command succeeds; else shows the last lines it wrote.
check() {
	local what=$1
	shift
	if "$@" >"$temporary/log" 2>&1; then
		printf 'ok  %s\n' "$what"
		passed=$((passed + 1))
	else
		printf 'FAIL  %s\n' "$what"
		tail -n 20 "$temporary/log" | sed 's/^/      /'
		failed=$((failed + 1))
	fi
}

skip() {
	printf 'skip  %s: %s\n' "$1" "$2"
}

# The end of a script, whose status it is.
report() {
	printf '%d passed, %d failed\n' "$passed" "$failed"
	[[ $failed -eq 0 ]]
}
