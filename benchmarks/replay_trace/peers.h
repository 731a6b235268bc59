/* SPDX-License-Identifier: MIT */
/*
 * The rules of other pools, as each keeps and drops buffers, in place of the pool's.
 */
#ifndef PEERS_H
#define PEERS_H

#include "model.h"

#define PEERS 5

/*
 * bytebufferpool  github.com/valyala/bytebufferpool: one sync.Pool, calibrated by 20 classes
 * cut_64k         fmt, encoding/json v1: one sync.Pool; what is larger than 64 KiB is dropped
 * streak          encoding/json/v2: one sync.Pool; what is used badly five times is dropped
 * buckets         vitess.io/vitess/go/bucketpool: a sync.Pool for each power of two
 * malloc          no pool: a block for each buffer, doubled from 64 bytes
 */
extern const struct rule peer_rules[PEERS];

#endif
