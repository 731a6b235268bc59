/* SPDX-License-Identifier: MIT */
/*
 * The profile as gzipped profile.proto, which go tool pprof, pprof, Pyroscope, Perfetto and
 * speedscope read. The format is github.com/google/pprof/proto/profile.proto; its numbers stand
 * below.
 *
 *   sample types     alloc_objects, alloc_space, inuse_objects, inuse_space, as in Go's own heap
 *                    profiles and in their order; then waste_space, regrown_space. The default is
 *                    inuse_space
 *   addresses        inside the calls, as the format wants them
 *   function names   embedded, so the program may be stripped, replaced or gone. The borrower has
 *                    file and line too, those of its site
 *   has_functions    set of a file whose functions all have names here, so that viewers keep these.
 *                    Else go tool pprof looks into its DWARF, and takes the name away from each
 *                    function that is also inlined somewhere; with -flto, from all. For lines of
 *                    all callers: -symbolize=force. Also set if there is a space in the path:
 *                    pprof would hand that to llvm-symbolizer as two words, and wait for ever
 *   labels           site ("log.c:88 log_line") and pool, for -tagfocus, -tagroot and -tags
 *   drop_frames      gets of this library, if a stack should have one
 *
 * Each string has its own place in the string table, in the order in which they are written: no
 * table is kept. What is no UTF-8 in a name becomes "?", since strict readers reject the file.
 */
#include "profile/write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "profile/figures.h"
#include "profile/gzip.h"

enum {
	PROFILE_SAMPLE_TYPE = 1,
	PROFILE_SAMPLE = 2,
	PROFILE_MAPPING = 3,
	PROFILE_LOCATION = 4,
	PROFILE_FUNCTION = 5,
	PROFILE_STRING = 6,
	PROFILE_DROP_FRAMES = 7,
	PROFILE_TIME_NANOS = 9,
	PROFILE_DURATION_NANOS = 10,
	PROFILE_PERIOD_TYPE = 11,
	PROFILE_PERIOD = 12,
	PROFILE_COMMENT = 13,
	PROFILE_DEFAULT_SAMPLE_TYPE = 14,
	VALUE_TYPE = 1,
	VALUE_UNIT = 2,
	SAMPLE_LOCATIONS = 1,
	SAMPLE_VALUES = 2,
	SAMPLE_LABEL = 3,
	LABEL_KEY = 1,
	LABEL_TEXT = 2,
	MAPPING_ID = 1,
	MAPPING_START = 2,
	MAPPING_LIMIT = 3,
	MAPPING_OFFSET = 4,
	MAPPING_FILE = 5,
	MAPPING_BUILD_ID = 6,
	MAPPING_HAS_FUNCTIONS = 7,
	LOCATION_ID = 1,
	LOCATION_MAPPING = 2,
	LOCATION_ADDRESS = 3,
	LOCATION_LINE = 4,
	LINE_FUNCTION = 1,
	LINE_NUMBER = 2,
	FUNCTION_ID = 1,
	FUNCTION_NAME = 2,
	FUNCTION_SYSTEM_NAME = 3,
	FUNCTION_FILE = 4,
};

#define NUMBER 0 /* wire types */
#define BYTES 2

/* The strings that each profile has; the empty one is first, as the format wants it. */
static const char *const proto_string[] = {"", "count", "bytes", "alloc_objects", "alloc_space",
	"inuse_objects", "inuse_space", "waste_space", "regrown_space", "space", "site", "pool",
	"tierpool_(get|get_sized|get_at|get_at_site|get_calibrated)(\\..*)?",
	"tierpool: each get was recorded", "tierpool: estimates from a sample of the gets"};
enum {
	STRING_COUNT = 1,
	STRING_BYTES,
	STRING_FIRST_TYPE,
	STRING_INUSE_SPACE = STRING_FIRST_TYPE + 3,
	STRING_SPACE = STRING_FIRST_TYPE + 6,
	STRING_SITE,
	STRING_POOL,
	STRING_DROP_FRAMES,
	STRING_COMPLETE,
	STRING_ESTIMATES,
	STRINGS,
};

#define TYPES 6

/* A message, before its length is known. */
struct proto_message {
	unsigned char *bytes;
	size_t len, size;
	bool no_memory;
};

