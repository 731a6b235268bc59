/* SPDX-License-Identifier: MIT */
/*
 * Calls every public function under a filter that kills the process at any system call that is not
 * listed: every_call LISTS LEFT_OUT MS.
 *
 *   LISTS     how many of the lists hold, 1 or 2, and what is called
 *   LEFT_OUT  which call of the last of them is left out, by its place from 0 on; -1: none
 *   MS        how long threads wait for each other
 *
 * The lists are those of tierpool.7, given when it is compiled:
 *
 *   POOLS   pools, buffers, budgets, caches and statistics
 *   MORE    the rest: the reaper, the profile, and what the environment asks for
 *
 * Exit status 0, and "MODE BACKING" on stdout; SIGSYS ends it where a call is missing; 77: no filter can be had.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <tierpool.h>
#include <tierpool/callbacks.h>
#include <tierpool/chain.h>

#define MIB ((size_t)1 << 20)

#define NEED(what)                                                    \
	do {                                                          \
		if (!(what)) {                                        \
			fprintf(stderr, "%d: %s\n", __LINE__, #what); \
			_exit(1);                                     \
		}                                                     \
	} while (0)

/* ---- the filter ---- */

#ifndef POOLS /* for tools that only read the file */
#define POOLS SYS_exit_group
#define MORE SYS_exit_group
#endif

static const unsigned pools_calls[] = {POOLS}, more_calls[] = {MORE};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct sock_filter code[2 + 2 * (COUNT(pools_calls) + COUNT(more_calls) + 1) + 1];
static unsigned short length;

static void filter_add(struct sock_filter one)
{
	code[length++] = one;
}

static void filter_allow(unsigned call)
{
	filter_add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1));
	filter_add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

static void filter_allow_all(const unsigned *calls, size_t count, int left_out)
{
	for (size_t i = 0; i < count; i++)
		if ((int)i != left_out)
			filter_allow(calls[i]);
}

static void filter_set(bool more, int left_out)
{
	struct sock_fprog filter = {.filter = code};

	filter_add((struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
	filter_allow(SYS_exit_group); /* the program's own */
	filter_allow_all(pools_calls, COUNT(pools_calls), more ? -1 : left_out);
	if (more)
		filter_allow_all(more_calls, COUNT(more_calls), left_out);
	filter_add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
	filter.len = length;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter)) {
		fprintf(stderr, "no seccomp filter: %s\n", strerror(errno));
		exit(77);
	}
}

/* ---- a thread on another CPU, which is there before the filter is ---- */

static void (*_Atomic job)(void);

static void pin_to_last(void)
{
	cpu_set_t allowed, one;

	CPU_ZERO(&one);
	sched_getaffinity(0, sizeof allowed, &allowed);
	for (size_t cpu_id = CPU_SETSIZE; cpu_id-- > 0;)
		if (CPU_ISSET(cpu_id, &allowed) && !CPU_COUNT(&one))
			CPU_SET(cpu_id, &one);
	sched_setaffinity(0, sizeof one, &one);
}

static _Atomic bool ready;

static void *help(void *unused)
{
	pin_to_last();
	ready = true;
	for (;;) {
		void (*mine)(void) = job;

		if (mine)
			mine();
		if (mine)
			job = NULL;
	}
	return unused;
}

static void begin_elsewhere(void (*mine)(void))
{
	job = mine;
}

static void await_elsewhere(void)
{
	while (job)
		;
}

/* ---- pools, buffers, budgets, caches, statistics ---- */

static FILE *nowhere;
static int ends[2], regular;
static tierpool *pool, *slow;
static tierpool_budget *budgets[2];
static tierpool_cache *cache;
static char object;

static void *object_create(void *context)
{
	return context;
}

static void on_misuse(const char *name, const char *what, const tierpool_buf *b)
{
	(void)name;
	(void)what;
	(void)b;
}

static void buf_vprintf(tierpool_buf *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	NEED(!tierpool_buf_vprintf(b, format, args));
	va_end(args);
}

