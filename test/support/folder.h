/* SPDX-License-Identifier: MIT */
/*
 * A folder of a test's own, in which it and the programs that it runs work. For tests that use
 * Criterion.
 */
#ifndef FOLDER_H
#define FOLDER_H

/*
 * Makes it and goes there. Programs that are run from there have the mode that can be had here: of one
 * that cannot, they would warn on stderr.
 */
void folder_new(void);

/* Removes it, with all that is in it. */
void folder_end(void);

#endif