struct proto_writer {
	const struct tp_snapshot *snapshot;
	struct tp_symbols *symbols;
	size_t *site; /* of each symbol: the one that borrows there; TP_SYMBOLS_NONE */
	struct tp_gzip gzip;
	struct proto_message message;                        /* the one that is being made */
	size_t mapping_string, function_string, site_string; /* the first of each in the table */
};

/* ---- messages ---- */

static void proto_put(struct proto_message *m, const void *bytes, size_t n)
{
	if (n > m->size - m->len) {
		size_t size = m->size * 2 + n;
		unsigned char *larger = m->no_memory ? NULL : realloc(m->bytes, size);

		if (!larger) {
			m->no_memory = true;
			return;
		}
		m->bytes = larger;
		m->size = size;
	}
	if (n)
		memcpy(m->bytes + m->len, bytes, n);
	m->len += n;
}

static size_t proto_encode(unsigned char byte[10], uint64_t n)
{
	size_t length = 0;

	for (; n > 0x7f; n >>= 7)
		byte[length++] = (unsigned char)(n | 0x80);
	byte[length++] = (unsigned char)n;
	return length;
}

static void proto_put_varint(struct proto_message *m, uint64_t n)
{
	unsigned char byte[10];

	proto_put(m, byte, proto_encode(byte, n));
}

/* A field that is 0 is left out: readers take it so. */
static void proto_put_number(struct proto_message *m, unsigned field, uint64_t n)
{
	if (!n)
		return;
	proto_put_varint(m, field << 3 | NUMBER);
	proto_put_varint(m, n);
}

/* Begins a field of bytes whose length is known. */
static void proto_put_head(struct proto_message *m, unsigned field, size_t length)
{
	proto_put_varint(m, field << 3 | BYTES);
	proto_put_varint(m, length);
}

/* Writes the message as a field of the profile, and begins the next one. */
static void proto_flush(struct proto_writer *w, unsigned field)
{
	unsigned char byte[10];

	tp_gzip_write(&w->gzip, byte, proto_encode(byte, field << 3 | BYTES));
	tp_gzip_write(&w->gzip, byte, proto_encode(byte, w->message.len));
	tp_gzip_write(&w->gzip, w->message.bytes, w->message.len);
	w->message.len = 0;
}

static void proto_write_number(struct proto_writer *w, unsigned field, uint64_t n)
{
	proto_put_number(&w->message, field, n);
	tp_gzip_write(&w->gzip, w->message.bytes, w->message.len);
	w->message.len = 0;
}

static void proto_write_string(struct proto_writer *w, const char *text)
{
	while (*text) {
		size_t length = tp_figure_character(text);

		proto_put(&w->message, length ? text : "?", length ? length : 1);
		text += length ? length : 1;
	}
	proto_flush(w, PROFILE_STRING);
}

/* ---- the profile ---- */

/* Of each site three strings: where it is, its pool, its file. */
#define SITE_STRINGS 3

static uint64_t proto_location(const struct proto_writer *w, uintptr_t frame)
{
	return tp_symbols_index(w->symbols, frame) + 1;
}

static void proto_write_strings(struct proto_writer *w)
{
	size_t next = STRINGS;
	char place[4096];

	for (size_t i = 0; i < STRINGS; i++)
		proto_write_string(w, proto_string[i]);
	w->mapping_string = next;
	for (size_t i = 0; i < w->symbols->mappings; i++) {
		proto_write_string(w, w->symbols->mapping[i].file);
		proto_write_string(w, w->symbols->mapping[i].build_id);
	}
	w->function_string = next += 2 * w->symbols->mappings;
	for (size_t i = 0; i < w->symbols->functions; i++)
		proto_write_string(w, w->symbols->function[i]);
	w->site_string = next + w->symbols->functions;
	for (size_t i = 0; i < w->snapshot->sites; i++) {
		tp_profile_place(place, sizeof place, &w->snapshot->site[i], true);
		proto_write_string(w, place);
		proto_write_string(w, w->snapshot->site[i].pool);
		proto_write_string(w, w->snapshot->site[i].file);
	}
}

