/* SPDX-License-Identifier: MIT */
/*
 * The sizes that one place learns: the one that its buffers begin with, and the one that they grow to
 * when that is too small. Owns the counts of what was used, and the rule by which they are judged:
 * the sizes of least expected cost, where capacity, growths and copies each have a price. Knows no
 * pool and no site. DESIGN.md has the cost model; the rule was chosen by simulation.
 *
 * Sizes are counted by class: a tier, or a group of neighbours where a pool has more than 19 tiers.
 * A put that grew is counted 1, since each of them is seen; one that did not, but was sampled, stands
 * for TP_SAMPLE puts.
 *
 * Any thread adds to the counts. If two want to judge, one does and the other goes on: nobody waits.
 */
#ifndef TP_CALIBRATE_H
#define TP_CALIBRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/price.h"
#include "idle/countdown.h"
#include "memory/sizeclass.h"

/* The first puts of a place; each is counted as a sample. */
#define TP_LEARN 64

/* Puts between calibrations, by default. */
#define TP_CALIBRATE_EVERY 2048

/* Classes at most: the tiers of a pool with all defaults. One more is what no tier holds. */
#define TP_CLASSES 19

/* What is the same for all places of a pool; set once. */
struct tp_classes {
	const struct tp_sizeclass *sizes;
	unsigned count;
	unsigned tiers; /* of each class; the last one may have fewer */
	uint32_t every; /* puts between calibrations; 0: nothing is learned */
};

/* Of one place. Written and read by anyone, relaxed; fields of "judging" by its holder. */
struct tp_calibration {
	uint32_t count[TP_CLASSES + 1]; /* puts, by the class of what was used */
	uint32_t since;                 /* puts since the last calibration */
	uint32_t grown;                 /* puts that grew, since the steps were last judged */
	uint32_t seen;                  /* puts while the place is new */
	uint32_t judging;               /* a lock that is only tried */
	uint64_t beyond;          /* what is used typically above the largest tier; 0: unknown */
	uint64_t changes;         /* of the default */
	uint32_t refresh;         /* judging: grown at which the steps are judged anew */
	uint64_t drops;           /* judging: of the pool, at the last calibration */
	uint8_t dear, quiet;      /* judging: how dear capacity is; calibrations without drops */
	uint8_t tier;             /* that a buffer begins with */
	uint8_t step[TP_CLASSES]; /* the class that one of each class grows to */
};

void tp_classes_init(
	struct tp_classes *classes, const struct tp_sizeclass *sizes, unsigned calibrate_every);

/* tier: that a new place begins with. */
void tp_calibration_init(const struct tp_classes *classes, struct tp_calibration *c, unsigned tier);

/* What a put says of its buffer. */
struct tp_use {
	size_t used; /* the largest len */
	bool grown, sampled;
};

/* What is due after a put. */
enum tp_due { TP_DUE_NOTHING, TP_DUE_STEPS, TP_DUE_ALL };

/* Counts a put. Returns: what tp_calibration_judge is to be called for. */
enum tp_due tp_calibration_count(
	const struct tp_classes *classes, struct tp_calibration *c, struct tp_use use);

/* What a judgement made of the default: the tiers before and after it. */
struct tp_judged {
	bool done; /* false: another thread is at it, and nothing was done */
	uint8_t was, now;
};

/*
 * Judges what was counted: the steps, and if all is due the default. drops: of the whole pool so
 * far, buffers that were freed for want of room; many of them make capacity dearer.
 */
struct tp_judged tp_calibration_judge(const struct tp_classes *classes, struct tp_calibration *c,
	enum tp_due due, uint64_t drops);

/* Whether the place is new: then each of its puts is to be counted. */
bool tp_calibration_is_new(const struct tp_calibration *c);

/* The tier that a buffer begins with. */
static inline unsigned tp_calibration_tier(const struct tp_calibration *c)
{
	return tp_load_relaxed(&c->tier);
}

/* The size that a buffer of this capacity should grow to, for at least need bytes; 0: no advice. */
size_t tp_calibration_step(
	const struct tp_classes *classes, const struct tp_calibration *c, size_t cap, size_t need);

/* The class of a tier; and the size of a class, of the largest tier in it. */
static inline unsigned tp_class_of(const struct tp_classes *classes, unsigned tier)
{
	return tier / classes->tiers;
}
size_t tp_class_size(const struct tp_classes *classes, unsigned class);

/* In the child of a fork: another thread may have been judging when it began. */
void tp_calibration_forked(struct tp_calibration *c);

#endif
