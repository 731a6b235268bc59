/* SPDX-License-Identifier: MIT */
/*
 * Reads the command line, and applies it: arguments.h.
 */
#include "arguments.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tierpool.h>

#include "support/program.h"

#define GETS_MOST 100000000
#define OUT_MOST 1000000
#define CPUS_MOST 8192
#define CALIBRATE_EVERY_MOST 1048576 /* pool.h */

static const char usage[] =
	"Usage: replay_trace [option]... FILE\n"
	"       replay_trace [option]... --workload NAME[:P]\n"
	"Tells what a pool with these options does with the gets of a trace, or of a\n"
	"workload that is generated, and what other pools would do.\n"
	"\n"
	"Options of the pool; without them each is as it was traced. BYTES may end in\n"
	"K, M or G.\n"
	"  --retain BYTES|none       --max-idle N|none\n"
	"  --min-size BYTES          --max-size BYTES          --steps 1|2|4\n"
	"  --decay-ms MS|never       --calibrate-every N|off\n"
	"  --one-site                no get has a site of its own\n"
	"\n"
	"Workloads; three of them need a number, P:\n"
	"  constant:P                P bytes\n"
	"  mix:P                     200 bytes, and P % of 100 KB\n"
	"  bound:P                   1,000 bytes, and P % of 1,030\n"
	"  lognormal phases giant large sites\n"
	"  --seed N                  other numbers of the same workload; by default 1\n"
	"  --gets N                  by default 400,000; of phases 300,000\n"
	"  --out N                   batches of 1 to N buffers are out at once; by default 1\n"
	"\n"
	"  --first N                 also what each site is lent after its first N gets\n"
	"  --csv                     comma-separated values\n"
	"\n"
	"  --advise                  instead of all that: for each pool, which share of gets each\n"
	"                            retain would serve without a new block\n"
	"  --json                    the same as JSON\n"
	"  --cpus N                  of the machine that was traced, if this one has others\n"
	"  --help                    show this\n";

enum {
	RETAIN,
	DECAY_MS,
	MIN_SIZE,
	MAX_SIZE,
	STEPS,
	MAX_IDLE,
	CALIBRATE_EVERY,
	SEED,
	GETS,
	OUT,
	FIRST,
	CPUS,
	NUMBERS,
	WORKLOAD = NUMBERS,
	ONE_SITE,
	CSV,
	ADVISE,
	JSON,
	HELP
};

/* What an option with a number takes. */
static const struct {
	uint64_t least, most;
	const char *word; /* instead of a number; NULL: none */
	uint64_t meant;   /* by it */
} numbers[NUMBERS] = {
	[RETAIN] = {1, SIZE_MAX, "none", TIERPOOL_RETAIN_NONE},
	[DECAY_MS] = {1, UINT_MAX - 1, "never", 0},
	[MIN_SIZE] = {1, LENGTH_MOST, NULL, 0},
	[MAX_SIZE] = {1, LENGTH_MOST, NULL, 0},
	[STEPS] = {1, 4, NULL, 0},
	[MAX_IDLE] = {1, SIZE_MAX, "none", 0},
	[CALIBRATE_EVERY] = {1, CALIBRATE_EVERY_MOST, "off", TIERPOOL_CALIBRATE_OFF},
	[SEED] = {0, UINT64_MAX, NULL, 0},
	[GETS] = {1, GETS_MOST, NULL, 0},
	[OUT] = {1, OUT_MOST, NULL, 0},
	[FIRST] = {1, UINT64_MAX, NULL, 0},
	[CPUS] = {1, CPUS_MOST, NULL, 0},
};

static const struct option options[] = {
	{"retain", required_argument, NULL, RETAIN},
	{"decay-ms", required_argument, NULL, DECAY_MS},
	{"min-size", required_argument, NULL, MIN_SIZE},
	{"max-size", required_argument, NULL, MAX_SIZE},
	{"steps", required_argument, NULL, STEPS},
	{"max-idle", required_argument, NULL, MAX_IDLE},
	{"calibrate-every", required_argument, NULL, CALIBRATE_EVERY},
	{"seed", required_argument, NULL, SEED},
	{"gets", required_argument, NULL, GETS},
	{"out", required_argument, NULL, OUT},
	{"first", required_argument, NULL, FIRST},
	{"workload", required_argument, NULL, WORKLOAD},
	{"one-site", no_argument, NULL, ONE_SITE},
	{"csv", no_argument, NULL, CSV},
	{"advise", no_argument, NULL, ADVISE},
	{"json", no_argument, NULL, JSON},
	{"cpus", required_argument, NULL, CPUS},
	{"help", no_argument, NULL, HELP},
	{0},
};

