/* SPDX-License-Identifier: MIT */
/*
 * Prints advice: a curve for each pool, and a sentence.
 */
#ifndef ADVICE_H
#define ADVICE_H

#include "advise.h"

enum advice_format { ADVICE_TEXT, ADVICE_CSV, ADVICE_JSON };

/* advices: of each pool of the trace. */
void advice_print(const struct trace *t, const struct advice *advices, enum advice_format format);

#endif
