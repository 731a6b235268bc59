/* SPDX-License-Identifier: MIT */
/*
 * An HTTP/1.1 server with its buffers in tierpool. One thread waits for all connections with epoll; workers
 * answer, in GLib's GThreadPool; beside the buffer pools stand three pools of connections: libcurl's, to an
 * upstream server; libmemcached's; and APR's reslist, of SQLite connections.
 *
 * usage: server [--port=N] [--workers=N] [--queue=N] [--patience=SECONDS] [--upstream=URL]
 *               [--memcached=HOST:PORT|SOCKET] [--database=FILE]
 *
 * The first line that it prints is "port N". SIGTERM ends it: requests that are under way are answered
 * first. Then it prints both pools; exit status 1 if a buffer is missing.
 *
 * What it does not do: TLS, ranges, compression, "Expect: 100-continue".
 *
 * This file: the command line, the pools, the start and the end.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

struct settings settings = {
	.workers = 4, .queue = 256, .patience = 60, .database = "/tmp/tierpool-server.db"};
tierpool *requests, *answers;

void fail(const char *what, const char *why)
{
	fprintf(stderr, "server: %s: %s\n", what, why);
	exit(2);
}

static long main_number(const char *text, long least, long most)
{
	char *end;
	long n = strtol(text, &end, 10);
	if (end == text || *end || n < least || n > most)
		fail(text, "not a number, or out of range");
	return n;
}

static void main_read_arguments(int argc, char **argv)
{
	static const struct option options[] = {{"port", required_argument, NULL, 'p'},
		{"workers", required_argument, NULL, 'w'}, {"queue", required_argument, NULL, 'q'},
		{"patience", required_argument, NULL, 't'},
		{"upstream", required_argument, NULL, 'u'},
		{"memcached", required_argument, NULL, 'm'},
		{"database", required_argument, NULL, 'd'}, {NULL, 0, NULL, 0}};
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (option) {
		case 'p':
			settings.port = main_number(optarg, 0, 65535);
			break;
		case 'w':
			settings.workers = main_number(optarg, 1, 1000);
			break;
		case 'q':
			settings.queue = main_number(optarg, 0, 1000000);
			break;
		case 't':
			settings.patience = main_number(optarg, 1, 86400);
			break;
		case 'u':
			settings.upstream = optarg;
			break;
		case 'm':
			settings.memcached = optarg;
			break;
		case 'd':
			settings.database = optarg;
			break;
		default:
			exit(2);
		}
	}
}

/* Requests in the sizes of the pools of Go's net/http; what is larger is served, and not kept. */
static void main_make_pools(void)
{
	static const size_t tiers[] = {2 << 10, 4 << 10, 32 << 10};
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	tierpool_budget *budget;
	int error = tierpool_budget_create(&budget, 16 << 20);
	options.budget = budget;
	options.name = "answers";
	if (!error)
		error = tierpool_create(&answers, &options);
	options.name = "requests";
	options.tiers = tiers;
	options.tier_count = sizeof tiers / sizeof tiers[0];
	if (!error)
		error = tierpool_create(&requests, &options);
	tierpool_budget_destroy(budget); /* the pools keep it */
	if (error)
		fail("pools", strerror(-error));
}

static bool main_end_pool(tierpool *pool)
{
	tierpool_stats_print(pool, stdout);
	tierpool_sites_print(pool, stdout);
	size_t missing = tierpool_destroy(pool);
	if (missing)
		fprintf(stderr, "server: %zu buffers were not put back\n", missing);
	return missing == 0;
}

int main(int argc, char **argv)
{
	main_read_arguments(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	main_make_pools();
	json_start();
	upstream_start();
	cached_start();
	rows_start();
	connections_start();
	loop_start(); /* before any thread: it blocks signals */
	if (tierpool_reaper_start())
		fail("reaper", "no thread");
	workers_start();
	loop_run();
	workers_end();
	tierpool_reaper_stop();
	connections_end();
	rows_stop();
	cached_stop();
	upstream_stop();
	json_stop();
	bool good = main_end_pool(requests);
	return main_end_pool(answers) && good ? 0 : 1;
}
