/* SPDX-License-Identifier: MIT */
/*
 * The Go program that one of these programs is compared with: its peer.go. It runs a batch on
 * request and sleeps in between, on the CPUs that the program's own threads have, so both sides can
 * take turns. What a request means is up to the two; support/partner is Go's side of this.
 */
#ifndef PARTNER_H
#define PARTNER_H

#include <limits.h>
#include <sys/types.h>

struct partner {
	pid_t child;
	int socket; /* its input and output */
	char version[64];
};

/*
 * Finds it: it is called as this program, with _go, in the same folder.
 * Returns: 0; -errno: it cannot be run.
 */
int partner_path(char path[PATH_MAX]);

/* threads: 1 or 2; cpus: one for each. Returns: 0; -errno. */
int partner_begin(struct partner *p, const char *path, const unsigned *cpus, unsigned threads);

/*
 * Runs a batch.
 *
 * ns:      becomes the answer
 * request: whole numbers, as by printf
 * Returns: 0; -errno.
 */
int partner_run(const struct partner *p, double *ns, const char *request, ...)
	__attribute__((__format__(__printf__, 3, 4)));

void partner_end(struct partner *p);

#endif
