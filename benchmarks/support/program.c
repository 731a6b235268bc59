/* SPDX-License-Identifier: MIT */
/*
 * Options, files, libraries and text: program.h.
 */
#include "support/program.h"

#include <dlfcn.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define BY_NAME 256u /* beyond each letter: the option was given by its name */

static bool choice_read(const char *program, const struct choice *c, const char *value)
{
	char *end;

	if (c->flag)
		return *c->flag = true;
	if (c->text) {
		*c->text = value;
		return true;
	}
	*c->number = strtod(value, &end);
	if (end != value && !*end && *c->number >= c->least && *c->number <= c->most &&
		(!c->whole || !value[strspn(value, "0123456789")]))
		return true;
	fprintf(stderr, "%s: --%s: '%s' is not a%s number from %.0f to %.0f\n", program, c->name,
		value, c->whole ? " whole" : "", c->least, c->most);
	return false;
}

/* The options as getopt_long wants them: by number, and by letter. */
static void choices_list(
	const struct choice *choices, unsigned n, struct option *known, char *letters)
{
	*known++ = (struct option){"help", no_argument, NULL, 'h'};
	*letters++ = 'h';
	for (unsigned i = 0; i < n; i++) {
		bool value = !choices[i].flag;

		*known++ = (struct option){choices[i].name, value, NULL, (int)(BY_NAME + i)};
		*letters++ = choices[i].name[0];
		if (value)
			*letters++ = ':';
	}
}

static int usage_fail(const char *program)
{
	fprintf(stderr, "Try %s --help.\n", program);
	return FAILED;
}

int options_read(const char *program, const char *usage, const struct choice *choices, unsigned n,
	const char **file, int argc, char **argv)
{
	struct option known[CHOICES_MOST + 2] = {{0}};
	char letters[2 * CHOICES_MOST + 2] = "";
	int option;

	choices_list(choices, n, known, letters);
	while ((option = getopt_long(argc, argv, letters, known, NULL)) != -1) {
		unsigned i = 0;

		if (option == 'h')
			return fputs(usage, stdout) < 0 || fflush(stdout) ? FAILED : -1;
		while (i < n && option != (int)(BY_NAME + i) && option != choices[i].name[0])
			i++;
		if (i == n || !choice_read(program, &choices[i], optarg))
			return usage_fail(program);
	}
	if (file && optind < argc)
		*file = argv[optind++];
	if (optind == argc)
		return 0;
	fprintf(stderr, "%s: one argument too many: '%s'\n", program, argv[optind]);
	return usage_fail(program);
}

int file_close(FILE *f)
{
	bool failed = ferror(f);

	if (fclose(f) || failed)
		return errno ? -errno : -EIO;
	return 0;
}

const char *library_of(void *address)
{
	Dl_info info;
	const char *slash;

	if (!address || !dladdr(address, &info) || !info.dli_fname)
		return "?";
	slash = strrchr(info.dli_fname, '/');
	return slash ? slash + 1 : info.dli_fname;
}

void setting_print(const char *program, double seconds, tierpool *pool)
{
	struct tierpool_stats stats = {.size = sizeof stats};

	if (tierpool_stats_read(pool, &stats))
		stats.percpu = stats.backing = "?";
	printf("%s: %.0f s; tierpool %s, percpu %s, backing %s; compiler %s\n", program, seconds,
		tierpool_version(), stats.percpu, stats.backing, __VERSION__);
}

const char *size_text(size_t n)
{
	static char text[24];

	if (n >> 20)
		snprintf(text, sizeof text, "%zuMi", n >> 20);
	else if (n >> 10)
		snprintf(text, sizeof text, "%zuKi", n >> 10);
	else
		snprintf(text, sizeof text, "%zu", n);
	return text;
}
