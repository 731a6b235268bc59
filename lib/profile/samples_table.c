/* SPDX-License-Identifier: MIT */
#include "profile/samples_table.h"

#include <stdlib.h>
#include <string.h>

#define OUT_BUCKETS_FIRST 1024

/* Of a number: multiplicative (Knuth, TAOCP 3, 6.4). */
static size_t samples_table_hash(uint64_t n)
{
	return (size_t)(n * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

/* ---- places ---- */

char *tp_samples_copy(char **to, const char *string)
{
	size_t length = strlen(string) + 1;
	char *copy = memcpy(*to, string, length);

	*to += length;
	return copy;
}

static struct tp_place **samples_table_place_bucket(const void *site, uint64_t pool_id)
{
	return &tp_samples.place[samples_table_hash((uintptr_t)site + pool_id) % TP_PLACE_BUCKETS];
}

static void samples_table_enter_place(struct tp_place *place)
{
	struct tp_place **bucket = samples_table_place_bucket(place->site, place->pool_id);

	place->next = *bucket;
	*bucket = place;
	if (!tp_samples.youngest)
		tp_samples.youngest = &tp_samples.oldest;
	*tp_samples.youngest = place;
	tp_samples.youngest = &place->newer;
	place->newer = NULL;
	tp_samples.places++;
}

struct tp_place *tp_samples_place(const struct tp_sampled_get *get)
{
	struct tp_place *place = *samples_table_place_bucket(get->site, get->pool_id);
	char *strings;

	while (place && (place->site != get->site || place->pool_id != get->pool_id))
		place = place->next;
	if (place || tp_samples.places >= TP_PLACES_MOST)
		return place;
	place = calloc(
		1, sizeof *place + strlen(get->pool) + strlen(get->file) + strlen(get->label) + 3);
	if (!place)
		return NULL;
	strings = (char *)(place + 1);
	place->pool = tp_samples_copy(&strings, get->pool);
	place->file = tp_samples_copy(&strings, get->file);
	place->label = tp_samples_copy(&strings, get->label);
	place->site = get->site;
	place->pool_id = get->pool_id;
	place->line = get->line;
	samples_table_enter_place(place);
	return place;
}

/* ---- stacks ---- */

struct tp_stack_node *tp_samples_stack(struct tp_place *place, const struct tp_stacktrace *trace)
{
	size_t bytes = trace->depth * sizeof trace->frame[0];
	uint64_t hash = (uintptr_t)place;
	struct tp_stack_node **bucket, *stack;

	for (unsigned i = 0; i < trace->depth; i++)
		hash = samples_table_hash(hash ^ trace->frame[i]);
	bucket = &tp_samples.stack[hash % TP_STACK_BUCKETS];
	for (stack = *bucket; stack; stack = stack->next)
		if (stack->place == place && stack->depth == trace->depth &&
			!memcmp(stack->frame, trace->frame, bytes))
			return stack;
	stack = tp_samples.stacks < TP_STACKS_MOST ? calloc(1, sizeof *stack + bytes) : NULL;
	if (!stack)
		return NULL;
	stack->place = place;
	stack->depth = trace->depth;
	memcpy(stack->frame, trace->frame, bytes);
	stack->next = *bucket;
	*bucket = stack;
	tp_samples.stacks++;
	return stack;
}

/* ---- buffers that are out ---- */

static struct tp_sample **samples_table_out_bucket(const void *buffer)
{
	return &tp_samples.out[samples_table_hash((uintptr_t)buffer / TP_LINE) &
			       (tp_samples.out_buckets - 1)];
}

/* Where the link to a buffer's sample is; or a link that is NULL. Before: there are buckets. */
static struct tp_sample **samples_table_out_link(const void *buffer)
{
	struct tp_sample **link = samples_table_out_bucket(buffer);

	while (*link && (*link)->buffer != buffer)
		link = &(*link)->next;
	return link;
}

/* Twice as many buckets, if there is memory. */
static void samples_table_out_widen(void)
{
	struct tp_sample **old = tp_samples.out;
	size_t buckets = tp_samples.out_buckets;
	size_t more = buckets ? 2 * buckets : OUT_BUCKETS_FIRST;
	struct tp_sample **wider = calloc(more, sizeof(struct tp_sample *));

	if (!wider)
		return;
	tp_samples.out = wider;
	tp_samples.out_buckets = more;
	for (size_t i = 0; i < buckets; i++)
		for (struct tp_sample *sample = old[i], *next; sample; sample = next) {
			struct tp_sample **bucket = samples_table_out_bucket(sample->buffer);

			next = sample->next;
			sample->next = *bucket;
			*bucket = sample;
		}
	free(old);
}

struct tp_sample *tp_samples_find(const void *buffer)
{
	return tp_samples.out_buckets ? *samples_table_out_link(buffer) : NULL;
}

struct tp_sample *tp_samples_take(const void *buffer)
{
	struct tp_sample **link, *sample;

	if (!tp_samples.out_buckets)
		return NULL;
	link = samples_table_out_link(buffer);
	sample = *link;
	if (sample) {
		*link = sample->next;
		tp_samples.outs--;
	}
	return sample;
}

void tp_samples_give(struct tp_sample *sample)
{
	sample->next = tp_samples.spare;
	tp_samples.spare = sample;
}

struct tp_sample *tp_samples_new(const void *buffer)
{
	/* There is one if its put was not seen: the state of the header was overwritten. */
	struct tp_sample *sample = tp_samples_take(buffer), **bucket;

	if (tp_samples.outs >= tp_samples.out_buckets)
		samples_table_out_widen();
	if (!tp_samples.out_buckets)
		return NULL;
	if (!sample && (sample = tp_samples.spare))
		tp_samples.spare = sample->next;
	if (!sample)
		sample = malloc(sizeof *sample);
	if (!sample)
		return NULL;
	bucket = samples_table_out_bucket(buffer);
	*sample = (struct tp_sample){.next = *bucket, .buffer = buffer};
	*bucket = sample;
	tp_samples.outs++;
	return sample;
}

/* ---- all of it ---- */

void tp_samples_forget_out(void)
{
	for (size_t i = 0; i < tp_samples.out_buckets; i++)
		while (tp_samples.out[i]) {
			struct tp_sample *sample = tp_samples.out[i];

			tp_samples.out[i] = sample->next;
			tp_samples_give(sample);
		}
	tp_samples.outs = 0;
}

static void samples_table_free_stacks(void)
{
	for (size_t i = 0; i < TP_STACK_BUCKETS; i++)
		while (tp_samples.stack[i]) {
			struct tp_stack_node *stack = tp_samples.stack[i];

			tp_samples.stack[i] = stack->next;
			free(stack);
		}
	tp_samples.stacks = 0;
}

/* Those that threads use without the lock stay, with sums of 0. */
static void samples_table_free_places(void)
{
	struct tp_place *place = tp_samples.oldest, *newer;

	memset(tp_samples.place, 0, sizeof tp_samples.place);
	tp_samples.oldest = NULL;
	tp_samples.youngest = &tp_samples.oldest;
	tp_samples.places = 0;
	for (; place; place = newer) {
		newer = place->newer;
		if (place->users) {
			memset(&place->gets, 0, sizeof *place - offsetof(struct tp_place, gets));
			samples_table_enter_place(place);
		} else {
			free(place);
		}
	}
}

static void samples_table_free_spare(void)
{
	while (tp_samples.spare) {
		struct tp_sample *sample = tp_samples.spare;

		tp_samples.spare = sample->next;
		free(sample);
	}
}

bool tp_samples_forget(void)
{
	tp_samples_forget_out();
	samples_table_free_spare();
	samples_table_free_stacks();
	samples_table_free_places();
	if (!tp_samples.out_buckets)
		samples_table_out_widen();
	return tp_samples.out_buckets;
}
