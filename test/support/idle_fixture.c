/* SPDX-License-Identifier: MIT */
#include "idle_fixture.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <string.h>

#include "idle/idle.h"
#include "memory/bufstate.h"

void idle_init(struct idle_fixture *f, size_t tiers, const size_t *sizes, size_t retain,
	struct tp_budget *shared, size_t max_idle)
{
	struct tierpool_backing calls;

	memset(f, 0, sizeof *f);
	counting_backing_init(&f->counting);
	calls = counting_backing_calls(&f->counting);
	cr_assert_eq(tp_backing_init(&f->backing, &calls, 0), 0);
	cr_assert_eq(tp_sizeclass_list(&f->sizes, sizes, tiers), 0);
	cr_assert_leq(tp_decay_cpu_bytes(tp_cpu_count()), sizeof f->cpus);
	cr_assert_eq(tp_tiers_init(&f->tiers, f->cpus, &f->sizes, &f->backing, retain, shared,
			     max_idle, UINT_MAX, 0),
		0);
}

unsigned idle_index(const struct idle_fixture *f, const tierpool_buf *b)
{
	cr_assert(b >= f->buffer && b < f->buffer + f->made, "a pointer that was never kept");
	return (unsigned)(b - f->buffer);
}

tierpool_buf *idle_make(struct idle_fixture *f, unsigned tier)
{
	tierpool_buf *b = &f->buffer[f->made++];

	cr_assert_leq(f->made, IDLE_BUFFERS);
	b->tp_tier = (uint8_t)tier;
	b->tp_state = tp_bufstate(TP_STATE_IDLE);
	return b;
}

enum tp_kept idle_keep(struct idle_fixture *f, tierpool_buf *b)
{
	enum tp_kept result;

	b->tp_state = tp_bufstate(TP_STATE_IDLE);
	result = tp_idle_keep(&f->tiers, b, &f->victims);
	if (result == TP_KEPT)
		f->kept[idle_index(f, b)] = true;
	return result;
}

tierpool_buf *idle_keep_new(struct idle_fixture *f, unsigned tier, unsigned n)
{
	tierpool_buf *first = &f->buffer[f->made];

	for (unsigned i = 0; i < n; i++)
		cr_assert_eq(idle_keep(f, idle_make(f, tier)), TP_KEPT);
	return first;
}

/* Notes that b came out of the layer, where it has to have been. */
static tierpool_buf *idle_came_out(struct idle_fixture *f, tierpool_buf *b)
{
	cr_assert(f->kept[idle_index(f, b)], "a buffer came out twice");
	f->kept[idle_index(f, b)] = false;
	return b;
}

tierpool_buf *idle_take(struct idle_fixture *f, unsigned tier)
{
	tierpool_buf *b = tp_idle_take(&f->tiers, tier, &f->victims);

	return b ? idle_came_out(f, b) : NULL;
}

tierpool_buf *idle_evict(struct idle_fixture *f, unsigned tier)
{
	tierpool_buf *b = tp_idle_evict(&f->tiers, tier);

	if (b)
		f->leased[idle_came_out(f, b)->tp_tier]++;
	return b;
}

size_t idle_victims(struct idle_fixture *f, tierpool_buf **out)
{
	size_t n = 0;

	for (tierpool_buf *b; (b = tp_buflist_pop(&f->victims)); n++) {
		f->leased[idle_came_out(f, b)->tp_tier]++;
		if (out)
			out[n] = b;
	}
	return n;
}

void idle_unlease(struct idle_fixture *f)
{
	for (unsigned tier = 0; tier < f->sizes.count; tier++)
		for (; f->leased[tier]; f->leased[tier]--)
			tp_tiers_unlease(&f->tiers, tier, 1);
}

unsigned idle_own_cpu(const struct idle_fixture *f)
{
	return tp_cpu_current(f->tiers.cpus.count);
}

unsigned idle_depth(const struct idle_fixture *f, unsigned cpu_id, unsigned tier)
{
	return tp_word_depth(tp_stack_word(&f->tiers.cpus, cpu_id, f->tiers.stack_index[tier]));
}

unsigned idle_room(const struct idle_fixture *f, unsigned cpu_id, unsigned tier)
{
	return tp_word_room(tp_stack_word(&f->tiers.cpus, cpu_id, f->tiers.stack_index[tier]));
}

size_t idle_depot_count(const struct idle_fixture *f, unsigned tier)
{
	return tp_depot_count(&f->tiers.tier[tier].depot);
}

const char *idle_lease_fault(const struct idle_fixture *f, size_t other)
{
	const struct tp_tiers *tiers = &f->tiers;
	size_t bytes = 0, idle_bytes = 0;

	for (unsigned tier = 0; tier < f->sizes.count; tier++) {
		size_t n = idle_depot_count(f, tier) + f->leased[tier];

		for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++)
			n += idle_depth(f, cpu_id, tier) + idle_room(f, cpu_id, tier);
		if (n != tiers->tier[tier].many.leased)
			return "leased counts are not the sum of their parts";
		if (n > tiers->max_idle)
			return "more of a tier are leased than max_idle";
		bytes += n * tiers->tier[tier].cost;
		idle_bytes += tp_tiers_count(tiers, tier) * tiers->tier[tier].cost;
	}
	if (bytes != tiers->retain.leased)
		return "leased bytes are not the sum of their parts";
	if (tiers->shared && bytes + other != tiers->shared->leased)
		return "the shared budget's leased bytes are not the sum of their parts";
	if (idle_bytes != tp_tiers_bytes(tiers))
		return "idle bytes are not the sum over the buffers";
	if (bytes > tiers->retain.peak)
		return "more is leased than the peak";
	return NULL;
}

void idle_assert_leases(const struct idle_fixture *f)
{
	const char *fault = idle_lease_fault(f, 0);

	cr_assert(!fault, "%s", fault);
}

void idle_end(struct idle_fixture *f)
{
	tp_idle_close(&f->tiers, &f->victims);
	idle_victims(f, NULL);
	idle_assert_leases(f);
	idle_unlease(f);
	cr_assert_eq(f->tiers.retain.leased, 0);
	for (unsigned i = 0; i < f->made; i++)
		cr_assert(!f->kept[i], "a buffer was lost");
	tp_tiers_fini(&f->tiers);
	cr_assert_eq(counting_backing_blocks(&f->counting), 0);
}
