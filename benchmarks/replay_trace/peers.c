/* SPDX-License-Identifier: MIT */
/*
 * The rules: peers.h. In Go a block that is dropped is collected some time later; that is counted as
 * a free, at once.
 */
#include "peers.h"

#include "cost.h"
#include "go_slice.h"

#define ONLY 0 /* the list of a peer that has one */

static void go_append(struct model *m, struct buffer *b, size_t need)
{
	model_block(m, b, go_slice_grown(b->cap, need));
}

/* Drops the block; the struct that holds it is kept. */
static void block_drop(struct model *m, struct buffer *b)
{
	m->now->drops++;
	model_free(m, b);
}

/* ---- bytebufferpool: its defaults, and nothing that a program can set ---- */

#define STEP_LEAST ((size_t)64)
#define CALLS_MOST 42000 /* of one step; then it calibrates */
#define KEPT_PART 0.95   /* of the calls, the most frequent steps first */

static unsigned step_of(size_t len)
{
	unsigned step = 0;

	while (step < STEPS - 1 && STEP_LEAST << step < len)
		step++;
	return step;
}

/* Returns: the most frequent step whose calls were not taken yet, the smallest of several. */
static unsigned step_take(uint64_t *calls, uint64_t *taken)
{
	unsigned most = 0;

	for (unsigned i = 1; i < STEPS; i++)
		if (calls[i] > calls[most])
			most = i;
	*taken += calls[most];
	calls[most] = 0;
	return most;
}

static void bytebufferpool_calibrate(struct model *m)
{
	uint64_t sum = 0, taken = 0, most;

	for (unsigned i = 0; i < STEPS; i++)
		sum += m->calls[i];
	most = (uint64_t)((double)sum * KEPT_PART);
	m->default_size = m->max_size = STEP_LEAST << step_take(m->calls, &taken);
	while (taken <= most) {
		size_t size = STEP_LEAST << step_take(m->calls, &taken);

		if (size > m->max_size)
			m->max_size = size;
	}
	for (unsigned i = 0; i < STEPS; i++)
		m->calls[i] = 0;
	m->now->calibrations++;
}

static void bytebufferpool_get(struct model *m, struct buffer *b, size_t n)
{
	(void)n;
	if (!model_take(m, ONLY, b))
		model_block(m, b, m->default_size);
}

static void bytebufferpool_put(struct model *m, struct buffer *b, size_t len)
{
	if (++m->calls[step_of(len)] > CALLS_MOST)
		bytebufferpool_calibrate(m);
	if (m->max_size && b->cap > m->max_size)
		block_drop(m, b);
	else
		model_keep(m, ONLY, b);
}

/* ---- fmt, encoding/json v1 ---- */

#define CUT ((size_t)64 << 10)

static void cut_get(struct model *m, struct buffer *b, size_t n)
{
	(void)n;
	model_take(m, ONLY, b);
}

static void cut_put(struct model *m, struct buffer *b, size_t len)
{
	(void)len;
	if (b->cap > CUT)
		block_drop(m, b);
	model_keep(m, ONLY, b);
}

/* ---- encoding/json/v2 ---- */

#define STREAK_LEAST ((size_t)4 << 10) /* up to this a buffer is always kept */
#define STREAK_PART 4                  /* a buffer is used badly if less than a quarter is used */
#define STRIKES 4                      /* that a buffer may have */
#define STREAK_BLOCK ((size_t)64)      /* the least one that is made */

static void streak_get(struct model *m, struct buffer *b, size_t n)
{
	size_t size = STREAK_BLOCK;

	(void)n;
	model_take(m, ONLY, b);
	if (b->cap)
		return;
	while (size <= b->previous_len)
		size *= 2;
	model_block(m, b, size);
}

static void streak_put(struct model *m, struct buffer *b, size_t len)
{
	if (b->cap <= STREAK_LEAST || b->cap / STREAK_PART <= len) {
		b->strikes = 0;
	} else if (b->strikes < STRIKES) {
		b->strikes++;
	} else {
		b->strikes = 0;
		b->previous_len = len;
		block_drop(m, b);
	}
	model_keep(m, ONLY, b);
}

/* ---- vitess bucketpool, used as a buffer that grows ---- */

#define BUCKET_LEAST ((size_t)64)
#define BUCKET_MOST ((size_t)16 << 20)
#define BUCKET_DEFAULT ((size_t)1 << 10)

static unsigned bucket_of(size_t n)
{
	unsigned bucket = 0;

	while (BUCKET_LEAST << bucket < n)
		bucket++;
	return bucket;
}

static void buckets_get(struct model *m, struct buffer *b, size_t n)
{
	if (!n)
		n = BUCKET_DEFAULT;
	if (n > BUCKET_MOST)
		model_block(m, b, n);
	else if (!model_take(m, bucket_of(n), b))
		model_block(m, b, BUCKET_LEAST << bucket_of(n));
}

static void buckets_put(struct model *m, struct buffer *b, size_t len)
{
	(void)len;
	if (b->cap > BUCKET_MOST)
		block_drop(m, b);
	else
		model_keep(m, bucket_of(b->cap), b);
}

/* The content goes to a buffer of a larger bucket; above the buckets, to one of twice the size. */
static void buckets_grow(struct model *m, struct buffer *b, size_t need)
{
	struct buffer larger = {0};

	if (need > BUCKET_MOST && need < 2 * b->cap)
		need = 2 * b->cap;
	buckets_get(m, &larger, need);
	buckets_put(m, b, 0);
	*b = larger;
}

/* ---- malloc ---- */

#define MALLOC_LEAST ((size_t)64)

static void malloc_get(struct model *m, struct buffer *b, size_t n)
{
	model_block(m, b, n ? n : MALLOC_LEAST);
}

static void malloc_grow(struct model *m, struct buffer *b, size_t need)
{
	model_block(m, b, need > 2 * b->cap ? need : 2 * b->cap);
}

static void malloc_put(struct model *m, struct buffer *b, size_t len)
{
	(void)len;
	model_free(m, b);
}

const struct rule peer_rules[PEERS] = {
	{"bytebufferpool", COST_RESIZE, bytebufferpool_get, go_append, bytebufferpool_put},
	{"cut_64k", COST_RESIZE, cut_get, go_append, cut_put},
	{"streak", COST_RESIZE, streak_get, go_append, streak_put},
	{"buckets", COST_EXCHANGE, buckets_get, buckets_grow, buckets_put},
	{"malloc", COST_RESIZE, malloc_get, malloc_grow, malloc_put},
};
