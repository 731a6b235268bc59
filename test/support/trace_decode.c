/* SPDX-License-Identifier: MIT */
#include "trace_decode.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char head[8] = "tptrace\1";

void decoder_open(struct decoder *d, const char *path)
{
	FILE *f = fopen(path, "r");
	struct stat status;

	cr_assert_not_null(f, "no trace %s", path);
	cr_assert_eq(fstat(fileno(f), &status), 0);
	*d = (struct decoder){.count = (size_t)status.st_size, .at = sizeof head};
	d->bytes = malloc(d->count + 1);
	cr_assert_not_null(d->bytes);
	cr_assert_eq(fread(d->bytes, 1, d->count, f), d->count);
	fclose(f);
	cr_assert_geq(d->count, sizeof head, "%zu bytes are no trace", d->count);
	cr_assert_eq(memcmp(d->bytes, head, sizeof head), 0, "it begins otherwise");
}

void decoder_close(struct decoder *d)
{
	free(d->bytes);
}

static unsigned decode_byte(struct decoder *d)
{
	cr_assert_lt(d->at, d->count, "the last record is cut short");
	return d->bytes[d->at++];
}

static uint64_t decode_number(struct decoder *d)
{
	uint64_t number = 0;
	unsigned byte, shift = 0;

	do {
		byte = decode_byte(d);
		cr_assert(shift < 63 || byte < 2, "byte %zu: above 64 bits", d->at - 1);
		number |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	return number;
}

static void decode_text(struct decoder *d, char *text, size_t size)
{
	uint64_t length = decode_number(d);

	cr_assert_lt(length, size, "byte %zu: a text of %zu bytes", d->at, (size_t)length);
	for (uint64_t i = 0; i < length; i++)
		*text++ = (char)decode_byte(d);
	*text = '\0';
}

static void decode_id(struct decoder *d, struct decoded *r)
{
	uint64_t zigzag = decode_number(d);

	d->id += zigzag & 1 ? ~(zigzag >> 1) : zigzag >> 1;
	r->id = d->id;
}

static void decode_place_and_time(struct decoder *d, struct decoded *r)
{
	r->cpu = decode_number(d);
	d->ns += decode_number(d);
	r->ns = d->ns;
}

static void decode_pool(struct decoder *d, struct decoded *r)
{
	r->pool = decode_number(d);
	r->retain = decode_number(d);
	r->max_idle = decode_number(d);
	r->decay_ms = decode_number(d);
	r->alignment = decode_number(d);
	r->calibrate_every = decode_number(d);
	r->tier_count = decode_number(d);
	for (uint64_t i = 0; i < r->tier_count; i++) {
		uint64_t size = decode_number(d);

		if (i < DECODED_TIERS)
			r->tier[i] = size;
	}
	decode_text(d, r->text[0], sizeof r->text[0]);
}

static void decode_site(struct decoder *d, struct decoded *r)
{
	r->pool = decode_number(d);
	r->site = decode_number(d);
	r->line = decode_number(d);
	decode_text(d, r->text[0], sizeof r->text[0]);
	decode_text(d, r->text[1], sizeof r->text[1]);
}

static void decode_get(struct decoder *d, struct decoded *r)
{
	decode_id(d, r);
	r->pool = decode_number(d);
	r->site = decode_number(d);
	decode_place_and_time(d, r);
	r->n = decode_number(d);
	r->cap = decode_number(d);
}

static void decode_growth(struct decoder *d, struct decoded *r)
{
	decode_id(d, r);
	r->need = decode_number(d);
	r->kept = decode_number(d);
}

static void decode_put(struct decoder *d, struct decoded *r)
{
	decode_id(d, r);
	decode_place_and_time(d, r);
	r->len = decode_number(d);
	r->cap = decode_number(d);
}

bool decoder_next(struct decoder *d, struct decoded *r)
{
	size_t at = d->at;

	if (at == d->count)
		return false;
	*r = (struct decoded){.kind = (char)decode_byte(d)};
	switch (r->kind) {
	case 'P':
		decode_pool(d, r);
		break;
	case 'S':
		decode_site(d, r);
		break;
	case 'G':
		decode_get(d, r);
		break;
	case 'R':
		decode_growth(d, r);
		break;
	case 'T':
		decode_put(d, r);
		break;
	default:
		cr_assert_fail("byte %zu: no kind of record: %#x", at, (unsigned)r->kind);
	}
	return true;
}

struct decoded decoder_take(struct decoder *d, char kind)
{
	size_t at = d->at;
	struct decoded r = {0};

	decoder_next(d, &r);
	cr_assert_eq(r.kind, kind, "byte %zu of %zu: a '%c', not a '%c'", at, d->count,
		r.kind ? r.kind : '-', kind ? kind : '-');
	return r;
}
