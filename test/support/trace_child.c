/* SPDX-License-Identifier: MIT */
#include "trace_child.h"

#if defined(__x86_64__) && TP_RSEQ_PRESENT

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* The linker's names for the section where the sequences leave pointers to their descriptors. */
extern const struct trace_sequence *const __start___rseq_cs_ptr_array[];
extern const struct trace_sequence *const __stop___rseq_cs_ptr_array[];

unsigned trace_sequences(void)
{
	return (unsigned)(__stop___rseq_cs_ptr_array - __start___rseq_cs_ptr_array);
}

const struct trace_sequence *trace_sequence(unsigned i)
{
	return __start___rseq_cs_ptr_array[i];
}

static uint64_t trace_sequence_end(unsigned i)
{
	return trace_sequence(i)->start + trace_sequence(i)->length;
}

uint64_t trace_offset(const struct trace_place *place)
{
	return place->ip - trace_sequence(place->sequence)->start;
}

bool trace_is_inside(const struct trace_place *place)
{
	return trace_offset(place) < trace_sequence(place->sequence)->length;
}

bool trace_place_of(uint64_t ip, struct trace_place *place)
{
	for (unsigned i = 0; i < trace_sequences(); i++)
		if (ip >= trace_sequence(i)->start && ip < trace_sequence_end(i)) {
			*place = (struct trace_place){i, ip};
			return true;
		}
	return false;
}

/* ---- a child ---- */

/* The process whose first thread is traced; 0: there is none, or it has ended. */
static pid_t trace_pid;

static void trace_ask(enum __ptrace_request what, uint64_t address, uint64_t data)
{
	/* An assertion for each of some ten thousand steps would be the most of their time. */
	if (ptrace(what, trace_pid, address, data))
		cr_assert_fail("ptrace request %d: %s", (int)what, strerror(errno));
}

/* The signal that the child stopped for; 0: it has ended. */
static int trace_wait(void)
{
	int status;
	pid_t got;

	do
		got = waitpid(trace_pid, &status, 0);
	while (got < 0 && errno == EINTR);
	if (got != trace_pid)
		cr_assert_fail("waitpid: %s", strerror(errno));
	if (WIFSTOPPED(status))
		return WSTOPSIG(status);
	trace_pid = 0;
	return 0;
}

/* Lets the stopped child go on, with PTRACE_CONT or PTRACE_SINGLESTEP; what it stops for next. */
static int trace_on(enum __ptrace_request how)
{
	/* No signal goes along: the child is not to feel those that it stopped for. */
	trace_ask(how, 0, 0);
	return trace_wait();
}

void trace_mark(void)
{
	raise(SIGSTOP);
}

bool trace_to_mark(void)
{
	if (trace_on(PTRACE_CONT) == SIGSTOP)
		return true;
	if (trace_pid)
		kill(trace_pid, SIGKILL);
	while (trace_pid)
		trace_wait();
	return false;
}

bool trace_begin(void (*what)(void))
{
	if (trace_pid)
		return true;
	trace_pid = fork();
	cr_assert_geq(trace_pid, 0);
	if (!trace_pid) {
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

static struct user_regs_struct trace_registers(void)
{
	struct user_regs_struct registers;

	trace_ask(PTRACE_GETREGS, 0, (uintptr_t)&registers);
	return registers;
}

static uint64_t trace_peek(uint64_t address)
{
	long word;

	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, trace_pid, address, 0);
	cr_assert_eq(errno, 0);
	return (uint64_t)word;
}

/* Where the child's rseq_cs is. */
static uint64_t trace_rseq_cs(void)
{
	return trace_registers().fs_base + (uint64_t)tp_cpu_rseq_area + TP_RSEQ_CS;
}

void trace_sequence_forget(void)
{
	trace_ask(PTRACE_POKEDATA, trace_rseq_cs(), 0);
}

/* Lays a breakpoint; what stood in its place. */
static uint64_t trace_break(uint64_t ip)
{
	uint64_t word = trace_peek(ip);

	trace_ask(PTRACE_POKEDATA, ip, (word & ~UINT64_C(0xff)) | 0xcc); /* int3 */
	return word;
}

/* Takes the breakpoint away at which the child has stopped: it stands there as if none had been. */
static void trace_unbreak(uint64_t ip, uint64_t word)
{
	struct user_regs_struct registers = trace_registers();

	cr_assert_eq(registers.rip, ip + 1, "stopped elsewhere than at a breakpoint");
	trace_ask(PTRACE_POKEDATA, ip, word);
	registers.rip = ip;
	trace_ask(PTRACE_SETREGS, 0, (uintptr_t)&registers);
}

/* One instruction, and where the child is then. False: it has come to a mark. */
static bool trace_step(uint64_t *ip)
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

unsigned trace_step_through(unsigned most, trace_seen *seen)
{
	struct trace_place place;
	unsigned steps = 0;

	for (uint64_t ip; steps < most && trace_step(&ip); steps++)
		if (trace_place_of(ip, &place))
			seen(&place);
	return steps;
}

/* From the start of a sequence to where the child leaves it, as if nothing there could abort. */
static void trace_walk_one(unsigned sequence, trace_seen *seen)
{
	struct trace_place place = {sequence, trace_sequence(sequence)->start};

	trace_sequence_forget();
	do
		seen(&place);
	while (trace_step(&place.ip) && trace_is_inside(&place));
	if (place.ip == trace_sequence_end(sequence))
		seen(&place);
}

void trace_walk(trace_seen *seen)
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

bool trace_hold(const struct trace_place *place)
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

#endif
