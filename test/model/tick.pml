/* SPDX-License-Identifier: MIT */
/*
 * How a tick ages what lies idle, for spin (decay.h, age.c, take.c, keep.c): nothing is aged twice
 * for one tick, though items move between the CPUs and the depot while ticks are under way.
 *
 *     announced   raised first: a tick is about to age the depot
 *     the depot   is aged
 *     ticks       raised last: from now on each CPU owes the tick, and may do it
 *
 * So what moves from a CPU that has done a tick finds the depot aged; and what moves from an aged
 * depot is made young, if any CPU has not done the tick, or may not do it yet. A refill asks this in
 * steps, of both CPUs, since it may migrate before it fills a stack; and first whether a tick is
 * announced, since a tick that begins after that question is one that CPUs owe.
 *
 * Modelled: two CPUs, a depot, threads that do any of these steps. Moves of a stack or in the depot's
 * lock are one step each (stack.pml); which item moves is any. Left out: a tick that begins before the
 * one before has aged the depot.
 *
 * Breakages: CPUS_FIRST, REFILL_OLD, UNANNOUNCED, ANNOUNCED_LAST, OWN_CPU_ONLY.
 */
#define ITEMS 2
#define TICKS 3
#define event(what) c_code { static int seen; if (!seen++) printf("reached: " #what "\n"); }
#define require(what, condition) what = (condition); assert(what)
hidden byte is_aged_once_for_a_tick;

#define DEPOT 2
#define MOVING 3 /* in the hands of a slow call */

byte place[ITEMS]; /* 0, 1: that CPU's stack; or DEPOT, MOVING */
byte age[ITEMS];   /* 0 young, 1 old, 2 expired: only in the depot */
byte aged_for[ITEMS]; /* ghost: a set of ticks, since the item was last young */
byte announced, ticks, aged[2]; /* aged: the last tick of that CPU */
bit ticking;
byte i;

/* All items in a place, for the ticks of a set. */
#define AGE(where, set) \
	i = 0; \
	do \
	:: i < ITEMS && place[i] == where && age[i] < 2 -> \
		require(is_aged_once_for_a_tick, !(aged_for[i] & (set))); \
		aged_for[i] = aged_for[i] | (set); \
		age[i]++; place[i] = (age[i] == 2 -> DEPOT : where); i++ \
	:: i < ITEMS && !(place[i] == where && age[i] < 2) -> i++ \
	:: i == ITEMS -> break \
	od; \
	i = 0

/* The ticks from after on, up to upto. */
#define SET(after, upto) (((1 << upto) - 1) & ~((1 << after) - 1))
#define MADE_YOUNG(item) age[item] = 0; aged_for[item] = 0
#define ANY_CPU if :: cpu = 0 :: cpu = 1 fi
#define ASK(condition) young = young || (condition)
/* Two loads, in either order. */
#define ASK_ANNOUNCED \
	if :: seen = ticks; ASK(announced > seen) :: seen = announced; ASK(seen > ticks) fi
#define DONE seen = 0; cpu = 0; item = 0; young = 0; goto rest

proctype thread() {
	byte cpu, item, seen; bit young;

rest:
	atomic { ANY_CPU; if :: item = 0 :: item = 1 fi;
		if
		/* A get, and its put, which is a push. */
		:: place[item] != MOVING -> event(put); place[item] = cpu; MADE_YOUNG(item); DONE
		:: place[item] == cpu -> place[item] = MOVING; cpu = 0; goto flush
		:: place[item] == DEPOT -> place[item] = MOVING; cpu = 0; goto refill
		:: aged[cpu] < ticks -> event(cpu_aged);
			d_step { AGE(cpu, SET(aged[cpu], ticks)); aged[cpu] = ticks };
			DONE
		:: announced < TICKS && !ticking -> ticking = 1; cpu = 0; item = 0; goto tick
		fi };
flush:
	atomic { event(flush); place[item] = DEPOT; DONE };
refill:
	if :: !ANNOUNCED_LAST && !UNANNOUNCED -> ASK_ANNOUNCED :: else fi;
	if
	:: OWN_CPU_ONLY -> atomic { ANY_CPU; ASK(aged[cpu] < ticks); cpu = 0 }
	:: else -> ASK(aged[0] < ticks); ASK(aged[1] < ticks)
	fi;
	if :: ANNOUNCED_LAST -> ASK_ANNOUNCED :: else fi;
	atomic { event(refill); ANY_CPU;
		if
		:: (young || !age[item]) && !REFILL_OLD -> MADE_YOUNG(item)
		:: else -> age[item] = (age[item] -> 1 : 0)
		fi;
		if :: age[item] -> event(kept_old) :: else fi;
		place[item] = cpu; DONE };
tick:
	atomic { announced++; ticks = ticks + CPUS_FIRST };
	atomic { event(depot_aged); d_step { AGE(DEPOT, 1 << (announced - 1)) } };
	atomic { ticks = ticks + !CPUS_FIRST; ticking = 0; DONE }
}

init { atomic { place[0] = 0; place[1] = 1; run thread(); run thread() } }
