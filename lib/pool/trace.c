/* SPDX-License-Identifier: MIT */
#include "pool/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/pathname.h"
#include "memory/bufstate.h"

bool tp_trace_on;

#define STRING_MOST 4096

static struct {
	struct tp_lock lock;
	int file;
	pid_t process;   /* whose trace it is */
	const char *why; /* it has ended, and nobody was told yet */
	dev_t device;
	ino_t inode;
	uint64_t id, ns; /* of the last records that have them */
	size_t len;
	unsigned char bytes[1 << 16]; /* that are not written yet */
} trace = {.lock = TP_LOCK_INIT, .file = -1};

TP_LOCK_AT_LOAD static void trace_lock_init(void)
{
	tp_lock_init(&trace.lock);
}

/* ---- the file; in the lock ---- */

/* Whether the descriptor is still the trace's: a program may close all it has, and open another. */
static bool trace_is_ours(void)
{
	struct stat now;

	return !fstat(trace.file, &now) && now.st_dev == trace.device && now.st_ino == trace.inode;
}

/* trace_end says why, without the lock. */
static void trace_stop(const char *why)
{
	trace.why = why;
	tp_store_relaxed(&tp_trace_on, false);
}

static void trace_flush(void)
{
	size_t done = 0;

	/* In the child of a fork, before the trace has ended there: the parent writes what is here. */
	if (getpid() != trace.process)
		done = trace.len;
	else if (!trace_is_ours())
		trace_stop("its file was closed");
	while (done < trace.len && tp_load_relaxed(&tp_trace_on)) {
		ssize_t n = write(trace.file, trace.bytes + done, trace.len - done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			trace_stop(n ? strerror(errno) : "nothing was written");
	}
	trace.len = 0;
}

static void trace_bytes(const void *bytes, size_t n)
{
	while (n) {
		size_t part = tp_min(n, sizeof trace.bytes - trace.len);

		memcpy(trace.bytes + trace.len, bytes, part);
		trace.len += part;
		bytes = (const char *)bytes + part;
		n -= part;
		if (trace.len == sizeof trace.bytes)
			trace_flush();
	}
}

/* LEB128, unsigned. */
static void trace_number(uint64_t n)
{
	unsigned char bytes[10];
	size_t count = 0;

	for (; n > 0x7f; n >>= 7)
		bytes[count++] = (unsigned char)(n | 0x80);
	bytes[count++] = (unsigned char)n;
	trace_bytes(bytes, count);
}

/* Cut to what readers take. */
static void trace_string(const char *s)
{
	size_t length = strnlen(s, STRING_MOST);

	trace_number(length);
	trace_bytes(s, length);
}

static void trace_kind(char kind)
{
	trace_bytes(&kind, 1);
}

/* The id of a buffer is the place of its header. Zigzag: small differences of either sign are short. */
static void trace_id(const tierpool_buf *b)
{
	uint64_t id = (uintptr_t)b / sizeof *b, difference = id - trace.id;

	trace_number(difference << 1 ^ (difference >> 63 ? UINT64_MAX : 0));
	trace.id = id;
}

static void trace_time(void)
{
	uint64_t ns = tp_clock_ns();

	trace_number(trace.ns ? ns - trace.ns : 0);
	trace.ns = ns;
}

static void trace_site(const tierpool *pool, const struct tp_site *site, uint32_t number)
{
	trace_kind('S');
	trace_number(pool->sites.options.pool_id);
	trace_number(number);
	trace_number(site->line);
	trace_string(site->file);
	trace_string(site->label);
}

/* ---- records ---- */

/* What a call leaves as it was: a put does not touch errno, and no thread is cancelled in it. */
struct trace_caller {
	int error, cancel;
};

static struct trace_caller trace_begin(void)
{
	struct trace_caller caller = {.error = errno};

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &caller.cancel);
	tp_lock_take(&trace.lock);
	return caller;
}

