# SPDX-License-Identifier: MIT
# Makes the pages of section 3 out of the comments of the headers.
#
# usage: awk -f lib/man/read.awk -f lib/man/text.awk -f lib/man/pages.awk -v out=FOLDER -v version=VERSION
#            -v date=DATE -v map=lib/tierpool.map lib/man/*.page include/tierpool.h include/tierpool/*.h
#
# Writes FOLDER/PAGE.3, and for each other call on a page FOLDER/CALL.3, which names that page (none for a macro
# with the name of a call: man(1) takes capitals for small letters). Fails if a call of the map has no text, but
# for those whose comment begins with "Private:".
#
# A file PAGE.page has what no header says:
#   name TEXT               behind the dash in NAME
#   from HEADER             the page of that header: its first comment, and all that no other page has
#   from HEADER: SECTION    what stands behind the line "---- SECTION ----" of that header
#   skip HEADER: SECTION    on no page
#   examples                the rest of the file is EXAMPLES; what begins with a tab is a program
# A header that no file names has a page of its own, by the name of its first call. So a new call, section or
# header needs no line here.
#
# What is read of a comment: labels ("Before:" and so on, and names of parameters) at the start of a paragraph;
# "- " and "1. " for lists; an indented table of two columns; any other indented text is a program.

# ---- declarations ----

# int f(type a, type b), with names of parameters in italics, in lines of at most 72.
function prototype(s,   open, name, n, part, i, result, plain, arg, word) {
	open = index(s, "(")
	name = substr(s, 1, open)
	arg = substr(s, open + 1)
	sub(/\)$/, "", arg)
	result = escaped(name)
	plain = length(name)
	n = split(arg, part, /, */)
	for (i = 1; i <= n; i++) {
		if (plain + length(part[i]) > 71 && plain > 4) {
			sub(/ $/, "", result)
			result = result "\n    "
			plain = 4
		}
		plain += length(part[i]) + 2
		word = ""
		if (part[i] ~ /[ *][A-Za-z_0-9]+$/ && match(part[i], /[A-Za-z_0-9]+$/)) {
			word = substr(part[i], RSTART)
			part[i] = substr(part[i], 1, RSTART - 1)
		}
		result = result part[i] (word == "" ? "" : "\\fI" word "\\fB") (i < n ? ", " : "")
	}
	result = "\\fB" result ");\\fP\n"
	gsub(/\n    /, "\\fP\n    \\fB", result)
	return result
}

# The parameters of the declarations of an item: all are labels, short ones are set in italics.
function parameters_of(s,   n, line, i, m, part, j, word) {
	split("", parameter)
	split("", italic)
	n = split(s, line, "\n")
	for (i = 1; i <= n; i++) {
		sub(/^[^(]*\(/, "", line[i])
		m = split(line[i], part, ",")
		for (j = 1; j <= m; j++)
			if (part[j] ~ /[ *][A-Za-z_0-9]+\)?$/ && match(part[j], /[A-Za-z_0-9]+\)?$/)) {
				word = substr(part[j], RSTART)
				sub(/\)$/, "", word)
				parameter[word] = 1
				if (length(word) <= 3 && word != "out")
					italic[word] = 1
			}
	}
}

# Fields of a struct or values of an enum, each with the comment before it or behind it.
function field_list(s,   lines, n, i, result, comment, code, at, told, before, inside) {
	n = split(s, lines, "\n")
	before = code = told = result = ""
	for (i = 1; i <= n; i++) {
		at = lines[i]
		gsub(/^[ \t]+/, "", at)
		if (inside || at ~ /^\/\*/) { # a comment of its own, or the end of one
			comment = at
			inside = comment !~ /\*\/$/
			gsub(/^\/?\*+ ?|^\*\/| *\*\/$/, "", comment)
			if (code != "" && lines[i] ~ /^\t\t/)
				told = told " " comment
			else {
				result = result field(code, told)
				code = told = ""
				before = before (before == "" || comment == "" ? "" : " ") comment
			}
			continue
		}
		if (at == "") {
			result = result field(code, told)
			code = told = ""
			if (before != "")
				result = result ".PP\n" text_line(before) "\n"
			before = ""
			continue
		}
		if (open_code != "")
			at = open_code " " at
		open_code = ""
		if (at !~ /[;,]( *\/\*.*)?$/ && i < n && lines[i + 1] !~ /^}/ && at !~ /^[A-Z_0-9]+( *\/\*.*)?$/) {
			open_code = at
			continue
		}
		if (at ~ /,$/ && at !~ /^[A-Z]/) {
			open_code = at
			continue
		}
		result = result field(code, told)
		code = told = ""
		follows = match(at, / *\/\*.*\*\/$/)
		if (follows) {
			told = substr(at, RSTART)
			at = substr(at, 1, RSTART - 1)
			gsub(/^ *\/\* ?| *\*\/$/, "", told)
			if (before != "")
				result = result ".PP\n" text_line(before) "\n"
		} else
			told = before
		before = ""
		code = at
	}
	return result field(code, told)
}

