/* SPDX-License-Identifier: MIT */
/*
 * Writes a gzip file (RFC 1952) of stored blocks (RFC 1951, 3.2.4): not compressed, but every
 * reader of gzip opens it, and zlib is not needed. Owns the bytes of a block that is not full.
 */
#ifndef TP_GZIP_H
#define TP_GZIP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TP_GZIP_BLOCK 65535 /* the most that a stored block has */

struct tp_gzip {
	FILE *out;
	uint32_t crc;
	uint32_t total; /* bytes, modulo 2^32 as the format has it */
	size_t len;
	unsigned char bytes[TP_GZIP_BLOCK];
};

void tp_gzip_begin(struct tp_gzip *gzip, FILE *out);
void tp_gzip_write(struct tp_gzip *gzip, const void *bytes, size_t n);

/* Writes what is left and the trailer. Errors are those of the stream: ferror. */
void tp_gzip_end(struct tp_gzip *gzip);

#endif
