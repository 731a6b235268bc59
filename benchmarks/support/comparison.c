/* SPDX-License-Identifier: MIT */
/*
 * The processes of a comparison, their turns, and the table: comparison.h.
 *
 * A side's process answers each byte on its socket by a turn, and ends when the socket is closed.
 */
#include "support/comparison.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/measure.h"
#include "support/program.h"
#include "support/team.h"
#include "support/turns.h"

#define TURN_NS 1e6 /* a switch of processes takes 5000, and the caches that it costs as much */
#define ROUNDS_WARM 2
#define ROUNDS_AT_LEAST 8

/* The sides: the pool, then each allocator. */
#define COMPARED_POOL 0
#define COMPARED_GLIBC 1 /* the first of the allocators; not in a program of another C library */
#define COMPARED (1 + ALLOCATORS)

/* One row, and the worst of the rows so far. */
struct comparison {
	struct turns turns; /* ns */
	/* Means of all turns: page faults without input or output, and blocks from the backing. */
	double faults[COMPARED];
	double allocs;
	double worst[2]; /* the pool's time, times glibc's and times the best */
};

/* What a side says of a turn, for one item. */
struct answer {
	double ns, faults, allocs;
};

/* In a side's process. Each thread writes its own ns and faults. */
struct contest {
	struct team team;
	const struct job *job;
	size_t size;
	unsigned items;
	struct side side;
	double ns[THREADS_MOST], faults[THREADS_MOST];
	unsigned count; /* of the turn */
};

/* The other end: the processes. */
struct arena {
	pid_t child[COMPARED]; /* 0: none */
	int socket[COMPARED];
	struct answer total[COMPARED];
	int error;
};

_Noreturn void job_fail(void)
{
	fputs("a comparison: out of memory\n", stderr);
	_exit(FAILED);
}

/* ---- a side's process ---- */

static double contest_faults(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? 0 : (double)usage.ru_minflt;
}

static void contest_part(void *context, unsigned who)
{
	struct contest *c = context;
	const struct job *job = c->job;
	double start, faults;

	job->work(&c->side, c->size, c->count / WARM_UP);
	if (job->threads > 1)
		team_meet(&c->team);
	faults = contest_faults();
	start = now_ns();
	job->work(&c->side, c->size, c->count);
	c->ns[who] = now_ns() - start;
	c->faults[who] = contest_faults() - faults;
	if (job->threads > 1)
		team_meet(&c->team);
}

static double contest_allocs(const struct contest *c)
{
	struct tierpool_stats stats = {.size = sizeof stats};

	if (!c->side.pool || tierpool_stats_read(c->side.pool, &stats))
		return 0;
	return (double)stats.allocs;
}

/* Of two threads the mean. */
static struct answer contest_turn(struct contest *c)
{
	unsigned count = c->count, all = count + count / WARM_UP;
	double items = (double)count * c->items * c->job->threads;
	double allocs = contest_allocs(c);
	struct answer a = {0, 0, 0};

	team_run(&c->team, c->job->threads);
	allocs = contest_allocs(c) - allocs;
	for (unsigned i = 0; i < c->job->threads; i++) {
		a.ns += c->ns[i] / items;
		a.faults += c->faults[i] / items;
	}
	/* The pool counts what goes before the clock, too. */
	a.allocs = allocs / items * count / all;
	return a;
}

/* Finds how often the job goes into a turn, in the first turn, which does not count. */
static void contest_count(struct contest *c)
{
	for (c->count = 1;; c->count *= 2) {
		if (contest_turn(c).ns * c->count * c->items >= TURN_NS)
			return;
	}
}

static _Noreturn void contest_main(const struct job *job, size_t size, unsigned side, int socket)
{
	static struct contest c;
	int error = 0;
	char turn;

	c.job = job;
	c.size = size;
	c.items = job->items ? job->items(size) : 1;
	c.team.threads = cpus_choose(c.team.cpu, false);
	if (side == COMPARED_POOL)
		error = tierpool_create(&c.side.pool, job->options);
	else
		c.side.allocator = &allocators[side - 1];
	if (!error)
		error = team_begin(&c.team, contest_part, &c);
	if (error) {
		fprintf(stderr, "a comparison: %s\n", strerror(-error));
		_exit(FAILED);
	}
	while (read(socket, &turn, 1) == 1) {
		struct answer a;

		if (!c.count)
			contest_count(&c);
		a = contest_turn(&c);
		if (write(socket, &a, sizeof a) != (ssize_t)sizeof a)
			break;
	}
	_exit(0);
}

/* ---- the processes, and their turns ---- */

static bool side_is_here(unsigned side)
{
	return side == COMPARED_POOL || !*allocators[side - 1].absent;
}

static double arena_turn(void *context, unsigned side)
{
	struct arena *arena = context;
	struct answer a;

	if (!arena->child[side] || arena->error)
		return 0;
	if (send(arena->socket[side], "", 1, MSG_NOSIGNAL) != 1 ||
		recv(arena->socket[side], &a, sizeof a, MSG_WAITALL) != (ssize_t)sizeof a) {
		arena->error = -ECANCELED;
		return 0;
	}
	arena->total[side].faults += a.faults;
	arena->total[side].allocs += a.allocs;
	return a.ns;
}

