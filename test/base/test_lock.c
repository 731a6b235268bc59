/* SPDX-License-Identifier: MIT */
/* Who waits for a lock lends its priority to the thread that holds it. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/lock.h"
#include "cpus.h"
#include "profile/samples_table.h"
#include "tasks.h"

#define HIGH 20

static struct tp_lock made;
static struct tp_lock *held;
static bool waits;

TestSuite(lock, .timeout = 60);

static void *wait_for_it(void *unused)
{
	tp_store_release(&waits, true);
	tp_lock_take(held);
	tp_lock_give(held);
	return unused;
}

/* As the kernel has it now: below 0 if it is a real-time one (proc(5)). */
static long priority_of_this_thread(void)
{
	FILE *stat = task_open(gettid(), "stat");
	char line[512] = "";
	long priority = 0;

	cr_assert_not_null(stat);
	cr_assert_not_null(fgets(line, sizeof line, stat));
	fclose(stat);
	cr_assert_eq(sscanf(strrchr(line, ')') + 1,
			     " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %ld",
			     &priority),
		1);
	return priority;
}

/* False: this process may have no thread of a real-time priority. */
static bool holder_inherits(struct tp_lock *lock)
{
	struct sched_param high = {.sched_priority = HIGH};
	pthread_attr_t attributes;
	pthread_t thread;
	int error;

	held = lock;
	waits = false;
	tp_lock_take(lock);
	pthread_attr_init(&attributes);
	pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attributes, SCHED_FIFO);
	pthread_attr_setschedparam(&attributes, &high);
	error = pthread_create(&thread, &attributes, wait_for_it, NULL);
	pthread_attr_destroy(&attributes);
	/* It is soon asleep; if not, the test ends by its time limit. */
	while (!error && (!tp_load_acquire(&waits) || priority_of_this_thread() != -1 - HIGH))
		usleep(100);
	tp_lock_give(lock);
	if (error)
		return false;
	pthread_join(thread, NULL);
	cr_assert_geq(priority_of_this_thread(), 0, "the priority that was lent stays");
	return true;
}

Test(lock, who_waits_lends_its_priority)
{
	tp_lock_init(&made);
	if (!holder_inherits(&made))
		skip("no real-time priority allowed");
	cr_assert(holder_inherits(&tp_samples.lock), "of those that are there from load on");
	tp_lock_fini(&made);
}

Test(lock, a_thread_that_forks_passes_what_it_holds)
{
	tp_lock_init(&made);
	tp_lock_take(&made);
	cr_assert_not(tp_lock_try(&made));
	tp_lock_fork_begin();
	cr_assert(tp_lock_try(&made));
	tp_lock_take(&made);
	tp_lock_give(&made);
	tp_lock_fork_give(false);
	cr_assert_not(tp_lock_try(&made), "given back while the fork goes on");
	tp_lock_give(&made);
	cr_assert(tp_lock_try(&made));
	tp_lock_give(&made);
	tp_lock_fini(&made);
}
