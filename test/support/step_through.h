/* SPDX-License-Identifier: MIT */
/*
 * For tests: runs a function one instruction at a time, and another function after each. So
 * whatever may happen between two steps of an operation does happen there, each time, on one CPU. A
 * race that threads meet once in a million times is met for certain.
 */
#ifndef STEP_THROUGH_H
#define STEP_THROUGH_H

/*
 * Calls what, and after each of its instructions then, with the number of the instruction, from 1.
 * Returns how many there were. Skips the test where single steps cannot be had.
 */
unsigned step_through(void (*what)(void), void (*then)(unsigned step));

#endif
