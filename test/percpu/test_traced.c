/* SPDX-License-Identifier: MIT */
/*
 * Gets and puts under a debugger: stepped through, where every pass of a sequence aborts; and held
 * at each instruction of each sequence in the program while another thread of the same CPU uses the
 * same tier. A child process does it, and looks at its pool after each run.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "cpus.h"
#include "percpu/rseq.h"

#if defined(__x86_64__) && TP_RSEQ_PRESENT

#include <pthread.h>
#include <sys/mman.h>

#include "memory/poison.h"
#include "trace_child.h"

/* The tier of 2048 is not guessed but searched, for that of 1536 is of the same doubling. */
static const size_t sizes[] = {1024, 1536, 2048};

#define THEIRS 72         /* what the rival may put: more than any stack takes */
#define STEPS_MOST 200000 /* twenty times what any play takes */
#define PLACES_MOST 256
#define TRIES 5 /* to come to a place: in vain where the CPU is lost just then */

/* ---- in the child: plays ---- */

static unsigned tier(void)
{
	return tp_sizeclass_of(&pool->sizes, scene->size);
}

static uint64_t word(void)
{
	return tp_tiers_word(&pool->tiers, tp_cpu_id(), tier());
}

/* A countdown begins at 0: the first pop is a strike. */
static void prepare_first_pop(void)
{
	take(&theirs, THEIRS);
	take(&ours, 9);
	give(&ours, 8);
}

/* An own stack of some depth, with room beside it, and no strike soon. */
static void prepare_stack(void)
{
	prepare_first_pop();
	take(&ours, 2);
}

static void prepare_without_room(void)
{
	prepare_stack();
	while (tp_word_room(word()))
		give(&ours, 1);
}

static void prepare_full_stack(void)
{
	unsigned limit = pool->tiers.tier[tier()].limit;

	take(&theirs, THEIRS);
	take(&ours, 2 * limit);
	while (tp_word_depth(word()) < limit)
		give(&ours, 1);
}

static void prepare_depot(void)
{
	prepare_full_stack();
	give(&ours, ours.count);
	while (tp_word_depth(word()))
		take(&ours, 1);
}

/* A CPU can be stopped by a visit only. */
static void prepare_without_fences(void)
{
	prepare_stack();
	pool->tiers.cpus.fence_lost = 1;
}

static void act_tick(void)
{
	tierpool_tick(pool);
}

static void act_trim(void)
{
	tierpool_trim(pool, 0);
}

static void act_get(void)
{
	take(&ours, 1);
}

/* The tier of 1024 is the default. */
static void act_get_default(void)
{
	take_this(&ours, (tierpool_get)(pool));
}

static void act_get_from_site(void)
{
	static tierpool_site site = TIERPOOL_SITE_INIT("traced");

	take_this(&ours, tierpool_get_at(pool, scene->size, &site));
}

static void prepare_known_site(void)
{
	prepare_stack();
	act_get_from_site();
}

static void act_put(void)
{
	give(&ours, 1);
}

/* A get by the copy that is used after an abort, and where somebody watches idle blocks. */
static void act_pop(void)
{
	uint64_t after;
	tierpool_buf *b = tp_stack_pop(&pool->tiers.cpus, pool->tiers.stack_index[tier()], &after);

	if (!b) {
		act_get();
		return;
	}
	tp_unpoison(b->data, b->cap);
	b->len = 0;
	tp_bufstate_set(b, ours.buffer[0]->tp_state);
	take_this(&ours, b);
}

/* A put, likewise. */
static void act_push(void)
{
	tierpool_buf *b = ours.buffer[--ours.count];
	uint32_t control = b->tp_state;

	tp_bufstate_set(b, tp_bufstate(TP_STATE_IDLE));
	tp_poison(b->data, b->cap);
	if (tp_stack_push(&pool->tiers.cpus, b->tp_stack_index, b))
		return;
	tp_unpoison(b->data, b->cap);
	tp_bufstate_set(b, control);
	tierpool_put(b);
}

static const struct play {
	const char *name;
	size_t size;
	uint64_t calls; /* gets and puts: which may go the slow way */
	void (*prepare)(void), (*act)(void);
} plays[] = {
	{"a get", 1024, 1, prepare_stack, act_get},
	{"a get whose tier is searched", 2048, 1, prepare_stack, act_get},
	{"a get from a new place", 1024, 1, prepare_stack, act_get_from_site},
	{"a get from a known place", 1024, 1, prepare_known_site, act_get_from_site},
	{"a get that strikes", 1024, 1, prepare_first_pop, act_get_default},
	{"a get out of the depot", 1024, 1, prepare_depot, act_get},
	{"a get after an abort", 1024, 1, prepare_stack, act_pop},
	{"a put", 1024, 1, prepare_stack, act_put},
	{"a put without room", 1024, 1, prepare_without_room, act_put},
	{"a put on a full stack", 1024, 1, prepare_full_stack, act_put},
	{"a put after an abort", 1024, 1, prepare_stack, act_push},
	{"a tick", 1024, 0, prepare_stack, act_tick},
	{"a trim without fences", 1024, 0, prepare_without_fences, act_trim},
};
#define PLAYS (sizeof plays / sizeof plays[0])

