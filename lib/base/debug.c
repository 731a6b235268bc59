/* SPDX-License-Identifier: MIT */
#include "base/debug.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tp_debug tp_debug;

/* Sets the flag that a word names. False: there is none of that name. */
static bool debug_word(const char *word, size_t length)
{
	static const struct {
		const char *name;
		bool *flag;
	} words[] = {{"check", &tp_debug.check}, {"poison", &tp_debug.poison},
		{"leaks", &tp_debug.leaks}, {"unpooled", &tp_debug.unpooled}};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strlen(words[i].name) == length && !memcmp(words[i].name, word, length))
			return *words[i].flag = true;
	return false;
}

static void debug_read(void)
{
	const char *wish = secure_getenv("TIERPOOL_DEBUG"), *unknown = NULL;
	size_t length, unknown_length = 0;

	for (const char *word = wish; word && *word; word += length + (word[length] == ',')) {
		length = strcspn(word, ",");
		if (length && !debug_word(word, length) && !unknown) {
			unknown = word;
			unknown_length = length;
		}
	}
	if (unknown)
		fprintf(stderr,
			"tierpool: TIERPOOL_DEBUG=%s: '%.*s' is none of check, poison, leaks, "
			"unpooled (between commas, no spaces); ignored\n",
			wish, (int)unknown_length, unknown);
	/* Nothing lies idle then, and no header is lent twice. */
	if (tp_debug.unpooled)
		tp_debug.check = tp_debug.poison = false;
}

void tp_debug_init(void)
{
	static pthread_once_t done = PTHREAD_ONCE_INIT;

	pthread_once(&done, debug_read);
}
