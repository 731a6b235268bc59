/* SPDX-License-Identifier: MIT */
#include "budget.h"

#include <errno.h>
#include <stdlib.h>

#include <tierpool/pool.h>

#include "atomic.h"
#include "inject.h"

bool tp_budget_lease(struct tp_budget *budget, size_t bytes)
{
	size_t leased = tp_load_relaxed(&budget->leased);

	/*
	 * What the bytes are used for is published by the lock of the stack or depot they go to.
	 * The order here is for a limit that is lowered meanwhile: we write leased, then read the
	 * limit; tp_budget_limit_set writes the limit, and its caller then reads leased. One of the
	 * two sees the other, so no lease by the old limit goes unseen when the new one is said to
	 * hold.
	 */
	do {
		size_t limit = tp_load_relaxed(&budget->limit);

		if ((leased > limit || bytes > limit - leased) && !tp_fault(TP_FAULT_UNBOUNDED))
			return false;
	} while (!tp_cas_seq(&budget->leased, &leased, leased + bytes));
	if (leased + bytes > tp_load_seq(&budget->limit) && !tp_fault(TP_FAULT_UNBOUNDED)) {
		tp_budget_release(budget, bytes);
		return false;
	}
	tp_raise_relaxed(&budget->peak, leased + bytes);
	return true;
}

void tp_budget_release(struct tp_budget *budget, size_t bytes)
{
	tp_sub_relaxed(&budget->leased, bytes);
}

bool tp_budget_holds(const struct tp_budget *budget)
{
	return tp_load_seq(&budget->leased) <= tp_load_seq(&budget->limit);
}

void tp_budget_limit_set(struct tp_budget *budget, size_t limit)
{
	tp_store_seq(&budget->limit, limit);
}

void tp_budget_share(struct tierpool_budget *budget)
{
	tp_add_relaxed(&budget->users, 1u);
}

int tierpool_budget_create(tierpool_budget **out, size_t bytes)
{
	if (!out)
		return -EINVAL;
	*out = NULL;
	if (!bytes)
		return -EINVAL;
	*out = calloc(1, sizeof **out);
	if (!*out)
		return -ENOMEM;
	(*out)->budget.limit = bytes;
	(*out)->users = 1;
	return 0;
}

void tierpool_budget_destroy(tierpool_budget *budget)
{
	/* Acquire and release: whoever frees sees every other user's last release of a lease. */
	if (budget && tp_sub_acq_rel(&budget->users, 1u) == 1)
		free(budget);
}
