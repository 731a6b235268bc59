/* SPDX-License-Identifier: MIT */
/*
 * The sequences of the architecture this is compiled for (lib/percpu), on an rseq area of its own, of
 * which the kernel knows nothing. So it also runs where the kernel has none, and under an emulator.
 *
 * Every path that does not abort is run and held against what the contract says, all memory that is
 * there included. For aborts this program is the kernel: memory that an instruction of a sequence
 * touches is protected, and the handler of SIGSEGV goes on where the descriptor in rseq_cs says. So
 * each sequence is aborted at each of its accesses, above all at its commit.
 *
 * A plain main, and nothing of the library is linked. One line and exit status 0; 1 and what is
 * wrong; 77 where there are no sequences.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "percpu/stack.h"

#if TP_RSEQ_PRESENT

#include "sequence_memory.h"

#if defined(__x86_64__)
#define ARCHITECTURE "x86-64"
#define SIGNATURE UINT32_C(0x53053053)
#define PROGRAM_COUNTER(context) ((context)->uc_mcontext.gregs[REG_RIP])
#define COMMIT_BYTES 7 /* no commit is a longer instruction: add $number, (stack) */
#elif defined(__aarch64__)
#define ARCHITECTURE "aarch64"
#define SIGNATURE UINT32_C(0xd428bc00)
#define PROGRAM_COUNTER(context) ((context)->uc_mcontext.pc)
#define COMMIT_BYTES 4
#endif

#define LENGTH(array) (sizeof(array) / sizeof *(array))

#ifdef TP_INJECT
unsigned tp_inject_loops = 3;
#endif

static unsigned aborts;

static __attribute__((noinline)) void *pop(unsigned count, bool *slow)
{
	return tp_rseq_pop(area_offset(), base(), count, at * sizeof(uint64_t), slow);
}

static __attribute__((noinline)) bool push(unsigned count, const void *item, bool aged)
{
	uint32_t offset = at * (uint32_t)sizeof(uint64_t);

	return aged ? tp_rseq_push_aged(area_offset(), base(), count, &offset, item)
		    : tp_rseq_push(area_offset(), base(), count, &offset, item);
}

static __attribute__((noinline)) bool store(const struct tp_rseq_store *s)
{
	return tp_rseq_store(area_offset(), s);
}

/* ---- pop and push ---- */

/* The CPU's stack, if it has one in a table of count CPUs. */
static uint64_t *stack_found(uint32_t cpu_id, unsigned count)
{
	return cpu_id < count && cpu_id != EMPTY ? stack_of(cpu_id < CPUS ? cpu_id : 1) : NULL;
}

/* What the contract says of a pop on a CPU: changes wanted, and gives the item. */
static void *popped(
	uint32_t cpu_id, unsigned count, unsigned depth, unsigned room, int64_t countdown)
{
	uint64_t *stack = stack_found(cpu_id, count);

	if (!stack || !depth)
		return NULL;
	*wanted_of(stack) = word_of(depth - 1, room + 1, countdown - 1);
	return (void *)stack[depth];
}

static const int item_pushed;

static bool pushed(uint32_t cpu_id, unsigned count, unsigned depth, unsigned room,
	int64_t countdown, bool aged)
{
	uint64_t *stack = stack_found(cpu_id, count);

	if (!stack || !room)
		return false;
	if (aged)
		*wanted_age(age_of(stack, depth + 1)) = 0;
	*wanted_of(stack + depth + 1) = (uint64_t)&item_pushed;
	*wanted_of(stack) = word_of(depth + 1, room - 1, countdown);
	return true;
}

static void pop_try(uint32_t cpu_id, unsigned count, void *ought)
{
	bool slow;
	void *item = pop(count, &slow);

	if (item != ought)
		fail("popped %p, not %p", item, ought);
	if (slow != (!item || (int64_t)*wanted_of(stack_found(cpu_id, count)) < 0))
		fail("popped %p, and slow is %d", item, slow);
	end();
}

static void push_try(unsigned count, bool aged, bool ought)
{
	if (push(count, &item_pushed, aged) != ought)
		fail("pushed: %d", !ought);
	end();
}

static const char *const push_name[] = {"push", "push with age"};

