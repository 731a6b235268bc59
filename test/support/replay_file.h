/* SPDX-License-Identifier: MIT */
/*
 * Writes traces for replay_trace, record by record; benchmarks/README.md has the format.
 */
#ifndef REPLAY_FILE_H
#define REPLAY_FILE_H

#include <stddef.h>
#include <stdint.h>

/* What is written so far. A test may change it, and cut it short. */
extern unsigned char record[];
extern size_t record_bytes;

/* A new trace: its first eight bytes; or those, and pool 7 with the sites 1, its own, and 2. */
void record_head(void);
void record_sites(unsigned decay_ms);

void record_byte(int c);
void record_number(uint64_t n);
void record_string(const char *s);

/* With tiers of 1, 4 and 16 KiB, and a retain of 1 MiB. */
void record_pool(uint64_t id, unsigned decay_ms, uint64_t calibrate_every, const char *name);

/* id: the difference from the last one; ns: since the last get or put. */
void record_get(int64_t id, uint64_t site, uint64_t ns, size_t n, size_t cap);
void record_grow(int64_t id, size_t need, size_t len);
void record_put(int64_t id, uint64_t ns, size_t len, size_t cap);

/* A get at site 2 and its put at once. */
void record_pair(size_t len);

/* Without a file, a line or a label. */
void record_site(uint64_t pool, uint64_t number);

/* Into the file "trace" of the current folder. */
void record_save(void);

#endif
