/* SPDX-License-Identifier: MIT */
/*
 * What each of these programs needs besides what it measures: options, its exit statuses, the end of
 * a file that it wrote, whose library a function is, and the first line of a report.
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <tierpool.h>

#define FAILED 2   /* wrong usage, or something failed */
#define SKIPPED 77 /* this machine lacks what the program needs */

/*
 * An option: --name VALUE, or --name if it is a flag. Its first letter does as well, for the first
 * option that has it.
 */
struct choice {
	const char *name;
	double *number, least, most; /* of a number */
	bool whole;                  /* the number has digits only */
	const char **text;           /* where there is no number */
	bool *flag;                  /* where there is no value */
};

#define CHOICES_MOST 8

/*
 * Reads the options, n choices and --help, and one argument if file is not NULL; *file stays as it
 * is if there is none.
 * Returns: 0; FAILED after a message; -1 when --help was asked for and printed.
 */
int options_read(const char *program, const char *usage, const struct choice *choices, unsigned n,
	const char **file, int argc, char **argv);

/* Returns: 0; -errno: this or an earlier write failed. */
int file_close(FILE *f);

/* Returns: the file name of the library that has this address; "?" if none has it. */
const char *library_of(void *address);

/* Prints what is measured, for how long, and by whose pool. */
void setting_print(const char *program, double seconds, tierpool *pool);

/* Returns: "64", "4Ki", "1Mi": at most 6 characters, until the next call. */
const char *size_text(size_t n);

#endif
