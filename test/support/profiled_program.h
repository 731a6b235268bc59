/* SPDX-License-Identifier: MIT */
/* For tests of TIERPOOL_PROFILE and of TIERPOOL_DEBUG=leaks, in programs and about their files. */
#ifndef PROFILED_PROGRAM_H
#define PROFILED_PROGRAM_H

#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include "folder.h"
#include "program.h"

/* ---- files, in the folder of a test ---- */

/* The content of a file, with a NUL behind it, until the next call; NULL: there is none. */
const char *file_text(const char *name);

bool file_exists(const char *name);

/* How many there are, of any kind. */
unsigned files(void);

/* How often a text has another one in it. */
unsigned occurrences(const char *text, const char *what);

/* ---- in a program ---- */

/* Waits until something is so, and does not need anybody's help but the library's for that. */
#define NEED_SOON(what)                                                \
	do {                                                           \
		for (int waits = 0; waits < 20000 && !(what); waits++) \
			usleep(1000);                                  \
		program_need(what, #what, __FILE__, __LINE__);         \
	} while (0)

/* Borrows a buffer at a site of this label, and puts it; or does not put it. */
void borrow_and_put(tierpool *pool, tierpool_site *site);
tierpool_buf *borrow(tierpool *pool, tierpool_site *site);

#endif
