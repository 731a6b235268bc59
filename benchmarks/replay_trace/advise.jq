# SPDX-License-Identifier: MIT
# The pools of a profile in JSON, or of replay_trace --advise --json, as the CSV of --advise --csv:
#   jq -r -f advise.jq profile.json
# A pool of a profile has two columns more, its interval; one of which too little is known is left out.
def row($name; $what): "\($name),\($what),\(.retain),\(.share)" + if .low then ",\(.low),\(.high)" else "" end;
[.pools[] | select((.windows // 3) >= 3)
	| (.pool | gsub("[,\"\n\r]"; "?")) as $name
	| ["pool,what,retain,share" + if .now.low then ",low,high" else "" end]
	+ [.curve[] | row($name; "curve")]
	+ [.now | row($name; "now")]
	+ if .enough then ["\($name),enough,\(.enough),\(.target)" + if .now.low then ",," else "" end] else [] end
	| join("\n")]
| join("\n\n\n")
