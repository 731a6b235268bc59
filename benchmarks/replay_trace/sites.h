/* SPDX-License-Identifier: MIT */
/*
 * What is seen of sites: the capacities that gets without a size were lent, and at the end what the
 * pool says itself.
 */
#ifndef SITES_H
#define SITES_H

#include <stddef.h>
#include <stdint.h>

#define RECENT 8 /* gets; a larger buffer that is lent in place of another is gone by then */
#define DEFAULTS_MOST 16 /* that are kept; the others are only counted */

struct site_figures {
	uint64_t gets;    /* all of them */
	uint64_t lent;    /* those without a size; the next four are of these */
	uint64_t growths; /* of all gets */
	/* The default is the least capacity of the last RECENT gets. It was so from this get on. */
	uint64_t changes;
	struct site_default {
		size_t size;
		uint64_t get; /* from 1 */
	} defaults[DEFAULTS_MOST];
	size_t default_size, recent[RECENT];
	/* After as many gets without a size as were asked for; 0: it had fewer. */
	size_t first_default;
	uint64_t first_growths;
};

struct sites_seen {
	struct site_figures *figures; /* of each site of the trace; of malloc */
	uint64_t first; /* after this many gets of a site its first figures are taken; 0: never */
	char *printed;  /* by tierpool_sites_print of each pool at the end; of malloc */
};

/* Notes a get without a size. first: after how many of them the first figures are taken. */
void site_lent(struct site_figures *s, size_t cap, uint64_t first);

/* Returns: how many of the defaults are kept. */
size_t site_defaults_kept(const struct site_figures *s);

#endif
