/* SPDX-License-Identifier: MIT */
/*
 * The protocol of the per-CPU stacks in rseq mode, for spin. run.sh proves it in several
 * configurations by a search of all states, then breaks it in several places; each must be found.
 *
 * Modelled: two CPUs, up to three threads, one tier, its depot, the shared count of leases. Here
 * pop, push, change, take_out, room_set are tp_stack_pop ..., stop, start, install, close are
 * tp_cpus_stop ..., LEASE and give_back are tp_budget_lease and tp_budget_release, reader is
 * tp_stack_count; and, in outline, the slow paths of get and put (refill, flush, steal), tick,
 * destroy, and a watcher of what is idle. Ages and ticks: tick.pml. Growth: exchange.pml.
 *
 * A preemption, a signal or a fence matters only to a thread inside a sequence: the kernel moves it
 * back to the start. So threads have no place of their own. A sequence begins by reading the number
 * of a CPU, any; a thread inside a sequence there was preempted and is thrown out. Each may also
 * be thrown out before any of its steps. At its start a sequence may give up for the slow path,
 * which covers every limit of the tries. Threads run for ever, except with COUNT and CLOSE.
 *
 * Left out: several tiers, the contents of buffers, the order within the depot (a set; its
 * lock makes each call one step), the locked mode, fork, a fence that is refused, calls from signal
 * handlers, and weak memory: all loads and stores happen in one order here.
 *
 * run.sh gives each of these by -D, 0 if left out: THREADS, ITEMS, CAP (up to 3), RETAIN; STOPPERS,
 * how many threads tick, TICK_ONLY, and do nothing else; CHANGE, in slow paths, BATCH, of two items
 * too; DROP, steals, and refused puts that give up room; LAZY, slabs are made when needed; CLOSE,
 * thread 0 destroys the pool at some time; COUNT, exact counts and their reader, OPS calls in all;
 * WATCH; and the names of the breakages.
 */
#if COUNT
#define IF_COUNT(...) __VA_ARGS__
#else
#define IF_COUNT(...)
#endif
#define MAY_CALL ((!COUNT || calls < OPS) && (!CLOSE || !closing))
#define CALL calls = calls + COUNT
#define WHEN(condition, ...) if :: condition -> __VA_ARGS__ :: else fi

/* Says once that this was reached, and run.sh requires it; no part of the state. */
#define event(what) c_code { static int seen; if (!seen++) printf("reached: " #what "\n"); }

/* ---- state ---- */
#define EMPTY 0
#define OWN 1
/* Where a thread is in a sequence; from AT_SLAB on it is inside. */
#define OUT 0
#define AT_CPU 1
#define AT_SLAB 2
#define AT_WORD 3
#define AT_SLOT 4
#define AT_SLOT2 5
#define AT_COMMIT 6

/* visible: exchanged by a stopper, read in sequences. slab, closed: written in the lock. */
typedef cpu_t { bit visible; bit slab; bit lock; bit closed };
/*
 * depth, room and countdown are one word: every step stores them together. Slots 1 ... CAP.
 */
typedef stack_t { byte depth; byte room; short countdown; byte slot[4] };
/* What a thread has in registers inside a sequence; an abort forgets it. */
typedef registers_t {
	byte at; byte cpu; byte depth; byte room; short countdown; byte item; byte item2
};

cpu_t of_cpu[2];
stack_t stack[2];
registers_t r[3];
byte inside[2];       /* who is inside a sequence: thread + 1; 0: nobody */
byte stopper[2];      /* ghost: who owns the slab: thread + 1; 0: the sequences */
byte depot, made;     /* sets of items; made is a ghost: those that exist */
byte leased;          /* the shared count */
byte hand[3];         /* the item that the thread's user has borrowed */
byte bag[3], bag2[3]; /* idle items that a slow call moves */
byte lease[3];        /* leases that a slow call holds */
bit closing;          /* in the depot's lock */
byte calls, ended;    /* ghosts: calls begun, threads that have ended */
/*
 * The counters of CPU 0 and the truth (ghosts, counted with the commits). CPUs are alike, and their
 * sum is never above the truth if no addend is: so CPU 1 counts nothing.
 */
