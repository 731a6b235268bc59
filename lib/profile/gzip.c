/* SPDX-License-Identifier: MIT */
#include "profile/gzip.h"

#include <stdbool.h>
#include <string.h>

#include "base/compiler.h"

/* The CRC of each four bits; the polynomial is 0xedb88320. */
static const uint32_t gzip_crc[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190,
	0x6b6b51f4, 0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
	0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};

/* The lowest byte first, whatever this machine's order. */
static void gzip_number(FILE *out, uint32_t n, unsigned bytes)
{
	for (; bytes--; n >>= 8)
		fputc((int)(n & 0xff), out);
}

static void gzip_block(struct tp_gzip *gzip, bool last)
{
	/* The bit of the last block, type 00 (stored), and 5 bits to the end of the byte. */
	fputc(last ? 1 : 0, gzip->out);
	gzip_number(gzip->out, (uint32_t)gzip->len, 2);
	gzip_number(gzip->out, ~(uint32_t)gzip->len, 2);
	fwrite(gzip->bytes, 1, gzip->len, gzip->out);
	gzip->len = 0;
}

void tp_gzip_begin(struct tp_gzip *gzip, FILE *out)
{
	gzip->out = out;
	gzip->crc = 0xffffffff;
	gzip->total = 0;
	gzip->len = 0;
	/* Magic, deflate, no flags, no time, no hint, made on Unix. */
	fwrite("\x1f\x8b\x08\0\0\0\0\0\0\x03", 1, 10, out);
}

void tp_gzip_write(struct tp_gzip *gzip, const void *bytes, size_t n)
{
	const unsigned char *from = bytes;

	gzip->total += (uint32_t)n;
	for (size_t i = 0; i < n; i++) {
		gzip->crc ^= from[i];
		gzip->crc = gzip->crc >> 4 ^ gzip_crc[gzip->crc & 15];
		gzip->crc = gzip->crc >> 4 ^ gzip_crc[gzip->crc & 15];
	}
	while (n) {
		size_t part = tp_min(n, sizeof gzip->bytes - gzip->len);

		memcpy(gzip->bytes + gzip->len, from, part);
		gzip->len += part;
		from += part;
		n -= part;
		if (gzip->len == sizeof gzip->bytes)
			gzip_block(gzip, false);
	}
}

void tp_gzip_end(struct tp_gzip *gzip)
{
	gzip_block(gzip, true);
	gzip_number(gzip->out, ~gzip->crc, 4);
	gzip_number(gzip->out, gzip->total, 4);
}
