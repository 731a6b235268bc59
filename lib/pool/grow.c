/* SPDX-License-Identifier: MIT */
#include "pool/grow.h"

#include "memory/bufstate.h"
#include "memory/poison.h"
#include "pool/pool.h"

#define SWAP(a, b)                       \
	do {                             \
		__typeof__(a) was = (a); \
		(a) = (b);               \
		(b) = was;               \
	} while (0)

static void grow_swap_blocks(tierpool_buf *a, tierpool_buf *b)
{
	SWAP(a->data, b->data);
	SWAP(a->cap, b->cap);
	SWAP(a->tp_stack_index, b->tp_stack_index);
	SWAP(a->tp_tier, b->tp_tier);
}

/* Takes an idle buffer of at least n bytes, or makes one. NULL: out of memory. */
static tierpool_buf *grow_obtain(tierpool *pool, size_t n)
{
	unsigned tier = tp_sizeclass_of(&pool->sizes, n);
	tierpool_buf *b = tier == TP_TIER_NONE ? NULL : tp_pool_take(pool, tier);

	if (b)
		tp_pool_count(&pool->counters.grows_pooled);
	else
		b = tp_pool_alloc(pool, tier, n);
	return b;
}

/* At least double, so that appending n bytes one by one copies fewer than 3 n. */
static size_t grow_size(const tierpool *pool, size_t cap, size_t need)
{
	size_t largest = pool->sizes.size[pool->sizes.count - 1];
	size_t doubled = cap > SIZE_MAX / 2 ? need : 2 * cap;

	/* A double size may be above the largest tier though the need is not. */
	return need <= largest && doubled > largest ? largest : tp_max(need, doubled);
}

tierpool_buf *tp_pool_exchange(tierpool_buf *b, size_t need)
{
	tierpool *pool = b->tp_pool;
	size_t n = grow_size(pool, b->cap, need);
	tierpool_buf *other;

	tp_pool_maintain_slow(pool);
	other = grow_obtain(pool, n);
	if (!other && n > need)
		other = grow_obtain(pool, need);
	if (!other)
		return NULL;
	tp_pool_count(&pool->counters.grows);
	tp_unpoison(other->data, other->cap);
	grow_swap_blocks(b, other);
	if (b->tp_tier == TP_TIER_NONE)
		tp_bufstate_add(b, TP_STATE_OVERSIZE);
	else
		tp_bufstate_set(b, b->tp_state); /* for the limit, which follows the capacity */
	/* Age 0: the block that it has now was in use until now. */
	tp_bufstate_set(other, tp_bufstate(TP_STATE_IDLE));
	return other;
}

void tp_pool_retire(tierpool_buf *displaced)
{
	tp_pool_keep(displaced->tp_pool, displaced);
}
