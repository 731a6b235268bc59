# SPDX-License-Identifier: MIT
# First part of pages.awk: reads the headers, into items. An item is a comment with the declarations below it: of
# functions, macros, a struct or an enum; or a comment alone. What an item is, by its number i: item_kind[i],
# item_comment[i], item_text[i] (declarations, a line each), item_names[i], item_header[i], item_section[i].

FNR == 1 {
	reads_page = FILENAME ~ /\.page$/
	place = FILENAME
	sub(/.*\//, "", place)
	if (reads_page) {
		sub(/\.page$/, "", place)
		page = place
		in_examples = 0
		add_page(page)
	} else {
		header = FILENAME
		sub(/^include\//, "", header)
		headers[++header_count] = header
		section = pending = ""
		has_pending = in_comment = in_cplusplus = comments = 0
		kind = ""
	}
}

reads_page && in_examples { examples[page] = examples[page] $0 "\n"; next }
reads_page && $1 == "name" { sub(/^name +/, ""); title[page] = $0; next }
reads_page && $1 == "from" { sub(/^from +/, ""); claim[$0] = page; next }
reads_page && $1 == "skip" { sub(/^skip +/, ""); claim[$0] = "-"; next }
reads_page && $1 == "examples" { in_examples = 1; next }
reads_page { next }

# Comments at the left edge.
in_comment {
	if ($0 ~ /\*\/$/) {
		sub(/ *\*\/$/, "")
		in_comment = 0
	}
	sub(/^ \* ?/, "")
	if ($0 != "" || in_comment)
		pending = pending $0 "\n"
	if (!in_comment)
		comment_ends()
	next
}
kind == "" && /^\/\* ---- .* ---- \*\/$/ {
	section = $0
	gsub(/^\/\* ---- | ---- \*\/$/, "", section)
	next
}
kind == "" && /^\/\* clang-format/ { next }
kind == "" && /^\/\*/ {
	note_ends()
	pending = ""
	has_pending = 1
	in_comment = $0 !~ /\*\/$/
	gsub(/^\/\* ?| *\*\/$/, "")
	pending = $0 == "" ? "" : $0 "\n"
	if (!in_comment)
		comment_ends()
	next
}

# What only C++ sees.
/^#if(def)? .*__cplusplus/ { in_cplusplus = 1; next }
in_cplusplus && /^#(else|endif)/ { in_cplusplus = 0; next }
in_cplusplus { next }

# Inside of a declaration.
kind == "type" {
	if ($0 ~ /^}/)
		kind = ""
	else
		fields[items] = fields[items] $0 "\n"
	next
}
kind == "macro" { if ($0 !~ /\\$/) kind = ""; next }
kind == "body" { if ($0 ~ /^}/) kind = ""; next }
kind == "function" { declaration($0); next }

# A group of declarations ends with an empty line.
/^$/ { note_ends(); next }
/^#define [A-Za-z_]+/ {
	if (has_pending && $2 !~ /_INIT$/) {
		at = $0
		sub(/^#define /, "", at)
		if (match(at, /^[A-Za-z_0-9]+\([^)]*\)/))
			at = substr(at, 1, RLENGTH)
		else
			sub(/[^A-Za-z_0-9].*/, "", at)
		add_item("macro", at)
		add_name(at)
	}
	kind = $0 ~ /\\$/ ? "macro" : ""
	next
}
/^(typedef )?(struct|enum)[^;(]*[{]$/ {
	at = $0
	gsub(/^typedef | *[{]$/, "", at)
	add_item("type", at)
	kind = "type"
	next
}
/^TIERPOOL_|^typedef [^(]*\(|^(int|void|size_t|ssize_t|char|const|FILE|tierpool)[ _].*\(/ { declared = ""; declaration($0); next }
{ next }

function comment_ends() {
	if (++comments == 1) { # SPDX
		has_pending = 0
	} else if (comments == 2) {
		intro[header] = pending
		has_pending = 0
	}
}

# A comment before no declaration.
function note_ends() {
	if (has_pending && !group)
		add_item("note", "")
	has_pending = group = 0
}

function add_page(name) {
	if (!(name in is_page)) {
		is_page[name] = 1
		pages[++page_count] = name
	}
}

# The declarations of one group are one item.
function add_item(what, text) {
	group++
	if (group > 1 && what == item_kind[items] && what != "type") {
		item_text[items] = item_text[items] "\n" text
		return
	}
	items++
	item_kind[items] = what
	item_text[items] = text
	item_comment[items] = has_pending ? pending : ""
	item_header[items] = header
	item_section[items] = section
	if (!has_pending && what == "type")
		group = 0
}

function add_name(at) {
	sub(/\(.*/, "", at)
	if (at ~ /^tierpool_/ || item_text[items] ~ (at "\\("))
		item_names[items] = item_names[items] " " at
}

function declaration(line) {
	sub(/^[ \t]+/, "", line)
	declared = declared (declared == "" || declared ~ /\($/ ? "" : " ") line
	if (line !~ /;$/ && line !~ /^\{$/ && line !~ /\{$/) {
		kind = "function"
		return
	}
	kind = line ~ /\{$/ ? "body" : ""
	at = declared
	gsub(/TIERPOOL_(NODISCARD|API|INLINE|NOEXCEPT)|TIERPOOL_PRINTF\([^)]*\)|__attribute__\(\(.*\)\)|[;{]/, "", at)
	gsub(/ +/, " ", at)
	gsub(/^ | $/, "", at)
	declared = ""
	add_item("function", at)
	sub(/\(.*/, "", at)
	sub(/.*[ *]/, "", at)
	if (item_text[items] ~ /(^|\n)typedef/)
		item_type[items] = at
	else
		item_names[items] = item_names[items] " " at
}

# ---- which item stands on which page ----

function is_private(i) {
	return item_comment[i] ~ /^Private:/
}

function page_of(i,   at) {
	at = item_header[i] ": " item_section[i]
	if (at in claim)
		return claim[at]
	if (!(item_header[i] in claim) && item_names[i] != "" && !is_private(i)) {
		at = item_names[i]
		sub(/^ /, "", at)
		sub(/ .*/, "", at)
		claim[item_header[i]] = at
		add_page(at)
	}
	return item_header[i] in claim ? claim[item_header[i]] : "-"
}
