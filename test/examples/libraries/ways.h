/* SPDX-License-Identifier: MIT */
/*
 * What the programs in this folder share: each does something in the own way of a library, and with
 * tierpool, and compares the two. They must write the same bytes.
 *
 * Not what a program of yours needs: look at the sections "with tierpool".
 */
#ifndef WAYS_H
#define WAYS_H

#include <stddef.h>

struct ways {
	const char *name;           /* of the library, and of what is done with it */
	int (*own)(size_t n);       /* as the library does it by itself. 0 or -errno */
	int (*with_pool)(size_t n); /* the same with tierpool */
	size_t n;                   /* how large: what both are called with */
};

/* Called by both ways with what they have written, perhaps in pieces. */
void ways_output(const void *data, size_t n);

/* A descriptor to write it to, for a way that ends with write or writev. */
int ways_output_fd(void);

/* Some text of n bytes, n <= 1 MiB, in lines that are not all the same. */
const char *ways_text(void);

/*
 * Runs both ways of each of the count, and compares. Usage of the program:
 *
 *   PROGRAM             compares bytes; if allocations.so is loaded, allocations of an operation too
 *   PROGRAM --measure   compares bytes, and the time of an operation. Not with allocations.so, which
 *                       has its price
 *
 * Returns: the exit status. 0: the bytes are the same, no way failed, with tierpool there are no more
 * allocations, and all buffers came back.
 */
int ways_main(int argc, char **argv, const struct ways *ways, size_t count);

#endif
