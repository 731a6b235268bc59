/* SPDX-License-Identifier: MIT */
/*
 * A program for test/viewers.sh: one function borrows 300 KB, one 2 bytes, one never puts, each ten times.
 * It profiles itself, each get recorded, and writes the profile while one buffer of each of the first two
 * is out still.
 *
 * usage: borrowers PROTO PPROF FOLDED [keep|gone]     the files it writes; keep: nothing is put;
 *                                                     gone: its own file is removed before it writes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tierpool.h>
#include <tierpool/profile.h>

#define TIMES 10

/* Static, so that dladdr would not know them; a call of their own, so that each is in a stack. */
#define BORROWER static __attribute__((noinline))

static char bytes[300000];

static void fill(tierpool_buf *b, size_t n)
{
	if (tierpool_buf_append(b, bytes, n))
		exit(1);
}

BORROWER tierpool_buf *borrow_large(tierpool *pool)
{
	tierpool_buf *b = tierpool_get_sized(pool, sizeof bytes);

	fill(b, sizeof bytes);
	return b;
}

BORROWER tierpool_buf *borrow_small(tierpool *pool)
{
	tierpool_buf *b = tierpool_get_sized(pool, 2);

	fill(b, 2);
	return b;
}

BORROWER tierpool_buf *never_put(tierpool *pool)
{
	tierpool_buf *b = tierpool_get_sized(pool, 1000);

	fill(b, 700);
	return b;
}

/* The buffers that are out at the end are in held, or are lost. */
BORROWER void borrow_all(tierpool *pool, tierpool_buf *held[2], int keep)
{
	for (unsigned i = 0; i < TIMES; i++) {
		if (i && !keep) {
			tierpool_put(held[0]);
			tierpool_put(held[1]);
		}
		held[0] = borrow_large(pool);
		held[1] = borrow_small(pool);
		if (!never_put(pool))
			exit(1);
	}
}

static void save(const char *path, enum tierpool_profile_format format)
{
	FILE *out = fopen(path, "w");

	if (!out || tierpool_profile_write(out, format) || fclose(out)) {
		perror(path);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	const char *how = argc > 4 ? argv[4] : "";
	tierpool_buf *held[2];
	tierpool *pool;

	if (argc < 4 || tierpool_create(&pool, NULL) || tierpool_profile_start(1))
		return 1;
	borrow_all(pool, held, strcmp(how, "keep") == 0);
	if (strcmp(how, "gone") == 0 && remove(argv[0]))
		return 1;
	save(argv[1], TIERPOOL_PROFILE_PROTO);
	save(argv[2], TIERPOOL_PROFILE_PPROF);
	save(argv[3], TIERPOOL_PROFILE_FOLDED);
	tierpool_put(held[0]);
	tierpool_put(held[1]);
	return 0;
}
