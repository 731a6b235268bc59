/* SPDX-License-Identifier: MIT */
#include "idle/countdown.h"

#include "base/inject.h"
#include "base/random.h"
#include "idle/idle.h"
#include "profile/rate.h"

/*
 * Pops that are left, of one stack: until a look, until a sample for calibration, until one for the
 * profile. Each is one more than that, so that 0, as in a new slab, says that none was drawn yet. step:
 * by which the third was drawn, or TP_RATE_OFF, if it ends without a sample. Written by threads on the
 * CPU; if two of them do, a gap is lost.
 *
 *      63      56 55                    32 31          16 15           0
 *     +----------+------------------------+--------------+--------------+
 *     |   step   |        profile         |    sample    |     look     |
 *     +----------+------------------------+--------------+--------------+
 */
struct countdown {
	unsigned look, sample, profile, step;
};

_Static_assert(2 * TP_DECAY_GAP <= UINT16_MAX && 2 * TP_SAMPLE <= UINT16_MAX, "look, sample");
_Static_assert(1 + TP_RATE_GAP_MOST <= 0xffffff && TP_RATE_OFF <= UINT8_MAX, "profile, step");

static struct tp_cpu *countdown_cpu(const struct tp_tiers *tiers)
{
	return &tiers->cpus.cpu[tp_cpu_current(tiers->cpus.count)];
}

/* Where it stands for a stack of a CPU: behind the stacks, in the slab. NULL: no slab. */
static uint64_t *countdown_place(
	const struct tp_tiers *tiers, const struct tp_cpu *cpu, unsigned tier)
{
	uint64_t *slab = tp_load_acquire(&cpu->slab);

	return slab ? slab + tiers->countdowns + tier : NULL;
}

static struct countdown countdown_unpack(uint64_t packed)
{
	return (struct countdown){packed & UINT16_MAX, packed >> 16 & UINT16_MAX,
		packed >> 32 & 0xffffff, (unsigned)(packed >> 56)};
}

static uint64_t countdown_pack(const struct countdown *left)
{
	return left->look | (uint64_t)left->sample << 16 | (uint64_t)left->profile << 32 |
	       (uint64_t)left->step << 56;
}

/* ---- the profile ---- */

/*
 * Which step a pop was drawn by, or TP_RATE_OFF. The pop that a gap led to takes it, so that no other
 * does. A pop that no gap led to is drawn by itself: none was drawn yet; or another thread pops while
 * the countdown is expired, or has armed it already.
 */
static unsigned countdown_profile_take(
	const struct tp_tiers *tiers, uint64_t *place, unsigned tier, bool expired)
{
	uint64_t packed = place ? tp_load_relaxed(place) : 0;
	struct countdown left = countdown_unpack(packed), taken;
	unsigned step;

	/* Each get: whatever gap is left of an earlier profile. */
	if (tp_rate_is_complete())
		return 0;
	while (expired && left.profile == 1) {
		taken = left;
		taken.profile = 0;
		if (tp_cas_relaxed(place, &packed, countdown_pack(&taken)))
			return left.step;
		left = countdown_unpack(packed);
	}
	/* The gap was not over yet: it expired for something else. */
	if (expired && left.profile > 1)
		return TP_RATE_OFF;
	step = tp_rate_step(tiers->tier[tier].cost, false);
	return tp_rate_draw(step) ? step : TP_RATE_OFF;
}

/*
 * The next gap, if none is left. Of one that is longer than fits so much is waited for, which ends without
 * a sample; then another one is drawn, which is the same, as pops have no memory.
 */
static void countdown_profile_next(
	const struct tp_tiers *tiers, unsigned tier, struct countdown *left)
{
	if (left->profile > 1 && !tp_rate_is_complete())
		return;
	left->step = tp_rate_step(tiers->tier[tier].cost, false);
	left->profile = 1 + tp_rate_gap(left->step);
	if (left->profile > 1 + TP_RATE_GAP_MOST) {
		left->profile = 1 + TP_RATE_GAP_MOST;
		left->step = TP_RATE_OFF;
	}
}

/* ---- expiry ---- */

static bool countdown_profiled(const struct tp_tiers *tiers, unsigned tier)
{
	return tp_unlikely(tp_load_relaxed(&tp_rate_running)) && tiers->tier[tier].cost;
}

