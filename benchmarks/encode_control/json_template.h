/* SPDX-License-Identifier: MIT */
/*
 * A template: the encoder over one kind of buffer. ways.c includes it five times, with
 *
 *   JSON_NAME(function)         the name of a function in this copy
 *   JSON_BUF                    the type of the buffer
 *   JSON_APPEND(b, bytes, n)    how bytes are appended to one
 *
 * which it undefines at its end, so that the very same code is compared over different buffers.
 *
 * JSON_NAME(stanza) writes one stanza as one JSON object on a line of its own, RFC 8259. Errors
 * stick to the buffer, so it checks none.
 *
 * Field names are the keys, in their order. The lines of a value are joined by LF, each line after
 * the first without its first blank. Bytes that are not UTF-8 (overlong forms, surrogates and what
 * is above U+10FFFF included) become U+FFFD, one for each maximal subpart of an ill-formed
 * sequence, as The Unicode Standard recommends in section 3.9.
 */

/* Appends what stands for the special byte at s. Returns: where to go on. */
static JSON_APART const unsigned char *JSON_NAME(escape)(
	JSON_BUF *b, const unsigned char *s, const unsigned char *end)
{
	static const char hex[] = "0123456789abcdef";

	switch (*s) {
	case '\n': /* only between the lines of a value; comments may lie there too */
		while (s[1] == '#')
			s = memchr(s + 1, '\n', (size_t)(end - s - 1));
		JSON_APPEND(b, "\\n", 2);
		return s + 2;
	case '\t':
		JSON_APPEND(b, "\\t", 2);
		return s + 1;
	case '\r':
		JSON_APPEND(b, "\\r", 2);
		return s + 1;
	case '"':
	case '\\':
		JSON_APPEND(b, (char[]){'\\', (char)*s}, 2);
		return s + 1;
	}
	if (*s < 0x80) {
		JSON_APPEND(b, "\\u00", 4);
		JSON_APPEND(b, (char[]){hex[*s >> 4], hex[*s & 15]}, 2);
		return s + 1;
	}
	JSON_APPEND(b, "\xef\xbf\xbd", 3);
	return s - json_utf8(s, (size_t)(end - s));
}

/* Appends a slice as the inside of a JSON string: as it is, in runs as long as can be. */
static inline __attribute__((__always_inline__)) void JSON_NAME(text)(
	JSON_BUF *b, struct slice text)
{
	const unsigned char *s = (const unsigned char *)text.at;
	const unsigned char *end = (const unsigned char *)text.end;

	while (s < end) {
		const unsigned char *run = s;

		s = json_clean(s, end);
		if (s > run)
			JSON_APPEND(b, run, (size_t)(s - run));
		if (s < end)
			s = JSON_NAME(escape)(b, s, end);
	}
}

static JSON_APART void JSON_NAME(stanza)(JSON_BUF *b, const struct field *fields, size_t n)
{
	JSON_APPEND(b, "{\"", 2);
	for (size_t i = 0; i < n; i++) {
		JSON_NAME(text)(b, fields[i].name);
		JSON_APPEND(b, "\":\"", 3);
		JSON_NAME(text)(b, fields[i].value);
		JSON_NAME(text)(b, fields[i].more);
		JSON_APPEND(b, i + 1 < n ? "\",\"" : "\"}\n", 3);
	}
}

#undef JSON_NAME
#undef JSON_BUF
#undef JSON_APPEND
