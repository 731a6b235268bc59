/* SPDX-License-Identifier: MIT */
/*
 * Reads profile.proto as its definition has it, and nothing of what the library knows. A test fails
 * at a field, a type or a length that the definition does not have. For tests that use Criterion.
 */
#ifndef PROTO_READER_H
#define PROTO_READER_H

#include <stddef.h>
#include <stdint.h>

struct bytes {
	const unsigned char *at;
	size_t n;
};

#define PROTO_MOST 4096

/* The profile that was decoded last. */
extern struct proto_profile {
	struct bytes string[PROTO_MOST], sample[PROTO_MOST], mapping[PROTO_MOST],
		location[PROTO_MOST], function[PROTO_MOST];
	size_t strings, samples, mappings, locations, functions;
	struct bytes type[16];
	size_t types;
	struct bytes period_type;
	uint64_t number[16]; /* fields that are numbers */
} profile;

/*
 * Of a gzip file, and nothing behind it. zlib checks the CRC and the length. Valid until the next
 * call.
 */
struct bytes unzipped(const char *zipped, size_t n);

void decode(struct bytes plain);

/* A field of a message: the last number with it, 0 if there is none; the nth bytes with it. */
uint64_t number_of(struct bytes message, unsigned field);
struct bytes bytes_of(struct bytes message, unsigned field, size_t nth);

/* A field of packed numbers. */
uint64_t packed(struct bytes message, unsigned field, size_t nth);
size_t packed_count(struct bytes message, unsigned field);

/* A string of the table. Valid for eight calls. */
const char *string_of(uint64_t index);

struct bytes by_id(const struct bytes *list, size_t count, uint64_t id);
struct bytes location_of(size_t sample, size_t frame);

/* NULL: it has none. */
const char *function_of(struct bytes location);

#endif
