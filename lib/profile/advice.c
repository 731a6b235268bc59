/* SPDX-License-Identifier: MIT */
#include "profile/advice.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/lock.h"
#include "profile/rate.h"

/*
 * The parts of the time that polls and windows take. Pools that were polled lately share them. A poll more
 * often than LEAST is not worth it. One that seems to take longer than MOST was preempted: so much for the
 * poll, and for each buffer that went or came since the last one.
 */
#define POLLS_PART 400
#define STEPPING_PART 9 /* of a poll that is done in several calls */
#define WINDOWS_PART 250
#define LATELY_NS UINT64_C(10000000000)
#define POLL_LEAST_NS 100000
#define POLL_COST_MOST_NS 50000
#define STEP_COST_MOST_NS 5000

/* Polls before the curve begins: by then it is known how much is out. Polls that the pace is the mean of. */
#define POLLS_FIRST 8
#define PACE_POLLS 32

/* The estimate begins after the first window: then the model knows what lies idle. */
#define WINDOWS_FIRST 1

/*
 * Events of the shortest and the longest window; between the two it has so many polls. The last of its parts
 * counts: in the first one the model fills with what polls have not seen, and most of what was borrowed
 * before comes back.
 */
#define WINDOW_LEAST 6000
#define WINDOW_MOST 12000
#define WINDOW_POLLS 3
#define WINDOW_PARTS 2

/*
 * Gets from one look to the next: what is out says which buffers came back that were borrowed before the
 * window. Soon after some did, later after none did. A get that comes before their puts makes the model
 * allocate what the pool does not.
 */
#define LOOK_LEAST 8
#define LOOK_MOST 512

/* What an event in a window takes more, and a look, about. A window ends when it has lasted so long. */
#define EVENT_NS UINT64_C(400)
#define LOOK_NS 3000
#define WINDOW_MOST_NS UINT64_C(10000000000)

/*
 * The curve begins at this part of what was out at most, each bound so many times the one before; it ends
 * above so many times as much.
 */
#define BOUND_PART 64
#define BOUND_STEP 1.5
#define BOUND_TIMES 3

static struct tp_lock advice_mutex = TP_LOCK_INIT;
static struct tp_advice *advice_first; /* the newest */

TP_LOCK_AT_LOAD static void advice_lock_init(void)
{
	tp_lock_init(&advice_mutex);
}

void tp_advice_lock(void)
{
	tp_lock_take(&advice_mutex);
}

bool tp_advice_try_lock(void)
{
	return tp_lock_try(&advice_mutex);
}

void tp_advice_unlock(void)
{
	tp_lock_give(&advice_mutex);
}

void tp_advice_fork(enum tp_fork phase)
{
	if (phase == TP_FORK_PREPARE)
		tp_advice_lock();
	/* The threads that were arming are not in the child: with this the next get ends it. */
	if (phase == TP_FORK_CHILD)
		for (struct tp_advice *advice = advice_first; advice; advice = advice->next)
			if (advice->state == TP_ADVICE_ARMING)
				advice->state = TP_ADVICE_WATCHING;
	if (phase == TP_FORK_PARENT || phase == TP_FORK_CHILD)
		tp_advice_unlock();
}

/* ---- the list ---- */

struct tp_advice *tp_advice_begin(
	const char *pool, uint64_t pool_id, const struct tp_model_options *options)
{
	size_t length = strlen(pool) + 1;
	struct tp_advice *advice = calloc(1, sizeof *advice + length);

	if (!advice)
		return NULL;
	memcpy(advice->pool, pool, length);
	memcpy(advice->tier, options->tier, options->tiers * sizeof *advice->tier);
	advice->options = *options;
	advice->options.tier = advice->tier;
	advice->pool_id = pool_id;
	advice->next = advice_first;
	advice_first = advice;
	return advice;
}

static void advice_free(struct tp_advice *advice)
{
	tp_advisor_free(advice->advisor);
	free(advice);
}

/* Frees those of pools that are gone, but for the newest so many. */
static void advice_keep_ended(unsigned most)
{
	for (struct tp_advice **link = &advice_first, *advice; (advice = *link);) {
		if (!advice->ended || most) {
			most -= advice->ended;
			link = &advice->next;
			continue;
		}
		*link = advice->next;
		advice_free(advice);
	}
}

/* A window that did not come to its end counts as the poll that it began with. */
static void advice_window_drop(struct tp_advice *advice)
{
	if (advice->state == TP_ADVICE_WINDOW)
		tp_advisor_window_drop(
			advice->advisor, advice->last.out, advice->last.gets, advice->last.ns);
	advice->state = TP_ADVICE_WATCHING;
}