/* Returns: false: it is no whole number with or without K, M or G behind it, or too large. */
static bool number_parse(const char *text, uint64_t *number)
{
	static const char units[] = "KMG";
	const char *unit;
	unsigned shift = 0;
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 10);
	if (errno || *text < '0' || *text > '9')
		return false;
	if (*end) {
		unit = strchr(units, *end);
		if (!unit || end[1])
			return false;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (*number > UINT64_MAX >> shift)
		return false;
	*number <<= shift;
	return true;
}

static void range_print(int option)
{
	if (option == STEPS)
		fputs("1, 2 or 4", stderr);
	else
		fprintf(stderr, "a number from %" PRIu64 " to %" PRIu64, numbers[option].least,
			numbers[option].most);
	if (numbers[option].word)
		fprintf(stderr, ", or %s", numbers[option].word);
	fputc('\n', stderr);
}

static bool number_read(int option, const char *text, struct number *number)
{
	number->given = true;
	if (numbers[option].word && !strcmp(text, numbers[option].word)) {
		number->value = numbers[option].meant;
		return true;
	}
	if (number_parse(text, &number->value) && number->value >= numbers[option].least &&
		number->value <= numbers[option].most && (option != STEPS || number->value != 3))
		return true;
	fprintf(stderr, "replay_trace: --%s: '%s' is not ", options[option].name, text);
	range_print(option);
	return false;
}

static int arguments_fail(const char *what, const char *which)
{
	if (what)
		fprintf(stderr, "replay_trace: %s%s\n", what, which);
	fputs("Try replay_trace --help.\n", stderr);
	return FAILED;
}

static int arguments_check(struct arguments *a, int argc, char **argv, const struct number *given)
{
	a->size.seed = given[SEED].given ? given[SEED].value : 1;
	a->size.gets = given[GETS].value;
	a->size.out = given[OUT].given ? given[OUT].value : 1;
	a->first = given[FIRST].value;
	a->cpus = (unsigned)given[CPUS].value;
	a->retain = given[RETAIN];
	a->decay_ms = given[DECAY_MS];
	a->min_size = given[MIN_SIZE];
	a->max_size = given[MAX_SIZE];
	a->steps = given[STEPS];
	a->max_idle = given[MAX_IDLE];
	a->calibrate_every = given[CALIBRATE_EVERY];
	if (optind < argc)
		a->file = argv[optind++];
	if (optind < argc)
		return arguments_fail("one argument too many: ", argv[optind]);
	if (!a->file == !a->workload)
		return arguments_fail("give either a file or a workload", "");
	if (a->file && (given[SEED].given || given[GETS].given || given[OUT].given))
		return arguments_fail("--seed, --gets and --out are for workloads", "");
	if (!a->advise && (a->json || a->cpus))
		return arguments_fail("--json and --cpus are for --advise", "");
	if (a->advise && (a->first || (a->json && a->csv)))
		return arguments_fail("--advise takes no --first, and --csv or --json", "");
	if (a->min_size.given && a->max_size.given && a->min_size.value > a->max_size.value)
		return arguments_fail("--min-size is larger than --max-size", "");
	return 0;
}

int arguments_read(struct arguments *a, int argc, char **argv)
{
	struct number given[NUMBERS] = {{0}};
	int option;

	*a = (struct arguments){0};
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == HELP)
			return fputs(usage, stdout) < 0 || fflush(stdout) ? FAILED : -1;
		if (option == WORKLOAD)
			a->workload = optarg;
		else if (option == ONE_SITE)
			a->one_site = true;
		else if (option == CSV)
			a->csv = true;
		else if (option == ADVISE)
			a->advise = true;
		else if (option == JSON)
			a->json = true;
		else if (option >= NUMBERS || !number_read(option, optarg, &given[option]))
			return arguments_fail(NULL, NULL);
	}
	return arguments_check(a, argc, argv, given);
}

/* One that stays as it was is that of the list that the traced pool had. */
static void tiers_apply(const struct arguments *a, struct traced_pool *p)
{
	size_t least = p->tier_count ? p->tiers[0] : p->min_size;
	size_t most = p->tier_count ? p->tiers[p->tier_count - 1] : p->max_size;

	if (!a->min_size.given && !a->max_size.given && !a->steps.given)
		return;
	p->min_size = a->min_size.given ? a->min_size.value : least;
	p->max_size = a->max_size.given ? a->max_size.value : most;
	p->steps = (unsigned)a->steps.value;
	free(p->tiers);
	p->tiers = NULL;
	p->tier_count = 0;
}

void arguments_apply(const struct arguments *a, struct trace *t)
{
	for (size_t i = 0; i < t->pool_count; i++) {
		struct traced_pool *p = &t->pools[i];

		tiers_apply(a, p);
		if (a->retain.given)
			p->retain = a->retain.value;
		if (a->max_idle.given)
			p->max_idle = a->max_idle.value;
		if (a->decay_ms.given)
			p->decay_ms = (unsigned)a->decay_ms.value;
		if (a->calibrate_every.given)
			p->calibrate_every = (unsigned)a->calibrate_every.value;
	}
}
