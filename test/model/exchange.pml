/* SPDX-License-Identifier: MIT */
/*
 * How a pool counts growths, for spin (counts.h, grow.c, stats.c). A growth pops one buffer and pushes
 * the other, which is neither a get nor a put. So its pop is counted as one of an exchange, before it
 * happens, and no more if it takes nothing; and so is its push, which counts as a slow put if it finds
 * no room. With two counters, what is borrowed is right in the middle of a growth, too.
 *
 *     gets == pops - exchange pops      puts == slow puts + pushes - exchange pushes
 *
 * Modelled: one tier, two CPUs with a counter each (also of slow puts, of which all CPUs share one: a
 * reader of two may see more), threads that may be on another CPU at each step, and a reader that
 * loads one counter after the other. That the popped tier and the pushed one have counters of their
 * own makes no difference. Slow gets, and slow puts that are puts, are left out:
 * they are added to both sides. That pops and pushes are never above the truth: stack.pml.
 *
 * Breakages: COUNTED_LATE, UNDONE_ELSEWHERE, READ_EARLY.
 */
#define THREADS 2
#define OPS 3
#define ANY if :: cpu = 0 :: cpu = 1 fi
#define event(what) c_code { static int seen; if (!seen++) printf("reached: " #what "\n"); }
#define require(what, condition) what = (condition); assert(what)
hidden byte gets_are_never_above, puts_are_never_above, gets_are_exact, puts_are_exact;

short pops[2], pushes[2], slow_puts[2], exchange_pops[2], exchange_pushes[2];
short true_gets, true_puts; /* ghosts, counted with the pops and pushes */
byte calls, ended;
#define COUNTED(counter) (counter[0] + counter[1])

proctype thread() {
	byte cpu, counter; bit borrowed;

rest:
	atomic { ANY;
		if
		:: calls < OPS -> calls++
		:: calls == OPS -> goto end
		fi;
		if
		:: !borrowed -> event(get); pops[cpu]++; true_gets++; borrowed = 1; goto rest
		:: borrowed -> event(put); pushes[cpu]++; true_puts++; borrowed = 0; goto rest
		:: borrowed -> counter = cpu; exchange_pops[counter] = exchange_pops[counter] + !COUNTED_LATE
		fi };
	atomic { ANY;
		if
		:: event(pop); pops[cpu]++
		:: goto missed
		fi };
	atomic { exchange_pops[counter] = exchange_pops[counter] + COUNTED_LATE };
	atomic { ANY; exchange_pushes[cpu]++ };
	atomic { ANY;
		if
		:: event(push); pushes[cpu]++; goto rest
		:: skip
		fi };
	atomic { ANY; event(no_room); slow_puts[cpu]++; goto rest };
missed:
	atomic { event(undone);
		if :: UNDONE_ELSEWHERE -> ANY :: else -> cpu = counter fi;
		exchange_pops[cpu] = exchange_pops[cpu] - !COUNTED_LATE; goto rest };
end:
	atomic { ended++;
		if
		:: ended == THREADS -> event(rest);
			require(gets_are_exact, COUNTED(pops) - COUNTED(exchange_pops) == true_gets);
			require(puts_are_exact, COUNTED(slow_puts) + COUNTED(pushes) -
				COUNTED(exchange_pushes) == true_puts)
		:: else
		fi }
}

#define LOAD_EXCHANGES \
	gets_less = exchange_pops[0]; gets_less = gets_less + exchange_pops[1]; \
	puts_less = exchange_pushes[0]; puts_less = puts_less + exchange_pushes[1]

proctype reader() {
	short gets, puts, gets_less, puts_less;

	if :: READ_EARLY -> LOAD_EXCHANGES :: else fi;
	gets = pops[0]; puts = pushes[0]; gets = gets + pops[1]; puts = puts + pushes[1];
	puts = puts + slow_puts[0]; puts = puts + slow_puts[1];
	if :: !READ_EARLY -> LOAD_EXCHANGES :: else fi;
	d_step { event(reading);
		require(gets_are_never_above, gets - gets_less <= true_gets);
		require(puts_are_never_above, puts - puts_less <= true_puts) }
}

init { atomic { run thread(); run thread(); run reader() } }
