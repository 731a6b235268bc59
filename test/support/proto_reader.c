/* SPDX-License-Identifier: MIT */
#include "proto_reader.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>
#include <zlib.h>

struct field {
	unsigned number, wire;
	uint64_t value;     /* wire 0 */
	struct bytes bytes; /* wire 2 */
};

struct proto_profile profile;

static uint64_t varint(struct bytes *b)
{
	uint64_t n = 0;

	for (unsigned shift = 0;; shift += 7) {
		cr_assert(b->n && shift < 64);
		n |= (uint64_t)(*b->at & 0x7f) << shift;
		b->n--;
		if (!(*b->at++ & 0x80))
			return n;
	}
}

static bool next_field(struct bytes *b, struct field *f)
{
	uint64_t tag, n;

	if (!b->n)
		return false;
	tag = varint(b);
	*f = (struct field){.number = (unsigned)(tag >> 3), .wire = tag & 7};
	cr_assert(f->wire == 0 || f->wire == 2, "wire type %u", f->wire);
	if (f->wire == 0) {
		f->value = varint(b);
		return true;
	}
	n = varint(b);
	cr_assert_leq(n, b->n);
	f->bytes = (struct bytes){b->at, n};
	b->at += n;
	b->n -= n;
	return true;
}

uint64_t number_of(struct bytes message, unsigned field)
{
	struct field f;
	uint64_t value = 0;

	while (next_field(&message, &f))
		if (f.number == field && f.wire == 0)
			value = f.value;
	return value;
}

struct bytes bytes_of(struct bytes message, unsigned field, size_t nth)
{
	struct field f;

	while (next_field(&message, &f))
		if (f.number == field && f.wire == 2 && !nth--)
			return f.bytes;
	return (struct bytes){NULL, 0};
}

const char *string_of(uint64_t index)
{
	static char text[8][8192];
	static unsigned next;
	char *to = text[next++ % 8];

	cr_assert_lt(index, profile.strings);
	cr_assert_lt(profile.string[index].n, sizeof text[0]);
	if (profile.string[index].n)
		memcpy(to, profile.string[index].at, profile.string[index].n);
	to[profile.string[index].n] = '\0';
	return to;
}

static void keep(struct bytes *list, size_t *count, const struct field *f)
{
	cr_assert_eq(f->wire, 2);
	cr_assert_lt(*count, PROTO_MOST);
	list[(*count)++] = f->bytes;
}

void decode(struct bytes b)
{
	struct field f;

	memset(&profile, 0, sizeof profile);
	while (next_field(&b, &f)) {
		switch (f.number) {
		case 1:
			keep(profile.type, &profile.types, &f);
			break;
		case 2:
			keep(profile.sample, &profile.samples, &f);
			break;
		case 3:
			keep(profile.mapping, &profile.mappings, &f);
			break;
		case 4:
			keep(profile.location, &profile.locations, &f);
			break;
		case 5:
			keep(profile.function, &profile.functions, &f);
			break;
		case 6:
			keep(profile.string, &profile.strings, &f);
			break;
		case 11:
			profile.period_type = f.bytes;
			break;
		case 7:
		case 9:
		case 10:
		case 12:
		case 13:
		case 14:
			cr_assert_eq(f.wire, 0);
			profile.number[f.number] = f.value;
			break;
		default:
			cr_assert_fail("field %u", f.number);
		}
	}
}

struct bytes unzipped(const char *zipped, size_t n)
{
	static unsigned char plain[1 << 22];
	z_stream z = {.next_in = (unsigned char *)(uintptr_t)zipped,
		.avail_in = (unsigned)n,
		.next_out = plain,
		.avail_out = sizeof plain};

	cr_assert_eq(inflateInit2(&z, 16 + MAX_WBITS), Z_OK); /* gzip only */
	cr_assert_eq(inflate(&z, Z_FINISH), Z_STREAM_END, "%s", z.msg);
	cr_assert_eq(z.avail_in, 0, "nothing is behind it");
	inflateEnd(&z);
	return (struct bytes){plain, z.total_out};
}

uint64_t packed(struct bytes sample, unsigned field, size_t nth)
{
	struct bytes numbers = bytes_of(sample, field, 0);
	uint64_t n = 0;

	for (size_t i = 0; i <= nth; i++)
		n = varint(&numbers);
	return n;
}

size_t packed_count(struct bytes sample, unsigned field)
{
	struct bytes numbers = bytes_of(sample, field, 0);
	size_t count = 0;

	for (; numbers.n; count++)
		varint(&numbers);
	return count;
}

struct bytes by_id(const struct bytes *list, size_t count, uint64_t id)
{
	for (size_t i = 0; i < count; i++)
		if (number_of(list[i], 1) == id)
			return list[i];
	cr_assert_fail("no id %" PRIu64, id);
	return (struct bytes){NULL, 0};
}

struct bytes location_of(size_t sample, size_t frame)
{
	return by_id(profile.location, profile.locations, packed(profile.sample[sample], 1, frame));
}

const char *function_of(struct bytes location)
{
	struct bytes line = bytes_of(location, 4, 0), function;

	if (!line.n)
		return NULL;
	function = by_id(profile.function, profile.functions, number_of(line, 1));
	cr_assert_str_eq(string_of(number_of(function, 2)), string_of(number_of(function, 3)));
	return string_of(number_of(function, 2));
}