static void proto_write_types(struct proto_writer *w)
{
	for (unsigned i = 0; i < TYPES; i++) {
		bool objects = i == 0 || i == 2;

		proto_put_number(&w->message, VALUE_TYPE, STRING_FIRST_TYPE + i);
		proto_put_number(&w->message, VALUE_UNIT, objects ? STRING_COUNT : STRING_BYTES);
		proto_flush(w, PROFILE_SAMPLE_TYPE);
	}
	proto_write_number(w, PROFILE_DEFAULT_SAMPLE_TYPE, STRING_INUSE_SPACE);
	proto_put_number(&w->message, VALUE_TYPE, STRING_SPACE);
	proto_put_number(&w->message, VALUE_UNIT, STRING_BYTES);
	proto_flush(w, PROFILE_PERIOD_TYPE);
	proto_write_number(w, PROFILE_PERIOD, w->snapshot->sample_bytes);
}

static void proto_write_mappings(struct proto_writer *w)
{
	for (size_t i = 0; i < w->symbols->mappings; i++) {
		const struct tp_mapping *m = &w->symbols->mapping[i];

		proto_put_number(&w->message, MAPPING_ID, i + 1);
		proto_put_number(&w->message, MAPPING_START, m->start);
		proto_put_number(&w->message, MAPPING_LIMIT, m->limit);
		proto_put_number(&w->message, MAPPING_OFFSET, m->offset);
		proto_put_number(&w->message, MAPPING_FILE, w->mapping_string + 2 * i);
		if (*m->build_id)
			proto_put_number(
				&w->message, MAPPING_BUILD_ID, w->mapping_string + 2 * i + 1);
		if (m->named || strchr(m->file, ' '))
			proto_put_number(&w->message, MAPPING_HAS_FUNCTIONS, 1);
		proto_flush(w, PROFILE_MAPPING);
	}
}

static void proto_write_function(struct proto_writer *w, uint64_t id, size_t function, size_t file)
{
	proto_put_number(&w->message, FUNCTION_ID, id);
	proto_put_number(&w->message, FUNCTION_NAME, w->function_string + function);
	proto_put_number(&w->message, FUNCTION_SYSTEM_NAME, w->function_string + function);
	proto_put_number(&w->message, FUNCTION_FILE, file);
	proto_flush(w, PROFILE_FUNCTION);
}

/* Each function; and once more, with its site's file, for each place in it that borrows. */
static void proto_write_functions(struct proto_writer *w)
{
	for (size_t i = 0; i < w->symbols->functions; i++)
		proto_write_function(w, i + 1, i, 0);
	for (size_t i = 0; i < w->symbols->symbols; i++)
		if (w->site[i] != TP_SYMBOLS_NONE)
			proto_write_function(w, w->symbols->functions + i + 1,
				w->symbols->symbol[i].function,
				w->site_string + SITE_STRINGS * w->site[i] + 2);
}

static void proto_put_line(struct proto_writer *w, size_t i)
{
	const size_t site = w->site[i];
	uint64_t function = w->symbols->symbol[i].function + 1, line = 0;
	unsigned char byte[10];

	if (site != TP_SYMBOLS_NONE) {
		function = w->symbols->functions + i + 1;
		line = w->snapshot->site[site].line;
	}
	proto_put_head(&w->message, LOCATION_LINE,
		1 + proto_encode(byte, function) + (line ? 1 + proto_encode(byte, line) : 0));
	proto_put_number(&w->message, LINE_FUNCTION, function);
	proto_put_number(&w->message, LINE_NUMBER, line);
}

static void proto_write_locations(struct proto_writer *w)
{
	for (size_t i = 0; i < w->symbols->symbols; i++) {
		const struct tp_symbol *symbol = &w->symbols->symbol[i];

		proto_put_number(&w->message, LOCATION_ID, i + 1);
		if (symbol->mapping != TP_SYMBOLS_NONE)
			proto_put_number(&w->message, LOCATION_MAPPING, symbol->mapping + 1);
		proto_put_number(&w->message, LOCATION_ADDRESS, symbol->address);
		if (symbol->function != TP_SYMBOLS_NONE)
			proto_put_line(w, i);
		proto_flush(w, PROFILE_LOCATION);
	}
}

