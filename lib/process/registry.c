/* SPDX-License-Identifier: MIT */
#include "process/registry.h"

#include "base/atomic.h"
#include "base/lock.h"
#include "base/spinlock.h"

static struct tp_lock registry_lock = TP_LOCK_INIT;
static struct tp_registered *registry_first;
static uint64_t registry_last_id; /* in the lock */

/* Of this thread: references of its calls, which in a fork end for all others; and its visits. */
static __thread unsigned registry_holds __attribute__((tls_model("initial-exec")));
static __thread unsigned registry_visits __attribute__((tls_model("initial-exec")));

/*
 * The same entries by their addresses. Enough buckets that an entry is found at the first look with
 * 1,000 pools, and at the second or third with 10,000. 32 KiB, of which a process has only the
 * pages in which its pools lie.
 */
#define REGISTRY_BUCKET_BITS 12
static struct tp_registered *registry_buckets[1 << REGISTRY_BUCKET_BITS];

static struct tp_registered **registry_bucket(const void *address)
{
	/*
	 * Twice the multiplication of Knuth, TAOCP 3, 6.4, whose highest bits depend on all of the address:
	 * once alone, it puts addresses of some equal distances into few buckets.
	 */
	const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
	uint64_t product = (uintptr_t)address * factor;

	product = (product ^ product >> 32) * factor;
	return &registry_buckets[product >> (64 - REGISTRY_BUCKET_BITS)];
}

TP_ATFORK_ADD_REGISTRY static void registry_atfork(void)
{
	static struct tp_atfork_handler handler = {.handle = tp_registry_fork};

	tp_lock_init(&registry_lock);
	tp_atfork_add(&handler);
}

/* With the lock. Its turn comes after all others'. */
static void registry_group_join(struct tp_registered *entry)
{
	struct tp_registered *next = entry->group->next;

	if (!next)
		entry->group->next = entry->ring_previous = next = entry;
	entry->ring_next = next;
	entry->ring_previous = next->ring_previous;
	next->ring_previous = entry->ring_previous->ring_next = entry;
}

/* With the lock. */
static void registry_group_leave(struct tp_registered *entry)
{
	struct tp_registered *next = entry->ring_next;

	entry->ring_previous->ring_next = next;
	next->ring_previous = entry->ring_previous;
	if (entry->group->next == entry)
		entry->group->next = next == entry ? NULL : next;
}

void tp_registry_add(struct tp_registered *entry)
{
	struct tp_registered **bucket = registry_bucket(entry);

	entry->references = 1;
	entry->visits = 0;
	entry->closed = false;
	tp_lock_take(&registry_lock);
	entry->id = ++registry_last_id;
	entry->next = registry_first;
	entry->link = &registry_first;
	if (entry->next)
		entry->next->link = &entry->next;
	registry_first = entry;
	entry->chained = *bucket;
	*bucket = entry;
	if (entry->group)
		registry_group_join(entry);
	tp_lock_give(&registry_lock);
}

/* With the lock. False: the last one was dropped, by a thread that waits for the lock. */
static bool registry_retain_if_alive(struct tp_registered *entry)
{
	size_t references = tp_load_relaxed(&entry->references);

	do {
		if (!references)
			return false;
	} while (!tp_cas_relaxed(&entry->references, &references, references + 1));
	return true;
}

bool tp_registry_hold(const void *candidate, enum tp_kind_id kind)
{
	struct tp_registered *entry;
	bool held;

	tp_lock_take(&registry_lock);
	entry = *registry_bucket(candidate);
	while (entry && entry != candidate)
		entry = entry->chained;
	held = entry && entry->kind->id == kind && registry_retain_if_alive(entry);
	tp_lock_give(&registry_lock);
	registry_holds += held;
	return held;
}

void tp_registry_hold_known(struct tp_registered *entry)
{
	tp_registry_retain(entry);
	registry_holds++;
}

void tp_registry_let_go(struct tp_registered *entry)
{
	registry_holds--;
	tp_registry_drop(entry);
}

/* With the lock. Ends the visit of one entry and begins that of another one; NULL: of none. */
static void registry_visit_move(struct tp_registered *from, struct tp_registered *to)
{
	if (to)
		tp_store_relaxed(&to->visits, to->visits + 1);
	/* Not one that began before a fork, in its child. Release: pairs with the acquire in tp_registry_close. */
	if (from && registry_visits) {
		tp_store_release(&from->visits, from->visits - 1);
		registry_visits--;
	}
	registry_visits += to != NULL;
}

