/* SPDX-License-Identifier: MIT */
/*
 * The process's own pool. Owns it, and what the environment says of it: an operator has no other way to
 * set the options of a pool that lies inside a library, so a variable overrides what the program says.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/keep_errno.h"
#include "base/options.h"
#include "pool/pool.h"

#define UNITS "KMG"

static tierpool *default_pool;

/* ---- the environment ---- */

/* What it says of the options; 0: nothing. Written once. */
static struct default_wishes {
	size_t retain, max_size;
	unsigned decay_ms;
} default_wishes;

static void default_ignore(const char *name, const char *wish, const char *why)
{
	fprintf(stderr, "tierpool: %s=%s: %s; ignored\n", name, wish, why);
}

/* A number, followed by at most one of units, each of which is 1024 times the one before. False: it is none. */
static bool default_number(const char *wish, const char *units, size_t *number)
{
	const char *unit;
	char *end;
	unsigned long long n;
	unsigned shift = 0;

	if (*wish < '0' || *wish > '9')
		return false;
	errno = 0;
	n = strtoull(wish, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
	}
	*number = (size_t)n << shift;
	return !errno && !*end && *number >> shift == n;
}

static void default_read(void)
{
	TP_KEEP_ERRNO;
	const char *retain = secure_getenv("TIERPOOL_RETAIN");
	const char *max_size = secure_getenv("TIERPOOL_MAX_SIZE");
	const char *decay_ms = secure_getenv("TIERPOOL_DECAY_MS");
	size_t n;

	if (retain && default_number(retain, UNITS, &n))
		default_wishes.retain = n ? n : TIERPOOL_RETAIN_NONE;
	else if (retain)
		default_ignore(
			"TIERPOOL_RETAIN", retain, "no number of bytes (such as 65536, 64M)");
	if (max_size && default_number(max_size, UNITS, &n) && n)
		default_wishes.max_size = n;
	else if (max_size)
		default_ignore("TIERPOOL_MAX_SIZE", max_size,
			"no number of bytes (such as 65536, 64K) above 0");
	if (decay_ms && !strcmp(decay_ms, "never"))
		default_wishes.decay_ms = TIERPOOL_DECAY_NEVER;
	else if (decay_ms && default_number(decay_ms, "", &n) && n && n < TIERPOOL_DECAY_NEVER)
		default_wishes.decay_ms = (unsigned)n;
	else if (decay_ms)
		default_ignore("TIERPOOL_DECAY_MS", decay_ms,
			"neither a number of milliseconds above 0 nor never");
}

/* ---- */

/* Makes a pool of the options, NULL or those of a program, and the environment. */
static int default_create(tierpool **out, const struct tierpool_options *options)
{
	static pthread_once_t done = PTHREAD_ONCE_INIT;
	struct tierpool_options wished = TIERPOOL_OPTIONS_INIT;
	size_t max_size;
	int error = options ? tp_options_copy(&wished, sizeof wished, options) : 0;

	if (error)
		return error;
	pthread_once(&done, default_read);
	wished.size = sizeof wished;
	if (default_wishes.retain)
		wished.retain = default_wishes.retain;
	if (default_wishes.decay_ms)
		wished.decay_ms = default_wishes.decay_ms;
	max_size = wished.max_size;
	if (default_wishes.max_size)
		wished.max_size = default_wishes.max_size;
	error = tierpool_create(out, &wished);
	/* It may not go with what else the program says, such as its tiers, or be too large. */
	if (error == -EINVAL && default_wishes.max_size) {
		wished.max_size = max_size;
		error = tierpool_create(out, &wished);
		if (!error)
			default_ignore("TIERPOOL_MAX_SIZE", secure_getenv("TIERPOOL_MAX_SIZE"),
				"does not go with the other options of the default pool");
	}
	return error;
}

/* Makes the pool. Returns: 0, or as tierpool_create; -EBUSY: another thread was first. */
static int default_make(const struct tierpool_options *options)
{
	tierpool *pool, *published = NULL;
	int error = default_create(&pool, options);

	/* No lock prevents that two are made: a fork could leave it locked. */
	if (error || tp_cas_strong_acq_rel(&default_pool, &published, pool))
		return error;
	tierpool_destroy(pool);
	return -EBUSY;
}

int tierpool_default_setup(const struct tierpool_options *options)
{
	/* Relaxed: nothing of the pool is read. */
	return tp_load_relaxed(&default_pool) ? -EBUSY : default_make(options);
}

tierpool *tierpool_default(void)
{
	/* Acquire: a thread that sees the pool sees it whole. Partner: the exchange in default_make. */
	tierpool *pool = tp_load_acquire(&default_pool);
	int error;

	if (tp_likely(pool))
		return pool;
	error = default_make(NULL);
	pool = tp_load_acquire(&default_pool); /* this thread's or another's */
	if (!pool)
		errno = -error;
	return pool;
}

bool tp_pool_is_default(const tierpool *pool)
{
	return pool == tp_load_acquire(&default_pool); /* as in tierpool_default */
}
