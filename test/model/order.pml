/* SPDX-License-Identifier: MIT */
/*
 * Memory order on aarch64, for spin: three pairs of threads, COMMIT, PUBLISH and LEASES, of which one is chosen.
 * What the other models take for granted, that all happens in the order in which it is written, is not so there.
 *
 * An instruction takes effect at one moment, for all CPUs at once (Arm's model is multi-copy atomic); those of a
 * thread in any order, but for what is written behind each here. That is one of
 *
 *   address     a load or store whose address comes from a load comes after that load
 *   data        a store whose value comes from a load comes after that load
 *   control     a store behind a branch comes after the loads that decide it; a load does not
 *   same        two accesses of one word stay in order
 *   release     (stlr, or an addition with release) comes after all that stands before it
 *   acquire     (ldar, or an addition with acquire) comes before all that stands behind it
 *
 * Breakages: PLAIN_COMMIT, PLAIN_COUNT, PLAIN_READING, PLAIN_FIRST; PLAIN_PUBLISH, NO_ADDRESS, PLAIN_CHANGE,
 * NO_FENCE; PLAIN_YIELD.
 */
#define bit_of(n) (1 << (n))
#define all_of(count) (bit_of(count) - 1)
/* The instruction n, after those of a set. */
#define may(done, n, after) (!(done & bit_of(n)) && (done & (after)) == (after)) -> done = done | bit_of(n)
#define event(what) c_code { static int seen; if (!seen++) printf("reached: " #what "\n"); }
#define require(what, condition) what = (condition); assert(what)

#if COMMIT
/*
 * The commit of a refill, and of a flush, against a reader of counts (stack.h):
 *   pushes == depth + moved_out - moved_in, never above the truth, which is 0 here.
 */
hidden byte pushes_are_never_above;
byte moved_in, depth, moved_out;

proctype writer() {
	byte done;

	do
	:: atomic { may(done, 0, 0) -> moved_in++ }                                /* an addition, relaxed */
	:: atomic { may(done, 1, PLAIN_COMMIT -> 0 : bit_of(0)) -> depth++ }       /* release: stlr, the refill's commit */
	:: atomic { may(done, 2, bit_of(1)) -> depth-- }                           /* same; the flush's */
	:: atomic { may(done, 3, PLAIN_COUNT -> 0 : all_of(3)) -> moved_out++ }    /* an addition, release */
	:: done == all_of(4) -> break
	od
}

proctype reader() {
	byte done, in, word, out;

	do
	:: atomic { may(done, 0, 0) -> out = moved_out }
	:: atomic { may(done, 1, PLAIN_FIRST -> 0 : bit_of(0)) -> word = depth }   /* acquire, of moved_out */
	:: atomic { may(done, 2, PLAIN_READING -> 0 : all_of(2)) -> in = moved_in } /* acquire, of the word */
	:: done == all_of(3) -> break
	od;
	atomic {
		if :: word -> event(refilled) :: out -> event(flushed) :: else fi;
		require(pushes_are_never_above, word + out <= in)
	}
}

init { atomic { run writer(); run reader() } }
#endif

#if PUBLISH
/*
 * A stopper that takes the item of slot 1 out, moves the other one down and shows the slab again; against a pop,
 * and against a change that takes the top out (a store, in rseq.h), which has planned with a depth. Both begin
 * at any moment. No item has two owners.
 */
hidden byte items_have_one_owner;
byte slot[3], word = 2, owners[3];
bit visible = 1; /* 0: the empty slab */

/* What the CPU's thread has done of its sequence; an abort begins it anew. */
byte done;
bit committed;

#define VISIBLE 0
#define WORD 1
#define SLOT 2
#define own(item) owners[item]++; require(items_have_one_owner, owners[item] == 1)

proctype pop() {
	byte seen, depth, item;

	do
	:: atomic { may(done, VISIBLE, 0) -> seen = visible }
	:: atomic { may(done, WORD, NO_ADDRESS -> 0 : bit_of(VISIBLE)) -> depth = word }      /* address */
	:: atomic { may(done, SLOT, all_of(2)) -> item = slot[depth] }                        /* address */
	:: atomic { !committed && done == all_of(3) -> committed = 1;                         /* control, data, release */
		if
		:: seen && depth -> word = depth - 1; event(popped); own(item)
		:: else -> event(refused)
		fi }
	:: committed -> break
	od
}

proctype change() {
	byte seen, depth, item, plan;

	if :: plan = 1 :: plan = 2 fi;
	do
	:: atomic { may(done, VISIBLE, 0) -> seen = visible }
	:: atomic { may(done, WORD, PLAIN_CHANGE -> 0 : bit_of(VISIBLE)) -> depth = word }     /* acquire: ldar */
	:: atomic { may(done, SLOT, PLAIN_CHANGE -> 0 : bit_of(VISIBLE)) -> item = slot[plan] } /* acquire: ldar */
	:: atomic { !committed && done == all_of(3) -> committed = 1;                          /* control, release */
		if
		:: seen && depth == plan -> word = depth - 1; event(changed); own(item)
		:: else -> event(refused)
		fi }
	:: committed -> break
	od
}

proctype stopper() {
	byte work, depth, item;

	atomic { visible = 0 };
	/* All that the CPU has stored is seen; a sequence that it is inside of is aborted. */
	atomic { if :: !NO_FENCE && !committed -> done = 0; event(fence) :: else fi };
	atomic { depth = word };
	if :: !depth -> goto publish :: else fi;
	do
	:: atomic { may(work, 0, 0) -> item = slot[1]; own(item) }
	:: atomic { may(work, 1, bit_of(0)) -> slot[1] = slot[2] }                            /* same */
	:: atomic { may(work, 2, all_of(2)) -> word = depth - 1 }                             /* release */
	:: atomic { may(work, 3, PLAIN_PUBLISH -> 0 : all_of(3)) -> visible = 1; event(shown) } /* release: stlr */
	:: work == all_of(4) -> goto end
	od;
publish:
	visible = 1;
end:
	skip
}

init {
	atomic { slot[1] = 1; slot[2] = 2; run stopper(); if :: run pop() :: run change() fi };
	/* At the end the stack owns what its word counts. */
	_nr_pr == 1;
	atomic {
		do
		:: word -> own(slot[word]); word--
		:: else -> break
		od;
		require(items_have_one_owner, owners[1] == 1 && owners[2] == 1)
	}
}
#endif

#if LEASES
/*
 * The two words of a lease (budget.h), by two threads for one place: free decides, leased is for readers, and is
 * never above the limit. A claim is behind a branch, so a count comes after it in any case.
 */
#define LIMIT 1
#define ROUNDS 2
hidden byte leased_is_within_the_limit;
byte free = LIMIT, leased;

proctype lessee() {
	byte done, rounds;

	do
	:: rounds == ROUNDS -> break
	:: rounds < ROUNDS ->
		atomic { free > 0 -> free-- };                                             /* acquire: the claim */
		done = 0;
		do
		:: atomic { may(done, 0, 0) -> leased++; event(counted);
			require(leased_is_within_the_limit, leased <= LIMIT) }
		:: atomic { may(done, 1, bit_of(0)) -> leased--; event(uncounted) }        /* same */
		:: atomic { may(done, 2, PLAIN_YIELD -> 0 : all_of(2)) -> free++; event(yielded) } /* release */
		:: done == all_of(3) -> break
		od;
		rounds++
	od
}

init { atomic { run lessee(); run lessee() } }
#endif