struct tp_registered *tp_registry_next(struct tp_registered *entry)
{
	struct tp_registered *next;

	tp_lock_take(&registry_lock);
	next = entry ? entry->next : registry_first;
	/* An entry without references is about to leave the list. */
	while (next && (next->closed || !tp_load_relaxed(&next->references)))
		next = next->next;
	registry_visit_move(entry, next);
	tp_lock_give(&registry_lock);
	return next;
}

struct tp_registered *tp_registry_next_held(struct tp_registered *entry, enum tp_kind_id kind)
{
	struct tp_registered *next;

	tp_lock_take(&registry_lock);
	next = entry ? entry->next : registry_first;
	while (next && (next->kind->id != kind || !registry_retain_if_alive(next)))
		next = next->next;
	tp_lock_give(&registry_lock);
	registry_holds += next != NULL;
	if (entry)
		tp_registry_let_go(entry);
	return next;
}

struct tp_registered *tp_registry_next_in_group(
	struct tp_registered *member, struct tp_registered *entry)
{
	struct tp_group *group = member->group;
	struct tp_registered *next = NULL;

	tp_lock_take(&registry_lock);
	if (!member->closed) {
		if (!entry) {
			/* To where the walk comes when all others have had their turn. */
			registry_group_leave(member);
			registry_group_join(member);
		}
		if (group->next != member) {
			next = group->next;
			group->next = next->ring_next;
		}
	}
	registry_visit_move(entry, next);
	tp_lock_give(&registry_lock);
	return next;
}

void tp_registry_leave(struct tp_registered *entry)
{
	tp_lock_take(&registry_lock);
	registry_visit_move(entry, NULL);
	tp_lock_give(&registry_lock);
}

void tp_registry_retain(struct tp_registered *entry)
{
	/* Relaxed: the caller's own reference keeps the entry alive meanwhile. */
	tp_add_relaxed(&entry->references, 1u);
}

void tp_registry_drop(struct tp_registered *entry)
{
	struct tp_registered **chain;

	/* Acquire and release: what each thread did before its drop comes before dead. */
	if (tp_sub_acq_rel(&entry->references, 1u) != 1)
		return;
	if (!entry->closed)
		tp_registry_close(entry);
	tp_lock_take(&registry_lock);
	chain = registry_bucket(entry);
	while (*chain != entry)
		chain = &(*chain)->chained;
	*chain = entry->chained;
	*entry->link = entry->next;
	if (entry->next)
		entry->next->link = entry->link;
	tp_lock_give(&registry_lock);
	entry->kind->dead(entry);
}

bool tp_registry_close(struct tp_registered *entry)
{
	bool open;

	tp_lock_take(&registry_lock);
	open = !entry->closed;
	if (entry->group && open)
		registry_group_leave(entry);
	entry->closed = true;
	tp_lock_give(&registry_lock);
	/* Acquire: pairs with registry_visit_move, so that the caller sees what visits did. */
	for (unsigned tries = 1; tp_load_acquire(&entry->visits); tries++)
		tp_spinlock_wait(tries);
	return open;
}

/* With the lock. */
static void registry_fork_each(enum tp_fork phase)
{
	for (struct tp_registered *entry = registry_first; entry; entry = entry->next)
		entry->kind->fork(entry, phase);
}

void tp_registry_recount(struct tp_registered *entry, size_t references)
{
	if (!registry_holds)
		entry->references = references;
}

void tp_registry_fork(enum tp_fork phase)
{
	if (phase == TP_FORK_PREPARE)
		tp_lock_take(&registry_lock);
	if (phase == TP_FORK_CHILD) {
		registry_fork_each(TP_FORK_CHILD_FIRST);
		/*
		 * The threads that were on visits are not in the child; and if this one was, in a
		 * callback, it may destroy the entry there.
		 */
		registry_visits = 0;
		for (struct tp_registered *entry = registry_first; entry; entry = entry->next)
			entry->visits = 0;
	}
	registry_fork_each(phase);
	if (phase != TP_FORK_PREPARE)
		tp_lock_give(&registry_lock);
}