static void call_buffer(tierpool_buf *b)
{
	FILE *stream;

	NEED(b && !tierpool_buf_append(b, "a", 1) && !tierpool_buf_append_byte(b, 'b'));
	NEED(!tierpool_buf_append_slow(b, "c", 1) && !tierpool_buf_append_str(b, "d"));
	NEED(!tierpool_buf_printf(b, "%d", 1) && !tierpool_buf_reserve(b, 5000));
	buf_vprintf(b, "%s", "e");
	NEED(!strcmp(tierpool_buf_cstr(b), "abcd1e") && !tierpool_buf_error(b));
	NEED(tierpool_buf_write_fd_from(b, ends[1], &(size_t){3}) == 3);
	NEED(!tierpool_buf_consume(b, 3) && tierpool_buf_of(b->data) == b);
	free(tierpool_buf_detach(b, NULL));
	tierpool_buf_clear_error(b);
	NEED(tierpool_buf_write_fd(b, ends[1]) == 3);
	NEED(!tierpool_buf_set(b, "x", 1) && tierpool_buf_read_fd(b, ends[0], 6) == 6);
	b->len = b->cap; /* full: asks whether the file has ended */
	NEED(tierpool_buf_read_fd(b, regular, 10) == 10);
	stream = tierpool_buf_open(b);
	NEED(stream && fputs("y", stream) >= 0 && !fclose(stream));
	tierpool_buf_reset(b);
	NEED(!tierpool_buf_append_u64(b, 1) && !tierpool_buf_append_i64(b, -2));
	NEED(!tierpool_buf_append_hex(b, 0xf) && !tierpool_buf_append_double(b, 0.5));
	NEED(!tierpool_buf_append_json(b, "z", 1) && !strcmp(tierpool_buf_cstr(b), "1-2f0.5\"z\""));
	tierpool_buf_reset(b);
	tierpool_buf_secret(b);
}

static void call_callbacks(tierpool_buf *b)
{
	char text[] = "text";

	tierpool_write_cb_void(b, text, 4);
	NEED(!tierpool_write_cb(b, text, 4) && !tierpool_write_cb_last(text, 4, b));
	NEED(tierpool_write_cb_curl(text, 2, 2, b) == 4);
}

static void call_chain(tierpool_buf *into)
{
	struct iovec piece;
	tierpool_chain c;
	size_t offset = 0;

	tierpool_chain_init(&c, pool, 64);
	for (unsigned i = 0; i < 100; i++)
		NEED(!tierpool_chain_append(&c, "abcd1e", 6));
	NEED(!tierpool_chain_append_slow(&c, "c", 1) && !tierpool_chain_error(&c));
	NEED(tierpool_chain_iovec(&c, 0, &piece, 1) && tierpool_chain_len(&c) == 601);
	NEED(tierpool_chain_write_fd(&c, fileno(nowhere), &offset) == 601);
	NEED(!tierpool_chain_flatten(&c, into));
	tierpool_chain_reset(&c);
}

static void fill(void)
{
	tierpool_buf *b[100];

	for (unsigned i = 0; i < 100; i++)
		NEED((b[i] = tierpool_get_sized(pool, (size_t)64 << i % 15)));
	for (unsigned i = 0; i < 100; i++)
		tierpool_put(b[i]);
}

/* Without a site, and at one: what the macros of the header call too. */
static void call_gets(void)
{
	static tierpool_site site = TIERPOOL_SITE_INIT("every call");
	tierpool_buf *b = (tierpool_get)(pool);

	call_buffer(b);
	call_callbacks(b);
	call_chain(b);
	tierpool_put(b);
	tierpool_put((tierpool_get)(pool));
	tierpool_put_buf((tierpool_get_sized)(pool, 100));
	tierpool_put(tierpool_get_at(pool, 0, &site));
	tierpool_put(tierpool_get_at_site(pool, 100, &site));
	tierpool_put(tierpool_get_calibrated(pool, &site));
}

static void call_large(void)
{
	tierpool_buf *b = tierpool_get_sized(pool, 20 * MIB), *another;

	NEED(b && !tierpool_buf_reserve(b, 30 * MIB));
	/* Such that the next one has to move. */
	another = tierpool_get_sized(pool, 20 * MIB);
	NEED(another && !tierpool_buf_reserve(b, 90 * MIB));
	tierpool_put(b);
	tierpool_put(another);
}

/* A free that takes long, in which others wait for the lease. */
static void *slow_alloc(void *context, size_t n, size_t alignment)
{
	void *block;

	(void)context;
	return posix_memalign(&block, alignment, n) ? NULL : block;
}

static _Atomic bool freeing;
static int slow_ms;

static void slow_free(void *context, void *block, size_t n)
{
	struct timespec now, until;

	(void)context;
	(void)n;
	free(block);
	freeing = true;
	clock_gettime(CLOCK_MONOTONIC, &until);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - until.tv_sec) * 1000 + (now.tv_nsec - until.tv_nsec) / 1000000 <
		slow_ms);
}

