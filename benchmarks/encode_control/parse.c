/* SPDX-License-Identifier: MIT */
/*
 * The parser of control files: parse.h.
 */
#include "parse.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Up to here names are compared each with each; above, sorted, so that no stanza costs n * n. */
#define COMPARED_IN_PAIRS 32

void control_borrow(struct control *c, tierpool *pool)
{
	c->fields = tierpool_get(pool);
	c->stanzas = tierpool_get(pool);
	c->faults = tierpool_get(pool);
}

void control_put(struct control *c)
{
	tierpool_put(c->fields);
	tierpool_put(c->stanzas);
	tierpool_put(c->faults);
}

static bool blank_is(char c)
{
	return c == ' ' || c == '\t';
}

/* The LF that ends the line, or the end of the text. */
static const char *line_end(const char *at, const char *end)
{
	const char *newline = memchr(at, '\n', (size_t)(end - at));

	return newline ? newline : end;
}

static const char *line_after(const char *stop, const char *end)
{
	return stop < end ? stop + 1 : end;
}

/* Whether the line at `at` separates stanzas. */
static bool line_separates(const char *at, const char *end)
{
	while (at < end && blank_is(*at))
		at++;
	return at == end || *at == '\n';
}

const char *control_cut(struct slice text, size_t n)
{
	const char *at = text.at;

	if ((size_t)(text.end - at) <= n)
		return text.end;
	for (at += n; at < text.end && (at = line_end(at, text.end)) < text.end;)
		if (line_separates(++at, text.end))
			return at;
	return text.end;
}

static int field_by_name(const void *left, const void *right)
{
	const struct field *a = left, *b = right;
	ptrdiff_t a_len = a->name.end - a->name.at, b_len = b->name.end - b->name.at;
	int order;

	if (a_len != b_len)
		return a_len < b_len ? -1 : 1;
	order = strncasecmp(a->name.at, b->name.at, (size_t)a_len);
	return order ? order : (a->name.at > b->name.at) - (a->name.at < b->name.at);
}

static int field_by_place(const void *left, const void *right)
{
	const struct field *a = left, *b = right;

	return (a->name.at > b->name.at) - (a->name.at < b->name.at);
}

static bool field_same_name(const struct field *a, const struct field *b)
{
	size_t len = (size_t)(a->name.end - a->name.at);

	return len == (size_t)(b->name.end - b->name.at) &&
	       !strncasecmp(a->name.at, b->name.at, len);
}

static const char *field_twice_sorted(struct field *fields, size_t n)
{
	const char *first = NULL;

	qsort(fields, n, sizeof *fields, field_by_name);
	for (size_t i = 1; i < n; i++)
		if (field_same_name(&fields[i - 1], &fields[i]) &&
			(!first || fields[i].name.at < first))
			first = fields[i].name.at;
	qsort(fields, n, sizeof *fields, field_by_place);
	return first;
}

/* Returns: where a name comes for the second time; NULL if none does. */
static const char *field_twice(struct field *fields, size_t n)
{
	if (n > COMPARED_IN_PAIRS)
		return field_twice_sorted(fields, n);
	for (size_t i = 1; i < n; i++)
		for (size_t j = 0; j < i; j++)
			if (field_same_name(&fields[i], &fields[j]))
				return fields[i].name.at;
	return NULL;
}

/* "Name: value" of the line from at to stop; what is wrong with it, or NULL. */
static const char *field_line(const char *at, const char *stop, struct field *f)
{
	f->name.at = at;
	while (at<stop && * at> ' ' && *at <= '~' && *at != ':')
		at++;
	f->name.end = at;
	while (at < stop && blank_is(*at))
		at++;
	if (at == stop || *at != ':')
		return memchr(at, ':', (size_t)(stop - at))
			       ? "a field name may only be printable ASCII"
			       : "no colon";
	if (f->name.at == f->name.end)
		return "an empty field name";

	for (at++; at < stop && blank_is(*at);)
		at++;
	f->value = (struct slice){at, stop};
	while (f->value.end > at && blank_is(f->value.end[-1]))
		f->value.end--;
	f->more = (struct slice){stop, stop};
	return NULL;
}

/* Takes the lines that continue f, and the comments between and behind them; where it stopped. */
static const char *field_continue(const char *at, const char *end, struct field *f)
{
	while (at < end) {
		const char *stop;

		if (*at != '#' && (!blank_is(*at) || line_separates(at, end)))
			break;
		stop = line_end(at, end);
		if (*at != '#')
			f->more.end = stop;
		at = line_after(stop, end);
	}
	return at;
}

/* The lines up to the next that separates; where it stopped. *why, *at: the first fault. */
static const char *stanza_lines(
	const char *at, const char *end, tierpool_buf *fields, struct fault *fault)
{
	while (at < end && !line_separates(at, end)) {
		const char *stop = line_end(at, end);
		struct field f;

		if (fault->why || *at == '#') {
			at = line_after(stop, end);
			continue;
		}
		fault->at = at;
		fault->why = blank_is(*at) ? "a continuation before any field"
					   : field_line(at, stop, &f);
		at = line_after(stop, end);
		if (!fault->why) {
			at = field_continue(at, end, &f);
			tierpool_buf_append(fields, &f, sizeof f);
		}
	}
	return at;
}

static void stanza_parse(struct control *c, const char **at, const char *end)
{
	size_t before = c->fields->len;
	struct stanza s = {.first = before / sizeof(struct field)};
	struct fault fault = {0};

	*at = stanza_lines(*at, end, c->fields, &fault);
	s.count = c->fields->len / sizeof(struct field) - s.first;
	if (!fault.why) {
		fault.at = field_twice((struct field *)(void *)c->fields->data + s.first, s.count);
		fault.why = fault.at ? "the same field twice" : NULL;
	}
	if (fault.why) {
		tierpool_buf_append(c->faults, &fault, sizeof fault);
		c->fields->len = before;
	} else if (s.count) {
		tierpool_buf_append(c->stanzas, &s, sizeof s);
	}
}

int control_parse(struct control *c, struct slice text)
{
	int error;

	if (!c->fields || !c->stanzas || !c->faults)
		return tierpool_buf_error(NULL);
	tierpool_buf_reset(c->fields);
	tierpool_buf_reset(c->stanzas);
	tierpool_buf_reset(c->faults);
	while (text.at < text.end) {
		stanza_parse(c, &text.at, text.end);
		text.at = line_after(line_end(text.at, text.end), text.end);
	}
	error = tierpool_buf_error(c->fields);
	if (!error)
		error = tierpool_buf_error(c->stanzas);
	return error ? error : tierpool_buf_error(c->faults);
}
