/* SPDX-License-Identifier: MIT */
/*
 * Plays a trace to one contender: the gets, growths, puts and ticks that the traced program would
 * have made of it. A buffer is filled as soon as it is borrowed.
 */
#ifndef REPLAY_H
#define REPLAY_H

#include "figures.h"
#include "trace.h"

/*
 * What plays a trace, with a state of its own. get and grow return the capacity that the buffer has
 * then. They count what they do in the figures that they are given, but for the gets themselves.
 */
struct contender {
	const char *name;
	size_t (*get)(void *state, struct figures *f, const struct borrow *b);
	/* len bytes of its content are kept. After: the capacity is at least need. */
	size_t (*grow)(void *state, struct figures *f, const struct borrow *b,
		const struct growth *growth);
	void (*put)(void *state, struct figures *f, const struct borrow *b);
	void (*tick)(void *state, struct figures *f, size_t pool);
};

struct result {
	const char *name;
	struct figures halves[2]; /* up to half of the gets, and after that */
};

void replay(const struct trace *t, const struct contender *c, void *state, struct result *result);

#endif