/* ---- in the child: rivals ---- */

static void rival_gets_and_puts(void)
{
	take(&theirs, 1);
	give(&theirs, 1);
}

static void rival_keeps(void)
{
	take(&theirs, 1);
}

static void rival_puts(void)
{
	give(&theirs, 1);
}

/* As many lie in the stack afterwards, but in another order. */
static void rival_swaps(void)
{
	tierpool_buf **two = &theirs.buffer[theirs.count], *first;

	take(&theirs, 2);
	first = two[0];
	two[0] = two[1];
	two[1] = first;
	give(&theirs, 2);
}

/* Beyond what the stack may hold: it is stopped, and its older half goes. */
static void rival_puts_all(void)
{
	give(&theirs, THEIRS);
}

static void rival_drains(void)
{
	take(&theirs, 12);
}

static void rival_trims(void)
{
	/* It would wait for the other, where that is held while it stops the CPU. */
	if (!tp_load_relaxed(&pool->tiers.cpus.cpu[tp_cpu_id()].lock))
		tierpool_trim(pool, 0);
}

typedef void rival(void);
static rival *const rivals[] = {rival_gets_and_puts, rival_keeps, rival_puts, rival_swaps,
	rival_puts_all, rival_drains, rival_trims};
#define RIVALS (sizeof rivals / sizeof rivals[0])

/* ---- in the child: runs ---- */

/* Runs for ever; stands at a mark before each, and then before and after what it does in act. */
static void child_run(void)
{
	struct tierpool_backing backing = counting_backing_calls(&counting);
	struct tierpool_options options = {.size = sizeof options,
		.tiers = sizes,
		.tier_count = sizeof sizes / sizeof sizes[0],
		.retain = (size_t)1 << 32, /* a full stack each for any number of CPUs */
		.backing = &backing};
	pthread_t thread;
	uint64_t slow;
	unsigned cpu_id;

	counting_backing_init(&counting);
	stay_on_this_cpu();
	cpu_id = tp_cpu_id();
	for (;; trace_mark()) {
		alarm(30); /* should anything here wait for ever */
		if (tierpool_create(&pool, &options))
			fail("no pool");
		scene->prepare();
		if (scene->rival && pthread_create(&thread, NULL, rival_run, &cpu_id))
			fail("no thread");
		slow = pool->counters.slow_gets + pool->counters.slow_puts;
		trace_mark();
		scene->act();
		trace_mark();
		scene->slow = pool->counters.slow_gets + pool->counters.slow_puts - slow;
		if (scene->rival)
			pthread_join(thread, NULL);
		check_owners();
		check_return();
	}
}

/* ---- the parent ---- */

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
	if (!child && !trace_begin(child_run))
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
	for (unsigned i = 0; i < PLAYS; i++) {
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
	bool amid = trace_is_inside(place) && trace_offset(place);
	const char *fault;

	begin_held(play, place, against);
	if (defeated)
		trace_sequence_forget();
	rival_acts();
	fault = end(2);
	cr_assert(!fault || (defeated && amid), "%s, at byte %u of sequence %u, rival %u: %s",
		play->name, (unsigned)trace_offset(place), place->sequence, against, fault);
	runs++;
	runs_inside += trace_is_inside(place);
	runs_doubled += fault == doubled;
	runs_lost += fault == lost;
}

/* At each of its places, against each rival. */
static void hold_everywhere(const struct play *play, bool defeated)
{
	runs = runs_inside = runs_doubled = runs_lost = 0;
	places_find(play);
	for (unsigned nth = 0; nth < place_count; nth++)
		for (unsigned against = 0; against < RIVALS; against++) {
			/* A freed buffer that is given all the same is a crash, and loud. */
			if (!defeated || rivals[against] != rival_trims)
				hold_once(play, nth, against, defeated);
			/* As if held before the sequence: what was planned goes into it. */
			if (!defeated && !trace_offset(&places[nth]))
				hold_once(play, nth, against, true);
		}
}

Test(traced, whoever_is_held_in_a_sequence_undoes_nothing_that_was_done_meanwhile)
{
	bool reached[TRACE_SEQUENCES_MOST] = {false};
	unsigned count = 0;

	setup();
	for (unsigned i = 0; i < PLAYS; i++) {
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
	for (unsigned i = 0; i < PLAYS; i++) {
		/* Who stops a CPU has nothing in hand there that another could change. */
		if (!plays[i].calls)
			continue;
		hold_everywhere(&plays[i], true);
		cr_assert_gt(runs_doubled + runs_lost, 0, "%s: nothing was found", plays[i].name);
		cr_log_info("%s: of %u runs %u doubled, %u lost\n", plays[i].name, runs,
			runs_doubled, runs_lost);
	}
}

#else

Test(traced, whoever_is_held_in_a_sequence_undoes_nothing_that_was_done_meanwhile)
{
	skip("only the sequences of x86-64 are traced here");
}

#endif