short armed, moved_in, moved_out, true_pops, true_pushes;
#define ADD(counter, c, n) IF_COUNT(counter = (c -> counter : counter + (n));)

/* ---- what must hold ---- */
hidden byte each_item_has_one_owner, idle_is_leased, leased_is_bounded, leases_add_up;
hidden byte stopped_slab_is_left_alone, popped_an_item, none_is_left, reported_is_bounded;
hidden byte pops_are_never_above, pushes_are_never_above, pops_are_exact, pushes_are_exact;
#define require(what, condition) what = (condition); assert(what)
#define ALL ((2 << ITEMS) - 2)
#define is_in(set, i) ((set >> i) & 1)
#define size_of(set) (is_in(set, 1) + is_in(set, 2) + is_in(set, 3))
#define counted(c, k, i) (stack[c].depth >= k && stack[c].slot[k] == i)
#define in_stack(c, i) (counted(c, 1, i) + counted(c, 2, i) + counted(c, 3, i))
#define held_by(t, i) ((hand[t] == i) + (bag[t] == i) + (bag2[t] == i))
#define held(i) (held_by(0, i) + held_by(1, i) + held_by(2, i))
#define bags(t) ((bag[t] != 0) + (bag2[t] != 0))
#define owners(i) (in_stack(0, i) + in_stack(1, i) + is_in(depot, i) + held(i))
#define depths (stack[0].depth + stack[1].depth + size_of(depot))
#define idle (depths + bags(0) + bags(1) + bags(2))
#define leases (depths + stack[0].room + stack[1].room + lease[0] + lease[1] + lease[2])

/* After each step that moves an item or a lease: at every instant, so at the end as well. */
inline check() {
	require(each_item_has_one_owner, owners(1) == is_in(made, 1) &&
		owners(2) == is_in(made, 2) && owners(3) == is_in(made, 3));
	require(idle_is_leased, idle <= leased);
	require(leased_is_bounded, leased <= RETAIN);
	require(leases_add_up, leases == leased)
}

/*
 * In each step of a sequence that has seen OWN: so a stopper's steps within the slab may be taken
 * as one. Not asserted where the fence is missing: there the items shall tell.
 */
#define LEFT_ALONE require(stopped_slab_is_left_alone, NO_FENCE || stopper[r[me].cpu] == 0);

/* ---- restartable sequences ---- */
/* What lies above the depth is nobody's: emptied, so that states do not differ by it alone. */
#define TIDY(c) \
	stack[c].slot[1] = (stack[c].depth > 0 -> stack[c].slot[1] : 0); \
	stack[c].slot[2] = (stack[c].depth > 1 -> stack[c].slot[2] : 0); \
	stack[c].slot[3] = (stack[c].depth > 2 -> stack[c].slot[3] : 0)

#define FORGET(t, where) \
	r[t].cpu = 0; r[t].depth = 0; r[t].room = 0; r[t].countdown = 0; \
	r[t].item = 0; r[t].item2 = 0; r[t].at = where

/* The kernel: whoever is inside a sequence on this CPU starts again. */
#define INTERRUPT(c) \
	WHEN(inside[c], event(interrupted); FORGET(inside[c] - 1, AT_CPU); inside[c] = 0; TIDY(c))

#define LEAVE_TO(where) TIDY(r[me].cpu); inside[r[me].cpu] = 0; FORGET(me, where)
#define LEAVE LEAVE_TO(OUT)

/* Reads the CPU's number: from here on inside, and nobody else is on this CPU. */
#define ENTER(c) \
	:: d_step { r[me].at == AT_CPU -> INTERRUPT(c); \
		inside[c] = me + 1; r[me].cpu = c; r[me].at = AT_SLAB }

/* What may happen in each sequence: it runs anywhere, gives up, is interrupted anywhere. */
#define INTERRUPTIBLE \
	ENTER(0) ENTER(1) \
	:: atomic { r[me].at == AT_CPU -> r[me].at = OUT; break } \
	:: d_step { r[me].at > AT_CPU -> event(interrupted); LEAVE_TO(AT_CPU) }

#define s stack[r[me].cpu]
#define sees_own (of_cpu[r[me].cpu].visible == OWN)