void tp_advice_end(struct tp_advice *advice)
{
	advice_window_drop(advice);
	advice->ended = true;
	advice_keep_ended(TP_ADVICE_ENDED);
}

void tp_advice_clear(void)
{
	advice_keep_ended(0);
	for (struct tp_advice *advice = advice_first; advice; advice = advice->next) {
		advice_window_drop(advice);
		tp_advisor_free(advice->advisor);
		advice->advisor = NULL;
		advice->stepping = false;
		advice->poll_ns = 0;
		tp_store_relaxed(&advice->due_ns, UINT64_C(0));
		advice->polls = advice->windows = 0;
		advice->most = 0;
	}
}

/* ---- polls ---- */

/* Pools that share the time; this one too. */
static uint64_t advice_active(const struct tp_advice *advice, uint64_t now_ns)
{
	uint64_t active = 1;

	for (const struct tp_advice *other = advice_first; other; other = other->next)
		active += other != advice && !other->ended && other->last.ns + LATELY_NS > now_ns;
	return active;
}

static size_t advice_bytes_out(const struct tp_advice *advice, const struct tp_poll *poll)
{
	size_t bytes = 0;

	for (unsigned tier = 0; tier < advice->options.tiers; tier++)
		bytes += poll->out[tier] * advice->tier[tier].cost;
	return bytes;
}

/* Of the bounds the last one is the pool's own; the others are the curve. */
#define CURVE (TP_SNAPSHOT_BOUNDS - 1)

static void advice_bounds_begin(struct tp_advice *advice, size_t retain)
{
	double bound = (double)tp_max(advice->most / BOUND_PART, advice->tier[0].cost);

	for (unsigned i = 0; i < CURVE; i++, bound *= BOUND_STEP)
		advice->bound[i] = (size_t)bound;
	advice->bound[CURVE] = retain;
}

/* Moves the curve up until it ends above what is out; false: it did already, and retain is the same. */
static bool advice_bounds_follow(struct tp_advice *advice, size_t retain)
{
	bool moved = advice->bound[CURVE] != retain;
	size_t *last = &advice->bound[CURVE - 1];

	for (; *last / BOUND_TIMES < advice->most; moved = true) {
		memmove(advice->bound, advice->bound + 1, (CURVE - 1) * sizeof *last);
		*last = (size_t)(BOUND_STEP * (double)*last);
	}
	advice->bound[CURVE] = retain;
	return moved;
}

static void advice_window_later(struct tp_advice *advice, uint64_t now_ns, uint64_t spent_ns)
{
	advice->window_due_ns = now_ns + WINDOWS_PART * spent_ns * advice_active(advice, now_ns);
}

/* Has an advisor whose bounds fit what is out. False: not yet, or out of memory. */
static bool advice_is_ready(struct tp_advice *advice, const struct tp_poll *poll)
{
	advice->most = tp_max(advice->most, advice_bytes_out(advice, poll));
	if (++advice->polls < POLLS_FIRST || !advice->most)
		return false;
	if (!advice->advisor) {
		advice->windows = 0;
		advice_bounds_begin(advice, poll->retain);
		advice->options.bound = advice->bound;
		advice->options.bounds = TP_SNAPSHOT_BOUNDS;
		advice->advisor = tp_advisor_create(&advice->options);
		/* So a short profile takes no more of the time either. */
		advice_window_later(advice, poll->ns, WINDOW_LEAST * EVENT_NS);
	} else if (advice_bounds_follow(advice, poll->retain)) {
		tp_advisor_bounds_set(advice->advisor, advice->bound);
	}
	return advice->advisor;
}

/* Buffers by which a poll steps the models. */
static uint64_t advice_steps(const struct tp_advice *advice, const struct tp_poll *poll)
{
	uint64_t steps = 0;

	for (unsigned tier = 0; tier < advice->options.tiers; tier++) {
		size_t was = advice->last.out[tier], is = poll->out[tier];

		steps += was > is ? was - is : is - was;
	}
	return tp_min(steps, TP_ADVISOR_STEPS);
}

/* What a poll has taken: most of it are its steps, if many buffers came or went. */
static uint64_t advice_cost_ns(const struct tp_advice *advice, uint64_t begun_ns, uint64_t now_ns)
{
	return tp_min(now_ns - begun_ns, POLL_COST_MOST_NS + advice->steps * STEP_COST_MOST_NS);
}

/* Remembers a poll, and how many gets there were since the last one. */
static void advice_poll_note(struct tp_advice *advice, const struct tp_poll *poll)
{
	double gets = (double)(poll->gets - tp_min(advice->last.gets, poll->gets));

	advice->steps = advice_steps(advice, poll);
	/* Of the first one nobody knows when it began. */
	if (advice->polls)
		advice->pace += (gets - advice->pace) / (double)tp_min(advice->polls, PACE_POLLS);
	advice->last = *poll;
}

