/* SPDX-License-Identifier: MIT */
/*
 * Runs a program as a sandbox would let it run: under_filter WHAT[,WHAT...] PROGRAM ARG...
 *
 *   rseq        the kernel knows no rseq, so that glibc's registration is refused
 *   membarrier  nor membarrier
 *   fence       membarrier answers the query and the registration, and refuses each fence: what a
 *               sandbox looks like that comes up after the mode was chosen
 *   affinity    no thread may choose its CPUs
 *
 * Exit status: the program's; 77, with the reason, where no filter can be had; 2 for a mistake.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "syscall_filter.h"

static const struct refusal {
	const char *name;
	uint32_t call;
	/* Refused where its first argument is command in the bits of mask. */
	uint32_t mask, command;
	uint32_t error;
} refusals[] = {
	{"rseq", SYS_rseq, 0, 0, ENOSYS},
	{"membarrier", SYS_membarrier, 0, 0, ENOSYS},
	{"fence", SYS_membarrier, UINT32_MAX, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, ENOSYS},
	{"affinity", SYS_sched_setaffinity, 0, 0, EPERM},
};

static const struct refusal *refusal_named(const char *name)
{
	for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
		if (!strcmp(refusals[i].name, name))
			return &refusals[i];
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fputs("usage: under_filter rseq|membarrier|fence|affinity[,...] PROGRAM ARG...\n",
			stderr);
		return 2;
	}
	for (char *name = strtok(argv[1], ","); name; name = strtok(NULL, ",")) {
		const struct refusal *r = refusal_named(name);

		if (!r) {
			fprintf(stderr, "under_filter: %s: not known\n", name);
			return 2;
		}
		if (syscall_refuse(r->call, r->mask, r->command, r->error)) {
			fprintf(stderr, "under_filter: no seccomp filter: %s\n", strerror(errno));
			return 77;
		}
	}
	execvp(argv[2], argv + 2);
	fprintf(stderr, "under_filter: %s: %s\n", argv[2], strerror(errno));
	return 2;
}