function field(code, told) {
	sub(/^[0-9]+: /, "", told)
	gsub(/^ +| +$/, "", told)
	if (code == "" || code ~ /tp_|__extension__|^[}]/)
		return ""
	sub(/[;,]? *$/, "", code)
	return ".TP\n\\fB" escaped(code) "\\fP\n" (told == "" ? "\\&" : text_line(told)) "\n"
}

# ---- writing ----

# Cut at the first full stop or colon: the heading of what has no declaration.
function heading(s,   line) {
	line = s
	sub(/[.:]( |\n).*/, "", line)
	gsub(/\n/, " ", line)
	return line
}

function without_heading(s) {
	match(s, /[.:][ \n]/)
	s = substr(s, RSTART + RLENGTH)
	return toupper(substr(s, 1, 1)) substr(s, 2)
}

function names_of(page_name,   i, result) {
	result = ""
	for (i = 1; i <= items; i++)
		if (item_page[i] == page_name)
			result = result item_names[i]
	return result
}

# What stands in NAME if no file says it.
function first_sentence(s,   line) {
	line = s
	gsub(/\n/, " ", line)
	sub(/[.] .*/, "", line)
	if (length(line) > 70)
		line = heading(s)
	return tolower(substr(line, 1, 1)) substr(line, 2)
}

function write_page(page_name,   file, names, n, part, i, j, last, lines, m, at, from) {
	current = page_name
	file = out "/" page_name ".3"
	names = names_of(page_name)
	n = split(names, part, " ")
	printf ".\\\" Made by lib/man/pages.awk, of the comments in the headers.\n" >file
	printf ".TH %s 3 %s \"tierpool %s\"\n.ad l\n.SH NAME\n", toupper(page_name), date, version >file
	at = "\\%" page_name
	for (i = 1; i <= n; i++)
		if (part[i] != page_name)
			at = at ",\n\\%" part[i]
	from = ""
	for (i = 1; i <= header_count; i++)
		if (claim[headers[i]] == page_name && from == "")
			from = headers[i]
	printf "%s\n\\- %s\n", at, page_name in title ? title[page_name] : first_sentence(intro[from]) >file

	printf ".SH SYNOPSIS\n.nf\n" >file
	last = ""
	if (from != "")
		printf "\\fB#include <%s>\\fP\n", last = from >file
	for (i = 1; i <= items; i++)
		if (item_page[i] == page_name && item_header[i] != last)
			printf "\\fB#include <%s>\\fP\n", last = item_header[i] >file
	last = "\n"
	for (i = 1; i <= items; i++) {
		if (item_page[i] != page_name || item_kind[i] != "function" || is_private(i))
			continue
		if (item_section[i] != last)
			printf ".PP\n" >file
		last = item_section[i]
		m = split(item_text[i], lines, "\n")
		for (j = 1; j <= m; j++)
			printf "%s", prototype(lines[j]) >file
	}
	printf ".fi\n.PP\nCompile with \\fBpkg\\-config \\-\\-cflags \\-\\-libs tierpool\\fP.\n" >file

	printf ".SH DESCRIPTION\n" >file
	split("", parameter)
	split("", italic)
	for (i = 1; i <= header_count; i++)
		if (claim[headers[i]] == page_name && intro[headers[i]] != "") {
			if (headers[i] != from)
				printf ".SS <%s>\n", headers[i] >file
			printf "%s", body(intro[headers[i]], "", 0) >file
		}
	for (i = 1; i <= items; i++)
		if (item_page[i] == page_name && !is_private(i))
			write_item(i, file)
	write_rest(page_name, file)
	close(file)
	for (i = 1; i <= n; i++)
		if (part[i] != page_name && !(tolower(part[i]) != part[i] && tolower(part[i]) in shown_on)) {
			printf ".so man3/%s.3\n", page_name >(out "/" part[i] ".3")
			close(out "/" part[i] ".3")
		}
}

