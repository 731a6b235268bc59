/* SPDX-License-Identifier: MIT */
/*
 * A peer as a contender: where its idle buffers lie, and how they age, besides its rule (peers.h).
 * Idle buffers lie in sync.Pools: the last one put is the first one got, and what nobody gets
 * through two ticks is dropped.
 */
#ifndef MODEL_H
#define MODEL_H

#include "replay.h"

#define LISTS 20 /* sync.Pools of a peer */
#define STEPS 20 /* of bytebufferpool */

/* A buffer of a peer. The peers' structs outlive their blocks. */
struct buffer {
	size_t cap;     /* 0: it has no block */
	size_t written; /* bytes of the block, since it was new */
	bool old;       /* idle through a tick */
	/* streak */
	unsigned strikes;
	size_t previous_len;
};

/* A peer in place of one pool of the trace. */
struct model {
	struct model_state *state;
	struct figures *now;
	struct list {
		struct buffer *buffers;
		size_t count;
	} idle[LISTS];
	/* bytebufferpool */
	uint64_t calls[STEPS];
	size_t default_size, max_size; /* 0: not calibrated */
};

struct rule {
	const char *name;
	double growth_cost; /* besides copying and a new block */
	/* *b is all 0 at get; n: bytes asked for, or 0. */
	void (*get)(struct model *m, struct buffer *b, size_t n);
	void (*grow)(struct model *m, struct buffer *b, size_t need);
	void (*put)(struct model *m, struct buffer *b, size_t len);
};

/* Gives the buffer a new block, whatever it had; cap 0: none. */
void model_block(struct model *m, struct buffer *b, size_t cap);

/* Takes its block away, if it has one. */
void model_free(struct model *m, struct buffer *b);

/* Puts a buffer into a sync.Pool. */
void model_keep(struct model *m, unsigned list, const struct buffer *b);

/* Gets one from it. Returns: false: there is none. */
bool model_take(struct model *m, unsigned list, struct buffer *b);

/* Plays the trace to a peer. */
void model_replay(const struct trace *t, const struct rule *rule, struct result *result);

#endif