static void trace_end(struct trace_caller caller)
{
	const char *why = trace.why;

	trace.why = NULL;
	tp_lock_give(&trace.lock);
	if (why)
		fprintf(stderr, "tierpool: TIERPOOL_TRACE: %s; the trace ends here\n", why);
	pthread_setcancelstate(caller.cancel, NULL);
	errno = caller.error;
}

void tp_trace_pool(const tierpool *pool, const struct tierpool_options *options)
{
	struct trace_caller caller = trace_begin();

	trace_kind('P');
	trace_number(pool->sites.options.pool_id);
	trace_number(options->retain);
	trace_number(options->max_idle == SIZE_MAX ? 0 : options->max_idle);
	trace_number(options->decay_ms == TIERPOOL_DECAY_NEVER ? 0 : options->decay_ms);
	trace_number(options->alignment);
	trace_number(
		options->calibrate_every == TIERPOOL_CALIBRATE_OFF ? 0 : options->calibrate_every);
	trace_number(pool->sizes.count);
	for (unsigned tier = 0; tier < pool->sizes.count; tier++)
		trace_number(pool->sizes.size[tier]);
	trace_string(pool->registered.name);
	trace_end(caller);
}

void tp_trace_get(const tierpool *pool, const tierpool_buf *b, struct tp_site *site, size_t n)
{
	uint32_t number = tp_site_word_number(tp_site_word_half(tp_load_relaxed(&site->word)));
	struct trace_caller caller = trace_begin();

	if (!site->traced)
		trace_site(pool, site, number);
	site->traced = true;
	trace_kind('G');
	trace_id(b);
	trace_number(pool->sites.options.pool_id);
	trace_number(number);
	trace_number(tp_cpu_id());
	trace_time();
	trace_number(n);
	trace_number(b->cap);
	trace_end(caller);
}

void tp_trace_grow(const tierpool_buf *b, size_t need, size_t kept)
{
	struct trace_caller caller = trace_begin();

	trace_kind('R');
	trace_id(b);
	trace_number(need);
	trace_number(kept);
	trace_end(caller);
}

void tp_trace_put(const tierpool_buf *b)
{
	struct trace_caller caller = trace_begin();

	trace_kind('T');
	trace_id(b);
	trace_number(tp_cpu_id());
	trace_time();
	trace_number(tp_bufstate_used(b));
	trace_number(b->cap);
	trace_end(caller);
}

/* ---- start and end ---- */

void tp_trace_start(void)
{
	const char *name = secure_getenv("TIERPOOL_TRACE");
	char path[PATH_MAX];
	struct stat file = {0};

	if (!name || !*name)
		return;
	errno = ENAMETOOLONG;
	if (tp_pathname(path, sizeof path, name))
		trace.file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (trace.file < 0) {
		fprintf(stderr, "tierpool: TIERPOOL_TRACE=%s: %s; no trace\n", name,
			strerror(errno));
		return;
	}
	(void)fstat(trace.file, &file);
	trace.process = getpid();
	trace.device = file.st_dev;
	trace.inode = file.st_ino;
	trace_bytes("tptrace\1", 8);
	tp_store_relaxed(&tp_trace_on, true);
}

/* What other threads do while the process ends is not in the file. */
__attribute__((destructor)) static void trace_finish(void)
{
	struct trace_caller caller = trace_begin();

	if (tp_load_relaxed(&tp_trace_on))
		trace_flush();
	tp_store_relaxed(&tp_trace_on, false);
	trace_end(caller);
}

void tp_trace_fork(enum tp_fork phase)
{
	if (phase == TP_FORK_PREPARE)
		tp_lock_take(&trace.lock);
	if (phase == TP_FORK_CHILD && trace.file >= 0) {
		tp_store_relaxed(&tp_trace_on, false);
		if (trace_is_ours())
			close(trace.file);
		trace.file = -1; /* a child of this child may have another file of that number */
	}
	if (phase == TP_FORK_PARENT || phase == TP_FORK_CHILD)
		tp_lock_give(&trace.lock);
}
