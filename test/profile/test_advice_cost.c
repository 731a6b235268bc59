/* SPDX-License-Identifier: MIT */
/* What polls cost, and what a fork does to a window that is about to begin. */
#include <criterion/criterion.h>

#include "cpus.h"
#include "profile/advice.h"
#include "profile/rate.h"

static const struct tp_model_tier tier[] = {{.cost = 128, .slots = 63}};
static const struct tp_model_options options = {
	.tier = tier, .tiers = 1, .cpus = 1, .max_idle = SIZE_MAX, .decay_ns = 1000000000};

/* Polls that find so many out and none in turn, a second after each other, until a window is due. */
static bool poll_until_armed(struct tp_advice *advice, struct tp_poll *poll, unsigned polls)
{
	bool armed = false;

	while (polls-- && !armed) {
		poll->out[0] = poll->out[0] ? 0 : 1000;
		poll->gets += 1000;
		poll->ns += 1000000000;
		armed = tp_advice_poll(advice, poll);
	}
	return armed;
}

Test(advice_cost, a_window_that_another_thread_was_about_to_begin_is_not_awaited_by_a_child)
{
	struct tp_poll poll = {.retain = 1 << 20, .ns = 1};
	struct tp_advice *advice;

	tp_rate_start(0);
	tp_advice_lock();
	advice = tp_advice_begin("pool", 1, &options);
	cr_assert(poll_until_armed(advice, &poll, 20));
	tp_advice_unlock();
	tp_advice_fork(TP_FORK_PREPARE);
	tp_advice_fork(TP_FORK_CHILD);
	tp_advice_lock();
	cr_assert_eq(advice->state, TP_ADVICE_WATCHING, "so its gets need not come the slow way");
	cr_assert(poll_until_armed(advice, &poll, 20), "it has windows of its own");
	tp_advice_unlock();
}

/* What a call is said to take: less than what counts at most. */
#define CALL_NS 50000

/* In several calls, each of which steps the models by so many buffers at most. */
Test(advice_cost, a_poll_that_finds_many_buffers_gone_makes_the_next_one_wait)
{
	struct tp_poll poll = {.retain = (size_t)1 << 30};
	struct tp_advice *advice;

	tp_rate_start(0);
	tp_advice_lock();
	advice = tp_advice_begin("pool", 1, &options);
	/* No window begins. */
	advice->window_due_ns = UINT64_MAX;
	for (unsigned n = 0; n < 20; n++) {
		unsigned calls = 0, calls_least = advice->advisor ? 20000 / TP_ADVISOR_STEPS : 1;

		poll.out[0] = n % 2 ? 20000 : 0;
		poll.gets += 20000;
		do {
			poll.ns += 10 * CALL_NS;
			tp_advice_poll(advice, &poll);
			tp_advice_pause(advice, poll.ns, poll.ns + CALL_NS);
			calls++;
		} while (advice->stepping);
		cr_assert_eq(calls, calls_least, "poll %u", n);
		/* Of the time that passes polls take a four hundredth. */
		cr_assert_geq(
			advice->due_ns - poll.ns, (uint64_t)400 * calls * CALL_NS, "poll %u", n);
	}
	tp_advice_unlock();
}
