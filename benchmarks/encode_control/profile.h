/* SPDX-License-Identifier: MIT */
/*
 * The profile of the job, in a file: --profile. Functions that return int return 0, or 2, the exit
 * status, after saying on stderr what is wrong.
 */
#ifndef PROFILE_H
#define PROFILE_H

#include <stdio.h>

#include <tierpool/profile.h>

struct profile {
	const char *name;
	FILE *file; /* NULL: there is none */
	enum tierpool_profile_format format;
};

/* Starts the profile. Its format is that of the ending of the name; NULL: there is to be none. */
int profile_begin(struct profile *profile, const char *name);

/* Stops it and writes it, if it was begun. */
int profile_end(const struct profile *profile);

#endif
