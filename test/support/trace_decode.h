/* SPDX-License-Identifier: MIT */
/*
 * Reads what TIERPOOL_TRACE had the library write, record by record; benchmarks/README.md has the
 * format. Shares no code with replay_trace, so one is a check of the other.
 */
#ifndef TRACE_DECODE_H
#define TRACE_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DECODED_TIERS 64 /* that are kept of a pool; the others are only counted */

struct decoded {
	char kind;           /* P, S, G, R or T; the fields of the other kinds are 0 */
	uint64_t pool, site; /* P S G; S G */
	/* P */
	uint64_t retain, max_idle, decay_ms, alignment, calibrate_every;
	uint64_t tier_count, tier[DECODED_TIERS];
	uint64_t line;       /* S */
	char text[2][256];   /* P: the name; S: file and label */
	uint64_t id;         /* G R T: not as a difference */
	uint64_t cpu, ns;    /* G T: ns since the first one */
	uint64_t n, cap;     /* G; G T */
	uint64_t need, kept; /* R */
	uint64_t len;        /* T */
};

struct decoder {
	unsigned char *bytes;
	size_t count, at;
	uint64_t id, ns;
};

/* Asserts that the file is there, and begins as a trace does. */
void decoder_open(struct decoder *d, const char *path);
void decoder_close(struct decoder *d);

/* Asserts that what comes next is a whole record. Returns: false at the end. */
bool decoder_next(struct decoder *d, struct decoded *r);

/* Asserts that the next record is of this kind; 0: that there is none. */
struct decoded decoder_take(struct decoder *d, char kind);

#endif