static void each(uint32_t cpu_id, unsigned count, unsigned depth, unsigned room, int64_t countdown)
{
	begin("pop", cpu_id, word_of(depth, room, countdown));
	pop_try(cpu_id, count, popped(cpu_id, count, depth, room, countdown));
	for (unsigned aged = 0; aged < 2; aged++) {
		begin(push_name[aged], cpu_id, word_of(depth, room, countdown));
		push_try(count, aged, pushed(cpu_id, count, depth, room, countdown, aged));
	}
}

static void words(uint32_t cpu_id)
{
	static const unsigned depths[] = {0, 1, 2, 5, 62, TP_STACK_MAX - 1, TP_STACK_MAX};
	static const unsigned rooms[] = {0, 1, 2, 5, 127, 128, TP_STACK_MAX - 1, TP_STACK_MAX};
	static const int64_t countdowns[] = {
		0, 1, -1, (INT64_C(1) << 47) - 1, 1 - (INT64_C(1) << 47)};

	for (unsigned d = 0; d < LENGTH(depths); d++)
		for (unsigned r = 0; r < LENGTH(rooms); r++)
			for (unsigned c = 0; c < LENGTH(countdowns); c++)
				if (depths[d] + rooms[r] <= TP_STACK_MAX)
					each(cpu_id, CPUS, depths[d], rooms[r], countdowns[c]);
}

static void cpus(void)
{
	/* The kernel's -1: not yet, and -2: refused; as well as any other. */
	static const uint32_t beyond[] = {
		CPUS, CPUS + 1, 64, INT32_MAX, (uint32_t)INT32_MIN, UINT32_MAX - 1, UINT32_MAX};

	for (uint32_t cpu_id = 0; cpu_id < POINTERS; cpu_id++)
		for (unsigned count = 0; count <= POINTERS; count++)
			each(cpu_id, count, 3, 4, 5);
	for (unsigned i = 0; i < LENGTH(beyond); i++)
		each(beyond[i], CPUS, 3, 4, 5);
}

/* ---- store ---- */

/* What goes through on CPU 0: count pointers into the first slots, or out of them. */
static struct tp_rseq_store store_of(bool in, unsigned count)
{
	uint64_t *stack = stack_of(0);

	return (struct tp_rseq_store){.visible = &slabs[0],
		.slab = slab_of(0),
		.target = stack,
		.expected = *stack,
		.desired = ~*stack,
		.to = in ? stack + 1 : batch(),
		.from = in ? batch() : stack + 1,
		.count = count,
		.ages_to = in ? age_of(stack, 1) : scratch(),
		.ages_from = in ? scratch() : age_of(stack, 1)};
}

/* What it has written before its commit. */
static void copied(const struct tp_rseq_store *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		*wanted_of(s->to + i) = s->from[i];
		*wanted_age(s->ages_to + i) = s->ages_from[i];
	}
}

/* What the contract says of one that goes through. */
static void stored(const struct tp_rseq_store *s)
{
	copied(s);
	*wanted_of(s->target) = s->desired;
}

static void store_try(const struct tp_rseq_store *s, bool ought)
{
	if (store(s) != ought)
		fail("stored: %d", !ought);
	end();
}

static void store_refused_elsewhere(bool in, unsigned count)
{
	struct tp_rseq_store s;

	begin("store on another CPU", 1, word_of(3, 4, 5));
	s = store_of(in, count);
	store_try(&s, false);
	begin("store on no CPU", UINT32_MAX, word_of(3, 4, 5));
	store_try(&s, false);
	begin("store on a stopped CPU", 0, word_of(3, 4, 5));
	slabs[0] = slab_of(EMPTY);
	memcpy(wanted, memory, memory_size);
	store_try(&s, false);
}

/* All 64 bits are compared. */
static void store_refused(bool in, unsigned count, uint64_t bit)
{
	struct tp_rseq_store s;

	begin("store for another CPU", 0, word_of(3, 4, 5));
	s = store_of(in, count);
	s.cpu_id ^= bit;
	store_try(&s, false);
	begin("store for another slab", 0, word_of(3, 4, 5));
	s = store_of(in, count);
	s.slab = (uint64_t *)((uint64_t)s.slab ^ bit);
	store_try(&s, false);
	begin("store for another word", 0, word_of(3, 4, 5));
	s = store_of(in, count);
	s.expected ^= bit;
	store_try(&s, false);
}

