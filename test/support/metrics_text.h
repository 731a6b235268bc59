/* SPDX-License-Identifier: MIT */
/*
 * Reads the text format of Prometheus, 0.0.4, strictly: what the format allows and no more, what the
 * naming rules want, and what this library promises besides (all samples of a family together, a HELP
 * and a TYPE for each, no family without a sample, "# EOF" at the end).
 */
#ifndef METRICS_TEXT_H
#define METRICS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define METRICS_SAMPLES 20000
#define METRICS_FAMILIES 64
#define METRICS_LABELS 4

struct metrics_label {
	const char *key, *value; /* as it was before it was escaped */
};

struct metrics_sample {
	const char *name, *series; /* its family; name and labels as they stand in the text */
	struct metrics_label label[METRICS_LABELS];
	unsigned labels;
	const char *value;
};

struct metrics_text {
	char *text; /* the strings lie in it */
	struct {
		const char *name;
		bool counter;
	} family[METRICS_FAMILIES];
	unsigned families;
	struct metrics_sample *sample;
	unsigned samples;
	const char *fault; /* NULL: none */
	unsigned line;     /* of the fault */
};

struct metrics_text metrics_text_read(const char *text);
void metrics_text_free(struct metrics_text *m);

/*
 * The one sample of a family that has these labels, as key, value, ..., NULL, and maybe others. NULL:
 * there is none, or more than one.
 */
__attribute__((sentinel)) const struct metrics_sample *metrics_find(
	const struct metrics_text *m, const char *name, ...);

/* Its number. It must be there, and a whole one. */
#define metrics_count(m, ...) metrics_count_of(metrics_find((m), __VA_ARGS__, NULL))
uint64_t metrics_count_of(const struct metrics_sample *sample);

const char *metrics_label_of(const struct metrics_sample *sample, const char *key);

#endif
