/* SPDX-License-Identifier: MIT */
/*
 * Adds to a trace in memory, and tells what each borrow needs: trace.h.
 */
#include "trace.h"

#include "storage.h"

size_t trace_pool(struct trace *t, const struct traced_pool *pool)
{
	t->pools = array_extend(t->pools, t->pool_count, sizeof *pool);
	t->pools[t->pool_count] = *pool;
	return t->pool_count++;
}

size_t trace_site(struct trace *t, const struct traced_site *site)
{
	t->sites = array_extend(t->sites, t->site_count, sizeof *site);
	t->sites[t->site_count] = *site;
	return t->site_count++;
}

static void trace_event(struct trace *t, const struct event *event)
{
	t->events = array_extend(t->events, t->event_count, sizeof *t->events);
	t->events[t->event_count++] = *event;
}

size_t trace_get(struct trace *t, struct moment at, size_t site, size_t n, size_t lent)
{
	struct borrow borrow = {.site = site, .n = n, .cpu = at.cpu, .lent = lent, .cap = lent};

	if (t->slots_free_count)
		borrow.slot = t->slots_free[--t->slots_free_count];
	else
		borrow.slot = t->slot_count++;
	t->borrows = array_extend(t->borrows, t->borrow_count, sizeof borrow);
	t->borrows[t->borrow_count] = borrow;
	t->pools[t->sites[site].pool].gets++;
	trace_event(t, &(struct event){at, t->borrow_count, 0, EVENT_GET});
	return t->borrow_count++;
}

void trace_grow(struct trace *t, size_t borrow, size_t need, size_t len)
{
	struct borrow *b = &t->borrows[borrow];

	t->growths = array_extend(t->growths, t->growth_count, sizeof *t->growths);
	t->growths[t->growth_count++] = (struct growth){need, len, 0};
	if (b->growths)
		t->growths[b->growths_last - 1].next = t->growth_count;
	else
		b->growths = t->growth_count;
	b->growths_last = t->growth_count;
	b->len = len;
	trace_event(t, &(struct event){{t->events[t->event_count - 1].at.ns, b->cpu}, borrow,
			       t->growth_count, EVENT_GROWTH});
}

void trace_put(struct trace *t, struct moment at, size_t borrow, size_t len, size_t cap)
{
	struct borrow *b = &t->borrows[borrow];

	/* At most as many as there are slots are free at once. */
	t->slots_free = array_extend(t->slots_free, t->slots_free_count, sizeof *t->slots_free);
	t->slots_free[t->slots_free_count++] = b->slot;
	b->len = len;
	b->cap = cap;
	trace_event(t, &(struct event){at, borrow, 0, EVENT_PUT});
}

bool trace_outgrows(const struct trace *t, struct rest *rest, size_t cap, struct growth *next)
{
	while (rest->from && t->growths[rest->from - 1].need <= cap)
		rest->from = t->growths[rest->from - 1].next;
	if (!rest->from && rest->len <= cap)
		return false;
	if (rest->from && t->growths[rest->from - 1].len <= cap)
		*next = t->growths[rest->from - 1];
	else
		*next = (struct growth){cap + 1, cap, 0};
	return true;
}
