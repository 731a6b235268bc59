/* SPDX-License-Identifier: MIT */
/*
 * The advisors of live pools, while the profile runs: one for each pool that had a sample. Owns them,
 * their lock, and the pace of polls and windows (advisor.h). What a poll reads is the pool's business
 * (pool/advise.c).
 *
 *     watching   polls only, until the bounds that are worth a look are known
 *     arming     each get of the pool is to come the slow way, as in a window
 *     window     each get, growth and put of what was borrowed in it is an event. Of buffers that were
 *                borrowed before, growths and puts are not seen: polls in the window find them
 *
 * Polls take 1/POLLS_PART of the time at most, and so do windows. All calls but tp_advice_is_due want the
 * lock, and call nothing but malloc.
 */
#ifndef TP_ADVICE_H
#define TP_ADVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "memory/sizeclass.h"
#include "process/atfork.h"
#include "profile/advisor.h"
#include "profile/snapshot.h"

/* What a poll has found. */
struct tp_poll {
	size_t out[TP_TIERS_MAX]; /* borrowed buffers of each tier */
	uint64_t gets;
	size_t retain;
	uint64_t ns;
};

enum tp_advice_state { TP_ADVICE_WATCHING, TP_ADVICE_ARMING, TP_ADVICE_WINDOW };

struct tp_advice {
	struct tp_advice *next;
	struct tp_model_options options;         /* without bounds */
	struct tp_model_tier tier[TP_TIERS_MAX]; /* options.tier */
	uint64_t pool_id;
	bool ended;                 /* its pool is gone */
	struct tp_advisor *advisor; /* NULL: not yet */
	enum tp_advice_state state;
	uint64_t due_ns; /* of the next poll; read by anyone */
	uint64_t window_due_ns, window_begun_ns;
	uint64_t spent_ns; /* on this window */
	bool stepping;     /* the model has only a part of the last poll yet */
	uint64_t poll_ns;  /* spent on that poll */
	uint64_t steps;    /* buffers that the models were stepped by, at the last poll */
	uint64_t polls, windows;
	unsigned length; /* of a window, events */
	struct tp_poll last;
	double pace;               /* gets from one poll to the next, about */
	unsigned left;             /* events of the window */
	double until_poll;         /* gets in the window until its next poll */
	size_t until_look, look;   /* the same of looks; from one to the next */
	bool counts;               /* the window has come to the half that counts */
	size_t seen[TP_TIERS_MAX]; /* out, by the events of the window */
	size_t most;               /* bytes that were out at once */
	size_t bound[TP_SNAPSHOT_BOUNDS];
	char pool[]; /* its name */
};

void tp_advice_lock(void);
bool tp_advice_try_lock(void);
void tp_advice_unlock(void);

/* Enters a pool; its options have a tier of their own. NULL: out of memory. */
struct tp_advice *tp_advice_begin(
	const char *pool, uint64_t pool_id, const struct tp_model_options *options);

/* The pool is gone. What is known of it stays, of the last TP_ADVICE_ENDED pools. */
void tp_advice_end(struct tp_advice *advice);
#define TP_ADVICE_ENDED 64

static inline bool tp_advice_is_due(const struct tp_advice *advice, uint64_t ns)
{
	return ns >= tp_load_relaxed(&advice->due_ns);
}

/* A poll outside of a window. Returns: whether a window should begin: arm it. */
bool tp_advice_poll(struct tp_advice *advice, const struct tp_poll *poll);

/* That poll took from begun_ns to now_ns, so the next one is due so much later. */
void tp_advice_pause(struct tp_advice *advice, uint64_t begun_ns, uint64_t now_ns);

/* After arming. */
void tp_advice_window_begin(struct tp_advice *advice, const struct tp_poll *poll);

/* An event of a window. Returns: whether tp_advice_window_poll wants to see a poll now. */
bool tp_advice_get(struct tp_advice *advice, unsigned tier, unsigned cpu, uint64_t ns);
bool tp_advice_put(struct tp_advice *advice, unsigned tier, unsigned cpu, uint64_t ns);
bool tp_advice_grow(
	struct tp_advice *advice, unsigned from, unsigned to, unsigned cpu, uint64_t ns);

/* Returns: whether the window goes on. */
bool tp_advice_window_poll(struct tp_advice *advice, const struct tp_poll *poll, unsigned cpu);

/* Forgets all, as another profile begins. */
void tp_advice_clear(void);

/* Copies what is known to a snapshot, without the lock. False: out of memory. */
bool tp_advice_snapshot(struct tp_snapshot *snapshot);

void tp_advice_fork(enum tp_fork phase);

#endif
