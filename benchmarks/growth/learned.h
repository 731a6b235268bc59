/* SPDX-License-Identifier: MIT */
/*
 * Fillings at places that have learned: tierpool_get and appends of 64 bytes up to one size, which
 * the place has seen some hundred times; by an encoder that reallocs from 64 bytes, by Go's
 * bytebufferpool, and by its sync.Pool of bytes.Buffer. Both of these have seen as many.
 */
#ifndef LEARNED_H
#define LEARNED_H

/*
 * Measures and prints, for so many seconds. Without Go's program it leaves that out and says so.
 * Before:  the calling thread is pinned to this CPU.
 * Returns: 0; -errno.
 */
int learned_measure(double seconds, unsigned cpu);

#endif
