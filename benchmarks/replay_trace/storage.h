/* SPDX-License-Identifier: MIT */
/*
 * Arrays that grow, and a map. Out of memory: they print a message and end the program by FAILED.
 */
#ifndef STORAGE_H
#define STORAGE_H

#include <stddef.h>
#include <stdint.h>

/* Returns: the array of count elements of this size, with room for one more; NULL holds none. */
void *array_extend(void *array, size_t count, size_t size);

/* Returns: count elements of this size, all 0; not NULL, also if count is 0. */
void *array_new(size_t count, size_t size);

/* From two numbers to one. All 0: empty. */
struct map {
	struct map_entry *entries;
	size_t count, room;
};

/* Returns: the value of this key, to read or change until the next map_set; NULL: there is none. */
size_t *map_find(const struct map *m, uint64_t a, uint64_t b);

/* The key has this value from now on. */
void map_set(struct map *m, uint64_t a, uint64_t b, size_t value);

void map_remove(struct map *m, uint64_t a, uint64_t b);
void map_end(struct map *m);

#endif
