/* SPDX-License-Identifier: MIT */
/*
 * Who takes part in burst_decay, and how each gets its own process with its malloc: this program
 * is started again, with that malloc preloaded.
 */
#ifndef CONTENDERS_H
#define CONTENDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct contender {
	const char *name;
	const char *library; /* whose malloc the process has */
	const char *backing; /* the pool's; NULL: no pool, but malloc and free */
	bool used;           /* in the quiet after the burst; else no thread touches anything */
	bool reaper;
	char absent[160]; /* why it is left out; empty: it is not */
};

#define CONTENDERS 13

extern struct contender contenders[CONTENDERS];

/* In the process that was made for it: whether the process has its malloc. */
bool contender_is_here(const struct contender *c);

/* Writes to c->absent if its malloc is not installed: a preload of it would be passed over. */
void contender_look(struct contender *c);

/* A contender's process, and the end of the pipe that its samples come from. */
struct runner {
	pid_t child;
	int samples;
};

/* argv: what its process is called with. Returns: 0; -errno. */
int runner_begin(struct runner *r, const struct contender *c, char **argv);

/*
 * Reads the samples, at most size bytes; *got is how many came.
 * Blocks:  until the process has ended.
 * Returns: its exit status.
 */
int runner_end(struct runner *r, void *samples, size_t size, size_t *got);

#endif