void tp_advice_pause(struct tp_advice *advice, uint64_t begun_ns, uint64_t now_ns)
{
	uint64_t cost_ns = advice_cost_ns(advice, begun_ns, now_ns), pause_ns;

	advice->poll_ns += cost_ns;
	if (advice->stepping) {
		pause_ns = STEPPING_PART * cost_ns;
	} else {
		pause_ns = POLLS_PART * advice->poll_ns * advice_active(advice, now_ns);
		advice->poll_ns = 0;
	}
	tp_store_relaxed(&advice->due_ns, now_ns + tp_max(pause_ns, POLL_LEAST_NS));
}

bool tp_advice_poll(struct tp_advice *advice, const struct tp_poll *poll)
{
	if (advice->state != TP_ADVICE_WATCHING)
		return false;
	if (!advice->stepping) {
		advice_poll_note(advice, poll);
		if (!advice_is_ready(advice, poll))
			return false;
	}
	poll = &advice->last;
	advice->stepping = !tp_advisor_poll(advice->advisor, poll->out, poll->gets, poll->ns);
	if (advice->stepping || poll->ns < advice->window_due_ns)
		return false;
	advice->state = TP_ADVICE_ARMING;
	return true;
}

/* ---- windows ---- */

/* The next poll of a window comes as late as outside of it. */
static void advice_poll_later(struct tp_advice *advice)
{
	double gets = advice->until_poll + advice->pace;

	advice->until_poll = gets > 1 ? gets : 1;
}

static unsigned advice_window_length(const struct tp_advice *advice)
{
	double events = 2 * WINDOW_POLLS * advice->pace; /* a get and a put */

	return events > WINDOW_LEAST && events < WINDOW_MOST ? (unsigned)events : WINDOW_LEAST;
}

void tp_advice_window_begin(struct tp_advice *advice, const struct tp_poll *poll)
{
	if (advice->state != TP_ADVICE_ARMING)
		return;
	advice->state = TP_ADVICE_WINDOW;
	advice->window_begun_ns = poll->ns;
	advice->left = advice->length = advice_window_length(advice);
	advice->counts = false;
	advice->spent_ns = advice->length * EVENT_NS;
	advice->until_poll = 0;
	advice_poll_later(advice);
	advice->look = advice->until_look = LOOK_LEAST;
	advice->last = *poll;
	memcpy(advice->seen, poll->out, sizeof advice->seen);
	tp_advisor_window_begin(advice->advisor, poll->out, poll->gets, poll->ns);
}

/* Events that are left of the window; fewer, if it lasts long. */
static uint64_t advice_window_left(const struct tp_advice *advice, uint64_t ns)
{
	uint64_t lasted = ns - tp_min(ns, advice->window_begun_ns);
	uint64_t left_ns = WINDOW_MOST_NS - tp_min(WINDOW_MOST_NS, lasted);

	return tp_min(advice->left, advice->length * left_ns / WINDOW_MOST_NS);
}

static bool advice_event(struct tp_advice *advice, uint64_t ns)
{
	if (advice->left)
		advice->left--;
	return !advice->until_look || advice->until_poll < 1 || !advice_window_left(advice, ns);
}

bool tp_advice_get(struct tp_advice *advice, unsigned tier, unsigned cpu, uint64_t ns)
{
	if (advice->state != TP_ADVICE_WINDOW)
		return false;
	if (tier < advice->options.tiers)
		advice->seen[tier]++;
	advice->until_poll--;
	advice->until_look -= advice->until_look > 0;
	tp_advisor_get(advice->advisor, tier, cpu, ns);
	return advice_event(advice, ns);
}

static void advice_seen_put(struct tp_advice *advice, unsigned tier)
{
	if (tier < advice->options.tiers && advice->seen[tier])
		advice->seen[tier]--;
}

bool tp_advice_put(struct tp_advice *advice, unsigned tier, unsigned cpu, uint64_t ns)
{
	if (advice->state != TP_ADVICE_WINDOW)
		return false;
	advice_seen_put(advice, tier);
	tp_advisor_put(advice->advisor, tier, cpu, ns);
	return advice_event(advice, ns);
}

bool tp_advice_grow(struct tp_advice *advice, unsigned from, unsigned to, unsigned cpu, uint64_t ns)
{
	if (advice->state != TP_ADVICE_WINDOW)
		return false;
	advice_seen_put(advice, from);
	if (to < advice->options.tiers)
		advice->seen[to]++;
	tp_advisor_grow(advice->advisor, from, to, cpu, ns);
	return advice_event(advice, ns);
}