static void trim_slowly(void)
{
	tierpool_trim(slow, 0);
}

static void call_waiting(void)
{
	struct tierpool_backing backing = {sizeof backing, slow_alloc, slow_free, NULL};
	struct tierpool_options options = {.size = sizeof options, .backing = &backing};

	NEED(!tierpool_create(&slow, &options));
	tierpool_put(tierpool_get_sized(slow, 1000));
	freeing = false;
	begin_elsewhere(trim_slowly);
	while (!freeing)
		;
	tierpool_retain_set(slow, 1);
	await_elsewhere();
	tierpool_destroy(slow);
}

static void call_statistics(void)
{
	struct tierpool_stats s = {.size = sizeof s};
	struct tierpool_cache_stats c = {.size = sizeof c};
	struct tierpool_tier_stats t[64];

	NEED(!tierpool_stats_read(pool, &s) && !tierpool_cache_stats_read(cache, &c));
	NEED(tierpool_stats_tiers(pool, t, 64, sizeof *t) > 0);
	NEED(!tierpool_stats_print(pool, nowhere) && !tierpool_metrics_write(nowhere));
	NEED(!tierpool_sites_print(pool, nowhere) && !fflush(nowhere));
	NEED(tierpool_version() && tierpool_version_number());
}

static void call_pools(void)
{
	struct tierpool_options options = {.size = sizeof options, .decay_ms = 1};
	struct tierpool_cache_options objects = {
		.size = sizeof objects, .create = object_create, .context = &object};
	tierpool *many[100];

	NEED(!tierpool_budget_create(&budgets[0], 64 * MIB));
	NEED(!tierpool_budget_create_named(&budgets[1], MIB, "second"));
	options.budget = budgets[0];
	NEED(!tierpool_create(&pool, &options) && tierpool_default());
	NEED(tierpool_default_setup(NULL) == -EBUSY);
	NEED(!tierpool_cache_create(&cache, &objects));
	call_gets();
	call_large();
	begin_elsewhere(fill);
	fill();
	await_elsewhere();
	tierpool_tick(pool);
	tierpool_cache_put(cache, tierpool_cache_get(cache));
	tierpool_cache_tick(cache);
	call_statistics();
	tierpool_trim(NULL, 0);
	call_waiting();
	tierpool_on_misuse(on_misuse);
	for (unsigned i = 0; i < 100; i++)
		NEED(!tierpool_create(&many[i], NULL));
	for (unsigned i = 0; i < 100; i++)
		tierpool_destroy(many[i]);
}

/* ---- the rest ---- */

static void call_more(void)
{
	NEED(!tierpool_reaper_start());
	fill();
	NEED(!tierpool_profile_start(1) || getenv("TIERPOOL_PROFILE"));
	for (unsigned i = 0; i < 10; i++) {
		begin_elsewhere(fill);
		call_gets();
		fill();
		await_elsewhere();
	}
	for (int format = TIERPOOL_PROFILE_TEXT; format <= TIERPOOL_PROFILE_PROTO; format++)
		NEED(!tierpool_profile_write(nowhere, format));
	tierpool_profile_stop();
	tierpool_reaper_stop();
}

int main(int argc, char **argv)
{
	struct tierpool_stats s = {.size = sizeof s};
	pthread_t thread;
	bool more;

	if (argc != 4)
		return 2;
	more = atoi(argv[1]) > 1;
	slow_ms = atoi(argv[3]);
	regular = open("/proc/self/exe", O_RDONLY);
	nowhere = fopen("/dev/null", "w");
	if (!nowhere || regular < 0 || pipe(ends) || pthread_create(&thread, NULL, help, NULL))
		return 2;
	/* Streams have their buffers, and the thread is where it stays. */
	fputs(" ", nowhere);
	printf(" ");
	fflush(NULL);
	while (!ready)
		;
	filter_set(more, atoi(argv[2]));
	call_pools();
	if (more)
		call_more();
	NEED(!tierpool_stats_read(pool, &s));
	printf("%s %s\n", s.percpu, s.backing);
	tierpool_cache_destroy(cache);
	tierpool_destroy(pool);
	tierpool_budget_destroy(budgets[0]);
	tierpool_budget_destroy(budgets[1]);
	fflush(stdout);
	if (more)
		exit(0); /* with what the environment has it write */
	_exit(0);
}
