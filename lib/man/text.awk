# SPDX-License-Identifier: MIT
# Second part of pages.awk: makes roff of the text of a comment.

# One line of roff, in which \ and - mean themselves.
function escaped(s) {
	gsub(/\\/, "\\e", s)
	gsub(/-/, "\\-", s)
	gsub(/\^/, "\\(ha", s)
	gsub(/~/, "\\(ti", s)
	gsub(/`/, "\\(ga", s)
	gsub(/'/, "\\(aq", s)
	return s ~ /^\./ ? "\\\\&" s : s
}

# In running text a - between letters is a hyphen, and an apostrophe one.
function running(s) {
	gsub(/\\/, "\\e", s)
	gsub(/\^/, "\\(ha", s)
	gsub(/~/, "\\(ti", s)
	gsub(/`/, "\\(ga", s)
	return s
}

function minus(s,   before, result) {
	result = ""
	while (match(s, /(^|[ (,=.])-/)) {
		before = substr(s, 1, RSTART + RLENGTH - 2)
		result = result before "\\-"
		s = substr(s, RSTART + RLENGTH)
	}
	return result s
}

# Calls, macros, errors and other manual pages are bold; parameters with short names are italic.
function inline(s,   result, word, font, before, behind, tail) {
	result = ""
	while (match(s, /-?[A-Za-z_][A-Za-z_0-9]*(\.h)?(\([1-8]\))?/)) {
		before = RSTART > 1 ? substr(s, RSTART - 1, 1) : ""
		word = substr(s, RSTART, RLENGTH)
		tail = substr(s, 1, RSTART - 1)
		s = substr(s, RSTART + RLENGTH)
		result = result minus(running(tail))
		behind = substr(s, 1, 1)
		tail = font = ""
		if (word ~ /^-/ && word !~ /^-E[A-Z]+/) {
			result = result (before ~ /[A-Za-z0-9_)]/ ? "-" : "\\-")
			word = substr(word, 2)
		}
		if (match(word, /\([1-8]\)$/)) {
			tail = substr(word, RSTART)
			word = substr(word, 1, RSTART - 1)
			font = "B"
		} else if (word ~ /^-?E(INVAL|NOMEM|BUSY|AGAIN|INTR|IO|NOENT|2BIG|PIPE|ALREADY|NODATA|ILSEQ|OVERFLOW|[A-Z]*)$/ &&
			   (word ~ /^-/ || word ~ /^E(INVAL|NOMEM|BUSY|AGAIN|INTR|IO|NOENT|PIPE)$/)) {
			font = "B"
		} else if (word ~ /^(tierpool|TIERPOOL)_/ || word == "tierpool.h" && before != "<" && behind != "p") {
			font = "B"
			if (word in shown_on && shown_on[word] != current && behind != "(")
				tail = "(3)"
		} else if (word in italic) {
			font = "I"
		} else if (word ~ /\.h$/ && before != ".") {
			font = ""
		}
		gsub(/-/, "\\-", word)
		result = result (font == "" ? word : "\\f" font word "\\fP") tail
	}
	return result minus(running(s))
}