function write_item(i, file,   name) {
	split("", parameter)
	split("", italic)
	if (item_kind[i] == "note") {
		printf ".SS %s\n%s", heading(item_comment[i]), body(without_heading(item_comment[i]), "", 0) >file
		return
	}
	if (item_kind[i] == "type") {
		if (item_comment[i] == "" && field_list(fields[i]) == "")
			return
		printf ".SS %s\n%s%s", escaped(item_text[i]), body(item_comment[i], "", 0), field_list(fields[i]) >file
		return
	}
	parameters_of(item_text[i])
	name = item_type[i] != "" ? item_type[i] : item_names[i]
	if (item_kind[i] == "macro") {
		name = item_text[i]
		gsub(/\n/, ", ", name)
	} else if (item_type[i] == "") {
		sub(/^ /, "", name)
		gsub(/ /, "(), ", name)
		name = name "()"
	}
	printf ".SS %s\n%s", escaped(name), body(item_comment[i], "", 0) >file
}

# A section of the comment at the head of tierpool.h.
function rule(name,   s, from) {
	from = index(intro["tierpool.h"], "---- " name " ----\n")
	s = substr(intro["tierpool.h"], from + length(name) + 11)
	from = index(s, "\n----")
	s = from ? substr(s, 1, from) : s
	sub(/ +returns +on failure\n/, "", s)
	return s
}

function write_rest(page_name, file,   i, result, lines, n, others, is_program, block) {
	split("", parameter)
	split("", italic)
	if (page_name != "tierpool.h") {
		printf ".SH RETURN VALUE\nEach call above says what it returns, and each error.\n" >file
		if (page_name != "tierpool_write_cb") # which return what other libraries expect
			printf "In all of them:\n%s", body(rule("failure"), "", 0) >file
		printf ".SH ATTRIBUTES\n.TP\nThread safety\nMT-Safe: any call in any thread at any time." >file
		printf "\nOne buffer belongs to one thread at a time.\n.TP\nAsync-signal safety\n" >file
		printf "AS-Unsafe: none may be called from a signal handler.\n.TP\nAsync-cancel safety\nAC-Unsafe.\n" >file
		printf "Where a thread may be cancelled, and what holds after a fork, is said in\n.BR tierpool.h (3).\n" >file
	}
	if (page_name in examples) {
		printf ".SH EXAMPLES\n" >file
		n = split(examples[page_name], lines, "\n")
		result = block = ""
		for (i = 1; i <= n; i++) {
			if (lines[i] ~ /^\t/ || block != "" && lines[i] == "" && lines[i + 1] ~ /^\t/) {
				sub(/^\t/, "", lines[i])
				gsub(/\t/, "    ", lines[i])
				block = block lines[i] "\n"
				continue
			}
			if (block != "")
				result = result program(block, 0)
			block = ""
			if (lines[i] != "")
				result = result text_line(lines[i]) "\n"
		}
		printf "%s", result program(block, 0) >file
	}
	printf ".SH SEE ALSO\n" >file
	for (i = 1; i <= page_count; i++)
		if (pages[i] != page_name)
			printf ".BR \\%%%s (3),\n", pages[i] >file
	printf ".BR \\%%tierpool (7)\n" >file
}

END {
	for (i = 1; i <= items; i++) {
		item_page[i] = page_of(i)
		n = split(item_names[i], part, " ")
		for (j = 1; j <= n; j++)
			if (is_private(i))
				covered[part[j]] = 1
			else if (item_page[i] != "-" && item_comment[i] != "")
				covered[part[j]] = shown_on[part[j]] = item_page[i]
		if (is_private(i))
			item_page[i] = "-"
	}
	shown_on["tierpool.h"] = "tierpool.h"
	for (i = 1; i <= page_count; i++)
		write_page(pages[i])
	while ((getline line <map) > 0)
		if (line ~ /^\ttierpool_.*;$/) {
			gsub(/[\t;]/, "", line)
			if (!(line in covered)) {
				print "no manual page has a text for " line >"/dev/stderr"
				status = 1
			}
		}
	exit status
}
