/* SPDX-License-Identifier: MIT */
/*
 * For tests: a child process under ptrace, which is stepped through, or held at one instruction of
 * a restartable sequence while another of its threads goes on; and what such a child says of its
 * pool afterwards. x86-64 only.
 *
 * The sequences are those of the whole program, found as debuggers find them. The child is a fork,
 * so that its addresses are ours. It is no process that Criterion knows: it asserts nothing, and
 * fails by leaving its reason in memory that it shares with us.
 */
#ifndef TRACE_CHILD_H
#define TRACE_CHILD_H

#include <criterion/criterion.h>
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "memory/bufstate.h"
#include "pool/pool.h"
#include "pool_checks.h"

/* ---- sequences ---- */

#define TRACE_SEQUENCES_MOST 64

/* A descriptor, as in linux/rseq.h. Its instructions are those from start, length bytes of them. */
struct trace_sequence {
	uint32_t version, flags;
	uint64_t start, length, abort;
};

/* The linker's names for the section where arch/x86_64.h leaves pointers to the descriptors. */
extern const struct trace_sequence *const __start___rseq_cs_ptr_array[];
extern const struct trace_sequence *const __stop___rseq_cs_ptr_array[];

static inline unsigned trace_sequences(void)
{
	return (unsigned)(__stop___rseq_cs_ptr_array - __start___rseq_cs_ptr_array);
}

static inline const struct trace_sequence *trace_sequence(unsigned i)
{
	return __start___rseq_cs_ptr_array[i];
}

static inline uint64_t trace_sequence_end(unsigned i)
{
	return trace_sequence(i)->start + trace_sequence(i)->length;
}

/* Where a child can be held: at an instruction of a sequence, or right behind its commit. */
struct trace_place {
	unsigned sequence; /* which one of all */
	uint64_t ip;
};

/* How far it is into its sequence, in bytes. */
static inline uint64_t trace_offset(const struct trace_place *place)
{
	return place->ip - trace_sequence(place->sequence)->start;
}

static inline bool trace_is_inside(const struct trace_place *place)
{
	return trace_offset(place) < trace_sequence(place->sequence)->length;
}

/* Whether an address is in a sequence, and then which place it is. */
static inline bool trace_place_of(uint64_t ip, struct trace_place *place)
{
	for (unsigned i = 0; i < trace_sequences(); i++)
		if (ip >= trace_sequence(i)->start && ip < trace_sequence_end(i)) {
			*place = (struct trace_place){i, ip};
			return true;
		}
	return false;
}

/* ---- a child ---- */

/* Whose first thread is traced; 0: there is none, or it has ended. */
static pid_t child;

static inline void trace_ask(enum __ptrace_request what, uint64_t address, uint64_t data)
{
	/* An assertion for each of some ten thousand steps would be the most of their time. */
	if (ptrace(what, child, address, data))
		cr_assert_fail("ptrace request %d: %s", (int)what, strerror(errno));
}

/* The signal that the child stopped for; 0: it has ended. */
static inline int trace_wait(void)
{
	int status;
	pid_t got;

	do
		got = waitpid(child, &status, 0);
	while (got < 0 && errno == EINTR);
	if (got != child)
		cr_assert_fail("waitpid: %s", strerror(errno));
	if (WIFSTOPPED(status))
		return WSTOPSIG(status);
	child = 0;
	return 0;
}

/* Lets the stopped child go on, with PTRACE_CONT or PTRACE_SINGLESTEP; what it stops for next. */
static inline int trace_on(enum __ptrace_request how)
{
	/* No signal goes along: the child is not to feel those that it stopped for. */
	trace_ask(how, 0, 0);
	return trace_wait();
}

/* In the child: stops until the parent lets it go on. */
static inline void trace_mark(void)
{
	raise(SIGSTOP);
}

/* Lets the child run to its next mark. False: it has ended instead. */
static inline bool trace_to_mark(void)
{
	if (trace_on(PTRACE_CONT) == SIGSTOP)
		return true;
	if (child)
		kill(child, SIGKILL);
	while (child)
		trace_wait();
	return false;
}

/* Makes a child that stands at a mark, and then runs what. False: tracing is refused. */
static inline bool trace_begin(void (*what)(void))
{
	child = fork();
	cr_assert_geq(child, 0);
	if (!child) {
		if (!ptrace(PTRACE_TRACEME, 0, 0, 0)) {
			trace_mark();
			what();
		}
		_exit(1);
	}
	if (!trace_wait())
		return false;
	/* It does not outlive a test that fails. */
	trace_ask(PTRACE_SETOPTIONS, 0, PTRACE_O_EXITKILL);
	return true;
}

/* ---- what a stopped child is at ---- */

