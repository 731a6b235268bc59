/* SPDX-License-Identifier: MIT */
/*
 * A template: the encoder over one kind of buffer. ways.c includes it five times, with
 *
 *   JSON_NAME(function)          the name of a function in this copy
 *   JSON_BUF                     the type of the buffer, which has data and len
 *   JSON_APPEND(b, bytes, n)     how bytes are appended to one
 *   JSON_STRING(b, text, n)      how a text is appended as a JSON string, with its quotes
 *
 * which it undefines at its end, so that the very same code is compared over different buffers.
 *
 * JSON_NAME(stanza) writes one stanza as one JSON object on a line of its own, RFC 8259. Field names
 * are the keys, in their order. The lines of a value are joined by LF, each line after the first
 * without its first blank. Bytes that are not UTF-8 become U+FFFD, as tierpool_buf_append_json says.
 * Errors stick to the buffer.
 */

static inline __attribute__((__always_inline__)) int JSON_NAME(string)(
	JSON_BUF *b, const char *at, const char *end)
{
	return JSON_STRING(b, at, (size_t)(end - at));
}

/*
 * Appends further lines to the string that ends the buffer. Each is a string of its own at first: of
 * the quote before it and its own first one, an escaped LF is made.
 */
static JSON_APART void JSON_NAME(lines)(JSON_BUF *b, struct slice lines)
{
	const char *s = lines.at;

	while (s < lines.end) {
		const char *line;
		size_t join = b->len - 1;

		while (s[1] == '#') /* comments may lie between the lines of a value */
			s = memchr(s + 1, '\n', (size_t)(lines.end - s - 1));
		line = s + 2;
		s = memchr(line, '\n', (size_t)(lines.end - line));
		if (!s)
			s = lines.end;
		if (JSON_NAME(string)(b, line, s))
			return;
		b->data[join] = '\\';
		b->data[join + 1] = 'n';
	}
}

static JSON_APART void JSON_NAME(stanza)(JSON_BUF *b, const struct field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (JSON_APPEND(b, i ? "," : "{", 1))
			return;
		JSON_NAME(string)(b, fields[i].name.at, fields[i].name.end);
		JSON_APPEND(b, ":", 1);
		if (JSON_NAME(string)(b, fields[i].value.at, fields[i].value.end))
			return;
		JSON_NAME(lines)(b, fields[i].more);
	}
	JSON_APPEND(b, "}\n", 2);
}

#undef JSON_NAME
#undef JSON_BUF
#undef JSON_APPEND
#undef JSON_STRING
