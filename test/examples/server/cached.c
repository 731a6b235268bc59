/* SPDX-License-Identifier: MIT */
/*
 * What is kept in memcached: /cached/KEY is read there, or else made and stored. The connections to
 * memcached are libmemcached's pool: one for each worker, none of which is opened before it is needed.
 *
 * A value is appended to the answer out of libmemcached's own result, which it reuses.
 */
#include <libmemcached/memcached.h>
#include <libmemcached/util.h>
#include <string.h>

#include "server.h"

enum { KEY_MAX = 200, LIFE = 60 /* seconds */ };

static memcached_pool_st *pool;

static memcached_return_t cached_append(
	const memcached_st *m, memcached_result_st *result, void *answer)
{
	struct answer *a = answer;
	(void)m;
	tierpool_buf_append(
		a->out, memcached_result_value(result), memcached_result_length(result));
	return MEMCACHED_SUCCESS;
}

/* True: the value was there. */
static bool cached_read(memcached_st *m, const char *key, size_t length, struct answer *a)
{
	memcached_execute_fn callback = cached_append;
	size_t before = a->out ? a->out->len : 0;
	return memcached_mget(m, &key, &length, 1) == MEMCACHED_SUCCESS &&
	       memcached_fetch_execute(m, &callback, a, 1) == MEMCACHED_SUCCESS && a->out &&
	       a->out->len > before;
}

static unsigned cached_make(const char *key, struct answer *a)
{
	static _Atomic long long made;
	struct json *j = json_begin(a->out);
	json_open_map(j);
	json_key(j, "key");
	json_text(j, key);
	json_key(j, "made");
	json_number(j, ++made);
	json_close_map(j);
	return json_end(j);
}

unsigned cached_get(const struct request *r, const char *argument, struct answer *a)
{
	struct timespec patience = {.tv_sec = 1};
	memcached_return_t code;
	size_t length = strlen(argument);
	(void)r;
	if (!pool)
		return HTTP_STATUS_NOT_IMPLEMENTED;
	if (length == 0 || length > KEY_MAX)
		return HTTP_STATUS_BAD_REQUEST;
	memcached_st *m = memcached_pool_fetch(pool, &patience, &code);
	if (!m)
		return HTTP_STATUS_SERVICE_UNAVAILABLE;
	unsigned status = HTTP_STATUS_OK;
	if (cached_read(m, argument, length, a)) {
		count(CACHED_HITS, 1);
	} else {
		count(CACHED_FILLS, 1);
		status = cached_make(argument, a);
		/* That it may not be stored is no fault of this request. */
		if (!tierpool_buf_error(a->out))
			memcached_set(m, argument, length, a->out->data + ANSWER_HEAD_MAX,
				a->out->len - ANSWER_HEAD_MAX, LIFE, 0);
	}
	memcached_pool_release(pool, m);
	return status;
}

void cached_start(void)
{
	char options[256];
	if (!settings.memcached)
		return;
	const char *format = *settings.memcached == '/'
				     ? "--SOCKET=\"%s\" --POOL-MIN=1 --POOL-MAX=%ld"
				     : "--SERVER=%s --TCP-NODELAY --POOL-MIN=1 --POOL-MAX=%ld";
	int n = snprintf(options, sizeof options, format, settings.memcached, settings.workers);
	if (n < (int)sizeof options)
		pool = memcached_pool(options, (size_t)n);
	if (!pool)
		fail(settings.memcached, "no server of memcached");
}

void cached_stop(void)
{
	if (pool)
		memcached_free(memcached_pool_destroy(pool));
}