# A line for each sentence, of at most 78 characters.
function text_line(s,   word, n, i, result, line) {
	n = split(inline(s), word, / +/)
	result = line = ""
	for (i = 1; i <= n; i++) {
		if (line == "" && word[i] ~ /^[.']/)
			word[i] = "\\&" word[i]
		if (word[i] ~ /(tierpool|TIERPOOL|\/)/) # is not hyphenated
			word[i] = "\\%" word[i]
		line = line (line == "" ? "" : " ") word[i]
		if (i < n && (length(line) + length(word[i + 1]) > 77 || line ~ /[a-z0-9)P][.]$/ && word[i + 1] ~ /^[A-Z]/)) {
			result = result line "\n"
			line = ""
		}
	}
	return result line
}

function indent_of(s) {
	match(s, /^ */)
	return RLENGTH
}

function is_label(s,   word, n, part, j) {
	if (s ~ /^(Before|Blocks|After|Errors|Returns): /)
		return 1
	if (!match(s, /^[a-z_][a-z_0-9]*(, [a-z_][a-z_0-9]*)*: /))
		return 0
	word = substr(s, 1, RLENGTH - 2)
	n = split(word, part, /, /)
	for (j = 1; j <= n; j++)
		if (!(part[j] in parameter))
			return 0
	return 1
}

# The body of a list's entry: what follows its first paragraph is moved in.
function entry(s, depth) {
	return body(s, depth, 1)
}

# body(TEXT, DEPTH OF INDENTATION, WHETHER IT FOLLOWS A TAG): roff of it.
function body(s, depth, tagged,   lines, n, i, j, result, fresh, base, column, tag, rest, block, opened, at_start) {
	n = split(s, lines, "\n")
	if (n > 0 && lines[n] == "")
		n--
	fresh = tagged ? 0 : 1
	at_start = 1
	result = ""
	opened = 0
	for (i = 1; i <= n; i++) {
		if (lines[i] ~ /^ *$/) {
			fresh = at_start = 1
			continue
		}
		if (tagged && !opened && result != "" && (fresh || lines[i] ~ /^  /)) {
			result = result ".RS" (depth == "" ? "" : " " depth) "\n"
			opened = 1
		}
		if (match(lines[i], /^---- .* ----$/)) {
			tag = lines[i]
			gsub(/^---- | ----$/, "", tag)
			result = result ".SS " toupper(substr(tag, 1, 1)) substr(tag, 2) "\n"
			fresh = 0
			at_start = 1
			continue
		}
		if (at_start && is_label(lines[i])) {
			match(lines[i], /: +/)
			column = RSTART + RLENGTH - 1
			tag = substr(lines[i], 1, RSTART)
			rest = substr(lines[i], column + 1) "\n"
			while (i < n && lines[i + 1] ~ /^ +[^ ]/)
				rest = rest dedent(lines[++i], column) "\n"
			sub(/:$/, "", tag)
			result = result ".TP" (length(tag) > 7 ? "" : " 10") "\n" \
				(tag ~ /^[A-Z]/ ? ".B " tag ":" : ".I " tag) "\n" \
				entry(rest, length(tag) > 7 ? "" : 10)
			fresh = at_start = 1
			continue
		}
		if (lines[i] ~ /^  /) {
			base = indent_of(lines[i])
			block = lines[i] "\n"
			while (i < n && (lines[i + 1] ~ /^  / && indent_of(lines[i + 1]) >= base ||
				       lines[i + 1] == "" && i + 1 < n && indent_of(lines[i + 2]) >= base))
				block = block lines[++i] "\n"
			result = result indented(block, base)
			fresh = 1
			at_start = 0
			continue
		}
		if (fresh && result !~ /\.RS( [0-9]*)?\n$/)
			result = result (result == "" && !tagged || result ~ /\.SS [^\n]*\n$/ ? "" : ".PP\n")
		fresh = at_start = 0
		result = result text_line(lines[i]) "\n"
	}
	if (opened)
		result = result ".RE\n"
	return result
}

function dedent(s, column,   k) {
	k = indent_of(s)
	return substr(s, (k < column ? k : column) + 1)
}

# A list, a table of two columns, or a program.
function indented(block, base,   lines, n, i, result, width, mark, column, tag, rest) {
	n = split(block, lines, "\n") - 1
	if (lines[1] ~ /^ +(-|[0-9]\.) /) {
		for (i = 1; i <= n;) {
			match(lines[i], /^ +(-|[0-9]\.) /)
			width = RLENGTH
			mark = substr(lines[i], base + 1, width - base - 1)
			rest = substr(lines[i], width + 1) "\n"
			for (i++; i <= n && !(indent_of(lines[i]) == base && lines[i] ~ /^ +(-|[0-9]\.) /); i++)
				rest = rest dedent(lines[i], width) "\n"
			result = result (mark == "-" ? ".IP \\(bu 2\n" : ".IP " mark " 3\n") \
				entry(rest, mark == "-" ? 2 : 3)
		}
		return result
	}
	if (match(lines[1], /[^ ]   *[^ ]/) && lines[1] !~ /\/\//) {
		column = RSTART + RLENGTH - 1
		for (i = 1; i <= n;) {
			if (lines[i] == "") {
				i++
				continue
			}
			match(lines[i], /[^ ]   *[^ ]/)
			width = RSTART > 0 && RSTART + RLENGTH - 1 < column ? RSTART + RLENGTH - 1 : column
			tag = substr(lines[i], base + 1, width - base - 1)
			rest = substr(lines[i], width) "\n"
			for (i++; i <= n && (lines[i] == "" || indent_of(lines[i]) > base); i++)
				if (lines[i] != "" && indent_of(lines[i]) + 1 < column) {
					sub(/ +$/, "", tag)
					tag = tag " " substr(lines[i], indent_of(lines[i]) + 1)
				} else
					rest = rest dedent(lines[i], column - 1) "\n"
			sub(/ +$/, "", tag)
			result = result ".TP\n\\fB" escaped(tag) "\\fP\n" entry(rest, "")
		}
		return result
	}
	return program(block, base)
}

function program(block, base,   lines, n, i, result) {
	n = split(block, lines, "\n") - 1
	result = ".PP\n.RS 4\n.EX\n"
	for (i = 1; i <= n; i++)
		result = result (lines[i] == "" ? "\\&" : escaped(substr(lines[i], base + 1))) "\n"
	return result ".EE\n.RE\n"
}
