/* SPDX-License-Identifier: MIT */
/*
 * Follows the default of a site: sites.h.
 */
#include "sites.h"

/* Returns: the least capacity of the last gets. */
static size_t site_least(const struct site_figures *s)
{
	size_t least = s->recent[0];

	for (uint64_t i = 1; i < RECENT && i < s->lent; i++)
		if (s->recent[i] < least)
			least = s->recent[i];
	return least;
}

static void site_default_is(struct site_figures *s, size_t size)
{
	/* A larger one shows itself as the least only RECENT gets after it came. */
	uint64_t get = size > s->default_size && s->lent > RECENT ? s->lent - RECENT + 1 : s->lent;

	s->changes += s->default_size ? 1 : 0;
	s->default_size = size;
	if (s->changes < DEFAULTS_MOST)
		s->defaults[s->changes] = (struct site_default){size, get};
}

void site_lent(struct site_figures *s, size_t cap, uint64_t first)
{
	size_t least;

	if (first && s->lent == first) {
		s->first_default = cap;
		s->first_growths = s->growths;
	}
	s->recent[s->lent++ % RECENT] = cap;
	least = site_least(s);
	if (least != s->default_size)
		site_default_is(s, least);
}

size_t site_defaults_kept(const struct site_figures *s)
{
	if (!s->lent)
		return 0;
	return s->changes < DEFAULTS_MOST ? s->changes + 1 : DEFAULTS_MOST;
}
