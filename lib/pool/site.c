/* SPDX-License-Identifier: MIT */
#include "pool/site.h"

#include <errno.h>
#include <string.h>

#include "base/compiler.h"

/* The highest number of a stub that a pool's table has: a program that loads plugins for ever. */
#define STUBS_MAX TP_SITES_MAX

/* ---- tables that grow ---- */

/*
 * An array of entries that are 0 until they are set. A larger one takes its place; the old one stays
 * until the end, since others may be reading it.
 */
struct tp_site_table {
	struct tp_site_table *older;
	uint32_t count;
	union site_entry {
		struct tp_site *site;
		uint64_t word;
	} entry[];
};

#define TABLE_FIRST 8

static size_t site_table_bytes(uint32_t count)
{
	return sizeof(struct tp_site_table) + count * sizeof(union site_entry);
}

/* In the lock: whether a table has an entry of this index. */
static bool site_table_has(const struct tp_site_table *table, uint32_t index)
{
	return table && index < table->count;
}

/*
 * Makes room for an entry of this index. Not in the lock, as it calls the backing. False: no memory.
 */
static bool site_table_reserve(struct tp_sites *sites, struct tp_site_table **table, uint32_t index)
{
	struct tp_site_table *larger;
	uint32_t count = TABLE_FIRST;
	bool taken;

	/* Acquire: a table that is seen is seen whole. Partner: the release below. */
	if (site_table_has(tp_load_acquire(table), index))
		return true;
	while (count <= index)
		count *= 2;
	larger = tp_backing_alloc(sites->options.backing, site_table_bytes(count));
	if (!larger)
		return false;
	memset(larger, 0, site_table_bytes(count));
	larger->count = count;
	tp_lock_take(&sites->lock);
	taken = !site_table_has(*table, index);
	if (taken) {
		larger->older = *table;
		if (*table)
			memcpy(larger->entry, (*table)->entry,
				(*table)->count * sizeof *larger->entry);
		tp_add_relaxed(&sites->bytes, site_table_bytes(count));
		tp_store_release(table, larger);
	}
	tp_lock_give(&sites->lock);
	if (!taken)
		tp_backing_free(sites->options.backing, larger, site_table_bytes(count));
	return true;
}

static void site_table_free(const struct tp_sites *sites, struct tp_site_table *table)
{
	while (table) {
		struct tp_site_table *older = table->older;

		tp_backing_free(sites->options.backing, table, site_table_bytes(table->count));
		table = older;
	}
}

struct tp_site *tp_site_of_number(const struct tp_sites *sites, uint32_t number)
{
	return tp_load_acquire(&sites->numbered)->entry[number].site;
}

uint32_t tp_site_recall(const struct tp_sites *sites, const tierpool_site *stub)
{
	const struct tp_site_table *words = tp_load_acquire(&sites->words);
	uint32_t number = tp_load_relaxed(&stub->tp_number);

	if (!words || number >= words->count)
		return 0;
	return (uint32_t)tp_load_acquire(&words->entry[number].word);
}

/* ---- nodes ---- */

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

static size_t site_bytes(const struct tp_site *site)
{
	return sizeof *site + strlen(site->file) + 1 + strlen(site->label) + 1;
}

static struct tp_site *site_create(struct tp_sites *sites, const tierpool_site *stub)
{
	size_t file = strlen(site_file(stub)) + 1, label = strlen(site_label(stub)) + 1;
	struct tp_site *site =
		tp_backing_alloc(sites->options.backing, sizeof *site + file + label);

	if (site) {
		char *strings = (char *)(site + 1);

		*site = (struct tp_site){.line = stub->tp_line,
			.file = memcpy(strings, site_file(stub), file),
			.label = memcpy(strings + file, site_label(stub), label)};
		tp_calibration_init(&sites->options.classes, &site->sizes, sites->options.tier);
	}
	return site;
}

static uint32_t site_next_number(const struct tp_sites *sites)
{
	return (uint32_t)tp_load_relaxed(&sites->count) + TP_SITE_OWN + 1;
}

static bool site_numbers_are_used_up(const struct tp_sites *sites)
{
	return site_next_number(sites) >= TP_SITES_MAX;
}

/* In the lock: enters a node under the next number, for which there is room. */
static void site_link(struct tp_sites *sites, struct tp_site *site, const tierpool_site *stub)
{
	struct tp_site **bucket = site_bucket(sites, stub);
	uint32_t number = site_next_number(sites);

	site->word = tp_site_word(sites->options.pool_id, number, sites->options.stack_offset);
	sites->numbered->entry[number].site = site;
	site->next = *bucket;
	tp_store_release(bucket, site);
	/* Release: who counts a node finds it by its number. Partner: report/sites.c. */
	tp_add_release(&sites->count, 1u);
	tp_add_relaxed(&sites->bytes, site_bytes(site));
}

/* Enters a node, unless there is one for the same place. Returns: that of the place, or NULL. */
static struct tp_site *site_add(
	struct tp_sites *sites, struct tp_site *site, const tierpool_site *stub)
{
	struct tp_site *found = NULL;

	while (!found && !site_numbers_are_used_up(sites)) {
		if (!site_table_reserve(sites, &sites->numbered, site_next_number(sites)))
			return NULL;
		tp_lock_take(&sites->lock);
		found = site_find(sites, stub);
		/* Again, if others have taken the numbers for which there was room. */
		if (!found && !site_numbers_are_used_up(sites) &&
			site_table_has(sites->numbered, site_next_number(sites))) {
			site_link(sites, site, stub);
			found = site;
		}
		tp_lock_give(&sites->lock);
	}
	return found;
}