/* The empty slab is all zero: reading its word as well would say nothing more. */
#define READS_WORD(counter, next) \
	:: d_step { r[me].at == AT_SLAB && sees_own -> r[me].at = AT_WORD } \
	:: atomic { r[me].at == AT_SLAB && !sees_own -> d_step { event(empty_slab); LEAVE }; break } \
	:: d_step { r[me].at == AT_WORD && s.counter -> LEFT_ALONE \
		r[me].depth = s.depth; r[me].room = s.room; r[me].countdown = s.countdown; \
		r[me].at = next } \
	:: atomic { r[me].at == AT_WORD && !s.counter -> d_step { LEAVE }; break }

/*
 * hand[me]: what was popped, or 0. Like each sequence it begins with r[me].at == AT_CPU. The commit
 * stores what it made of the word that it read; that of a push adds to the word as it is then.
 */
inline pop() {
	do
	INTERRUPTIBLE
	READS_WORD(depth, AT_SLOT)
	:: d_step { r[me].at == AT_SLOT -> LEFT_ALONE
		r[me].item = s.slot[r[me].depth]; r[me].at = AT_COMMIT }
	:: atomic { r[me].at == AT_COMMIT ->
		d_step { event(pop); LEFT_ALONE require(popped_an_item, r[me].item != 0);
			s.depth = r[me].depth - 1; s.room = r[me].room + 1;
			IF_COUNT(s.countdown = (r[me].cpu -> 0 : r[me].countdown - 1);)
			ADD(true_pops, r[me].cpu, 1)
			hand[me] = r[me].item; LEAVE; check() }; break }
	od
}

/* hand[me]: 0 where it was pushed. */
inline push() {
	do
	INTERRUPTIBLE
	READS_WORD(room, (EARLY_COMMIT -> AT_COMMIT : AT_SLOT))
	:: d_step { r[me].at == AT_SLOT -> LEFT_ALONE
		s.slot[r[me].depth + 1] = hand[me]; r[me].at = AT_COMMIT }
	:: atomic { r[me].at == AT_COMMIT ->
		d_step { event(push); LEFT_ALONE
			s.depth++; s.room--;
			ADD(true_pushes, r[me].cpu, 1)
			WHEN(EARLY_COMMIT, cpu = r[me].cpu; depth = r[me].depth + 1);
			LEAVE;
			WHEN(!EARLY_COMMIT, hand[me] = 0; check()) }; break }
	od;
	/* The control: the slot after the sequence, wherever the thread is by now. */
	if
	:: atomic { depth ->
		stack[cpu].slot[depth] = hand[me]; hand[me] = 0; check(); cpu = 0; depth = 0; goto rest }
	:: atomic { !depth -> WHEN(!hand[me], goto rest) }
	fi
}

/* The word, as it looks to a thread that is in no sequence. */
#define SEE(c) depth = stack[c].depth; room = stack[c].room; countdown = stack[c].countdown
#define N ((first != 0) + (second != 0))
#define LOOKS_THE_SAME (s.depth == depth && s.room == room && s.countdown == countdown)

/*
 * On the caller's CPU: first and second (0: none) go in with their leases, the top out items come
 * out with theirs, room grows by more, the countdown by gap; all or nothing. Tries again or not.
 */
