/* SPDX-License-Identifier: MIT */
/*
 * The options of a model of a given pool, at other bounds.
 */
#ifndef TP_MODEL_OPTIONS_H
#define TP_MODEL_OPTIONS_H

#include "pool/pool.h"
#include "profile/model.h"

/*
 * What tp_model_create wants, with the pool's own number of CPUs. tier: of TP_TIERS_MAX, filled in; it and
 * bound are what the options point to. bounds: at most TP_MODEL_BOUNDS_MAX. Before: the pool exists.
 */
struct tp_model_options tp_model_options_of(
	const tierpool *pool, struct tp_model_tier *tier, const size_t *bound, unsigned bounds);

#endif
