/* SPDX-License-Identifier: MIT */
/*
 * For stress programs: threads, and how they are disturbed, by migrations and by signals of a timer
 * of their own.
 */
#ifndef STRESS_THREADS_H
#define STRESS_THREADS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "random.h"

unsigned below(uint64_t *random, unsigned n);

uint64_t now_us(void);

/*
 * Before any thread. Signals come each 200 us, or as often as STRESS_SIGNAL_US says in the environment: an
 * emulated CPU would do nothing else. False: the system refuses one of the disturbances.
 */
bool disturbances_init(void);

/* Signals that came so far. */
uint64_t alarms_seen(void);

/* From here on signals for this thread; those of a process go to its first thread, which sleeps. */
bool alarms_start(timer_t *timer);

/*
 * Moves the thread to a random CPU, or lets the scheduler choose, each as likely as the others.
 * Returns: whether that could be done.
 */
bool migrate(uint64_t *random);

/* Ends the program where there is no thread to be had. */
void thread_start(pthread_t *id, void *(*run)(void *), void *argument);

#endif
