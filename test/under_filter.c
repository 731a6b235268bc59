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
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "an argument begins with its low half");

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

/* Of several filters the one that refuses decides. 0, or -1 with errno. */
static int refuse(const struct refusal *r)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, r->call, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, r->mask),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, r->command, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | r->error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {sizeof code / sizeof *code, code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0);
}

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
		if (refuse(r)) {
			fprintf(stderr, "under_filter: no seccomp filter: %s\n", strerror(errno));
			return 77;
		}
	}
	execvp(argv[2], argv + 2);
	fprintf(stderr, "under_filter: %s: %s\n", argv[2], strerror(errno));
	return 2;
}
