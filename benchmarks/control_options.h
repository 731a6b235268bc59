/* SPDX-License-Identifier: MIT */
/*
 * The command line of encode_control.
 */
#ifndef CONTROL_OPTIONS_H
#define CONTROL_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control_file.h"

#define THREADS_MOST 1024
#define REPEAT_MOST 1000000
#define SECONDS_MOST 3600
#define DEMO_SECONDS 1.0 /* how long the job repeats without --output and --repeat */
#define DEMO_COMPARE 2.0 /* how long the comparison takes without --output and --seconds */

struct options {
	const char *input;  /* NULL: not given */
	const char *output; /* NULL: not given */
	uint64_t threads;   /* 0: not given */
	uint64_t repeat;    /* 0: not given */
	double seconds;     /* below 0: not given */
};

static const char usage[] =
	"Usage: encode_control [option]... [file]\n"
	"Writes each stanza of a Debian control file as one line of JSON, out of pooled\n"
	"buffers, and reports how the pool did.\n"
	"\n"
	"  file               the control file; - for standard input; by default\n"
	"                     " STATUS_FILE ", or else the sample that comes with this\n"
	"  -o, --output FILE  where the JSON goes; - for standard output, and the report\n"
	"                     goes to standard error; by default it is only counted\n"
	"  -t, --threads N    threads that encode, 1 to 1024; by default one for each CPU\n"
	"  -r, --repeat N     encode the input N times, 1 to 1000000; by default once with\n"
	"                     --output, else for a second\n"
	"  -s, --seconds S    compare the pool with malloc and with reused buffers for S\n"
	"                     seconds, 0 to 3600; by default 0 with --output, else 2\n"
	"  -h, --help         show this\n"
	"\n"
	"Exit status: 0; 1 when malformed stanzas were skipped; 2 on any error.\n";

/* A number written in those digits, least to most; says so when it is not. */
static bool number(const char *option, const char *digits, double least, double most, double *value)
{
	char *end;

	*value = strtod(optarg, &end);
	if (*optarg && !optarg[strspn(optarg, digits)] && !*end && *value >= least &&
		*value <= most)
		return true;
	fprintf(stderr, "encode_control: --%s: '%s' is not a number from %.0f to %.0f\n", option,
		optarg, least, most);
	return false;
}

/* One option, its value in optarg. */
static bool option_take(struct options *o, int option)
{
	double value;

	switch (option) {
	case 'o':
		o->output = optarg;
		return true;
	case 't':
		if (!number("threads", "0123456789", 1, THREADS_MOST, &value))
			return false;
		o->threads = (uint64_t)value;
		return true;
	case 'r':
		if (!number("repeat", "0123456789", 1, REPEAT_MOST, &value))
			return false;
		o->repeat = (uint64_t)value;
		return true;
	case 's':
		return number("seconds", "0123456789.", 0, SECONDS_MOST, &o->seconds);
	default:
		return false;
	}
}

/* 0; 2 after a message; -1 when help was asked for and given. */
static int options_read(struct options *o, int argc, char **argv)
{
	static const struct option known[] = {
		{"output", required_argument, NULL, 'o'},
		{"threads", required_argument, NULL, 't'},
		{"repeat", required_argument, NULL, 'r'},
		{"seconds", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	bool good = true;
	int option;

	while (good && (option = getopt_long(argc, argv, "o:t:r:s:h", known, NULL)) != -1) {
		if (option == 'h')
			return fputs(usage, stdout) < 0 || fflush(stdout) ? 2 : -1;
		good = option_take(o, option);
	}
	if (good && argc - optind > 1) {
		fputs("encode_control: more than one file\n", stderr);
		good = false;
	}
	if (!good)
		fputs("Try encode_control --help.\n", stderr);
	else
		o->input = argv[optind];
	return good ? 0 : 2;
}

#endif
