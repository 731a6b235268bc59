/* SPDX-License-Identifier: MIT */
/*
 * Two pools that are used in turn through one place in the source, as a wrapper does: pairs of
 * tierpool_get and put, against those of one pool, and of two pools with a place for each.
 */
#ifndef IN_TURN_H
#define IN_TURN_H

/* Measures and prints, for so many seconds. Returns: 0; -errno. */
int in_turn_measure(double seconds);

#endif
