/* SPDX-License-Identifier: MIT */
#include "pool/site.h"

#include <string.h>

#include "base/compiler.h"

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

/* A stub that was made by hand may lack a string. */
static const char *site_file(const tierpool_site *stub)
{
	return stub->tp_file ? stub->tp_file : "";
}

static const char *site_label(const tierpool_site *stub)
{
	return stub->tp_label ? stub->tp_label : "";
}

static struct tp_site **site_bucket(struct tp_sites *sites, const tierpool_site *stub)
{
	uint32_t hash = stub->tp_line;

	/* FNV-1a, 32 bits. */
	for (const char *c = site_file(stub); *c; c++)
		hash = (hash ^ (unsigned char)*c) * 16777619u;
	return &sites->bucket[hash % TP_SITE_BUCKETS];
}

/* The node of a stub's place, or NULL. Takes no lock: nodes never leave a bucket. */
static struct tp_site *site_find(struct tp_sites *sites, const tierpool_site *stub)
{
	/* Acquire: a node that is seen is seen whole. Partner: the release in site_add. */
	struct tp_site *site = tp_load_acquire(site_bucket(sites, stub));

	while (site && (site->line != stub->tp_line || strcmp(site->file, site_file(stub)) ||
			       strcmp(site->label, site_label(stub))))
		site = site->next;
	return site;
}

static struct tp_site *site_create(const tierpool_site *stub, const struct tp_backing *backing)
{
	size_t file = strlen(site_file(stub)) + 1, label = strlen(site_label(stub)) + 1;
	size_t bytes = sizeof(struct tp_site) + file + label;
	struct tp_site *site = tp_backing_alloc(backing, bytes);

	if (site) {
		char *strings = (char *)(site + 1);

		*site = (struct tp_site){.bytes = bytes,
			.line = stub->tp_line,
			.file = memcpy(strings, site_file(stub), file),
			.label = memcpy(strings + file, site_label(stub), label)};
	}
	return site;
}

/* Enters a node. False: another thread entered one for the same place before. */
static bool site_add(struct tp_sites *sites, struct tp_site *site, const tierpool_site *stub)
{
	struct tp_site **bucket = site_bucket(sites, stub);
	bool added;

	pthread_mutex_lock(&sites->lock);
	added = !site_find(sites, stub);
	if (added) {
		site->next = *bucket;
		tp_store_release(bucket, site);
		tp_add_relaxed(&sites->count, 1u);
		tp_add_relaxed(&sites->bytes, site->bytes);
	}
	pthread_mutex_unlock(&sites->lock);
	return added;
}

tp_cold void tp_site_enter(struct tp_sites *sites, const struct tp_backing *backing,
	tierpool_site *stub, uint64_t pool_id)
{
	if (!site_find(sites, stub)) {
		struct tp_site *made = site_create(stub, backing);

		if (!made)
			return;
		if (!site_add(sites, made, stub))
			tp_backing_free(backing, made, made->bytes);
	}
	tp_store_relaxed(&stub->tp_state, pool_id);
}
