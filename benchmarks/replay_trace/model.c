/* SPDX-License-Identifier: MIT */
/*
 * The part that the peers have in common: model.h.
 */
#include "model.h"

#include <stdlib.h>

#include "storage.h"

struct model_state {
	const struct trace *trace;
	const struct rule *rule;
	struct model *models; /* by pool */
	struct buffer *out;   /* by slot */
	size_t idle;          /* bytes, of all of them */
};

/* ---- for rules ---- */

void model_block(struct model *m, struct buffer *b, size_t cap)
{
	model_free(m, b);
	b->cap = cap;
	b->written = 0;
	if (cap)
		figures_block(m->now, cap);
}

void model_free(struct model *m, struct buffer *b)
{
	if (b->cap)
		figures_freed(m->now, 1, (double)b->cap);
	b->cap = 0;
}

void model_keep(struct model *m, unsigned list, const struct buffer *b)
{
	struct list *l = &m->idle[list];

	l->buffers = array_extend(l->buffers, l->count, sizeof *b);
	l->buffers[l->count] = *b;
	l->buffers[l->count++].old = false;
	m->state->idle += b->cap;
}

bool model_take(struct model *m, unsigned list, struct buffer *b)
{
	struct list *l = &m->idle[list];

	if (!l->count)
		return false;
	*b = l->buffers[--l->count];
	m->state->idle -= b->cap;
	return true;
}

/* ---- as a contender ---- */

static struct model *model_of(struct model_state *s, struct figures *f, const struct borrow *b)
{
	struct model *m = &s->models[s->trace->sites[b->site].pool];

	m->now = f;
	return m;
}

static size_t model_get(void *state, struct figures *f, const struct borrow *b)
{
	struct model_state *s = state;
	struct buffer *buffer = &s->out[b->slot];

	*buffer = (struct buffer){0};
	s->rule->get(model_of(s, f, b), buffer, b->n);
	figures_idle(f, s->idle);
	return buffer->cap;
}

static size_t model_grow(
	void *state, struct figures *f, const struct borrow *b, const struct growth *growth)
{
	struct model_state *s = state;
	struct buffer *buffer = &s->out[b->slot];

	figures_written(f, buffer->cap, &buffer->written, growth->len);
	figures_growth(f, growth->len, s->rule->growth_cost);
	s->rule->grow(model_of(s, f, b), buffer, growth->need);
	figures_written(f, buffer->cap, &buffer->written, growth->len);
	figures_idle(f, s->idle);
	return buffer->cap;
}

static void model_put(void *state, struct figures *f, const struct borrow *b)
{
	struct model_state *s = state;
	struct buffer *buffer = &s->out[b->slot];

	figures_written(f, buffer->cap, &buffer->written, b->len);
	s->rule->put(model_of(s, f, b), buffer, b->len);
	figures_idle(f, s->idle);
}

/* What is old was not taken since the last tick. It lies below what is young. */
static void list_tick(struct model *m, struct list *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->count; i++) {
		struct buffer *b = &l->buffers[i];

		if (b->old) {
			m->state->idle -= b->cap;
			m->now->drops++;
			model_free(m, b);
			continue;
		}
		l->buffers[kept] = *b;
		l->buffers[kept++].old = true;
	}
	l->count = kept;
}

static void model_tick(void *state, struct figures *f, size_t pool)
{
	struct model_state *s = state;
	struct model *m = &s->models[pool];

	m->now = f;
	for (unsigned i = 0; i < LISTS; i++)
		list_tick(m, &m->idle[i]);
	figures_idle(f, s->idle);
}

void model_replay(const struct trace *t, const struct rule *rule, struct result *result)
{
	const struct contender contender = {
		rule->name, model_get, model_grow, model_put, model_tick};
	struct model_state s = {.trace = t, .rule = rule};

	s.models = array_new(t->pool_count, sizeof *s.models);
	s.out = array_new(t->slot_count, sizeof *s.out);
	for (size_t i = 0; i < t->pool_count; i++)
		s.models[i].state = &s;
	replay(t, &contender, &s, result);
	for (size_t i = 0; i < t->pool_count; i++)
		for (unsigned list = 0; list < LISTS; list++)
			free(s.models[i].idle[list].buffers);
	free(s.models);
	free(s.out);
}
