/* SPDX-License-Identifier: MIT */
/*
 * Gets, puts and growths under a debugger: stepped through, where every pass of a sequence aborts; and held
 * at each instruction of each sequence in the program while another thread of the same CPU uses the
 * same tier. A child process does it, and looks at its pool after each run (trace_plays.h).
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "cpus.h"
#include "percpu/rseq.h"

#if defined(__x86_64__) && TP_RSEQ_PRESENT

#include <string.h>
#include <sys/mman.h>

#include "memory/poison.h"
#include "trace_child.h"
#include "trace_plays.h"

#define STEPS_MOST 200000 /* twenty times what any play takes */
#define PLACES_MOST 256
#define TRIES 5 /* to come to a place: lost where another thread takes the CPU just then */

static void setup(void)
{
	if (strcmp(tp_cpu_mode(), "rseq"))
		skip("the mode is locked, there are no sequences to be held in");
	cr_assert_leq(trace_sequences(), TRACE_SEQUENCES_MOST);
	stay_on_this_cpu();
	scene = mmap(
		NULL, sizeof *scene, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(scene, MAP_FAILED);
}

/* Begins a run, up to where it would act. */
static void begin(const struct play *play, rival *against)
{
	if (!trace_begin(play_run))
		skip("ptrace is refused here");
	*scene = (struct scene){
		.size = play->size, .prepare = play->prepare, .act = play->act, .rival = against};
	cr_assert(!sem_init(&scene->go, 1, 0) && !sem_init(&scene->gone, 1, 0));
	cr_assert(trace_to_mark(), "%s cannot be prepared", play->name);
}

/* Ends a run, that many marks from here. What is wrong afterwards, or NULL. */
static const char *end(unsigned marks)
{
	while (marks--)
		if (!trace_to_mark())
			return scene->fault ? scene->fault : "it crashed";
	return NULL;
}

static unsigned passes, further; /* starts of a sequence, and instructions of one behind that */

static void count_passes(const struct trace_place *place)
{
	(*(trace_offset(place) ? &further : &passes))++;
}

Test(traced, stepped_through_every_pass_aborts_and_each_call_ends_the_slow_way)
{
	setup();
	for (unsigned i = 0; i < play_count; i++) {
		const char *fault, *name = plays[i].name;
		unsigned steps;

		passes = further = 0;
		begin(&plays[i], NULL);
		steps = trace_step_through(STEPS_MOST, count_passes);
		cr_assert_lt(steps, STEPS_MOST, "%s does not end", name);
		fault = end(1);
		cr_assert_null(fault, "%s: %s", name, fault);
		cr_assert_geq(passes, TP_RSEQ_TRIES, "%s: %u passes", name, passes);
		cr_assert_eq(further, 0, "%s: a pass did not abort", name);
		cr_assert_eq(scene->slow, plays[i].calls, "%s: not the slow way", name);
		cr_log_info("%s: %u steps, %u passes\n", name, steps, passes);
	}
}

/* ---- held ---- */

static struct trace_place places[PLACES_MOST]; /* of one play */
static unsigned place_count;

static void collect(const struct trace_place *place)
{
	for (unsigned i = 0; i < place_count; i++)
		if (places[i].ip == place->ip)
			return;
	cr_assert_lt(place_count, PLACES_MOST);
	places[place_count++] = *place;
}

/* Every place that a play comes to when nothing aborts it. */
static void places_find(const struct play *play)
{
	const char *fault;

	place_count = 0;
	begin(play, NULL);
	trace_walk(collect);
	fault = end(1);
	cr_assert_null(fault, "%s, undisturbed: %s", play->name, fault);
}

static unsigned runs, runs_inside, runs_doubled, runs_lost; /* all; held in a sequence; faults */

/*
 * Begins a run, up to a place in it. Where the child loses its CPU in a sequence, before the place,
 * it goes on in another copy of the sequence, and the run is one more that must be right.
 */
static void begin_held(const struct play *play, const struct trace_place *place, unsigned against)
{
	for (unsigned tries = 0; tries < TRIES; tries++) {
		const char *fault;

		begin(play, rivals[against]);
		if (trace_hold(place))
			return;
		rival_acts();
		fault = end(1);
		cr_assert_null(fault, "%s, not held: %s", play->name, fault);
	}
	cr_assert_fail("%s does not come to a place again", play->name);
}

/*
 * A play, held at one of its places while a rival acts; defeated: without the abort that follows.
 * Only then there may be faults, and not before the first load or behind the commit: there is
 * nothing to undo.
 */
static void hold_once(const struct play *play, unsigned nth, unsigned against, bool defeated)
{
	const struct trace_place *place = &places[nth];
	bool inside = trace_is_inside(place) && trace_offset(place);
	const char *fault;

	begin_held(play, place, against);
	if (defeated)
		trace_sequence_forget();
	rival_acts();
	fault = end(2);
	cr_assert(!fault || (defeated && inside), "%s, at byte %u of sequence %u, rival %u: %s",
		play->name, (unsigned)trace_offset(place), place->sequence, against, fault);
	runs++;
	runs_inside += trace_is_inside(place);
	runs_doubled += fault == play_doubled;
	runs_lost += fault == play_lost;
}

/* At each of its places, against each rival. */
static void hold_everywhere(const struct play *play, bool defeated)
{
	runs = runs_inside = runs_doubled = runs_lost = 0;
	places_find(play);
	for (unsigned nth = 0; nth < place_count; nth++)
		for (unsigned against = 0; against < rival_count; against++) {
			/* A freed buffer that is given all the same is a crash, and loud. */
			if (!defeated || rivals[against] != rival_trims)
				hold_once(play, nth, against, defeated);
			/* As if held before the sequence: what was planned goes into it. */
			if (!defeated && !trace_offset(&places[nth]))
				hold_once(play, nth, against, true);
		}
}

Test(traced, a_thread_that_is_held_in_a_sequence_undoes_nothing_that_was_done_meanwhile)
{
	bool reached[TRACE_SEQUENCES_MOST] = {false};
	unsigned count = 0;

	setup();
	for (unsigned i = 0; i < play_count; i++) {
		hold_everywhere(&plays[i], false);
		cr_assert_gt(runs_inside, 0, "%s was never held", plays[i].name);
		for (unsigned j = 0; j < place_count; j++)
			reached[places[j].sequence] |= trace_is_inside(&places[j]);
		cr_log_info("%s: %u places, held %u times, %u of them in a sequence\n",
			plays[i].name, place_count, runs, runs_inside);
	}
	/* Pop, push and store there are always; for other calls compilers make further copies. */
	for (unsigned i = 0; i < trace_sequences(); i++)
		if (reached[i])
			count++;
		else if (!tp_poison_watched) /* else nothing comes to those in line */
			fprintf(stderr, "traced: no play comes to sequence %u\n", i);
	cr_assert_geq(count, tp_poison_watched ? 3 : 5);
}

Test(traced, control_without_the_abort_buffers_are_doubled_or_lost)
{
	setup();
	for (unsigned i = 0; i < play_count; i++) {
		/* Who stops a CPU has nothing in hand there that another could change. */
		if (plays[i].stops)
			continue;
		hold_everywhere(&plays[i], true);
		cr_assert_gt(runs_doubled + runs_lost, 0, "%s: nothing was found", plays[i].name);
		cr_log_info("%s: of %u runs %u doubled, %u lost\n", plays[i].name, runs,
			runs_doubled, runs_lost);
	}
}

#else

Test(traced, a_thread_that_is_held_in_a_sequence_undoes_nothing_that_was_done_meanwhile)
{
	skip("only the sequences of x86-64 are traced here");
}

#endif
