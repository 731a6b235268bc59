/* SPDX-License-Identifier: MIT */
/*
 * The encoder: one stanza as one JSON object on a line of its own, RFC 8259. It appends to the
 * buffer it is given and neither knows nor asks where that came from; errors stick to the buffer,
 * so it checks none.
 *
 * Field names are the keys, in their order. The lines of a value are joined by LF, each line after
 * the first without its first blank. Bytes that are not UTF-8 (overlong forms, surrogates and what
 * is above U+10FFFF included) become U+FFFD, one for each maximal subpart of an ill-formed
 * sequence, as The Unicode Standard recommends in section 3.9.
 *
 * No include guard: encode_control.c includes this a second time, under other names, to compare the
 * very same code over other buffers.
 */

/* Whatever has to be looked at: controls, the two that JSON escapes, and all that is not ASCII. */
#ifndef JSON_SPECIAL
#define JSON_SPECIAL

/* A function of its own in each inclusion: neither inlined nor merged with its twin. */
#if __has_attribute(__no_icf__)
#define JSON_APART __attribute__((__noinline__, __no_icf__))
#else
#define JSON_APART __attribute__((__noinline__))
#endif

static const bool json_special[256] = {
	[0 ... 0x1f] = true, ['"'] = true, ['\\'] = true, [0x80 ... 0xff] = true};

/*
 * About how long the object will be: the text itself, quotes and colons, and one in sixteen bytes
 * to escape. A guess, for the borrower to begin with; where it falls short the buffer grows.
 */
static inline size_t json_size(const struct field *fields, size_t n)
{
	size_t text = (size_t)(fields[n - 1].more.end - fields[0].name.at);

	return text + text / 16 + 4 * n;
}

/*
 * The length of the well-formed sequence at s, of which n bytes are there; else minus the length of
 * its maximal subpart. Table 3-7 of The Unicode Standard.
 */
static inline int utf8_sequence(const unsigned char *s, size_t n)
{
	unsigned char low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
	unsigned char high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
	int length = 2 + (s[0] >= 0xe0) + (s[0] >= 0xf0);

	if (s[0] < 0xc2 || s[0] > 0xf4)
		return -1;
	for (int i = 1; i < length; i++, low = 0x80, high = 0xbf)
		if ((size_t)i == n || s[i] < low || s[i] > high)
			return -i;
	return length;
}

/*
 * Whether eight bytes are all ASCII and not special. Where none has the high bit, a subtraction
 * sets it only in a byte that is too small, or beside one.
 */
static inline bool json_clean_word(const unsigned char *s)
{
	const uint64_t each = UINT64_MAX / 0xff;
	uint64_t w;

	memcpy(&w, s, sizeof w);
	return !((w | (w - each * 0x20) | ((w ^ each * '"') - each) | ((w ^ each * '\\') - each)) &
		 each * 0x80);
}

/* How far the text can be taken over as it is. */
static __attribute__((__noinline__)) const unsigned char *json_clean(
	const unsigned char *s, const unsigned char *end)
{
	for (;;) {
		int length;

		while (end - s >= 8 && json_clean_word(s))
			s += 8;
		while (s < end && !json_special[*s])
			s++;
		if (s == end || *s < 0x80)
			return s;
		length = utf8_sequence(s, (size_t)(end - s));
		if (length < 0)
			return s;
		s += length;
	}
}
#endif

/* Appends what stands for the special byte at s; where to go on. */
static JSON_APART const unsigned char *json_escape(
	tierpool_buf *b, const unsigned char *s, const unsigned char *end)
{
	static const char hex[] = "0123456789abcdef";

	switch (*s) {
	case '\n': /* only between the lines of a value; comments may lie there too */
		while (s[1] == '#')
			s = memchr(s + 1, '\n', (size_t)(end - s - 1));
		tierpool_buf_append(b, "\\n", 2);
		return s + 2;
	case '\t':
		tierpool_buf_append(b, "\\t", 2);
		return s + 1;
	case '\r':
		tierpool_buf_append(b, "\\r", 2);
		return s + 1;
	case '"':
	case '\\':
		tierpool_buf_append(b, (char[]){'\\', (char)*s}, 2);
		return s + 1;
	}
	if (*s < 0x80) {
		tierpool_buf_append_str(b, "\\u00");
		tierpool_buf_append(b, (char[]){hex[*s >> 4], hex[*s & 15]}, 2);
		return s + 1;
	}
	tierpool_buf_append_str(b, "\xef\xbf\xbd");
	return s - utf8_sequence(s, (size_t)(end - s));
}

/* Appends a slice as the inside of a JSON string: as it is, in runs as long as can be. */
static inline __attribute__((__always_inline__)) void json_text(tierpool_buf *b, struct slice text)
{
	const unsigned char *s = (const unsigned char *)text.at;
	const unsigned char *end = (const unsigned char *)text.end;

	while (s < end) {
		const unsigned char *run = s;

		s = json_clean(s, end);
		if (s > run)
			tierpool_buf_append(b, run, (size_t)(s - run));
		if (s < end)
			s = json_escape(b, s, end);
	}
}

static JSON_APART void json_stanza(tierpool_buf *b, const struct field *fields, size_t n)
{
	tierpool_buf_append(b, "{\"", 2);
	for (size_t i = 0; i < n; i++) {
		json_text(b, fields[i].name);
		tierpool_buf_append(b, "\":\"", 3);
		json_text(b, fields[i].value);
		json_text(b, fields[i].more);
		tierpool_buf_append(b, i + 1 < n ? "\",\"" : "\"}\n", 3);
	}
}
