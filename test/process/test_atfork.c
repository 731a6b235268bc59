/* SPDX-License-Identifier: MIT */
/*
 * The registration of the handlers of fork fails, when the library is loaded and later.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>

#include <tierpool/cache.h>
#include <tierpool/pool.h>
#include <tierpool/profile.h>

static unsigned registered, refused;
static bool accepts;

/* In place of the C library's. */
int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
	if (!accepts || !prepare || !parent || !child) {
		refused++;
		return ENOMEM;
	}
	registered++;
	return 0;
}

TestSuite(atfork, .timeout = 30);

Test(atfork, nothing_is_made_until_forks_are_handled)
{
	tierpool *pool = (tierpool *)&registered;
	tierpool_cache *cache = (tierpool_cache *)&registered;
	tierpool_budget *budget = (tierpool_budget *)&registered;

	cr_assert_geq(refused, 1u, "registered when the library is loaded");
	cr_assert_eq(tierpool_create(&pool, NULL), -ENOMEM);
	cr_assert_null(pool);
	cr_assert_eq(tierpool_cache_create(&cache, NULL), -ENOMEM);
	cr_assert_null(cache);
	cr_assert_eq(tierpool_budget_create(&budget, 1), -ENOMEM);
	cr_assert_null(budget);
	cr_assert_eq(tierpool_reaper_start(), -ENOMEM);
	cr_assert_eq(tierpool_profile_start(0), -ENOMEM);
	errno = 0;
	cr_assert_null(tierpool_default());
	cr_assert_eq(errno, ENOMEM);
	accepts = true;
	cr_assert_eq(tierpool_create(&pool, NULL), 0);
	cr_assert_eq(tierpool_cache_create(&cache, NULL), 0);
	cr_assert_eq(tierpool_budget_create(&budget, 1), 0);
	cr_assert_eq(registered, 1u, "once");
	tierpool_cache_destroy(cache);
	tierpool_budget_destroy(budget);
	cr_assert_eq(tierpool_destroy(pool), 0);
}
