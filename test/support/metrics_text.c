/* SPDX-License-Identifier: MIT */
#include "metrics_text.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A place in the text; lines end with 0 in place of their newline. */
struct reader {
	struct metrics_text *m;
	char *at;
};

static bool refuse(struct reader *r, const char *fault)
{
	if (!r->m->fault)
		r->m->fault = fault;
	return false;
}

static bool take(struct reader *r, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(r->at, word, n))
		return false;
	r->at += n;
	return true;
}

/* A name of a metric or label; what follows it becomes 0 once the caller has looked at it. */
static size_t name_length(const char *at)
{
	size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");

	return *at >= '0' && *at <= '9' ? 0 : n;
}

/* Bytes of a character of UTF-8, decoded and encoded again; 0: none. */
static size_t character_length(const unsigned char *c)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = *c < 0x80 ? 1 : *c >= 0xf0 ? 4 : *c >= 0xe0 ? 3 : *c >= 0xc0 ? 2 : 0;
	uint32_t code = *c & (n > 1 ? 0xffu >> (n + 1) : 0x7fu);

	for (size_t i = 1; i < n; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (c[i] & 0x3f);
	}
	return *c < 0xf8 && code >= least[n] && code <= 0x10ffff && (code & 0xfffff800) != 0xd800
		       ? n
		       : 0;
}

/* Behind the opening quote: unescapes in place, up to the closing one. */
static const char *read_value(struct reader *r)
{
	char *value = r->at, *to = r->at;

	while (*r->at != '"') {
		size_t n = character_length((const unsigned char *)r->at);

		if (!*r->at)
			return refuse(r, "a value does not end"), NULL;
		if (!n)
			return refuse(r, "no UTF-8"), NULL;
		if (*r->at == '\\') {
			r->at++;
			if (!strchr("\\\"n", *r->at) || !*r->at)
				return refuse(r, "an unknown escape"), NULL;
			if (*r->at == 'n')
				*r->at = '\n';
			*to++ = *r->at++;
			continue;
		}
		memmove(to, r->at, n);
		to += n;
		r->at += n;
	}
	r->at++;
	*to = 0;
	return value;
}

static bool read_labels(struct reader *r, struct metrics_sample *s)
{
	do {
		struct metrics_label *label = &s->label[s->labels];
		size_t n = name_length(r->at);

		if (!n || s->labels == METRICS_LABELS)
			return refuse(r, "no name of a label");
		label->key = r->at;
		r->at += n;
		if (!take(r, "=\""))
			return refuse(r, "no =\" behind a label");
		r->at[-2] = 0;
		label->value = read_value(r);
		if (!label->value)
			return false;
		for (unsigned i = 0; i < s->labels; i++)
			if (!strcmp(s->label[i].key, label->key))
				return refuse(r, "a label twice");
		s->labels++;
	} while (take(r, ","));
	return take(r, "}") || refuse(r, "labels do not end");
}

static bool is_number(const char *text)
{
	char *end;

	if (!*text || strspn(text, "+-.0123456789eENaInf") != strlen(text))
		return false;
	strtod(text, &end);
	return !*end;
}

static bool ends_in(const char *text, const char *ending)
{
	size_t n = strlen(text), e = strlen(ending);

	return n >= e && !strcmp(text + n - e, ending);
}

static bool last_family_is_empty(const struct metrics_text *m)
{
	return m->families &&
	       (!m->samples || m->sample[m->samples - 1].name != m->family[m->families - 1].name);
}

/* # HELP and # TYPE, which come in this order, and the samples behind them. */
static bool read_help(struct reader *r)
{
	struct metrics_text *m = r->m;
	size_t n = name_length(r->at);

	if (!n || r->at[n] != ' ' || !r->at[n + 1])
		return refuse(r, "HELP without a name or a text");
	if (last_family_is_empty(m))
		return refuse(r, "the family before has no sample");
	r->at[n] = 0;
	if (strncmp(r->at, "tierpool_", 9))
		return refuse(r, "a foreign name");
	for (unsigned i = 0; i < m->families; i++)
		if (!strcmp(m->family[i].name, r->at))
			return refuse(r, "a family twice");
	if (m->families == METRICS_FAMILIES)
		return refuse(r, "too many families");
	m->family[m->families].name = r->at;
	m->families++;
	if (strchr(r->at + n + 1, '\\'))
		return refuse(r, "an escape in HELP");
	return true;
}