inline change(first, second, out, more, gap) {
	do
	:: atomic { /* outside the sequence: how it looks on the CPU where the thread is */
		if :: cpu = 0 :: cpu = 1 fi;
		WHEN(!CHANGE || !of_cpu[cpu].slab || stack[cpu].depth < out || stack[cpu].room + (more) < 0 ||
			stack[cpu].depth + stack[cpu].room + N + (more) > CAP, cpu = 0; break);
		SEE(cpu); r[me].at = AT_CPU };
		IF_COUNT(atomic { WHEN(N, ADD(moved_in, cpu, N)) };)
		do
		INTERRUPTIBLE
		:: d_step { r[me].at == AT_SLAB && r[me].cpu == cpu && sees_own -> r[me].at = AT_WORD }
		:: atomic { r[me].at == AT_SLAB && !(r[me].cpu == cpu && sees_own) ->
			d_step { event(change_elsewhere); LEAVE }; break }
		:: d_step { r[me].at == AT_WORD && LOOKS_THE_SAME -> LEFT_ALONE
			r[me].at = (first || out -> AT_SLOT : AT_COMMIT) }
		:: atomic { r[me].at == AT_WORD && !LOOKS_THE_SAME ->
			d_step { event(change_outrun); LEAVE }; break }
		:: d_step { r[me].at == AT_SLOT -> LEFT_ALONE
			if :: first -> s.slot[depth + 1] = first :: else -> r[me].item = s.slot[depth] fi;
			r[me].at = (second || out == 2 -> AT_SLOT2 : AT_COMMIT) }
		:: d_step { r[me].at == AT_SLOT2 -> LEFT_ALONE
			if :: second -> s.slot[depth + 2] = second :: else -> r[me].item2 = s.slot[depth - 1] fi;
			r[me].at = AT_COMMIT }
		:: atomic { r[me].at == AT_COMMIT ->
			d_step { LEFT_ALONE
				s.depth = depth + N - out; s.room = room + (more);
				s.countdown = countdown + (cpu -> 0 : gap);
				lease[me] = lease[me] + out - N - (more);
				WHEN((more) < 0 && !N, event(change_room));
				WHEN(N && first != hand[me], event(change_in); bag[me] = 0; bag2[me] = 0);
				WHEN(N && first == hand[me], event(change_put); hand[me] = 0);
				WHEN(out, event(change_out); bag[me] = r[me].item; bag2[me] = r[me].item2);
				changed = 1; LEAVE; check() }; break }
		od;
		IF_COUNT(atomic {
			WHEN(changed && out, ADD(moved_out, cpu, out));
			WHEN(changed && gap, event(arm); ADD(armed, cpu, gap));
			WHEN(!changed && N, ADD(moved_in, cpu, -N)) };)
		atomic { cpu = 0; depth = 0; room = 0; countdown = 0;
			if :: !changed :: changed = 0; break fi }
	od
}

/* ---- the slab of a stopped CPU ---- */
/*
 * Takes the CPU's lock and, where there is a slab, takes it from the sequences. On its own CPU by
 * a sequence, which needs no fence: whoever was inside one there has been thrown out.
 */
inline stop(c) {
	atomic { !of_cpu[c].lock -> of_cpu[c].lock = 1; r[me].at = (of_cpu[c].slab -> AT_CPU : OUT) };
	do
	INTERRUPTIBLE
	:: atomic { r[me].at == AT_SLAB && r[me].cpu != c -> d_step { LEAVE }; break }
	:: d_step { r[me].at == AT_SLAB && r[me].cpu == c -> r[me].at = AT_COMMIT }
	:: atomic { r[me].at == AT_COMMIT ->
		d_step { event(stop_own); of_cpu[c].visible = EMPTY; LEAVE; stopper[c] = me + 1 }; break }
	:: r[me].at == OUT -> break /* no slab */
	od;
	WHEN(of_cpu[c].slab && !stopper[c], of_cpu[c].visible = EMPTY;
		d_step { WHEN(!NO_FENCE, event(fence); INTERRUPT(c)); stopper[c] = me + 1 })
}

#define start(c) \
	atomic { stopper[c] = 0; of_cpu[c].visible = (of_cpu[c].slab -> OWN : EMPTY) }; \
	of_cpu[c].lock = 0

/* The word is read in one step and stored in another: nobody else may store it in between. */
#define LOOK(c) atomic { SEE(c) }
#define STORE(c, deeper, roomier) \
	stack[c].depth = depth + (deeper); stack[c].room = room + (roomier); \
	stack[c].countdown = countdown; depth = 0; room = 0; countdown = 0; TIDY(c); check()

/* The item in a slot, with its lease; the ones above move down. */
inline take_out(c, first, item) {
	LOOK(c);
	d_step { event(take_out);
		item = stack[c].slot[first]; lease[me]++;
		WHEN(!UNSHIFTED && first < 2, stack[c].slot[1] = stack[c].slot[2]);
		WHEN(!UNSHIFTED && first < 3, stack[c].slot[2] = stack[c].slot[3]);
		STORE(c, DRAIN_OFF_BY_ONE - 1, 0) };
	IF_COUNT(atomic { ADD(moved_out, c, 1) })
}