static void stores(void)
{
	static const unsigned counts[] = {0, 1, 2, 5};
	struct tp_rseq_store s;

	for (unsigned i = 0; i < 2 * LENGTH(counts); i++) {
		begin("store", 0, word_of(3, 4, 5));
		s = store_of(i & 1, counts[i / 2]);
		stored(&s);
		store_try(&s, true);
		store_refused_elsewhere(i & 1, counts[i / 2]);
		for (unsigned bit = 0; bit < 64; bit++)
			store_refused(i & 1, counts[i / 2], UINT64_C(1) << bit);
	}
	/* A CPU that is stopped: gate and target are one. */
	begin("store to a slab pointer", 1, 0);
	s = (struct tp_rseq_store){.cpu_id = 1,
		.visible = &slabs[1],
		.slab = slab_of(1),
		.target = (uint64_t *)(void *)&slabs[1],
		.expected = (uint64_t)slab_of(1),
		.desired = (uint64_t)slab_of(EMPTY)};
	stored(&s);
	store_try(&s, true);
}

/* ---- aborts ---- */

/* Does what the kernel does to a thread that it interrupted in a sequence. */
static void on_fault(int signal, siginfo_t *info, void *context)
{
	ucontext_t *c = context;
	const struct descriptor *d = area.rseq.cs;
	uint64_t counter = (uint64_t)PROGRAM_COUNTER(c);

	(void)signal;
	if (!fault.armed)
		fail("%p is no memory of ours", info->si_addr);
	if (!d || counter - d->start >= d->offset)
		fail("%#" PRIx64 " is outside of the range", counter);
	fault.distance = d->start + d->offset - counter;
	fault.armed = false;
	fault.seen = true;
	aborts++;
	mprotect(fault.where, page, PROT_READ | PROT_WRITE);
	area.rseq.cs = NULL;
	PROGRAM_COUNTER(c) = (__typeof__(PROGRAM_COUNTER(c)))d->abort;
}

/*
 * Where it is aborted: at the first access to the slab pointers, a stack's word, its slots, its
 * ages; or at the first store, to an age, a slot, the word.
 */
enum place {
	AT_POINTER,
	AT_WORD,
	AT_SLOT,
	AT_AGE,
	AT_AGE_STORE,
	AT_SLOT_STORE,
	AT_COMMIT,
	PLACES,
};

static void begin_aborted(const char *name, enum place place, bool ages_first)
{
	bool apart = place == AT_AGE || place == AT_AGE_STORE;

	/* After a store to an age, a store to the word's page is one to the slot. */
	word_before_end = apart || (place == AT_SLOT_STORE && ages_first) ? AGES_APART : 1;
	begin(name, 0, word_of(3, 4, 5));
}

/* After it was said how memory has to be. */
static void protect(enum place place)
{
	fault.where = place == AT_POINTER ? memory : memory + page;
	if (place == AT_SLOT || place == AT_AGE || place == AT_AGE_STORE ||
		(place == AT_SLOT_STORE && word_before_end == 1))
		fault.where += page;
	fault.armed = true;
	mprotect(fault.where, page, place < AT_AGE_STORE ? PROT_NONE : PROT_READ);
}

/* After the call. */
static void aborted(enum place place)
{
	if (!fault.seen)
		fail("not aborted at %d", place);
	if (place == AT_COMMIT && fault.distance > COMMIT_BYTES)
		fail("the commit is %" PRIu64 " bytes before the end", fault.distance);
	fault.seen = false;
}

static void pop_aborted(enum place place)
{
	begin_aborted("aborted pop", place, false);
	protect(place);
	pop_try(0, CPUS, NULL);
	aborted(place);
}

static void push_aborted(enum place place, bool aged)
{
	begin_aborted(aged ? "aborted push with age" : "aborted push", place, aged);
	if (aged && place > AT_AGE_STORE)
		*wanted_age(age_of(stack_of(0), 4)) = 0;
	if (place == AT_COMMIT)
		*wanted_of(stack_of(0) + 4) = (uint64_t)&item_pushed;
	protect(place);
	push_try(CPUS, aged, false);
	aborted(place);
}