/* A packed field. The length of its numbers comes before them. */
static void proto_put_locations(struct proto_writer *w, const struct tp_snapshot_stack *stack)
{
	unsigned char byte[10];
	size_t length = 0;

	for (unsigned i = 0; i < stack->depth; i++)
		length += proto_encode(byte, proto_location(w, stack->frames[i]));
	if (!length)
		return;
	proto_put_head(&w->message, SAMPLE_LOCATIONS, length);
	for (unsigned i = 0; i < stack->depth; i++)
		proto_put_varint(&w->message, proto_location(w, stack->frames[i]));
}

static void proto_put_values(struct proto_message *m, const struct tp_profile_values *v)
{
	const int64_t value[TYPES] = {v->alloc_objects, v->alloc_space, v->inuse_objects,
		v->inuse_space, v->waste_space, v->regrown_space};
	unsigned char byte[10];
	size_t length = 0;

	for (unsigned i = 0; i < TYPES; i++)
		length += proto_encode(byte, (uint64_t)value[i]);
	proto_put_head(m, SAMPLE_VALUES, length);
	for (unsigned i = 0; i < TYPES; i++)
		proto_put_varint(m, (uint64_t)value[i]);
}

static void proto_put_label(struct proto_message *m, uint64_t key, uint64_t text)
{
	unsigned char byte[10];

	proto_put_head(m, SAMPLE_LABEL, 2 + proto_encode(byte, key) + proto_encode(byte, text));
	proto_put_number(m, LABEL_KEY, key);
	proto_put_number(m, LABEL_TEXT, text);
}

static void proto_write_samples(struct proto_writer *w)
{
	for (size_t i = 0; i < w->snapshot->stacks; i++) {
		const struct tp_snapshot_stack *stack = &w->snapshot->stack[i];
		struct tp_profile_values v = tp_profile_values(stack);
		size_t site = w->site_string + SITE_STRINGS * stack->site;

		if (!v.alloc_objects)
			continue;
		proto_put_locations(w, stack);
		proto_put_values(&w->message, &v);
		proto_put_label(&w->message, STRING_SITE, site);
		proto_put_label(&w->message, STRING_POOL, site + 1);
		proto_flush(w, PROFILE_SAMPLE);
	}
}

static void proto_write(struct proto_writer *w, FILE *out)
{
	tp_gzip_begin(&w->gzip, out);
	proto_write_strings(w);
	proto_write_types(w);
	proto_write_samples(w);
	proto_write_mappings(w);
	proto_write_locations(w);
	proto_write_functions(w);
	proto_write_number(w, PROFILE_DROP_FRAMES, STRING_DROP_FRAMES);
	proto_write_number(w, PROFILE_TIME_NANOS, w->snapshot->begun_ns);
	proto_write_number(w, PROFILE_DURATION_NANOS, w->snapshot->ns);
	proto_write_number(
		w, PROFILE_COMMENT, w->snapshot->complete ? STRING_COMPLETE : STRING_ESTIMATES);
	tp_gzip_end(&w->gzip);
}

/* The site that borrows at each address, if it has a file, and the address a function. */
static int proto_find_sites(struct proto_writer *w)
{
	w->site = calloc(w->symbols->symbols + 1, sizeof *w->site);
	if (!w->site)
		return -ENOMEM;
	for (size_t i = 0; i < w->symbols->symbols; i++)
		w->site[i] = TP_SYMBOLS_NONE;
	for (size_t i = 0; i < w->snapshot->stacks; i++) {
		const struct tp_snapshot_stack *stack = &w->snapshot->stack[i];
		size_t symbol;

		if (!stack->depth || !*w->snapshot->site[stack->site].file)
			continue;
		symbol = tp_symbols_index(w->symbols, stack->frames[0]);
		if (w->symbols->symbol[symbol].function != TP_SYMBOLS_NONE)
			w->site[symbol] = stack->site;
	}
	return 0;
}

int tp_profile_write_proto(FILE *out, const struct tp_snapshot *snapshot)
{
	struct proto_writer *w = calloc(1, sizeof *w);
	int error = w ? tp_profile_symbols(&w->symbols, snapshot) : -ENOMEM;

	if (!w)
		return error;
	w->snapshot = snapshot;
	if (!error)
		error = proto_find_sites(w);
	if (!error) {
		proto_write(w, out);
		error = w->message.no_memory ? -ENOMEM : ferror(out) ? -EIO : 0;
	}
	tp_symbols_free(w->symbols);
	free(w->message.bytes);
	free(w->site);
	free(w);
	return error;
}
