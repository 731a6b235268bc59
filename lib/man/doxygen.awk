# SPDX-License-Identifier: MIT
# Doxygen's filter of a header: turns the comments as they are written here into the ones that Doxygen reads. What
# stands before a declaration documents that; what stands alone, the file; "Private:" and headings, nothing.

function escaped(s) {
	gsub(/[\\@<>#%&$"]/, "\\\\&", s)
	return s
}

# The text of a comment: labels are paragraphs with a heading, what is indented and no list stands as it is.
function written(s,   line, n, i, result, column, at_start, verbatim, label, indent, text) {
	n = split(s, line, "\n")
	at_start = 1
	result = ""
	column = verbatim = 0
	for (i = 1; i <= n; i++) {
		text = line[i]
		match(text, /^ */)
		indent = RLENGTH
		if (indent == 0 && text != "")
			column = 0
		if (at_start && match(text, /^([A-Z][a-z]+|[a-z_]+(, [a-z_]+)*): +/) && RLENGTH < 20) {
			column = RLENGTH
			label = substr(text, 1, RLENGTH)
			sub(/: +$/, "", label)
			result = result "@par " label "\n" escaped(substr(text, column + 1)) "\n"
			continue
		}
		if (column) {
			text = substr(text, (indent < column ? indent : column) + 1)
			match(text, /^ */)
			indent = RLENGTH
		}
		at_start = text == "" || column
		if (verbatim && text != "" && indent < 2) {
			result = result "@endverbatim\n"
			verbatim = 0
		} else if (!verbatim && indent >= 2 && !listed && text !~ /^ +(-|[0-9]\.) /) {
			result = result "@verbatim\n"
			verbatim = 1
		}
		if (listed && indent == 0 && text != "") # a list ends with an empty line
			result = result "\n"
		listed = text != "" && indent >= 2 && !verbatim
		if (!verbatim) {
			text = escaped(text)
			sub(/^ +[0-9]\. /, "  -# ", text)
		}
		result = result text "\n"
	}
	result = result (verbatim ? "@endverbatim\n" : "")
	gsub(/\n+$/, "", result)
	gsub(/\n/, "\n * ", result)
	return result "\n"
}

function give(kind) {
	if (comment ~ /^(SPDX|Private:|clang-format|---- )/)
		kind = ""
	first = kind == "@brief" ? "" : "none"
	if (kind == "")
		printf "%s", raw
	else
		printf "/** %s\n * %s */\n", kind, written(comment)
	pending = 0
}

# A comment at the left edge.
inside {
	raw = raw $0 "\n"
	inside = $0 !~ /\*\/$/
	sub(/ *\*\/$/, "")
	sub(/^ \* ?/, "")
	comment = comment $0 "\n"
	next
}
/^\/\*/ {
	if (pending)
		give("@file")
	raw = $0 "\n"
	inside = $0 !~ /\*\/$/
	gsub(/^\/\* ?| *\*\/$/, "")
	comment = $0 == "" ? "" : $0 "\n"
	pending = 1
	next
}
pending { give($0 == "" || $0 ~ /^#if/ ? "@file" : "@brief") }

# Several declarations under one comment: the others have the text of the first.
$0 == "" { first = "none" }
/TIERPOOL_API/ && match($0, /tierpool_[a-z0-9_]+\(/) {
	if (first == "")
		first = substr($0, RSTART, RLENGTH - 1)
	else if (first != "none")
		print "/** @copydoc " first " */"
}

# Comments among the fields of a struct: behind one, going on behind one, before one.
/^\t.*[^ \t].*\/\* .*\*\/$/ || /^\t\t+ *\/\* .*\*\/$/ { sub(/\/\* ([0-9]+: )?/, "/**< "); print; next }
/^\t\/\*/ { sub(/\/\*/, "/**"); print; next }
{ print }
