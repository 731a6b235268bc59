/* SPDX-License-Identifier: MIT */
#include "stack_fixture.h"
#include "slab_install.h"

#define CPUS 1024

const uint16_t own_at[2] = {FIRST_AT, SECOND_AT};
struct own own;

static char memory[(CPUS / 8 + 1 + 2 * CPUS) * TP_LINE] __attribute__((aligned(TP_LINE)));
static struct tp_stack_counters counters[2 * CPUS];

void cpus_setup(unsigned cpu_count)
{
	cr_assert_leq(tp_cpus_bytes(cpu_count), sizeof memory);
	cr_assert_eq(tp_cpus_init(&own.cpus, memory, cpu_count), 0);
	own.cpus.stack_index = own_at;
	own.cpus.stacks = 2;
	own.cpus.counters = counters;
}

void own_setup(void)
{
	stay_on_this_cpu();
	own.cpu_id = tp_cpu_current(CPUS);
	if (own.cpu_id != tp_cpu_id())
		skip("this CPU is beyond the table of the test");
	cpus_setup(own.cpu_id + 1);
}

void own_install(void)
{
	cr_assert_null(tp_cpus_stop(&own.cpus, own.cpu_id));
	cr_assert_null(tp_cpus_stop_own(&own.cpus));
	cr_assert(slab_install(&own.cpus, own.cpu_id, own.slabs[0]));
}

struct tp_cpu *own_stop(void)
{
	struct tp_cpu *cpu = tp_cpus_stop(&own.cpus, own.cpu_id);

	cr_assert_eq(cpu, &own.cpus.cpu[own.cpu_id]);
	return cpu;
}

void own_start(void)
{
	tp_cpu_start(&own.cpus.cpu[own.cpu_id]);
}

void own_room_set(unsigned stack, unsigned room)
{
	tp_stack_room_set(&own.cpus, own_stop(), stack, room);
	own_start();
}

void *own_pop(unsigned stack)
{
	bool expired;

	return tp_stack_pop(&own.cpus, own_at[stack], &expired);
}

bool own_push(unsigned stack, void *pointer)
{
	return tp_stack_push(&own.cpus, own_at[stack], pointer);
}

uint64_t own_word(unsigned depth, unsigned room, int64_t countdown)
{
	return depth * TP_WORD_DEPTH + room * TP_WORD_ROOM +
	       (uint64_t)countdown * TP_WORD_COUNTDOWN;
}

uint64_t own_decide(uint64_t word, const void *wanted)
{
	return wanted ? *(const uint64_t *)wanted : word;
}

struct tp_word_change own_change(unsigned depth, unsigned room, int64_t countdown, void **items)
{
	uint64_t wanted = own_word(depth, room, countdown);

	return tp_stack_change(&own.cpus, FIRST, own_decide, &wanted, items, NULL);
}

void expect_word(unsigned stack, unsigned depth, unsigned room, int64_t countdown)
{
	uint64_t word = tp_stack_word(&own.cpus, own.cpu_id, stack);

	cr_assert_eq(tp_word_depth(word), depth, "depth %u", tp_word_depth(word));
	cr_assert_eq(tp_word_room(word), room, "room %u", tp_word_room(word));
	cr_assert_eq(tp_word_countdown(word), countdown);
}

struct tp_stack_counts own_counts(void)
{
	struct tp_stack_counts first = tp_stack_count(&own.cpus, FIRST);
	struct tp_stack_counts second = tp_stack_count(&own.cpus, SECOND);

	return (struct tp_stack_counts){first.pops + second.pops, first.pushes + second.pushes};
}

void expect_counts(int64_t pops, int64_t pushes)
{
	struct tp_stack_counts counts = own_counts();

	cr_assert_eq(counts.pops, pops, "%lld pops", (long long)counts.pops);
	cr_assert_eq(counts.pushes, pushes, "%lld pushes", (long long)counts.pushes);
}

void gap_drawn(struct gaps *gaps, unsigned gap)
{
	cr_assert(gap >= 1 && gap <= 2 * GAP_MEAN - 1, "gap %u", gap);
	gaps->sum += gap;
	gaps->distinct += !gaps->seen[gap]++;
}

/* Uniform on 1 to 199: the mean of 2,000 lies within 10 of 100 but for 1 in 10^14 times. */
void expect_uniform(const struct gaps *gaps)
{
	cr_assert(gaps->sum > (GAP_MEAN - 10) * GAP_ROUNDS &&
			  gaps->sum < (GAP_MEAN + 10) * GAP_ROUNDS,
		"mean %.1f", (double)gaps->sum / GAP_ROUNDS);
	cr_assert_gt(gaps->distinct, 190);
}