/* Starts a side. Returns: 0; -errno. */
static int arena_start(struct arena *arena, const struct job *job, size_t size, unsigned side)
{
	int pair[2], error;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	arena->child[side] = fork();
	if (!arena->child[side]) {
		close(pair[0]);
		contest_main(job, size, side, pair[1]);
	}
	error = arena->child[side] < 0 ? -errno : 0;
	close(pair[1]);
	arena->socket[side] = pair[0];
	if (error) {
		arena->child[side] = 0;
		close(pair[0]);
	}
	return error;
}

/* Starts all, each after the first turn of the one before it. */
static void arena_begin(struct arena *arena, const struct job *job, size_t size)
{
	fflush(stdout);
	for (unsigned i = 0; i < COMPARED && !arena->error; i++) {
		if (!side_is_here(i))
			continue;
		arena->error = arena_start(arena, job, size, i);
		arena_turn(arena, i);
	}
}

/* All are closed first: a process has the ends of those that were made before it. */
static void arena_end(struct arena *arena)
{
	for (unsigned i = 0; i < COMPARED; i++) {
		if (arena->child[i])
			close(arena->socket[i]);
	}
	for (unsigned i = 0; i < COMPARED; i++) {
		if (arena->child[i])
			waitpid(arena->child[i], NULL, 0);
	}
}

/* Measures one row. Returns: as comparison_table. */
static int comparison_run(struct comparison *c, const struct job *job, size_t size, double seconds)
{
	struct arena arena = {0};
	double end;

	c->turns.sides = COMPARED;
	arena_begin(&arena, job, size);
	for (unsigned i = 0; i < ROUNDS_WARM * COMPARED; i++)
		arena_turn(&arena, i % COMPARED);
	memset(arena.total, 0, sizeof arena.total);
	c->turns.rounds = 0;
	end = now_ns() + seconds * 1e9;
	do
		turns_run(&c->turns, arena_turn, &arena);
	while (!arena.error && (c->turns.rounds < ROUNDS_AT_LEAST || now_ns() < end));
	arena_end(&arena);
	for (unsigned i = 0; i < COMPARED; i++)
		c->faults[i] = arena.total[i].faults / c->turns.rounds;
	c->allocs = arena.total[COMPARED_POOL].allocs / c->turns.rounds;
	return arena.error;
}

/* ---- the table ---- */

static const char *side_name(unsigned side)
{
	return side == COMPARED_POOL ? "tierpool" : allocators[side - 1].name;
}

static void comparison_head_print(const char *title)
{
	printf("\n%s\n%6s | %10s %4s %7s %7s %6s |", title, "bytes", side_name(COMPARED_POOL), "",
		"x glibc", "x best", "blocks");
	for (unsigned i = 1; i < COMPARED; i++) {
		if (side_is_here(i))
			printf(" %10s", side_name(i));
	}
	printf(" | faults:");
	for (unsigned i = 0; i < COMPARED; i++) {
		if (side_is_here(i))
			printf(" %8s", side_name(i));
	}
	putchar('\n');
}

/* Times glibc and times the best; 0: there is none to compare with. */
static void comparison_ratios(struct comparison *c, double ratios[2])
{
	double ns[ALLOCATORS], pool = turns_quiet(&c->turns, COMPARED_POOL);
	int best;

	for (unsigned i = 0; i < ALLOCATORS; i++)
		ns[i] = turns_quiet(&c->turns, 1 + i);
	best = allocators_best(ns);
	ratios[0] = side_is_here(COMPARED_GLIBC) ? pool / ns[0] : 0;
	ratios[1] = best < 0 ? 0 : pool / ns[best];
	for (unsigned i = 0; i < 2; i++)
		c->worst[i] = ratios[i] > c->worst[i] ? ratios[i] : c->worst[i];
}

static void comparison_row_print(struct comparison *c, size_t size)
{
	double ratios[2];

	comparison_ratios(c, ratios);
	printf("%6s | %10.1f %3.0f%% %7.2f %7.2f %6.2f |", size_text(size),
		turns_quiet(&c->turns, COMPARED_POOL), turns_spread(&c->turns, COMPARED_POOL),
		ratios[0], ratios[1], c->allocs);
	for (unsigned i = 1; i < COMPARED; i++) {
		if (side_is_here(i))
			printf(" %10.1f", turns_quiet(&c->turns, i));
	}
	printf(" |        ");
	for (unsigned i = 0; i < COMPARED; i++) {
		if (side_is_here(i))
			printf(" %8.*f", c->faults[i] < 10 ? 2 : 0, c->faults[i]);
	}
	putchar('\n');
	fflush(stdout);
}

int comparison_table(const char *title, const struct job *job, double seconds)
{
	static struct comparison c;
	int error = 0;

	memset(c.worst, 0, sizeof c.worst);
	comparison_head_print(title);
	for (unsigned i = 0; i < job->sizes && !error; i++) {
		size_t size = job->least << job->step * i;

		error = comparison_run(&c, job, size, seconds / job->sizes);
		if (!error)
			comparison_row_print(&c, size);
	}
	if (!error)
		printf("tierpool, worst over the sizes: %.2f times glibc, %.2f times the best "
		       "allocator\n",
			c.worst[0], c.worst[1]);
	return error;
}