static inline struct user_regs_struct trace_registers(void)
{
	struct user_regs_struct registers;

	trace_ask(PTRACE_GETREGS, 0, (uintptr_t)&registers);
	return registers;
}

static inline uint64_t trace_peek(uint64_t address)
{
	long word;

	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, child, address, 0);
	cr_assert_eq(errno, 0);
	return (uint64_t)word;
}

/* Where the child's rseq_cs is. */
static inline uint64_t trace_rseq_cs(void)
{
	return trace_registers().fs_base + (uint64_t)tp_cpu_rseq_area + TP_RSEQ_CS;
}

/*
 * Has the kernel know nothing of the sequence that the child is stopped in: it goes on there. The
 * kernel looks only when it returns to the child, so it is not too late.
 */
static inline void trace_sequence_forget(void)
{
	trace_ask(PTRACE_POKEDATA, trace_rseq_cs(), 0);
}

/* Lays a breakpoint; what stood in its place. */
static inline uint64_t trace_break(uint64_t ip)
{
	uint64_t word = trace_peek(ip);

	trace_ask(PTRACE_POKEDATA, ip, (word & ~UINT64_C(0xff)) | 0xcc); /* int3 */
	return word;
}

/* Takes the breakpoint away at which the child has stopped: it stands there as if none had been. */
static inline void trace_unbreak(uint64_t ip, uint64_t word)
{
	struct user_regs_struct registers = trace_registers();

	cr_assert_eq(registers.rip, ip + 1, "stopped elsewhere than at a breakpoint");
	trace_ask(PTRACE_POKEDATA, ip, word);
	registers.rip = ip;
	trace_ask(PTRACE_SETREGS, 0, (uintptr_t)&registers);
}

/* One instruction, and where the child is then. False: it has come to a mark. */
static inline bool trace_step(uint64_t *ip)
{
	int signal = trace_on(PTRACE_SINGLESTEP);

	if (signal == SIGSTOP)
		return false;
	if (signal != SIGTRAP)
		cr_assert_fail("a step ended with signal %d", signal);
	*ip = trace_registers().rip;
	return true;
}

/* ---- stepping, and holding ---- */

typedef void trace_seen(const struct trace_place *place);

/* Steps to the next mark, at most so many times; how many. Inside sequences, seen is called. */
static inline unsigned trace_step_through(unsigned most, trace_seen *seen)
{
	struct trace_place place;
	unsigned steps = 0;

	for (uint64_t ip; steps < most && trace_step(&ip); steps++)
		if (trace_place_of(ip, &place))
			seen(&place);
	return steps;
}

/* From the start of a sequence to where the child leaves it, as if nothing there could abort. */
static inline void trace_walk_one(unsigned sequence, trace_seen *seen)
{
	struct trace_place place = {sequence, trace_sequence(sequence)->start};

	trace_sequence_forget();
	do
		seen(&place);
	while (trace_step(&place.ip) && trace_is_inside(&place));
	if (place.ip == trace_sequence_end(sequence))
		seen(&place);
}

/* Runs to the next mark. Where the child could be held on its way, seen is called. */
static inline void trace_walk(trace_seen *seen)
{
	uint64_t words[TRACE_SEQUENCES_MOST];
	struct trace_place place;
	int signal;

	for (unsigned i = 0; i < trace_sequences(); i++)
		words[i] = trace_break(trace_sequence(i)->start);
	while ((signal = trace_on(PTRACE_CONT)) == SIGTRAP) {
		cr_assert(trace_place_of(trace_registers().rip - 1, &place));
		trace_unbreak(place.ip, words[place.sequence]);
		trace_walk_one(place.sequence, seen);
		trace_break(place.ip);
	}
	cr_assert_eq(signal, SIGSTOP, "signal %d on the way", signal);
	for (unsigned i = 0; i < trace_sequences(); i++)
		trace_ask(PTRACE_POKEDATA, trace_sequence(i)->start, words[i]);
}

/*
 * Lets the child run until it comes to a place, and leaves it stopped there. Inside a sequence it
 * is registered: when it goes on the kernel aborts it, as any thread that was off its CPU. False:
 * it came to the next mark first.
 */
static inline bool trace_hold(const struct trace_place *place)
{
	uint64_t word = trace_break(place->ip);
	int signal = trace_on(PTRACE_CONT);

	if (signal == SIGSTOP) {
		trace_ask(PTRACE_POKEDATA, place->ip, word);
		return false;
	}
	cr_assert_eq(signal, SIGTRAP, "signal %d on the way to a breakpoint", signal);
	trace_unbreak(place->ip, word);
	if (trace_is_inside(place))
		cr_assert_eq(trace_peek(trace_rseq_cs()),
			(uintptr_t)trace_sequence(place->sequence),
			"in a sequence that the kernel does not know of");
	return true;
}

