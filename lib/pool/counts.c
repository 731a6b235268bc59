/* SPDX-License-Identifier: MIT */
#include "pool/counts.h"

struct tp_moves tp_counts_moves(const struct tp_tiers *tiers, unsigned tier)
{
	struct tp_stack_counts fast = {0, 0};
	struct tp_moves moves = {0, 0};

	if (tier < tiers->count)
		fast = tp_stack_count(&tiers->cpus, tier);
	moves.hits_cpu = fast.pops;
	moves.puts = fast.pushes + (int64_t)tp_counts_read(tiers, tier, TP_SLOW_PUTS);
	if (tier >= tiers->count)
		return moves;
	/* After the words and the slow puts: an exchange that they have is subtracted. */
	moves.hits_cpu -= (int64_t)tp_stack_owner_count(&tiers->cpus, tier, TP_EXCHANGE_POPS);
	moves.puts -= (int64_t)tp_stack_owner_count(&tiers->cpus, tier, TP_EXCHANGE_PUSHES);
	return moves;
}

uint64_t tp_counts_exchange_sum(const struct tp_tiers *tiers, enum tp_exchange which)
{
	uint64_t sum = 0;

	for (unsigned tier = 0; tier < tiers->count; tier++)
		sum += tp_stack_owner_count(&tiers->cpus, tier, which);
	return sum;
}

void tp_counts_exchanges(const struct tp_tiers *tiers, uint64_t *exchanges)
{
	/*
	 * Pushes first: the pops of these exchanges are seen below. So each tier has at least as many
	 * pops as pushes that follow them; and what one has more at the time when its pops are loaded
	 * is under way then.
	 */
	uint64_t pushes = tp_counts_exchange_sum(tiers, TP_EXCHANGE_PUSHES), pops = 0;

	for (unsigned tier = 0; tier < tiers->count; tier++) {
		exchanges[tier] = tp_stack_owner_count(&tiers->cpus, tier, TP_EXCHANGE_POPS);
		pops += exchanges[tier];
	}
	for (unsigned tier = 0; tier < tiers->count; tier++)
		exchanges[tier] -= tp_min(exchanges[tier], pops - pushes);
}

int64_t tp_counts_borrowed(const struct tp_tiers *tiers)
{
	int64_t sum = (int64_t)tp_counts_slow_gets(tiers);

	for (unsigned tier = 0; tier <= tiers->count; tier++) {
		struct tp_moves moves = tp_counts_moves(tiers, tier);

		sum += moves.hits_cpu - moves.puts;
	}
	return sum;
}
