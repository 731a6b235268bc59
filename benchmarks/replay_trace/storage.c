/* SPDX-License-Identifier: MIT */
/*
 * Arrays and the map: storage.h. The map probes linearly and is at most half full.
 */
#include "storage.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/program.h"

static void *storage_checked(void *memory)
{
	if (memory)
		return memory;
	fputs("replay_trace: out of memory\n", stderr);
	exit(FAILED);
}

void *array_extend(void *array, size_t count, size_t size)
{
	/* There is room up to the next power of two. */
	if (count & (count - 1))
		return array;
	return storage_checked(reallocarray(array, count ? 2 * count : 1, size));
}

void *array_new(size_t count, size_t size)
{
	return storage_checked(calloc(count ? count : 1, size));
}

struct map_entry {
	uint64_t a, b;
	size_t value;
	bool used;
};

static size_t map_home(const struct map *m, uint64_t a, uint64_t b)
{
	uint64_t hash = (a ^ b * 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;

	return (size_t)((hash ^ hash >> 31) & (m->room - 1));
}

/* Returns: the entry of the key, or the empty one where it belongs. */
static struct map_entry *map_entry_of(const struct map *m, uint64_t a, uint64_t b)
{
	size_t at = map_home(m, a, b);

	while (m->entries[at].used && (m->entries[at].a != a || m->entries[at].b != b))
		at = (at + 1) & (m->room - 1);
	return &m->entries[at];
}

size_t *map_find(const struct map *m, uint64_t a, uint64_t b)
{
	struct map_entry *entry = m->room ? map_entry_of(m, a, b) : NULL;

	return entry && entry->used ? &entry->value : NULL;
}

static void map_double(struct map *m)
{
	struct map old = *m;

	m->room = old.room ? 2 * old.room : 64;
	m->entries = array_new(m->room, sizeof *m->entries);
	for (size_t i = 0; i < old.room; i++)
		if (old.entries[i].used)
			*map_entry_of(m, old.entries[i].a, old.entries[i].b) = old.entries[i];
	free(old.entries);
}

void map_set(struct map *m, uint64_t a, uint64_t b, size_t value)
{
	struct map_entry *entry;

	if (2 * m->count >= m->room)
		map_double(m);
	entry = map_entry_of(m, a, b);
	m->count += !entry->used;
	*entry = (struct map_entry){a, b, value, true};
}

void map_remove(struct map *m, uint64_t a, uint64_t b)
{
	struct map_entry *gap = m->room ? map_entry_of(m, a, b) : NULL, *entry;

	if (!gap || !gap->used)
		return;
	m->count--;
	gap->used = false;
	/* What was put behind it because it stood there moves up. */
	for (size_t at = (size_t)(gap - m->entries);;) {
		at = (at + 1) & (m->room - 1);
		entry = &m->entries[at];
		if (!entry->used)
			return;
		entry->used = false;
		*map_entry_of(m, entry->a, entry->b) =
			(struct map_entry){entry->a, entry->b, entry->value, true};
	}
}

void map_end(struct map *m)
{
	free(m->entries);
	*m = (struct map){0};
}