/* n leases become room; below 0: room ends. */
inline room_set(c, n) {
	LOOK(c);
	d_step { event(room_set); lease[me] = lease[me] - (n); STORE(c, 0, n) }
}

/* ---- leases, depot, backing ---- */
#define LEASE(n, may) \
	:: d_step { may && leased + n <= RETAIN -> leased = leased + n; lease[me] = n; check() }
#define give_back() atomic { leased = leased - lease[me]; lease[me] = 0; check() }
/* An item leaves the depot with its lease, any of them. An item goes there, unless closing. */
#define TAKE(item, i) \
	:: d_step { is_in(depot, i) -> depot = depot & ~(1 << i); item = i; lease[me]++; check() }
#define TAKES(item) TAKE(item, 1) TAKE(item, 2) TAKE(item, 3)
#define SHELVES(item) \
	:: d_step { item && !closing -> event(depot_put); \
		depot = depot | 1 << item; item = 0; lease[me]--; check() }

/* The backing makes the first item that does not exist, since one new item is like another. */
#define MAKES(item) \
	:: d_step { made != ALL -> item = (!is_in(made, 1) -> 1 : (!is_in(made, 2) -> 2 : 3)); \
		made = made | 1 << item; check() }
#define release(item) atomic { event(release); made = made & ~(1 << item); item = 0; check() }
#define end_lease() atomic { leased--; lease[me]--; check() }
/* What a slow call has left over. A lease ends after its item was freed. */
#define shelve(item) \
	if SHELVES(item) :: item && EARLY_RELEASE -> end_lease(); release(item) \
	:: item && !EARLY_RELEASE -> release(item); end_lease() :: else fi

/* A slab, all zero, in the lock; the control forgets the lock and looked before. */
inline install(c) {
	atomic { RACING_INSTALL || !of_cpu[c].lock -> WHEN(!RACING_INSTALL, of_cpu[c].lock = 1) };
	WHEN(RACING_INSTALL || (!of_cpu[c].slab && !of_cpu[c].closed),
		atomic { event(install);
			of_cpu[c].slab = 1; stack[c].depth = 0; stack[c].room = 0; TIDY(c); check() };
		of_cpu[c].visible = OWN);
	WHEN(!RACING_INSTALL, of_cpu[c].lock = 0)
}

/* Takes everything out of a CPU and leaves it closed; from the stop on in one hold of the lock. */
inline close(c) {
	stop(c);
	do
	:: stopper[c] && stack[c].depth -> take_out(c, 1, bag[me]); release(bag[me]); give_back()
	:: else -> break
	od;
	WHEN(stopper[c], room_set(c, -room); give_back());
	atomic { event(close); of_cpu[c].closed = 1; stopper[c] = 0; of_cpu[c].lock = 0 }
}

/* ---- calls ---- */
#define POPS (armed - stack[0].countdown)
#define PUSHES (POPS + stack[0].depth - moved_in + moved_out)

inline at_rest() {
	event(rest);
	require(pops_are_exact, !COUNT || POPS == true_pops);
	require(pushes_are_exact, !COUNT || PUSHES == true_pushes);
	require(none_is_left, !CLOSE || (made == 0 && leased == 0))
}

