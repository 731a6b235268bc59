/* SPDX-License-Identifier: MIT */
#include "site.h"

#include <string.h>

void tp_sites_init(struct tp_sites *sites)
{
	memset(sites, 0, sizeof *sites);
	pthread_mutex_init(&sites->lock, NULL);
}

void tp_sites_fini(struct tp_sites *sites, const struct tp_backing *backing)
{
	for (unsigned i = 0; i < TP_SITE_BUCKETS; i++)
		for (struct tp_site *site = sites->bucket[i], *next; site; site = next) {
			next = site->next;
			tp_backing_free(backing, site, site->bytes);
		}
	pthread_mutex_destroy(&sites->lock);
}

static struct tp_site **site_bucket(struct tp_sites *sites, const tierpool_site *stub)
{
	uint32_t hash = stub->tp_line;

	/* FNV-1a, 32 bits. */
	for (const char *c = stub->tp_file; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 16777619u;
	return &sites->bucket[hash % TP_SITE_BUCKETS];
}

/* In the lock. The node of a place, or NULL. */
static struct tp_site *site_find(struct tp_sites *sites, const tierpool_site *stub)
{
	struct tp_site *site = *site_bucket(sites, stub);

	while (site && (site->line != stub->tp_line || strcmp(site->file, stub->tp_file) ||
			       strcmp(site->label, stub->tp_label)))
		site = site->next;
	return site;
}

static struct tp_site *site_create(const tierpool_site *stub, const struct tp_backing *backing)
{
	size_t file = strlen(stub->tp_file) + 1, label = strlen(stub->tp_label) + 1;
	size_t bytes = sizeof(struct tp_site) + file + label;
	struct tp_site *site = tp_backing_alloc(backing, bytes);

	if (site) {
		char *strings = (char *)(site + 1);

		*site = (struct tp_site){.bytes = bytes,
			.line = stub->tp_line,
			.file = memcpy(strings, stub->tp_file, file),
			.label = memcpy(strings + file, stub->tp_label, label)};
	}
	return site;
}

/* In the lock. Enters a node that site_find has just not found. */
static void site_add(struct tp_sites *sites, struct tp_site *site, const tierpool_site *stub)
{
	struct tp_site **bucket = site_bucket(sites, stub);

	site->next = *bucket;
	*bucket = site;
	tp_add_relaxed(&sites->count, 1u);
	tp_add_relaxed(&sites->bytes, site->bytes);
}

void tp_site_enter(struct tp_sites *sites, const struct tp_backing *backing, tierpool_site *stub,
	uint32_t pool_id)
{
	struct tp_site *made;
	bool known;

	pthread_mutex_lock(&sites->lock);
	known = site_find(sites, stub);
	pthread_mutex_unlock(&sites->lock);
	if (!known) {
		made = site_create(stub, backing);
		if (!made)
			return;
		pthread_mutex_lock(&sites->lock);
		/* Another thread may have entered it while the lock was open. */
		known = site_find(sites, stub);
		if (!known)
			site_add(sites, made, stub);
		pthread_mutex_unlock(&sites->lock);
		if (known)
			tp_backing_free(backing, made, made->bytes);
	}
	tp_store_relaxed(&stub->tp_state, (uint64_t)pool_id);
}
