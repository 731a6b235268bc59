/* SPDX-License-Identifier: MIT */
/*
 * The reader of traces: read.h. It believes nothing: each number is checked before it is used.
 */
#include "read.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tierpool.h>

#include "storage.h"

#define HEAD "tptrace\1"
#define HEAD_BYTES 8
#define NUMBER_BYTES 10
#define TIERS_MOST 254
#define STRING_MOST 4096
#define PAGE_MOST ((size_t)64 << 10) /* of any system */
#define READ_BYTES ((size_t)1 << 20)

struct reader {
	const unsigned char *data;
	size_t size, at;
	struct trace *trace;
	struct reading *reading;
	struct map pools, sites, out; /* to indices: by id, by pool and number, by id */
	uint64_t id, ns;              /* the last ones */
};

/* ---- numbers and strings; each gives 0 or NULL once the record is cut short or wrong ---- */

static bool reader_stopped(const struct reader *r)
{
	return r->reading->cut || r->reading->wrong;
}

static void reader_wrong(struct reader *r, const char *what)
{
	if (!reader_stopped(r))
		r->reading->wrong = what;
}

static uint64_t read_number(struct reader *r)
{
	uint64_t number = 0;

	for (unsigned i = 0; i < NUMBER_BYTES && !reader_stopped(r); i++) {
		unsigned char byte;

		if (r->at == r->size) {
			r->reading->cut = true;
			return 0;
		}
		byte = r->data[r->at++];
		if (i == NUMBER_BYTES - 1 && byte > 1)
			break;
		number |= (uint64_t)(byte & 0x7f) << 7 * i;
		if (byte < 0x80)
			return number;
	}
	reader_wrong(r, "a number of more than 64 bits");
	return 0;
}

static uint64_t read_at_most(struct reader *r, uint64_t most, const char *wrong)
{
	uint64_t number = read_number(r);

	if (number <= most)
		return number;
	reader_wrong(r, wrong);
	return 0;
}

static size_t read_length(struct reader *r)
{
	return read_at_most(r, LENGTH_MOST, "an impossible length");
}

static unsigned read_unsigned(struct reader *r)
{
	return (unsigned)read_at_most(r, UINT_MAX, "a number of more than 32 bits");
}

static char *read_string(struct reader *r)
{
	size_t length = read_at_most(r, STRING_MOST, "a string of more than 4,096 bytes");
	char *string;

	if (length > r->size - r->at)
		r->reading->cut = true;
	if (reader_stopped(r))
		return NULL;
	string = array_new(length + 1, 1);
	memcpy(string, r->data + r->at, length);
	r->at += length;
	return string;
}

/* An id is the difference from the last one, which may be negative. */
static uint64_t read_id(struct reader *r)
{
	uint64_t coded = read_number(r);

	if (!reader_stopped(r))
		r->id += coded >> 1 ^ -(coded & 1);
	return r->id;
}

/* Which CPU it was has no effect on a replay, but on what --advise says. */
static struct moment read_moment(struct reader *r)
{
	unsigned cpu = read_unsigned(r);
	uint64_t passed = read_number(r);

	r->ns = passed > UINT64_MAX - r->ns ? UINT64_MAX : r->ns + passed;
	return (struct moment){r->ns, cpu};
}

/* Returns: the index that the map has; 0 if it has none, which is wrong. */
static size_t read_known(
	struct reader *r, const struct map *map, uint64_t a, uint64_t b, const char *wrong)
{
	const size_t *index = reader_stopped(r) ? NULL : map_find(map, a, b);

	if (index)
		return *index;
	reader_wrong(r, wrong);
	return 0;
}

/* ---- records ---- */

static void read_tiers(struct reader *r, struct traced_pool *pool)
{
	size_t last = 0;

	pool->tier_count = read_at_most(r, TIERS_MOST, "more than 254 tiers");
	if (pool->tier_count)
		pool->tiers = array_new(pool->tier_count, sizeof *pool->tiers);
	for (size_t i = 0; i < pool->tier_count && !reader_stopped(r); i++) {
		pool->tiers[i] = read_length(r);
		if (pool->tiers[i] <= last)
			reader_wrong(r, "tiers that do not ascend");
		last = pool->tiers[i];
	}
}