/* ---- in the child: a pool, and who has which buffer of it ---- */

/* One run of a child, as we and it tell each other: in shared memory. */
static struct scene {
	size_t size;                                         /* that is borrowed */
	void (*prepare)(void), (*act)(void), (*rival)(void); /* rival NULL: none */
	sem_t go, gone;                                      /* the rival may act; has acted */
	const char *fault; /* a literal, which has one address in both */
	uint64_t slow;     /* calls that went the slow way in act */
} * scene;

#define HAND_MOST 512

struct hand {
	unsigned count;
	tierpool_buf *buffer[HAND_MOST];
};

static tierpool *pool;
static struct counting_backing counting;
static struct hand ours, theirs; /* of the thread that is traced, and of its rival */

static const char doubled[] = "a buffer has two owners", lost[] = "a buffer is lost";

static inline void __attribute__((noreturn)) fail(const char *fault)
{
	scene->fault = fault;
	_exit(1);
}

/* A fresh buffer into a hand, after what its borrower may do with it: all of it is written. */
static inline void take_this(struct hand *hand, tierpool_buf *b)
{
	if (!b || b->tp_pool != pool || b->len || b->cap < scene->size ||
		!tp_bufstate_is_plain(b->tp_state))
		fail("a get gave something else than a buffer that is ready for use");
	if (hand->count == HAND_MOST)
		fail("more buffers than there can be");
	memset(b->data, 0xa5, b->cap);
	hand->buffer[hand->count++] = b;
}

static inline void take(struct hand *hand, size_t n)
{
	while (n--)
		take_this(hand, (tierpool_get_sized)(pool, scene->size));
}

static inline void give(struct hand *hand, size_t n)
{
	while (n--)
		tierpool_put(hand->buffer[--hand->count]);
}

/* ---- in the child: what must be true at rest ---- */

static inline void check_single(const struct hand *hand)
{
	for (unsigned i = 0; i < hand->count; i++)
		for (unsigned j = 0; j < i; j++)
			if (hand->buffer[i] == hand->buffer[j])
				fail(doubled);
}

static inline struct tierpool_stats stats_now(void)
{
	struct tierpool_stats s = {.size = sizeof s};

	if (tierpool_stats_read(pool, &s))
		fail("no statistics");
	return s;
}

static inline void check_stats(const struct tierpool_stats *s, size_t borrowed)
{
	const char *fault = stats_fault(s);

	if (fault)
		fail(fault);
	if (s->borrowed != borrowed)
		fail("gets - puts are not what is borrowed");
}

/*
 * Of every buffer that was made: it is borrowed or idle, and once. Ends with all of them in ours.
 */
static inline void check_owners(void)
{
	struct tierpool_stats before = stats_now(), after;
	size_t borrowed = ours.count + theirs.count;

	for (unsigned i = 0; i < theirs.count; i++)
		take_this(&ours, theirs.buffer[i]);
	theirs.count = 0;
	check_single(&ours);
	/* What is not borrowed is idle, and so can be had, without a new one being made. */
	take(&ours, before.allocs - before.frees - borrowed);
	check_single(&ours);
	after = stats_now();
	if (after.allocs != before.allocs)
		fail(lost);
	check_stats(&before, borrowed);
	check_stats(&after, ours.count);
}

/* With every buffer in ours. */
static inline void check_return(void)
{
	struct tierpool_stats before = stats_now(), after;

	give(&ours, ours.count);
	after = stats_now();
	check_stats(&after, 0);
	if (after.idle != before.borrowed || after.frees != before.frees)
		fail("not everything that was put is idle");
	tierpool_trim(pool, 0);
	if (pool->tiers.retain.leased)
		fail("a lease has no buffer and no room");
	if (tierpool_destroy(pool) || counting_backing_blocks(&counting))
		fail("the pool's end left something behind");
}

/* ---- the rival, another thread of the child ---- */

static inline void *rival_run(void *cpu)
{
	while (sem_wait(&scene->go))
		;
	if (tp_cpu_id() != *(const unsigned *)cpu)
		fail("the rival is on another CPU");
	scene->rival();
	sem_post(&scene->gone);
	return NULL;
}

/* Lets the rival act, to its end. */
static inline void rival_acts(void)
{
	struct timespec until;
	int error;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 10;
	sem_post(&scene->go);
	do
		error = sem_timedwait(&scene->gone, &until);
	while (error && errno == EINTR);
	cr_assert_eq(error, 0, "the rival did not end: %s",
		scene->fault ? scene->fault : "it crashed or waits");
}

#endif
