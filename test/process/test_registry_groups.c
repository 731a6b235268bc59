/* SPDX-License-Identifier: MIT */
/*
 * Entries of the registry that share something: whom a walk of their group meets, and whose turn is
 * next.
 */
#include "process/registry.h"

#include <criterion/criterion.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENTRIES 5

struct entry {
	struct tp_registered registered; /* first */
	uint32_t deaths;
};

static struct entry entry[ENTRIES];

static void died(struct tp_registered *self)
{
	((struct entry *)self)->deaths++;
}

static void forked(struct tp_registered *self, enum tp_fork phase)
{
	(void)self;
	(void)phase;
}

static const struct tp_kind kind = {.dead = died, .fork = forked};

static void add(struct entry *e)
{
	e->registered.name = "entry";
	e->registered.kind = &kind;
	tp_registry_add(&e->registered);
}

static struct tp_group group;

/* The number of the entry; ENTRIES: none. */
static unsigned number(const struct tp_registered *at)
{
	return at ? (unsigned)((const struct entry *)at - entry) : ENTRIES;
}

/* All entries into the group, and a stranger between each two. */
static void group_make(void)
{
	static struct entry stranger[ENTRIES];

	for (unsigned i = 0; i < ENTRIES; i++) {
		add(&stranger[i]);
		entry[i].registered.group = &group;
		add(&entry[i]);
	}
}

/* One walk by the member, of so many visits at most; found: whom it met, and ENTRIES at its end. */
static void group_walk(unsigned member, unsigned most, unsigned *found)
{
	struct tp_registered *at = NULL;

	for (unsigned i = 0; i < most; i++) {
		at = tp_registry_next_in_group(&entry[member].registered, at);
		*found++ = number(at);
		if (!at)
			return;
		cr_assert_eq(at->visits, 1);
	}
	tp_registry_leave(at);
}

Test(registry, a_walk_of_a_group_meets_all_other_members_once_and_nobody_else)
{
	group_make();
	for (unsigned round = 0; round < 3; round++)
		for (unsigned member = 0; member < ENTRIES; member++) {
			unsigned found[ENTRIES], seen = 1u << member;

			group_walk(member, ENTRIES, found);
			for (unsigned i = 0; i < ENTRIES - 1; i++) {
				cr_assert_lt(found[i], ENTRIES);
				cr_assert_not(seen >> found[i] & 1, "met twice, or itself");
				seen |= 1u << found[i];
			}
			cr_assert_eq(found[ENTRIES - 1], ENTRIES);
		}
	for (unsigned i = 0; i < ENTRIES; i++)
		cr_assert_eq(entry[i].registered.visits, 0);
}

Test(registry, walks_of_a_group_that_end_early_give_each_member_its_turn)
{
	unsigned first[2], found[2];

	group_make();
	group_walk(0, 2, first);
	group_walk(0, 2, found);
	cr_assert_eq((1u << first[0] | 1u << first[1] | 1u << found[0] | 1u << found[1]),
		(1u << ENTRIES) - 2, "four visits, and not all four were met");
	group_walk(0, 2, found);
	cr_assert_eq(found[0], first[0]);
	cr_assert_eq(found[1], first[1]);
	/* Whoever asks: 3 and 4 are next. */
	group_walk(1, 2, found);
	cr_assert_eq(found[0], 3);
	cr_assert_eq(found[1], 4);
}

Test(registry, what_is_closed_is_out_of_its_group)
{
	unsigned found[ENTRIES];

	group_make();
	for (unsigned i = 1; i < ENTRIES; i++) {
		tp_registry_close(&entry[i].registered);
		group_walk(0, ENTRIES, found);
		for (unsigned k = 0; k < ENTRIES - 1 - i; k++)
			cr_assert(found[k] > i && found[k] < ENTRIES);
		cr_assert_eq(found[ENTRIES - 1 - i], ENTRIES);
		group_walk(i, ENTRIES, found);
		cr_assert_eq(found[0], ENTRIES, "a closed one walks the group still");
	}
	tp_registry_close(&entry[0].registered);
	cr_assert_null(group.next);
	for (unsigned i = 0; i < ENTRIES; i++) {
		tp_registry_close(&entry[i].registered);
		tp_registry_drop(&entry[i].registered);
		cr_assert_eq(entry[i].deaths, 1);
	}
	/* And empty it may be entered anew. */
	add(&entry[1]);
	add(&entry[0]);
	group_walk(0, ENTRIES, found);
	cr_assert_eq(found[0], 1);
	cr_assert_eq(found[1], ENTRIES);
}

Test(registry, in_the_child_of_a_fork_a_group_is_whole_and_no_visit_is_left)
{
	struct tp_registered *at;
	int status;
	pid_t child;

	group_make();
	at = tp_registry_next_in_group(&entry[0].registered, NULL);
	child = fork();
	cr_assert_geq(child, 0);
	if (!child) {
		unsigned found[ENTRIES];

		alarm(10);
		tp_registry_close(at); /* waits for nobody */
		tp_registry_drop(at);
		group_walk(0, ENTRIES, found);
		_exit(found[ENTRIES - 3] == ENTRIES || found[ENTRIES - 2] != ENTRIES ||
			tp_registry_hold(at, TP_KIND_POOL) ||
			!tp_registry_hold(&entry[ENTRIES - 1], TP_KIND_POOL));
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0, "exit %d, signal %d", WEXITSTATUS(status), WTERMSIG(status));
	cr_assert_eq(at->visits, 1);
	tp_registry_leave(at);
}
