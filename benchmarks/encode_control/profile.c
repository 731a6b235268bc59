/* SPDX-License-Identifier: MIT */
#include "profile.h"

#include <errno.h>
#include <string.h>

#include "file.h"
#include "support/program.h"

static const struct {
	const char *text;
	enum tierpool_profile_format format;
} endings[] = {
	{".txt", TIERPOOL_PROFILE_TEXT},
	{".pb.gz", TIERPOOL_PROFILE_PROTO},
	{".heap", TIERPOOL_PROFILE_PPROF},
	{".folded", TIERPOOL_PROFILE_FOLDED},
	{".json", TIERPOOL_PROFILE_JSON},
};

static bool profile_format(const char *name, enum tierpool_profile_format *format)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		size_t ending = strlen(endings[i].text);

		if (len >= ending && !strcmp(name + len - ending, endings[i].text)) {
			*format = endings[i].format;
			return true;
		}
	}
	return false;
}

int profile_begin(struct profile *profile, const char *name)
{
	int error;

	*profile = (struct profile){.name = name};
	if (!name)
		return 0;
	if (!profile_format(name, &profile->format)) {
		fprintf(stderr,
			"encode_control: --profile: '%s' does not end in .txt, .pb.gz, .heap, "
			".folded or .json\n"
			"Try encode_control --help.\n",
			name);
		return FAILED;
	}
	profile->file = fopen(name, "w");
	if (!profile->file)
		return error_print(name, errno);
	error = tierpool_profile_start(0);
	/* It may run already, if the environment wants one: TIERPOOL_PROFILE, TIERPOOL_DEBUG=leaks. */
	if (!error || error == -EALREADY)
		return 0;
	fclose(profile->file);
	profile->file = NULL;
	return error_print("cannot start the profile", error);
}

int profile_end(const struct profile *profile)
{
	int error, closed;

	if (!profile->file)
		return 0;
	tierpool_profile_stop();
	error = tierpool_profile_write(profile->file, profile->format);
	closed = file_close(profile->file);
	error = error ? error : closed;
	return error ? error_print(profile->name, error) : 0;
}