static void read_pool(struct reader *r)
{
	uint64_t id = read_number(r);
	struct traced_pool pool = {.retain = read_number(r)};

	pool.max_idle = read_number(r);
	pool.decay_ms = read_unsigned(r);
	pool.alignment = read_at_most(r, PAGE_MOST, "an impossible alignment");
	if (pool.alignment & (pool.alignment - 1))
		reader_wrong(r, "an impossible alignment");
	pool.calibrate_every = read_unsigned(r);
	if (!pool.calibrate_every)
		pool.calibrate_every = TIERPOOL_CALIBRATE_OFF;
	read_tiers(r, &pool);
	pool.name = read_string(r);
	if (!reader_stopped(r) && map_find(&r->pools, id, 0))
		reader_wrong(r, "a pool that is there already");
	if (reader_stopped(r)) {
		free(pool.tiers);
		free(pool.name);
		return;
	}
	map_set(&r->pools, id, 0, trace_pool(r->trace, &pool));
}

static void read_site(struct reader *r)
{
	uint64_t pool = read_number(r);
	struct traced_site site = {.number = read_number(r)};

	site.line = read_unsigned(r);
	site.file = read_string(r);
	site.label = read_string(r);
	site.pool = read_known(r, &r->pools, pool, 0, "a site of an unknown pool");
	if (!reader_stopped(r) && map_find(&r->sites, pool, site.number))
		reader_wrong(r, "a site that is there already");
	if (reader_stopped(r)) {
		free(site.file);
		free(site.label);
		return;
	}
	map_set(&r->sites, pool, site.number, trace_site(r->trace, &site));
}

static void read_get(struct reader *r)
{
	uint64_t id = read_id(r), pool = read_number(r), number = read_number(r);
	struct moment at = read_moment(r);
	size_t n = read_length(r), cap = read_length(r), site;

	read_known(r, &r->pools, pool, 0, "a get from an unknown pool");
	site = read_known(r, &r->sites, pool, number, "a get at an unknown site");
	if (n > cap)
		reader_wrong(r, "a get of less than it asked for");
	if (!reader_stopped(r) && map_find(&r->out, id, 0))
		reader_wrong(r, "a get of a buffer that is out");
	if (!reader_stopped(r))
		map_set(&r->out, id, 0, trace_get(r->trace, at, site, n, cap));
}

static void read_grow(struct reader *r)
{
	uint64_t id = read_id(r);
	size_t need = read_length(r), len = read_length(r);
	size_t borrow = read_known(r, &r->out, id, 0, "a growth of a buffer that is not out");

	if (len > need)
		reader_wrong(r, "a growth to less than was there");
	if (!reader_stopped(r))
		trace_grow(r->trace, borrow, need, len);
}

static void read_put(struct reader *r)
{
	uint64_t id = read_id(r);
	struct moment at = read_moment(r);
	size_t len = read_length(r), cap = read_length(r);
	size_t borrow = read_known(r, &r->out, id, 0, "a put of a buffer that is not out");

	if (len > cap)
		reader_wrong(r, "a put of more than its capacity");
	if (reader_stopped(r))
		return;
	map_remove(&r->out, id, 0);
	trace_put(r->trace, at, borrow, len, cap);
}

static void read_record(struct reader *r)
{
	switch (r->data[r->at++]) {
	case 'P':
		read_pool(r);
		break;
	case 'S':
		read_site(r);
		break;
	case 'G':
		read_get(r);
		break;
	case 'R':
		read_grow(r);
		break;
	case 'T':
		read_put(r);
		break;
	default:
		reader_wrong(r, "no kind of record");
	}
}

/* ---- the file ---- */

/* Returns: the bytes of the file, *size of them; NULL with errno. */
static unsigned char *file_bytes(const char *path, size_t *size)
{
	FILE *f = fopen(path, "r");
	unsigned char *data = NULL;
	size_t got = 1;

	if (!f)
		return NULL;
	for (*size = 0; got; *size += got) {
		unsigned char *more = realloc(data, 2 * *size + READ_BYTES);

		if (!more)
			break;
		data = more;
		got = fread(data + *size, 1, *size + READ_BYTES, f);
	}
	if (got || ferror(f)) {
		int error = errno;

		free(data);
		data = NULL;
		errno = error;
	}
	fclose(f);
	return data;
}

int trace_read(struct trace *t, const char *path, struct reading *reading)
{
	struct reader r = {.trace = t, .reading = reading};
	unsigned char *data = file_bytes(path, &r.size);

	*reading = (struct reading){0};
	if (!data)
		return -errno;
	r.data = data;
	if (r.size < HEAD_BYTES || memcmp(data, HEAD, HEAD_BYTES) != 0)
		reading->wrong = "this is no trace, or one of another version";
	else
		r.at = HEAD_BYTES;
	while (!reader_stopped(&r) && r.at < r.size) {
		reading->offset = r.at;
		read_record(&r);
		reading->records += !reader_stopped(&r);
	}
	map_end(&r.pools);
	map_end(&r.sites);
	map_end(&r.out);
	free(data);
	return 0;
}
