/* SPDX-License-Identifier: MIT */
#include "pool/misuse.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/probe.h"
#include "memory/bufhead.h"
#include "memory/bufstate.h"
#include "process/registry.h"

/* Bytes of a pool's name that a handler is told. */
#define NAME_MOST 256

static tierpool_misuse_handler *misuse_handler;
static uint64_t misuse_reports;

tierpool_misuse_handler *tierpool_on_misuse(tierpool_misuse_handler *handler)
{
	/* Release: the handler finds what was done before. Partner: the acquire in tp_misuse. */
	return tp_exchange_acq_rel(&misuse_handler, handler);
}

tp_cold void tp_misuse(const tierpool_buf *b, const char *what)
{
	tierpool_misuse_handler *handler = tp_load_acquire(&misuse_handler);
	/* The header may be overwritten: its pool is used only if it is one that exists. */
	struct tp_registered *pool = (struct tp_registered *)b->tp_pool;
	bool known = tp_registry_hold(pool, TP_KIND_POOL);
	size_t cap = b->cap;
	char name[NAME_MOST];

	snprintf(name, sizeof name, "%s", known ? pool->name : "unknown pool");
	/* Here, as the handler may not return. If it is the last reference, the buffer goes too. */
	if (known)
		tp_registry_let_go(pool);
	tp_add_relaxed(&misuse_reports, 1u);
	tp_probe(misuse, tp_probe_text(name), tp_probe_text(what), cap);
	if (!handler) {
		fprintf(stderr, "tierpool: %s%s: buffer %p (%zu bytes): %s\n", known ? "pool " : "",
			name, (const void *)b, cap, what);
		abort();
	}
	handler(name, what, b);
}

uint64_t tp_misuse_count(void)
{
	return tp_load_relaxed(&misuse_reports);
}

tp_cold bool tp_misuse_check(const tierpool_buf *b, bool put)
{
	bool ours = tp_bufstate_is_ours(b);

	if (!ours && !tp_bufhead_is_gone(b))
		tp_misuse(b, "its header was overwritten");
	else if (!ours || !tp_bufstate_has(b, TP_STATE_BORROWED))
		tp_misuse(b, put ? "put twice" : "used after it was put");
	else if (b->len > b->cap)
		tp_misuse(b, "its length is beyond its capacity");
	else
		return true;
	return false;
}
