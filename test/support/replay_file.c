/* SPDX-License-Identifier: MIT */
#include "replay_file.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define RECORD_MOST (1 << 21)

unsigned char record[RECORD_MOST];
size_t record_bytes;

void record_byte(int c)
{
	cr_assert_lt(record_bytes, sizeof record);
	record[record_bytes++] = (unsigned char)c;
}

void record_number(uint64_t n)
{
	for (; n >= 0x80; n >>= 7)
		record_byte((int)(n & 0x7f) | 0x80);
	record_byte((int)n);
}

static void record_difference(int64_t n)
{
	record_number((uint64_t)n << 1 ^ (uint64_t)(n >> 63));
}

void record_string(const char *s)
{
	record_number(strlen(s));
	while (*s)
		record_byte(*s++);
}

void record_head(void)
{
	record_bytes = 0;
	for (const char *s = "tptrace\1"; *s; s++)
		record_byte(*s);
}

void record_pool(uint64_t id, unsigned decay_ms, uint64_t calibrate_every, const char *name)
{
	record_byte('P');
	record_number(id);
	record_number(1 << 20); /* retain */
	record_number(0);       /* max_idle: none */
	record_number(decay_ms);
	record_number(64); /* alignment */
	record_number(calibrate_every);
	record_number(3); /* tiers */
	record_number(1024);
	record_number(4096);
	record_number(16384);
	record_string(name);
}

void record_sites(unsigned decay_ms)
{
	record_head();
	record_pool(7, decay_ms, 2048, "p");
	record_site(7, 1);
	record_byte('S');
	record_number(7);
	record_number(2);
	record_number(12);
	record_string("a.c");
	record_string("f");
}

void record_get(int64_t id, uint64_t site, uint64_t ns, size_t n, size_t cap)
{
	record_byte('G');
	record_difference(id);
	record_number(7);
	record_number(site);
	record_number(0); /* cpu */
	record_number(ns);
	record_number(n);
	record_number(cap);
}

void record_grow(int64_t id, size_t need, size_t len)
{
	record_byte('R');
	record_difference(id);
	record_number(need);
	record_number(len);
}

void record_put(int64_t id, uint64_t ns, size_t len, size_t cap)
{
	record_byte('T');
	record_difference(id);
	record_number(0); /* cpu */
	record_number(ns);
	record_number(len);
	record_number(cap);
}

void record_pair(size_t len)
{
	record_get(0, 2, 0, 0, 1024);
	record_put(0, 0, len, len > 1024 ? len : 1024);
}

void record_site(uint64_t pool, uint64_t number)
{
	record_byte('S');
	record_number(pool);
	record_number(number);
	record_number(0); /* line */
	record_string("");
	record_string("");
}

void record_save(void)
{
	FILE *f = fopen("trace", "w");

	cr_assert_not_null(f);
	cr_assert_eq(fwrite(record, 1, record_bytes, f), record_bytes);
	cr_assert_eq(fclose(f), 0);
}
