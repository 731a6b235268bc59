/* SPDX-License-Identifier: MIT */
/*
 * What a tick does to idle items, and how far a call does it: in a stack age 0 becomes age 1, age 1
 * expires, and room is halved; in a depot young becomes old, old expires. What expires goes to the
 * depots' expired ones, and then is released.
 *
 *     begun by                           done by
 *     tierpool_tick, the reaper          the same call, on all CPUs but busy ones
 *     a slow call or an expired          each such call on its own CPU; one at a time on a few
 *     countdown, if due                  others, from where the last one ended (decay.h)
 */
#include "idle/idle.h"

#include "base/atomic.h"
#include "base/spinlock.h"

/* In one call: other CPUs that are looked at, and stopped; items and bytes released. */
#define LOOKS 16
#define STOPS 4
#define RELEASE_ITEMS 256
#define RELEASE_BYTES ((size_t)2 << 20)

/* The age at which an item has expired. */
#define EXPIRED 2

/* What has expired on a stopped CPU: the items of one tier after the other. */
#define EXPIRED_MOST (2 * TP_STACK_MAX)
struct expired {
	unsigned count;
	void *item[EXPIRED_MOST];
	uint8_t of_tier[TP_TIERS_MAX];
};

/* Ages a stopped CPU's stack of a tier, and halves its room. Returns: whether any has expired. */
static bool age_stack(struct tp_tiers *tiers, struct tp_cpu *cpu, unsigned tier)
{
	uint64_t word = cpu->slab[tiers->stack_index[tier]];
	bool any = false;

	for (unsigned slot = 1; slot <= tp_word_depth(word); slot++) {
		unsigned age = (unsigned)tp_min(tp_tiers_age(tiers, cpu, tier, slot) + 1, EXPIRED);

		tp_tiers_age_set(tiers, cpu, tier, slot, age);
		any |= age == EXPIRED;
	}
	if (tp_word_room(word))
		tp_tiers_room_set(tiers, cpu, tier, tp_word_room(word) / 2);
	return any;
}

/* Takes what has expired out of a stopped CPU's stack of a tier: mostly one run at the bottom. */
static void age_collect(
	struct tp_tiers *tiers, struct tp_cpu *cpu, unsigned tier, struct expired *expired)
{
	unsigned slot = 1, before = expired->count;
	unsigned depth = tp_word_depth(cpu->slab[tiers->stack_index[tier]]);

	while (slot <= depth) {
		unsigned run = 0;

		while (slot + run <= depth && tp_tiers_age(tiers, cpu, tier, slot + run) == EXPIRED)
			run++;
		if (run)
			tp_stack_take_out(&tiers->cpus, cpu, tier, slot, run,
				expired->item + expired->count, tiers->aged_slots);
		expired->count += run;
		depth -= run;
		slot += !run;
	}
	expired->of_tier[tier] = (uint8_t)(expired->count - before);
}

static void age_count(struct tp_released *sum, size_t n, size_t cost)
{
	sum->count += n;
	sum->bytes += n * cost;
}

/*
 * Moves what has expired in the tiers from ... to - 1 to the depots. Without memory there it is
 * released at once, and added to *released.
 */
static void age_expire(struct tp_tiers *tiers, const struct expired *expired, unsigned from,
	unsigned to, struct tp_released *released)
{
	unsigned done = 0;

	for (unsigned tier = from; tier < to; tier++) {
		unsigned n = expired->of_tier[tier];

		if (!tp_tiers_depot_push(tiers, tier, TP_EXPIRED, expired->item + done, n))
			age_count(released, n, tiers->tier[tier].cost);
		done += n;
	}
}

/* For whom a CPU is aged. */
enum age_for {
	AGE_FOR_ITSELF, /* a call on this CPU, which is about to use its slab */
	AGE_FOR_OTHERS, /* a call on another one */
	AGE_FOR_TICK,   /* a whole tick, which waits where gets and puts must not */
};

/*
 * Does the tick that a stopped CPU owes, if it still owes one, and starts it. All of it is aged in
 * this one stop. If much has expired, the CPU is stopped again to collect the rest; if it cannot be,
 * the next tick does.
 */
static void age_cpu(
	struct tp_tiers *tiers, struct tp_cpu *cpu, struct tp_released *released, enum age_for whom)
{
	struct tp_cpu *(*const stop)(struct tp_cpus *, unsigned) =
		whom == AGE_FOR_TICK ? tp_cpus_stop : tp_cpus_try_stop;
	unsigned cpu_id = (unsigned)(cpu - tiers->cpus.cpu), tier, from;
	struct expired expired;
	bool any = false;

	if (tp_decay_take_tick(&tiers->decay, cpu))
		for (tier = 0; tier < tiers->count; tier++)
			any |= age_stack(tiers, cpu, tier);
	if (!any) {
		if (whom != AGE_FOR_ITSELF)
			tp_tiers_slab_purge(tiers, cpu);
		tp_cpu_start(cpu);
		return;
	}
	for (tier = 0; cpu; cpu = tier < tiers->count ? stop(&tiers->cpus, cpu_id) : NULL) {
		expired.count = 0;
		for (from = tier; tier < tiers->count && expired.count <= TP_STACK_MAX; tier++)
			age_collect(tiers, cpu, tier, &expired);
		if (whom != AGE_FOR_ITSELF)
			tp_tiers_slab_purge(tiers, cpu);
		tp_cpu_start(cpu);
		age_expire(tiers, &expired, from, tier, released);
	}
}