struct tp_expiry tp_idle_expiry(struct tp_tiers *tiers, unsigned tier)
{
	struct tp_cpu *cpu = countdown_cpu(tiers);
	uint64_t *place = countdown_place(tiers, cpu, tier);
	struct countdown left = countdown_unpack(place ? tp_load_relaxed(place) : 0);
	struct tp_expiry expiry = {left.look <= 1, left.sample == 1, TP_RATE_OFF};
	uint64_t word = place ? tp_load_relaxed(&cpu->slab[tiers->stack_index[tier]]) : 0;

	if (countdown_profiled(tiers, tier))
		expiry.step = countdown_profile_take(tiers, place, tier, (int64_t)word < 0);
	return expiry;
}

static void countdown_arm(struct tp_tiers *tiers, unsigned tier, bool more)
{
	struct tp_cpu *cpu = countdown_cpu(tiers);
	uint64_t *place = countdown_place(tiers, cpu, tier);
	struct countdown left = countdown_unpack(place ? tp_load_relaxed(place) : 0);
	unsigned gap;

	if (more)
		left.look = 2;
	else if (left.look <= 1)
		left.look = 1 + tp_random_gap(&cpu->random, tp_decay_gap(&tiers->decay));
	if (left.sample <= 1 && tiers->sampled)
		left.sample = 1 + tp_random_gap(&cpu->sample_random, TP_SAMPLE);
	gap = left.look - 1;
	if (tiers->sampled)
		gap = (unsigned)tp_min(gap, left.sample - 1);
	if (countdown_profiled(tiers, tier))
		countdown_profile_next(tiers, tier, &left);
	else
		left.profile = 0;
	if (tp_unlikely(tp_load_relaxed(&tiers->watched)))
		gap = 1;
	if (left.profile)
		gap = (unsigned)tp_min(gap, left.profile - 1);
	tp_point(TP_POINT_GAP);
	if (!tp_stack_arm(&tiers->cpus, tier, gap) || !place)
		return;
	left.look -= gap;
	left.sample -= tiers->sampled ? gap : 0;
	left.profile -= left.profile ? gap : 0;
	tp_store_relaxed(place, countdown_pack(&left));
}

/*
 * A profile may begin between the draw of a gap and the arming of it. Then its start may have expired
 * the stack before, and the pops of the gap would not be drawn for that profile. So all is expired again.
 * Relaxed: what expired the stack of this CPU came after the new count, and before this arming.
 */
void tp_idle_arm(struct tp_tiers *tiers, unsigned tier, bool more)
{
	uint32_t starts = tp_load_relaxed(&tp_rate_starts);

	countdown_arm(tiers, tier, more);
	if (tp_unlikely(starts != tp_load_relaxed(&tp_rate_starts)) &&
		!tp_fault(TP_FAULT_STALE_GAP))
		tp_idle_expire(tiers);
}

/* On a stopped CPU. */
static void countdown_expire(const struct tp_tiers *tiers, struct tp_cpu *cpu, unsigned tier)
{
	uint64_t *place = countdown_place(tiers, cpu, tier);
	struct countdown left = countdown_unpack(tp_load_relaxed(place));
	unsigned sooner = tp_stack_expire(&tiers->cpus, cpu, tier);

	/* The two others are as far away as they were. */
	left.look = (unsigned)tp_min(left.look + sooner, UINT16_MAX);
	if (tiers->sampled)
		left.sample = (unsigned)tp_min(left.sample + sooner, UINT16_MAX);
	left.profile = left.step = 0;
	/* Of a slab that was given back nothing is written, which would spend it again. */
	if (countdown_pack(&left) != tp_load_relaxed(place))
		tp_store_relaxed(place, countdown_pack(&left));
}

void tp_idle_expire(struct tp_tiers *tiers)
{
	for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++) {
		struct tp_cpu *cpu = tp_load_relaxed(&tiers->cpus.cpu[cpu_id].slab)
					     ? tp_cpus_stop(&tiers->cpus, cpu_id)
					     : NULL;

		for (unsigned tier = 0; cpu && tier < tiers->count; tier++)
			countdown_expire(tiers, cpu, tier);
		if (cpu)
			tp_cpu_start(cpu);
	}
}

struct tp_expiry tp_idle_draw(struct tp_tiers *tiers, size_t bytes)
{
	struct tp_expiry expiry = {.step = TP_RATE_OFF};

	expiry.sampled =
		tiers->sampled && tp_random(&countdown_cpu(tiers)->sample_random) % TP_SAMPLE == 0;
	if (tp_unlikely(tp_load_relaxed(&tp_rate_running))) {
		expiry.step = tp_rate_step(bytes, true);
		if (!tp_rate_draw(expiry.step))
			expiry.step = TP_RATE_OFF;
	}
	return expiry;
}
