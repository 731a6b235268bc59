/* SPDX-License-Identifier: MIT */
/*
 * For tests of the reaper and what the system does to it: the system's calls are the program's own.
 * Files of pressure are sockets, of which the test holds the other end; other calls fail or wait when
 * the test says so.
 *
 * Its object is linked into those programs that want it, and is in no archive: from there each
 * program would get it that calls one of these functions (test.mk).
 */
#ifndef REAPER_SYSTEM_H
#define REAPER_SYSTEM_H

#include <semaphore.h>
#include <stdbool.h>

#define SYSTEM "/proc/pressure/memory"

enum { OF_SYSTEM, OF_CGROUP, FILES };

#define FILES_MOST 3 /* that the reaper waits for */

struct kernel {
	bool none[FILES];   /* there is no such file */
	bool refuses_write; /* there is, and takes no trigger */
	int ours[FILES], theirs[FILES];
	bool no_memory, no_thread, no_poll;
	unsigned polls;
	bool listening;         /* a poll waits for pressure as well */
	int polled[FILES_MOST]; /* by the reaper's last poll that waited for anything */
	/* The next poll waits for it; the next file of pressure; the reaper's next close, done. */
	sem_t *hold, *hold_open, *hold_close;
};
extern struct kernel kernel;

/* What a file of pressure says next: 'p' is pressure, 'e' that the file is no more. */
void kernel_says(unsigned which, char letter);

/* Whether the library has closed its end. */
bool kernel_is_closed(unsigned which);

/* The library has asked a file of pressure for what it should. */
void kernel_assert_asked(unsigned which);

/* tierpool_reaper_start, with such a system; the second asserts that it succeeds. */
int reaper_try_to_start(void);
void reaper_start(void);

/* Whether memory can fail here: not where a sanitizer or Valgrind has malloc for itself. */
bool kernel_has_memory(void);

#endif