static void age_own_cpu(struct tp_tiers *tiers)
{
	struct tp_released unused = {0, 0};
	struct tp_cpu *cpu;

	if (tp_likely(!tp_decay_owes_here(&tiers->decay)))
		return;
	cpu = tp_cpus_stop_own(&tiers->cpus);
	if (cpu)
		age_cpu(tiers, cpu, &unused, AGE_FOR_ITSELF);
}

/* Looks at a few other CPUs. Before: the caller holds maintaining. */
static void age_other_cpus(struct tp_tiers *tiers)
{
	unsigned looks = 0, stops = 0, cpu_id;
	struct tp_released unused = {0, 0};

	while (looks < LOOKS && stops < STOPS && tp_decay_look(&tiers->decay, &cpu_id)) {
		struct tp_cpu *cpu;

		if (!tp_decay_owes(&tiers->decay, cpu_id))
			continue;
		looks++;
		cpu = tp_decay_is_worth(&tiers->decay, cpu_id)
			      ? tp_cpus_try_stop(&tiers->cpus, cpu_id)
			      : NULL;
		stops += cpu != NULL;
		if (cpu)
			age_cpu(tiers, cpu, &unused, AGE_FOR_OTHERS);
	}
}

/* Ages the depots, and then begins the tick. looks: as in tp_decay_begin. */
static void age_begin(struct tp_tiers *tiers, bool looks)
{
	tp_decay_announce(&tiers->decay);
	for (unsigned tier = 0; tier < tiers->count; tier++)
		if (tp_depot_age(&tiers->tier[tier].depot))
			tp_store_release(&tiers->expired, 1u);
	tp_decay_begin(&tiers->decay, looks);
}

/* Releases up to most (RELEASE_ITEMS at most) expired items of a tier. Returns: how many. */
static size_t age_release(struct tp_tiers *tiers, unsigned tier, size_t most)
{
	enum tp_generation generation;
	void *item[RELEASE_ITEMS];
	size_t n = tp_depot_pop(&tiers->tier[tier].depot, TP_EXPIRED, item, most, &generation);

	if (n)
		tiers->release(tiers, item, (unsigned)n, TP_DROP_DECAY);
	return n;
}

/* Releases a few of the expired items, of the larger tiers first. */
static void age_release_some(struct tp_tiers *tiers)
{
	size_t items = RELEASE_ITEMS, bytes = RELEASE_BYTES;

	/* Relaxed: what is missed now, a later call releases. */
	if (!tp_load_relaxed(&tiers->expired) || !tp_exchange_acquire(&tiers->expired, 0u))
		return;
	for (unsigned tier = tiers->count; tier--;) {
		size_t cost = tiers->tier[tier].cost, most = items, n;

		/* At least one, whatever it costs. */
		if (cost)
			most = tp_min(most, tp_max(bytes / cost, items == RELEASE_ITEMS));
		n = age_release(tiers, tier, most);
		if (tp_load_relaxed(&tiers->tier[tier].depot.expired))
			tp_store_release(&tiers->expired, 1u);
		items -= n;
		bytes -= tp_min(bytes, n * cost);
	}
}

void tp_idle_tick_begin(struct tp_tiers *tiers)
{
	age_begin(tiers, true);
}

bool tp_idle_is_due(const struct tp_tiers *tiers)
{
	/* Relaxed: what is missed now, the next call sees. */
	return tp_load_relaxed(&tiers->expired) || tp_load_relaxed(&tiers->decay.left) ||
	       tp_decay_owes_here(&tiers->decay) || tp_decay_is_due(&tiers->decay);
}

bool tp_idle_maintain(struct tp_tiers *tiers)
{
	bool begun = tp_decay_claim(&tiers->decay, tiers->decay.ms);

	if (begun)
		tp_idle_tick_begin(tiers);
	age_own_cpu(tiers);
	if (!tp_spinlock_try(&tiers->decay.maintaining))
		return begun;
	age_other_cpus(tiers);
	age_release_some(tiers);
	tp_spinlock_unlock(&tiers->decay.maintaining);
	return begun;
}

void tp_idle_slabs_purge(struct tp_tiers *tiers)
{
	for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++) {
		struct tp_cpu *cpu = NULL;

		/* Relaxed: what is missed now, a later call sees. */
		if (tp_load_relaxed(&tiers->cpus.cpu[cpu_id].spent) &&
			!tp_tiers_cpu_has(tiers, cpu_id))
			cpu = tp_cpus_stop(&tiers->cpus, cpu_id);
		if (cpu) {
			tp_tiers_slab_purge(tiers, cpu);
			tp_cpu_start(cpu);
		}
	}
}

struct tp_released tp_idle_tick(struct tp_tiers *tiers)
{
	struct tp_released released = {0, 0};

	age_begin(tiers, false);
	for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++)
		if (tp_decay_owes(&tiers->decay, cpu_id) &&
			tp_decay_is_worth(&tiers->decay, cpu_id)) {
			struct tp_cpu *cpu = tp_cpus_stop(&tiers->cpus, cpu_id);

			if (cpu)
				age_cpu(tiers, cpu, &released, AGE_FOR_TICK);
		}
	(void)tp_exchange_acquire(&tiers->expired, 0u);
	for (unsigned tier = tiers->count; tier--;)
		for (size_t n; (n = age_release(tiers, tier, RELEASE_ITEMS));)
			age_count(&released, n, tiers->tier[tier].cost);
	tp_idle_slabs_purge(tiers);
	return released;
}
