/* SPDX-License-Identifier: MIT */
/*
 * The workers: a GThreadPool with a bound on its threads, and one on its queue. Submitting never waits: if
 * the queue is full, the answer is 503 at once.
 *
 * Buffers go from thread to thread with their connection: the worker borrows the answer, the loop puts it
 * back.
 */
#include <glib.h>

#include "server.h"

static GThreadPool *threads;
static GMutex lock;
static struct connection *done; /* by lock */

static void workers_answer(gpointer data, gpointer unused)
{
	struct connection *c = data;
	struct answer *a = &c->answer;
	(void)unused;
	answer_begin(a, &c->route->site);
	a->status = c->route->run(&c->request, c->argument, a);
	if (!answer_end(a, &c->request)) {
		tierpool_put(a->out);
		a->out = NULL;
	}
	g_mutex_lock(&lock);
	bool first = !done;
	c->next_done = done;
	done = c;
	g_mutex_unlock(&lock);
	if (first) /* else the loop is awake, or about to be */
		loop_wake();
}

void workers_submit(struct connection *c)
{
	/* Only this thread adds to the queue, so it does not grow between look and push. */
	if (c->route->waits && g_thread_pool_unprocessed(threads) >= settings.queue) {
		count(REFUSED, 1);
		c->route = &route_refuse;
	}
	if (c->route->waits)
		g_thread_pool_push(threads, c, NULL);
	else
		workers_answer(c, NULL);
}

struct connection *workers_take_done(void)
{
	g_mutex_lock(&lock);
	struct connection *all = done;
	done = NULL;
	g_mutex_unlock(&lock);
	return all;
}

void workers_start(void)
{
	GError *error = NULL;
	threads = g_thread_pool_new(workers_answer, NULL, (int)settings.workers, TRUE, &error);
	if (error)
		fail("workers", error->message);
}

void workers_end(void)
{
	g_thread_pool_free(threads, FALSE, TRUE);
}