proctype thread(byte me) {
	byte cpu, depth, room, target; short countdown; bit changed;

rest:
	if
	:: atomic { MAY_CALL && !hand[me] && (!TICK_ONLY || me >= STOPPERS) ->
		CALL; r[me].at = AT_CPU; goto get }
	:: atomic { hand[me] -> r[me].at = AT_CPU; goto put }
	:: atomic { MAY_CALL && me < STOPPERS -> CALL; if :: target = 0 :: target = 1 fi; goto tick }
	:: BATCH && MAY_CALL -> CALL; change(0, 0, 1, 0, 0); goto leftovers
	:: BATCH && MAY_CALL -> CALL; change(0, 0, 2, 0, 0); goto leftovers
	:: COUNT && !CARELESS_ARM && MAY_CALL -> CALL; change(0, 0, 0, 0, 1); goto rest
	:: COUNT && CARELESS_ARM && MAY_CALL ->
		CALL; atomic { if :: cpu = 0 :: cpu = 1 fi }; LOOK(cpu);
		d_step { countdown = countdown + (cpu -> 0 : 1); STORE(cpu, 0, 0) };
		atomic { ADD(armed, cpu, 1) cpu = 0; goto rest }
	:: CLOSE && me == 0 && !closing && !hand[me] -> goto destroy
	:: !MAY_CALL && !hand[me] -> goto end
	fi;

get:
	pop();
	atomic { WHEN(hand[me], goto rest) };
	if TAKES(hand[me]) MAKES(hand[me]) :: made == ALL && !depot -> goto rest fi;
	atomic { if :: !lease[me] -> goto rest :: lease[me] && !BATCH -> goto taken :: else fi };
	if TAKES(bag[me]) :: goto taken fi;
	if TAKES(bag2[me]) :: goto taken fi;
taken:
	change(bag[me], bag2[me], 0, 1, 0); goto leftovers;

put:
	push();
	if :: LAZY && !of_cpu[0].slab -> install(0) :: LAZY && !of_cpu[1].slab -> install(1) :: skip fi;
	if LEASE(1, true) LEASE(2, BATCH) :: leased == RETAIN -> event(refused); goto refused fi;
	change(hand[me], 0, 0, (lease[me] - 1), 0);
	if SHELVES(hand[me]) :: hand[me] && closing :: !hand[me] fi;
	give_back();
	WHEN(hand[me], release(hand[me])); goto rest;
refused: /* room of the caller's CPU may make place in the depot */
	if :: !DROP :: DROP -> change(0, 0, 0, -1, 0) fi;
	WHEN(lease[me], shelve(hand[me])); WHEN(hand[me], release(hand[me])); goto rest;

tick: /* a stopper: the lowest expires, room ends, or the top is stolen and leaves its lease as room */
	stop(target);
	if
	:: stopper[target] && stack[target].depth -> take_out(target, 1, bag[me])
	:: DROP && stopper[target] && stack[target].depth && !hand[me] ->
		event(steal); take_out(target, stack[target].depth, hand[me]); room_set(target, 1)
	:: stopper[target] && stack[target].room -> room_set(target, -1)
	:: else
	fi;
	start(target); target = 0;

leftovers:
	shelve(bag[me]); shelve(bag2[me]);
	atomic { WHEN(!lease[me], goto rest) };
	give_back(); goto rest;

destroy:
	closing = 1; close(target); target = 1; close(target); target = 0;
	do
	:: atomic { depot -> if TAKES(bag[me]) fi }; release(bag[me]); give_back()
	:: !depot -> goto rest
	od;

end:
	atomic { ended++; WHEN(ended == THREADS, at_rest()) }
}

/* ---- who only looks: once, at any time ---- */
proctype reader() {
	short pops, pushes;
	pops = armed; pushes = moved_out;
	d_step { pops = pops - stack[0].countdown; pushes = pushes + stack[0].depth };
	d_step { event(reading);
		pushes = pushes + pops - moved_in;
		require(pops_are_never_above, pops <= true_pops);
		require(pushes_are_never_above, pushes <= true_pushes) }
}

proctype watcher() {
	byte sum;
	sum = stack[0].depth; sum = sum + stack[1].depth; sum = sum + size_of(depot);
	d_step {
		WHEN(!SUMMING_WATCHER && sum > leased, event(sum_above_leased); sum = leased);
		require(reported_is_bounded, sum <= RETAIN) }
}

init {
	atomic {
		WHEN(!LAZY, of_cpu[0].slab = 1; of_cpu[0].visible = OWN; of_cpu[1].slab = 1; of_cpu[1].visible = OWN);
		/* From the middle, where the calls are few: an item in each stack. */
		WHEN(COUNT, made = 6; leased = 2; moved_in = 1;
			stack[0].depth = 1; stack[0].slot[1] = 1; stack[1].depth = 1; stack[1].slot[1] = 2);
		check();
		run thread(0); run thread(1); WHEN(THREADS == 3, run thread(2));
		WHEN(COUNT, run reader()); WHEN(WATCH, run watcher())
	}
}