static bool read_type(struct reader *r)
{
	struct metrics_text *m = r->m;
	size_t n = name_length(r->at);
	const char *name = m->families ? m->family[m->families - 1].name : "";
	bool counter;

	if (strncmp(r->at, name, n) || name[n] || r->at[n] != ' ')
		return refuse(r, "TYPE is not of the HELP before");
	r->at += n + 1;
	counter = !strcmp(r->at, "counter");
	if (!counter && strcmp(r->at, "gauge"))
		return refuse(r, "neither counter nor gauge");
	if (counter != ends_in(name, "_total"))
		return refuse(r, "_total and counter do not agree");
	m->family[m->families - 1].counter = counter;
	return true;
}

static bool read_sample(struct reader *r, const char *line)
{
	struct metrics_text *m = r->m;
	struct metrics_sample *s = &m->sample[m->samples];
	size_t n = name_length(r->at);
	const char *name = m->families ? m->family[m->families - 1].name : "";
	const char *text = r->at;

	if (m->samples == METRICS_SAMPLES)
		return refuse(r, "too many samples");
	if (strncmp(r->at, name, n) || name[n])
		return refuse(r, "a sample is not of the family before");
	*s = (struct metrics_sample){.name = name};
	r->at += n;
	if (take(r, "{") && !read_labels(r, s))
		return false;
	s->series = strndup(line, (size_t)(r->at - text));
	if (!take(r, " ") || !is_number(r->at))
		return free((void *)s->series), refuse(r, "no number");
	s->value = r->at;
	m->samples++;
	return true;
}

static int series_order(const void *a, const void *b)
{
	const struct metrics_sample *one = a, *other = b;

	return strcmp(one->series, other->series);
}

static void refuse_twins(struct metrics_text *m)
{
	qsort(m->sample, m->samples, sizeof *m->sample, series_order);
	for (unsigned i = 1; i < m->samples; i++)
		if (!strcmp(m->sample[i - 1].series, m->sample[i].series))
			m->fault = "a series twice";
}

struct metrics_text metrics_text_read(const char *text)
{
	struct metrics_text m = {.text = strdup(text),
		.sample = calloc(METRICS_SAMPLES, sizeof(struct metrics_sample))};
	struct reader r = {.m = &m, .at = m.text};
	size_t length = strlen(text);
	bool good = length >= 6 && ends_in(text, "\n# EOF\n");

	if (!good)
		m.fault = "no # EOF";
	for (char *end; good && (end = strchr(r.at, '\n')); r.at = end + 1) {
		m.line++;
		*end = 0;
		if (!strcmp(r.at, "# EOF"))
			good = (!end[1] && !last_family_is_empty(&m)) ||
			       refuse(&r, "not the end of all");
		else if (take(&r, "# HELP "))
			good = read_help(&r);
		else if (take(&r, "# TYPE "))
			good = read_type(&r);
		else
			good = read_sample(&r, text + (r.at - m.text));
	}
	if (good)
		refuse_twins(&m);
	return m;
}

void metrics_text_free(struct metrics_text *m)
{
	for (unsigned i = 0; i < m->samples; i++)
		free((void *)m->sample[i].series);
	free(m->sample);
	free(m->text);
}

const char *metrics_label_of(const struct metrics_sample *sample, const char *key)
{
	for (unsigned i = 0; i < sample->labels; i++)
		if (!strcmp(sample->label[i].key, key))
			return sample->label[i].value;
	return "";
}

const struct metrics_sample *metrics_find(const struct metrics_text *m, const char *name, ...)
{
	const struct metrics_sample *found = NULL;

	for (unsigned i = 0; i < m->samples; i++) {
		const char *key;
		va_list labels;
		bool same = !strcmp(m->sample[i].name, name);

		va_start(labels, name);
		while (same && (key = va_arg(labels, const char *)))
			same = !strcmp(
				metrics_label_of(&m->sample[i], key), va_arg(labels, const char *));
		va_end(labels);
		if (same && found)
			return NULL;
		if (same)
			found = &m->sample[i];
	}
	return found;
}

uint64_t metrics_count_of(const struct metrics_sample *sample)
{
	uint64_t count;
	char end;

	cr_assert_not_null(sample, "no such sample, or several");
	cr_assert_eq(sscanf(sample->value, "%" SCNu64 "%c", &count, &end), 1, "%s", sample->series);
	return count;
}
