/* SPDX-License-Identifier: MIT */
#include "stress_replay.h"

#include <stdlib.h>

#include "base/atomic.h"

/* Counts down, since the one addition with both orders that atomic.h has is a subtraction. */
static uint64_t replay_tickets = UINT64_MAX;

/* The call that this thread is inside of, for its backing; NULL: none that is written down. */
static __thread struct replay_call *replay_open;

/* Acquire and release: what was done before a ticket was taken was done before any later one. */
static uint64_t replay_ticket(void)
{
	return UINT64_MAX - tp_sub_acq_rel(&replay_tickets, 1u);
}

bool replay_begin(struct replay_log *log, bool put)
{
	if (log->count == log->most)
		return false;
	replay_open = &log->call[log->count++];
	*replay_open = (struct replay_call){.put = put};
	replay_open->first = replay_ticket();
	return true;
}

void replay_decided(bool put)
{
	struct replay_call *call = replay_open;

	if (!call || call->put != put || call->backing)
		return;
	call->backing = true;
	call->last = replay_ticket();
}

void replay_end(void)
{
	if (!replay_open->backing)
		replay_open->last = replay_ticket();
	replay_open = NULL;
}

#define REPLAY_OPEN 64 /* threads at the most */

struct replay_state {
	int64_t low, high, bound;
	int64_t idle; /* of the pool to which calls come one by one */
	struct replay_call *open[REPLAY_OPEN];
	unsigned opened;
};

static void replay_first(struct replay_state *now, struct replay_call *call, struct replay *sum)
{
	now->open[now->opened++] = call;
	if (call->put) {
		now->high += !call->backing;
		return;
	}
	now->low -= !call->backing;
	sum->gets++;
	if (now->idle)
		now->idle--;
	else
		sum->misses_alike++;
}

static void replay_last(struct replay_state *now, struct replay_call *call, struct replay *sum)
{
	unsigned i = 0;

	while (now->open[i] != call)
		i++;
	now->open[i] = now->open[--now->opened];
	if (call->put) {
		now->low += !call->backing;
		now->idle += now->idle < now->bound;
		sum->frees += call->backing;
		sum->unexplained_frees += call->backing && !call->explained;
	} else {
		now->high -= !call->backing;
		sum->misses += call->backing;
		sum->unexplained_misses += call->backing && !call->explained;
	}
}

/* At this instant, each of the calls that are open could have gone to the backing, if so it did. */
static void replay_explain(struct replay_state *now)
{
	for (unsigned i = 0; i < now->opened; i++)
		now->open[i]->explained |=
			now->open[i]->put ? now->high >= now->bound : now->low <= 0;
}

bool replay(struct replay_log *log, unsigned logs, size_t bound, struct replay *sum)
{
	size_t tickets = (size_t)(UINT64_MAX - replay_tickets);
	struct replay_call **at = calloc(tickets + 1, sizeof(struct replay_call *));
	int64_t most = (int64_t)bound;
	struct replay_state now = {.low = most, .high = most, .bound = most, .idle = most};

	if (!at)
		return false;
	for (unsigned i = 0; i < logs; i++)
		for (size_t n = 0; n < log[i].count; n++) {
			at[log[i].call[n].first] = &log[i].call[n];
			at[log[i].call[n].last] = &log[i].call[n];
		}
	*sum = (struct replay){0};
	for (size_t ticket = 0; ticket < tickets; ticket++) {
		if (at[ticket]->first == ticket)
			replay_first(&now, at[ticket], sum);
		else
			replay_last(&now, at[ticket], sum);
		replay_explain(&now);
	}
	free(at);
	return true;
}
