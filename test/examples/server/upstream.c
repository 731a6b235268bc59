/* SPDX-License-Identifier: MIT */
/*
 * What is fetched from another server: /upstream/PATH is what the upstream answers to /PATH. libcurl keeps
 * the connections of an easy handle open. The handles lie idle in an object cache, which gives a worker the
 * one that was last put back on its CPU; curl_easy_reset forgets the request, not the connections. One that
 * nobody uses is destroyed after two decay steps, and its connections with it.
 *
 * The body goes into the answer as it comes.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include <tierpool/callbacks.h>

#include "server.h"

static tierpool_cache *handles;

/* What the upstream answered, once the transfer is over. */
static unsigned upstream_status(CURL *handle, struct answer *a)
{
	long status = 0, connects = 0;
	const char *type = NULL;
	curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(handle, CURLINFO_NUM_CONNECTS, &connects);
	curl_easy_getinfo(handle, CURLINFO_CONTENT_TYPE, &type);
	count(UPSTREAM_FETCHES, 1);
	count(UPSTREAM_CONNECTS, (unsigned long)connects);
	snprintf(a->type, sizeof a->type, "%s", type ? type : "application/octet-stream");
	return status >= 200 && status < 600 ? (unsigned)status : HTTP_STATUS_BAD_GATEWAY;
}

unsigned upstream_fetch(const struct request *r, const char *argument, struct answer *a)
{
	(void)r;
	if (!settings.upstream)
		return HTTP_STATUS_NOT_IMPLEMENTED;
	tierpool_buf *url = tierpool_get(answers);
	CURL *handle = tierpool_cache_get(handles);
	tierpool_buf_printf(url, "%s/%s", settings.upstream, argument);
	const char *address = tierpool_buf_cstr(url);
	unsigned status = HTTP_STATUS_INTERNAL_SERVER_ERROR;
	if (handle && address) {
		curl_easy_reset(handle);
		curl_easy_setopt(handle, CURLOPT_URL, address);
		curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http");
		curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(handle, CURLOPT_TIMEOUT, 5L);
		curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, tierpool_write_cb_curl);
		curl_easy_setopt(handle, CURLOPT_WRITEDATA, a->out);
		CURLcode code = curl_easy_perform(handle);
		if (code == CURLE_OK)
			status = upstream_status(handle, a);
		else if (code == CURLE_OPERATION_TIMEDOUT)
			status = answer_error(a, HTTP_STATUS_GATEWAY_TIMEOUT);
		else
			status = answer_error(a, HTTP_STATUS_BAD_GATEWAY);
	}
	tierpool_cache_put(handles, handle);
	tierpool_put(url);
	return status;
}

static void *upstream_create(void *unused)
{
	(void)unused;
	return curl_easy_init();
}

static void upstream_destroy(void *unused, void *handle)
{
	(void)unused;
	curl_easy_cleanup(handle);
}

void upstream_start(void)
{
	struct tierpool_cache_options options = TIERPOOL_CACHE_OPTIONS_INIT;
	options.name = "upstream";
	options.create = upstream_create;
	options.destroy = upstream_destroy;
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		fail("upstream", "libcurl does not start");
	int error = tierpool_cache_create(&handles, &options);
	if (error)
		fail("upstream", strerror(-error));
}

void upstream_stop(void)
{
	tierpool_cache_destroy(handles);
	curl_global_cleanup();
}
