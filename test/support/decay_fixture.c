/* SPDX-License-Identifier: MIT */
#include "decay_fixture.h"

#include <criterion/criterion.h>

#include "base/clock.h"
#include "cpus.h"

#define CPUS 1024
#define WORDS 16
#define FAR 1000000 /* pops to the next expiry */

struct tp_decay decay;
struct tp_cpus decay_cpus;
unsigned decay_own;
struct decay_aged decay_aged[DECAY_OTHERS + 1];
unsigned decay_pieces = 1;
bool (*decay_age)(unsigned i, unsigned ticks) = decay_count;
void (*decay_after)(void);

static const uint16_t at[DECAY_STACKS] = {0, WORDS / 2};
static uint64_t slab[DECAY_OTHERS + 1][WORDS] __attribute__((aligned(TP_LINE)));
static char memory[(CPUS / 8 + 1 + 2 * CPUS) * TP_LINE] __attribute__((aligned(TP_LINE)));
static struct tp_decay_cpu decay_memory[2 * CPUS];

/* ---- the ager ---- */

bool decay_count(unsigned i, unsigned ticks)
{
	decay_aged[i].pieces++;
	decay_aged[i].ticks += ticks;
	return decay_aged[i].pieces % decay_pieces == 0;
}

static bool age(void *context, struct tp_cpu *cpu, uint16_t *progress, unsigned ticks)
{
	unsigned i = (unsigned)(cpu - decay_cpu(0));

	cr_assert_eq(context, &decay);
	cr_assert(tp_cpu_is_stopped(cpu), "aged a CPU that may pop and push meanwhile");
	cr_assert_eq(progress, &decay_state(i)->ager);
	return decay_age(i, ticks);
}

static void after(void *context)
{
	cr_assert_eq(context, &decay);
	if (decay_after)
		decay_after();
}

static const struct tp_ager ager = {.age = age, .after = after, .context = &decay};

unsigned decay_others_aged(void)
{
	unsigned pieces = 0;

	for (unsigned i = 1; i <= DECAY_OTHERS; i++)
		pieces += decay_aged[i].pieces;
	return pieces;
}

/* ---- CPUs ---- */

void decay_start_with(unsigned others, unsigned in_use, unsigned ms)
{
	stay_on_this_cpu();
	decay_own = tp_cpu_current(CPUS);
	if (decay_own != tp_cpu_id() ||
		tp_cpus_bytes(decay_own + 1 + DECAY_OTHERS) > sizeof memory ||
		tp_decay_bytes(decay_own + 1 + DECAY_OTHERS) > sizeof decay_memory)
		skip("this CPU is beyond the table of the test");
	cr_assert_eq(tp_cpus_init(&decay_cpus, memory, decay_own + 1 + others), 0);
	if (tp_cpu_rseq && others && tp_cpu_fence(0))
		skip("other CPUs cannot be stopped, since fences are refused");
	tp_decay_init(&decay, decay_memory, &decay_cpus, at, DECAY_STACKS, ms);
	for (unsigned i = 0; i < in_use; i++) {
		decay_fill(i);
		decay_join(i);
	}
}

void decay_start(unsigned others, unsigned ms)
{
	decay_start_with(others, others + 1, ms);
}

void decay_fill(unsigned i)
{
	for (unsigned stack = 0; stack < DECAY_STACKS; stack++)
		slab[i][at[stack]] = TP_WORD_DEPTH + 2 * TP_WORD_ROOM + FAR * TP_WORD_COUNTDOWN;
	tp_add_relaxed(&decay_cpu(i)->armed, (uint64_t)DECAY_STACKS * FAR);
}

void decay_join(unsigned i)
{
	cr_assert(tp_decay_slab_install(&decay, decay_own + i, slab[i], NULL));
}

void decay_hold(unsigned i, unsigned depth, unsigned room)
{
	for (unsigned stack = 0; stack < DECAY_STACKS; stack++) {
		uint64_t *word = &slab[i][at[stack]];

		decay_cpu(i)->moved_in += depth;
		decay_cpu(i)->moved_out += tp_word_depth(*word);
		*word = (*word & -TP_WORD_COUNTDOWN) | depth * TP_WORD_DEPTH | room * TP_WORD_ROOM;
	}
}

void decay_work(unsigned i, unsigned pairs)
{
	slab[i][at[0]] -= pairs * TP_WORD_COUNTDOWN;
}

int64_t decay_countdown(unsigned i, unsigned stack)
{
	return tp_word_countdown(slab[i][at[stack]]);
}

/* ---- ticks ---- */

void decay_begin(bool asked)
{
	/* Nothing lies in depots here, which would be aged between the two. */
	tp_decay_turn(&decay);
	tp_decay_begin(&decay, asked ? TP_TICK_ASKED : TP_TICK_PIECES);
}

bool decay_begin_due(void)
{
	bool due = tp_decay_claim(&decay);

	if (due)
		decay_begin(false);
	return due;
}

bool decay_some(void)
{
	return tp_decay_some(&decay, &ager);
}

void decay_rest(void)
{
	for (unsigned calls = 0; decay_some(); calls++)
		cr_assert_lt(calls, 6u * (DECAY_OTHERS + 1), "it comes to no end");
}

void decay_all(void)
{
	tp_decay_all(&decay, &ager);
}

/* ---- what the library knows of a CPU ---- */

static uint32_t ago(uint32_t ms)
{
	return (uint32_t)tp_clock_ms() - ms;
}

struct tp_cpu *decay_cpu(unsigned i)
{
	return &decay_cpus.cpu[decay_own + i];
}

struct tp_decay_cpu *decay_state(unsigned i)
{
	return &decay.per_cpu[decay_own + i];
}

uint32_t *decay_cpu_aged(unsigned i)
{
	return &decay_state(i)->aged;
}

unsigned decay_owed(unsigned i)
{
	return (uint32_t)decay.ticks - *decay_cpu_aged(i);
}

void decay_cpu_aged_ago(unsigned i, uint32_t ms)
{
	decay_state(i)->aged_ms = ago(ms);
}

void decay_cpu_expired_ago(unsigned i, uint32_t ms)
{
	decay_state(i)->expired_ms = ago(ms);
}

void decay_cpu_shortened_ago(unsigned i, uint32_t ms)
{
	decay_state(i)->shortened_ms = ago(ms);
}

void decay_cpu_gap_set(unsigned i, unsigned gap)
{
	decay_state(i)->gap = gap;
}