static void store_aborted(enum place place, bool in)
{
	struct tp_rseq_store s;

	begin_aborted(in ? "aborted store in" : "aborted store out", place, false);
	s = store_of(in, 5);
	if (place == AT_COMMIT)
		copied(&s);
	else if (place == AT_AGE || place == AT_AGE_STORE)
		/* From the last to the first, each before its age. */
		*wanted_of(s.to + 4) = s.from[4];
	protect(place);
	store_try(&s, false);
	aborted(place);
}

/* Which of them access memory so. */
static void aborted_at(enum place place)
{
	bool all = place == AT_POINTER || place == AT_WORD || place == AT_COMMIT;

	if (all || place == AT_SLOT)
		pop_aborted(place);
	if (all || place == AT_SLOT_STORE)
		push_aborted(place, false);
	if (all || place == AT_SLOT_STORE || place == AT_AGE_STORE) {
		push_aborted(place, true);
		store_aborted(place, true);
	}
	if (all || place == AT_SLOT || place == AT_AGE)
		store_aborted(place, false);
}

/* ---- descriptors ---- */

static void descriptor_check(const struct descriptor *d)
{
	uint32_t signature;

	if ((uintptr_t)d % 32)
		fail("its descriptor %p is not at a multiple of 32", (const void *)d);
	if (d->version || d->flags)
		fail("its version is %" PRIu32 ", its flags %" PRIu32, d->version, d->flags);
	if (!d->start || !d->offset || d->offset > 4096)
		fail("its range is %" PRIu64 " bytes at %#" PRIx64, d->offset, d->start);
	if (d->abort - d->start < d->offset)
		fail("its abort handler is inside the range");
	memcpy(&signature, (const void *)(uintptr_t)(d->abort - sizeof signature),
		sizeof signature);
	if (signature != SIGNATURE)
		fail("%#" PRIx32 " is before its abort handler, not the signature", signature);
}

static const struct descriptor *descriptor_shown(void)
{
	const struct descriptor *const *listed = __start___rseq_cs_ptr_array;

	descriptor_check(now.descriptor);
	while (listed < __stop___rseq_cs_ptr_array && *listed != now.descriptor)
		listed++;
	if (listed == __stop___rseq_cs_ptr_array)
		fail("its descriptor is not listed");
	return now.descriptor;
}

static void descriptors(void)
{
	enum { POP, PUSH, AGED, STORE, SEQUENCES };
	const struct descriptor *d[SEQUENCES];
	struct tp_rseq_store s;

	begin("pop", 0, 0);
	pop_try(0, CPUS, NULL);
	d[POP] = descriptor_shown();
	for (unsigned aged = 0; aged < 2; aged++) {
		begin(push_name[aged], 0, 0);
		push_try(CPUS, aged, false);
		d[aged ? AGED : PUSH] = descriptor_shown();
	}
	begin("store", 1, 0);
	s = store_of(true, 0);
	store_try(&s, false);
	d[STORE] = descriptor_shown();
	for (unsigned i = 0; i < SEQUENCES; i++)
		for (unsigned j = 0; j < i; j++)
			if (d[i] == d[j])
				fail("the descriptor of %u is that of %u as well", i, j);
	now.name = "any";
	for (unsigned i = 0; &__start___rseq_cs_ptr_array[i] < __stop___rseq_cs_ptr_array; i++)
		descriptor_check(__start___rseq_cs_ptr_array[i]);
}

/* The first, and the last that an offset can say. */
static const unsigned indices[] = {0, UINT32_MAX / sizeof(uint64_t)};

int main(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	memory_make();
	sigaction(SIGSEGV, &action, NULL);
	descriptors();
	for (unsigned i = 0; i < LENGTH(indices); i++) {
		at = indices[i];
		for (uint32_t cpu_id = 0; cpu_id < CPUS; cpu_id++)
			words(cpu_id);
		cpus();
		stores();
		for (unsigned place = 0; place < PLACES; place++)
			aborted_at((enum place)place);
		word_before_end = 1;
	}
	printf("ok  rseq_paths: %u calls, %u aborts, %s\n", cases, aborts, ARCHITECTURE);
	return 0;
}

#else

int main(void)
{
	puts("skipped: rseq_paths: this build has no sequences");
	return 77;
}

#endif