static tp_cold struct tp_site *site_enter(struct tp_sites *sites, const tierpool_site *stub)
{
	struct tp_site *site = site_find(sites, stub), *made;

	if (site)
		return site;
	made = site_numbers_are_used_up(sites) ? NULL : site_create(sites, stub);
	if (!made)
		return &sites->own;
	site = site_add(sites, made, stub);
	if (site != made)
		tp_backing_free(sites->options.backing, made, site_bytes(made));
	return site ? site : &sites->own;
}

void tp_site_begin_with(struct tp_site *site, uint32_t stack_offset)
{
	uint64_t word = tp_load_relaxed(&site->word);

	tp_store_relaxed(
		&site->word, tp_site_word(tp_site_word_pool(word),
				     tp_site_word_number(tp_site_word_half(word)), stack_offset));
}

/* ---- stubs ---- */

/* Numbers a stub, if it has none. 0: there are no numbers left. */
static uint32_t site_stub_number(tierpool_site *stub)
{
	static uint32_t last; /* relaxed: a number only has to be unique */
	uint32_t number = tp_load_relaxed(&stub->tp_number), next = tp_load_relaxed(&last);

	while (!number && next < STUBS_MAX && !tp_cas_relaxed(&last, &next, next + 1))
		;
	/* If another thread numbers it too, the later number stays, and the table learns it. */
	if (!number && next < STUBS_MAX) {
		number = next + 1;
		tp_store_relaxed(&stub->tp_number, number);
	}
	return number;
}

/* Writes what is now the word into the table. */
static void site_note(struct tp_sites *sites, const struct tp_site *site, uint32_t number)
{
	if (!number || !site_table_reserve(sites, &sites->words, number))
		return;
	tp_lock_take(&sites->lock);
	/* Release: who reads the word finds its node. Partner: tp_site_recall. */
	tp_store_release(&sites->words->entry[number].word,
		(uint64_t)tp_site_word_half(tp_load_relaxed(&site->word)));
	tp_lock_give(&sites->lock);
}

/* Whether it is the pool's own in place of one for which there was no memory: that is not noted. */
static bool site_stands_in(
	const struct tp_sites *sites, const struct tp_site *site, const tierpool_site *stub)
{
	return site == &sites->own && stub != &sites->own_stub && !site_numbers_are_used_up(sites);
}

tp_cold void tp_site_renew(
	struct tp_sites *sites, const struct tp_site *site, tierpool_site *stub, bool claim)
{
	uint64_t word = tp_load_relaxed(&site->word), has = tp_site_stub_word(stub);

	if (site_stands_in(sites, site, stub))
		return;
	/* No other pool has the own one. */
	if (stub != &sites->own_stub && tp_site_recall(sites, stub) != tp_site_word_half(word))
		site_note(sites, site, site_stub_number(stub));
	/* Not that of another pool, unless it is claimed. */
	if (sites->options.pool_id && has != word &&
		(claim || !has || tp_site_word_pool(has) == sites->options.pool_id))
		/* Release, as in site_note. Partner: tp_site_stub_word. */
		tp_store_release(&stub->tp_word, word);
}

/* Whether a stub may go on with the half that it has: there is one, and not that of a new place. */
static bool site_is_settled(const struct tp_sites *sites, const struct tp_site *site, uint32_t half)
{
	return half == tp_site_word_half(tp_load_relaxed(&site->word)) ||
	       (half && tp_site_word_offset(half) != sites->options.stack_offset);
}

struct tp_site *tp_site_of_stub(struct tp_sites *sites, tierpool_site *stub)
{
	uint32_t half = tp_site_half(sites, stub);
	struct tp_site *site;

	if (tp_likely(tp_site_word_number(half)))
		site = tp_site_of_number(sites, tp_site_word_number(half));
	else
		site = stub == &sites->own_stub ? &sites->own : site_enter(sites, stub);
	if (tp_unlikely(!site_is_settled(sites, site, half)))
		tp_site_renew(sites, site, stub, false);
	return site;
}

/* ---- all of a pool's ---- */

int tp_sites_init(struct tp_sites *sites, const struct tp_sites_options *options)
{
	memset(sites, 0, sizeof *sites);
	sites->options = *options;
	tp_lock_init(&sites->lock);
	if (!site_table_reserve(sites, &sites->numbered, TP_SITE_OWN)) {
		tp_lock_fini(&sites->lock);
		return -ENOMEM;
	}
	sites->own.file = sites->own.label = "";
	sites->own.word = tp_site_word(sites->options.pool_id, TP_SITE_OWN, options->stack_offset);
	tp_calibration_init(&sites->options.classes, &sites->own.sizes, options->tier);
	sites->numbered->entry[TP_SITE_OWN].site = &sites->own;
	return 0;
}

void tp_sites_fini(struct tp_sites *sites)
{
	for (unsigned i = 0; i < TP_SITE_BUCKETS; i++)
		for (struct tp_site *site = sites->bucket[i], *next; site; site = next) {
			next = site->next;
			tp_backing_free(sites->options.backing, site, site_bytes(site));
		}
	site_table_free(sites, sites->numbered);
	site_table_free(sites, sites->words);
	tp_lock_fini(&sites->lock);
}

void tp_sites_forked(struct tp_sites *sites)
{
	tp_calibration_forked(&sites->own.sizes);
	for (unsigned i = 0; i < TP_SITE_BUCKETS; i++)
		for (struct tp_site *site = sites->bucket[i]; site; site = site->next)
			tp_calibration_forked(&site->sizes);
}
