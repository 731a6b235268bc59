/* SPDX-License-Identifier: MIT */
/*
 * What the server tells of itself: /metrics for Prometheus, its own counters and then all that tierpool
 * counts; /stats for people.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "server.h"

/* Those of one name, which differ in a label, stand together, and the first one has the help. */
/* clang-format off */
static const struct {
	const char *name, *label, *help;
} families[COUNTERS] = {
	[ANSWERS_2XX] = {"answers_total", "{code=\"2xx\"}", "Answers, by the class of their status."},
	[ANSWERS_4XX] = {"answers_total", "{code=\"4xx\"}", NULL},
	[ANSWERS_5XX] = {"answers_total", "{code=\"5xx\"}", NULL},
	[REFUSED] = {"refused_total", "", "Requests refused since the queue of the workers was full."},
	[CONNECTIONS] = {"connections_total", "", "Connections accepted."},
	[UPSTREAM_FETCHES] = {"upstream_fetches_total", "", "Answers of the upstream."},
	[UPSTREAM_CONNECTS] = {"upstream_connects_total", "", "Connections opened to it."},
	[CACHED_HITS] = {"cached_hits_total", "", "Values found in memcached."},
	[CACHED_FILLS] = {"cached_fills_total", "", "Values made, and stored there."},
	[ROW_CONNECTS] = {"row_connects_total", "", "Connections opened to the database."},
};
/* clang-format on */
static atomic_ulong counters[COUNTERS];

void count(enum counter which, unsigned long n)
{
	atomic_fetch_add_explicit(&counters[which], n, memory_order_relaxed);
}

static int metrics_write(FILE *stream)
{
	for (int i = 0; i < COUNTERS; i++) {
		const char *name = families[i].name;
		if (families[i].help)
			fprintf(stream, "# HELP server_%s %s\n# TYPE server_%s counter\n", name,
				families[i].help, name);
		fprintf(stream, "server_%s%s %lu\n", name, families[i].label,
			atomic_load(&counters[i]));
	}
	return tierpool_metrics_write(stream);
}

static int stats_write(FILE *stream)
{
	tierpool *const pools[] = {requests, answers};
	int error = 0;
	for (int i = 0; i < 2 && !error; i++) {
		error = tierpool_stats_print(pools[i], stream);
		if (!error)
			error = tierpool_sites_print(pools[i], stream);
	}
	return error;
}

/* The answer is what write prints. */
static unsigned metrics_print(struct answer *a, const char *type, int (*write)(FILE *stream))
{
	FILE *stream = tierpool_buf_open(a->out);
	int error = stream ? write(stream) : -errno;
	if (stream && fclose(stream) != 0)
		error = -errno;
	answer_type(a, type);
	return error ? answer_error(a, HTTP_STATUS_INTERNAL_SERVER_ERROR) : HTTP_STATUS_OK;
}

unsigned metrics_get(const struct request *r, const char *argument, struct answer *a)
{
	(void)r;
	(void)argument;
	return metrics_print(a, "text/plain; version=0.0.4; charset=utf-8", metrics_write);
}

unsigned stats_get(const struct request *r, const char *argument, struct answer *a)
{
	(void)r;
	(void)argument;
	return metrics_print(a, "text/plain; charset=utf-8", stats_write);
}