/*
 * Buffers that were borrowed before the window, and that are not out any more, but for those that the next
 * look may find. Returns: how many.
 */
static size_t advice_unseen_puts(struct tp_advice *advice, const struct tp_poll *poll, unsigned cpu)
{
	size_t puts = 0;

	for (unsigned tier = 0; tier < advice->options.tiers; tier++)
		for (; advice->seen[tier] > poll->out[tier] && puts < TP_ADVISOR_STEPS; puts++) {
			tp_advisor_put(advice->advisor, tier, cpu, poll->ns);
			advice->seen[tier]--;
		}
	return puts;
}

/* Returns: whether the models have what the polls before the window have left. */
static bool advice_look(struct tp_advice *advice, const struct tp_poll *poll, unsigned cpu)
{
	bool settled = tp_advisor_window_settle(advice->advisor, poll->ns);

	if (advice_unseen_puts(advice, poll, cpu) || !settled)
		advice->look = tp_max(advice->look / 2, LOOK_LEAST);
	else
		advice->look = tp_min(advice->look * 2, LOOK_MOST);
	advice->until_look = advice->look;
	advice->spent_ns += LOOK_NS;
	advice->last = *poll;
	return settled;
}

static void advice_window_goes_on(
	struct tp_advice *advice, const struct tp_poll *poll, bool settled)
{
	bool counts =
		settled && advice_window_left(advice, poll->ns) <= advice->length / WINDOW_PARTS;

	if (counts && !advice->counts)
		tp_advisor_window_count(advice->advisor, poll->out, poll->gets, poll->ns);
	else if (advice->until_poll < 1)
		tp_advisor_poll(advice->advisor, poll->out, poll->gets, poll->ns);
	else
		return;
	advice->counts = counts;
	advice_poll_later(advice);
}

static void advice_window_end(struct tp_advice *advice, const struct tp_poll *poll, bool settled)
{
	advice_window_later(advice, poll->ns, advice->spent_ns);
	if (!settled) {
		advice_window_drop(advice);
		return;
	}
	tp_advisor_window_end(advice->advisor, poll->out, poll->gets, poll->ns);
	advice->state = TP_ADVICE_WATCHING;
	if (++advice->windows == WINDOWS_FIRST)
		tp_advisor_forget(advice->advisor);
}

bool tp_advice_window_poll(struct tp_advice *advice, const struct tp_poll *poll, unsigned cpu)
{
	bool settled;

	if (advice->state != TP_ADVICE_WINDOW)
		return advice->state == TP_ADVICE_ARMING;
	advice->steps = advice_steps(advice, poll);
	settled = advice_look(advice, poll, cpu);
	if (!tp_load_relaxed(&tp_rate_running))
		advice_window_drop(advice);
	else if (advice_window_left(advice, poll->ns))
		advice_window_goes_on(advice, poll, settled);
	else
		advice_window_end(advice, poll, settled);
	advice->spent_ns += advice_cost_ns(advice, poll->ns, tp_clock_ns());
	return advice->state == TP_ADVICE_WINDOW;
}

/* ---- what is known ---- */

/* False: out of memory. */
static bool advice_copy(struct tp_snapshot_advice *to, const struct tp_advice *advice)
{
	struct tp_advised all[TP_SNAPSHOT_BOUNDS];

	*to = (struct tp_snapshot_advice){.pool = strdup(advice->pool),
		.pool_id = advice->pool_id,
		.gets = tp_advisor_gets(advice->advisor),
		.windows = tp_advisor_windows(advice->advisor),
		.least = advice->tier[0].cost};
	tp_advisor_curve(advice->advisor, all);
	memcpy(to->curve, all, sizeof to->curve);
	to->now = all[CURVE];
	to->enough_known = tp_advised_enough(to->curve, CURVE, TP_SNAPSHOT_ENOUGH, &to->enough);
	return to->pool;
}

static bool advice_is_known(const struct tp_advice *advice)
{
	return advice->advisor && tp_advisor_gets(advice->advisor);
}

bool tp_advice_snapshot(struct tp_snapshot *snapshot)
{
	size_t count = 0;
	bool whole;

	tp_advice_lock();
	for (const struct tp_advice *advice = advice_first; advice; advice = advice->next)
		count += advice_is_known(advice);
	snapshot->advice = calloc(count ? count : 1, sizeof *snapshot->advice);
	whole = snapshot->advice;
	for (const struct tp_advice *advice = advice_first; advice && whole; advice = advice->next)
		if (advice_is_known(advice))
			whole = advice_copy(&snapshot->advice[snapshot->advices++], advice);
	tp_advice_unlock();
	return whole;
}
