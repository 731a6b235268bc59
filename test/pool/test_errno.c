/* SPDX-License-Identifier: MIT */
/*
 * What leaves errno alone, as tierpool.h has it: where the system refuses all that the library asks it
 * for, where signals interrupt its waits, and where the program's own functions leave something there.
 * So does the C library in all of it: POSIX lets a function that succeeds do so, and free of glibc before
 * 2.33 does.
 */
#include "program.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "syscall_filter.h"

#define MARK ENOTTY

#define KEEPS(call)                  \
	do {                         \
		errno = MARK;        \
		call;                \
		NEED(errno == MARK); \
	} while (0)

#define MANY 300

/* ---- the C library (--wrap in test.mk) ---- */

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
void __real_free(void *block);
int __real_pthread_mutex_unlock(pthread_mutex_t *lock);
int __real_sched_getcpu(void);
void __wrap_free(void *block);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock);
int __wrap_sched_getcpu(void);

void __wrap_free(void *block)
{
	__real_free(block);
	errno = EXDEV;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock)
{
	int error = __real_pthread_mutex_unlock(lock);

	errno = EXDEV;
	return error;
}

int __wrap_sched_getcpu(void)
{
	int cpu_id = __real_sched_getcpu();

	errno = EXDEV;
	return cpu_id;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* ---- the program's own functions ---- */

static void *own_alloc(void *context, size_t n, size_t alignment)
{
	void *block;

	(void)context;
	if (posix_memalign(&block, alignment, n))
		block = NULL;
	errno = EXDEV;
	return block;
}

static void own_free(void *context, void *block, size_t n)
{
	(void)context;
	(void)n;
	free(block);
	errno = EXDEV;
}

static const struct tierpool_backing own = {sizeof own, own_alloc, own_free, NULL};

static void own_destroy(void *context, void *object)
{
	(void)context;
	(void)object;
	errno = EXDEV;
}

static unsigned misuses;

static void own_handler(const char *pool, const char *what, const tierpool_buf *b)
{
	(void)pool;
	(void)what;
	(void)b;
	misuses++;
	errno = EXDEV;
}

/* ---- a pool, and all calls ---- */

static tierpool_budget *budget;
static tierpool *pool, *other;
static tierpool_cache *cache;
static tierpool_buf *held[MANY], *spoilt;

/* As many sizes as there are, some above all tiers, some secret. */
static void borrow_many(void)
{
	for (unsigned i = 0; i < MANY; i++) {
		held[i] = i % 3 ? tierpool_get_sized(pool, (size_t)100 << i % 14)
				: tierpool_get(pool);
		NEED(held[i] && !tierpool_buf_reserve(held[i], held[i]->cap + 1));
		if (i % 5 == 0)
			tierpool_buf_secret(held[i]);
	}
}

static void put_many(void)
{
	for (unsigned i = 0; i < MANY; i++)
		KEEPS(tierpool_put(held[i]));
}

/* On another CPU, if there is one: what only a stop of it reaches. */
static void *fill_elsewhere(void *unused)
{
	pin(1);
	for (unsigned i = 0; i < 10; i++)
		cycle(pool, KIB << i % 8, 20);
	for (unsigned i = 0; i < MANY; i++)
		tierpool_cache_put(cache, &held[i]);
	return unused;
}

static void make(const struct tierpool_backing *backing)
{
	pthread_t thread;

	NEED(!tierpool_budget_create(&budget, 8 * MIB));
	other = MAKE(.max_size = 256 * KIB, .budget = budget);
	pool = MAKE(.max_size = 256 * KIB, .decay_ms = 1, .budget = budget, .backing = backing);
	NEED(!tierpool_cache_create(&cache,
		&(struct tierpool_cache_options){.size = sizeof(struct tierpool_cache_options),
			.destroy = own_destroy,
			.decay_ms = 1}));
	tierpool_on_misuse(own_handler);
	NEED(!pthread_create(&thread, NULL, fill_elsewhere, NULL) && !pthread_join(thread, NULL));
	pin(0);
	cycle(other, 64 * KIB, 60);
	borrow_many();
	spoilt = tierpool_get_sized(pool, KIB);
	NEED(spoilt);
}

/* Every function that returns void or size_t, and those that read numbers. */
static void call_all(void)
{
	struct tierpool_stats s = {.size = sizeof s};
	struct tierpool_cache_stats c = {.size = sizeof c};
	struct tierpool_tier_stats t[64];

	for (unsigned i = 0; i < MANY; i++) {
		KEEPS(tierpool_buf_reset(held[i]));
		KEEPS(tierpool_buf_secret(held[i]));
		KEEPS(tierpool_cache_put(cache, &held[i]));
	}
	put_many();
	KEEPS(tierpool_put_buf(spoilt));
	usleep(3000); /* decay is due */
	KEEPS(tierpool_put(spoilt));
	KEEPS(tierpool_buf_reset(spoilt));
	NEED(misuses == 2);
	KEEPS(NEED(!tierpool_stats_read(pool, &s)));
	KEEPS(NEED(tierpool_stats_tiers(pool, t, 64, sizeof *t) > 0));
	KEEPS(NEED(!tierpool_cache_stats_read(cache, &c)));
	KEEPS(tierpool_retain_set(pool, 100 * KIB));
	KEEPS(tierpool_tick(pool));
	KEEPS(tierpool_tick(NULL));
	KEEPS(tierpool_trim(pool, KIB));
	KEEPS(tierpool_trim(NULL, 0));
	KEEPS(tierpool_cache_tick(cache));
	KEEPS(tierpool_profile_stop());
	KEEPS(tierpool_reaper_stop());
	KEEPS(tierpool_cache_destroy(cache));
	KEEPS(tierpool_destroy(pool));
	KEEPS(tierpool_destroy(other));
	KEEPS(tierpool_budget_destroy(budget));
}

/* ---- where the system refuses ---- */

static void refuse_all(void)
{
	static const uint32_t calls[] = {SYS_mmap, SYS_munmap, SYS_mremap, SYS_madvise,
		SYS_membarrier, SYS_sched_getaffinity, SYS_sched_setaffinity, SYS_sched_yield,
		SYS_nanosleep, SYS_openat, SYS_getcpu};

	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		NEED(!syscall_refuse(calls[i], 0, 0, EPERM));
	/* Of brk, whose refusal by a filter the C library takes for success. */
	NEED(!setrlimit(RLIMIT_AS, &(struct rlimit){1, 1}));
}

static void calls_that_are_refused(void)
{
	make(NULL);
	NEED(!tierpool_reaper_start());
	refuse_all();
	call_all();
}

static void calls_that_are_refused_in_a_profile(void)
{
	make(NULL);
	NEED(!tierpool_profile_start(1));
	put_many();
	borrow_many();
	NEED(!tierpool_reaper_start());
	refuse_all();
	call_all();
}

static void need_filters(void)
{
	if (SANITIZED || under_valgrind())
		skip("its runtime needs what is refused here");
}

TestSuite(errno_kept, .timeout = 120);

#define REFUSED(name, program, ...)                     \
	Test(errno_kept, where_all_is_refused##name)    \
	{                                               \
		need_filters();                         \
		program_run_in(program, ##__VA_ARGS__); \
	}

REFUSED(, calls_that_are_refused, "TIERPOOL_DEBUG")
REFUSED(_unpooled, calls_that_are_refused, "TIERPOOL_DEBUG=unpooled")
REFUSED(_checked, calls_that_are_refused, "TIERPOOL_DEBUG=check,poison")
REFUSED(_traced, calls_that_are_refused, "TIERPOOL_TRACE=/dev/full")
REFUSED(_profiled, calls_that_are_refused_in_a_profile, "TIERPOOL_DEBUG")

/* ---- where the program's own functions change it ---- */

static void calls_of_own_functions(void)
{
	make(&own);
	NEED(!tierpool_reaper_start());
	call_all();
}

Test(errno_kept, where_own_functions_change_it)
{
	program_run_in(calls_of_own_functions, "TIERPOOL_DEBUG");
}

/* ---- where signals come ---- */

static void on_alarm(int signal)
{
	(void)signal;
}

static void *use(void *unused)
{
	for (unsigned i = 0; i < 300; i++) {
		tierpool_buf *b[40];

		for (unsigned k = 0; k < 40; k++) {
			b[k] = tierpool_get_sized(pool, (size_t)300 << k % 10);
			NEED(b[k]);
		}
		for (unsigned k = 0; k < 40; k++)
			KEEPS(tierpool_put(b[k]));
		KEEPS(tierpool_tick(pool));
		KEEPS(tierpool_trim(pool, MIB));
	}
	return unused;
}

static void calls_that_are_interrupted(void)
{
	struct sigaction action = {.sa_handler = on_alarm};
	struct itimerval often = {{0, 200}, {0, 200}};
	pthread_t thread[4];

	pool = MAKE(.retain = 2 * MIB, .decay_ms = 1);
	NEED(!sigaction(SIGALRM, &action, NULL) && !setitimer(ITIMER_REAL, &often, NULL));
	for (unsigned i = 0; i < 4; i++)
		NEED(!pthread_create(&thread[i], NULL, use, NULL));
	for (unsigned i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	NEED(!setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL));
}

Test(errno_kept, where_signals_interrupt)
{
	program_run_in(calls_that_are_interrupted, "TIERPOOL_DEBUG");
}
