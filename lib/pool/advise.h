/* SPDX-License-Identifier: MIT */
/*
 * What the profile's advisor learns of a pool: what is out of each tier, and in windows each get, growth
 * and put (profile/advice.h). The calls stand where a get or put comes the slow way anyhow.
 */
#ifndef TP_ADVISE_H
#define TP_ADVISE_H

#include "pool/pool.h"

/* After a get that was sampled for the profile: polls, and begins a window, if either is due. */
void tp_pool_advise(tierpool *pool);

/* Whether each get of the pool comes the slow way now. */
static inline bool tp_pool_is_watched(const tierpool *pool)
{
	return tp_unlikely(tp_load_relaxed(&pool->tiers.watched));
}

/*
 * If it is watched. Of a get: of the tier that was asked for; of a put and a growth, of a buffer that was
 * borrowed meanwhile.
 */
void tp_pool_advise_get(tierpool *pool, unsigned tier);
void tp_pool_advise_put(tierpool *pool, unsigned tier);
void tp_pool_advise_grow(tierpool *pool, unsigned from, unsigned to);

/* As the pool ends. */
void tp_pool_advise_end(tierpool *pool);

#endif
