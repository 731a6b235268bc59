/* SPDX-License-Identifier: MIT */
#include "memory/budget.h"

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/inject.h"

static int64_t budget_signed_limit(size_t limit)
{
	return (int64_t)tp_min(limit, PTRDIFF_MAX);
}

void tp_budget_init(struct tp_budget *budget, size_t limit)
{
	*budget = (struct tp_budget){.free = budget_signed_limit(limit), .limit = limit};
}

bool tp_budget_claim(struct tp_budget *budget, size_t bytes)
{
	int64_t free = tp_load_relaxed(&budget->free);

	/*
	 * Acquire: pairs with the release in tp_budget_yield. The count that follows comes after the
	 * uncount of those who gave back what is claimed here. What the bytes are used for becomes
	 * visible by the stack's commit or under the depot's lock.
	 */
	do {
		if ((free < 0 || bytes > (size_t)free) && !tp_fault(TP_FAULT_UNBOUNDED))
			return false;
	} while (!tp_cas_strong_acq_rel(&budget->free, &free, free - (int64_t)bytes));
	return true;
}

void tp_budget_count(struct tp_budget *budget, size_t bytes)
{
	tp_raise_relaxed(&budget->peak, tp_add_relaxed(&budget->leased, bytes) + bytes);
}

void tp_budget_uncount(struct tp_budget *budget, size_t bytes)
{
	tp_sub_relaxed(&budget->leased, bytes);
}

void tp_budget_yield(struct tp_budget *budget, size_t bytes)
{
	/*
	 * Release: after the uncount. Else another thread could claim and count these bytes before they
	 * are uncounted, and leased, and the peak for ever, would be above the limit (test/model/order.pml).
	 */
	tp_add_release(&budget->free, (int64_t)bytes);
}

bool tp_budget_lease(struct tp_budget *budget, size_t bytes)
{
	if (!tp_budget_claim(budget, bytes))
		return false;
	tp_budget_count(budget, bytes);
	return true;
}

void tp_budget_release(struct tp_budget *budget, size_t bytes)
{
	tp_budget_uncount(budget, bytes);
	tp_budget_yield(budget, bytes);
}

void tp_budget_limit_set(struct tp_budget *budget, size_t limit)
{
	size_t before = tp_load_relaxed(&budget->limit);
	int64_t more = budget_signed_limit(limit) - budget_signed_limit(before);

	/*
	 * A lower limit is taken out of free before it is stored, a higher one is added after: so
	 * tp_budget_bound, which reads the limit and then the excess, never returns less than what
	 * may be leased. Release of the limit: pairs with the acquire there.
	 */
	if (more < 0)
		tp_add_relaxed(&budget->free, more);
	tp_store_release(&budget->limit, limit);
	if (more > 0)
		tp_add_release(&budget->free, more);
}

size_t tp_budget_bound(const struct tp_budget *budget)
{
	size_t limit = tp_load_acquire(&budget->limit);
	size_t excess = tp_budget_excess(budget);

	return limit > SIZE_MAX - excess ? SIZE_MAX : limit + excess;
}

size_t tp_budget_excess(const struct tp_budget *budget)
{
	int64_t free = tp_load_relaxed(&budget->free);

	return free < 0 ? (size_t)-free : 0;
}

void tp_budget_recount(struct tp_budget *budget, size_t leased)
{
	budget->leased = leased;
	budget->free = budget_signed_limit(budget->limit) - (int64_t)leased;
}
