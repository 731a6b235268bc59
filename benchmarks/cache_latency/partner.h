/* SPDX-License-Identifier: MIT */
/*
 * The Go program that cache_latency is compared with (cache_latency.go). It runs a batch of pairs on request and
 * sleeps in between. There is one process for each number of threads, on the CPUs that our own
 * threads have.
 */
#ifndef PARTNER_H
#define PARTNER_H

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#define PARTNER_NAME "cache_latency_go"

struct partner {
	pid_t child;
	int socket; /* its input and output */
	char version[64];
};

/* Finds it, in the folder of this program. Returns: 0; -errno: it cannot be run. */
int partner_path(char path[PATH_MAX]);

/* threads: 1 or 2. Returns: 0; -errno. */
int partner_begin(struct partner *p, const char *path, const unsigned *cpus, unsigned threads);

/* Runs this number of pairs in each thread; *ns is what a pair took. Returns: 0; -errno. */
int partner_run(const struct partner *p, uint64_t pairs, double *ns);

void partner_end(struct partner *p);

#endif
