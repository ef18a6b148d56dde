/* lease.pml: renewals, observation, election. docs/protocol.md, "The lease".
 *
 * Two candidates that may both be master in turn, each a holder (lease/holder.go,
 * node/beat.go) and an observer of the other (lease/observer.go, judge.go), over
 * a heartbeat register each and a ledger of claims (node/decide.go: elect, claim).
 *
 * Property: at no instant do both hold a valid mastership; the epoch never falls.
 *
 * Time: ticks. Nothing holds an absolute time: what is left of a lease counts
 * down, what has passed of a window counts up and stays at T, so runs are not
 * bounded in time. A tick may come before any step, so every step may take any
 * time and any node may be paused anywhere.
 */
#ifndef D
#define D 2             /* renew deadline */
#endif
#ifndef T
#define T 2             /* takeover timeout: D + M (S, K, W are in silence.pml) */
#endif
#ifndef MAXE
#define MAXE 3          /* masterships */
#endif
#ifndef MAXI
#define MAXI 2          /* incarnations of a node */
#endif
#ifndef MAXS
#define MAXS 4          /* heartbeats of its first incarnation, */
#endif
#ifndef MAXS1
#define MAXS1 3         /* (the same for node 1) */
#endif
#ifndef MAXS2
#define MAXS2 2         /* of each later one */
#endif

/* ---- the store ---- */
typedef Rec {           /* a heartbeat record */
	byte inc, seq;  /* (incarnation, number): its identity */
	byte te;        /* the ledger's tail that its writer had read */
	bit carry;      /* it carries the mastership te */
	byte rel        /* the newest mastership given up */
};
Rec reg[2];             /* members/<node>.json */
Rec late[2];            /* a Put whose answer was given up and that may still land; inc 0: none */
byte E = 1;             /* the ledger's tail: claims only, so number = epoch */
byte mkn[MAXE+2];       /* who made entry e: node ... */
byte mki[MAXE+2];       /* ... and incarnation */

/* ---- a node ---- */
byte inc[2], seq[2];    /* incarnation, and the number of its last heartbeat */
bit begun[2], held[2];  /* Holder */
byte left[2];           /* ... ticks until the deadline in force; 0: over, for good */
byte te[2];             /* the newest entry read */
byte released[2];       /* n.released */
byte ren[2];            /* the renewal under way: 0 none, 1 sent, 2 landed */
byte rl[2];             /* ... ticks until its own date + D */
Rec rec[2];             /* ... its record */
byte cl[2];             /* the claim under way: 0 none, 1 sent, 2 answer: made, 3 answer: exists, 4 ErrUnknown */
byte ce[2], ci[2];      /* ... its number and incarnation */
byte ghost[2], gi[2];   /* a Create whose writer is over, that may still land; 0: none */

/* ---- its observer of the other node's mastership ---- */
byte om[2];             /* the mastership judged */
byte w[2];              /* ticks since something new was seen */
byte ri[2], rs[2];      /* the record seen last: (incarnation, number) */
bit over[2];            /* judged over by silence */
bit gone[2];            /* judged over as released */
bit rd[2];              /* a read under way */
byte ra[2];             /* ... w at its beginning */
Rec rr[2];              /* ... what it found */
#ifdef M_OLDNUM
byte mxi[2], mxs[2];      /* the highest number seen, of the last incarnation */
#endif
bit lag = 0;            /* SKEW: node 0's clock is one tick ahead of node 1's */
bit takeover = 0;       /* for the check that the model is not vacuous */

#define COPY(a, b) a.inc = b.inc; a.seq = b.seq; a.te = b.te; a.carry = b.carry; a.rel = b.rel
#define CLEAR(a)   a.inc = 0; a.seq = 0; a.te = 0; a.carry = 0; a.rel = 0
/* JUDGE1: node 1 only judges and claims, its own lease never ends. The other
 * half, a real lease on both sides, is checked with fewer heartbeats. */
#ifdef JUDGE1
#define IDEAL(i)   (i == 1)
#else
#define IDEAL(i)   0
#endif
#define OVER(i)    (begun[i] && left[i] == 0)
#define VALID(i)   (held[i] && left[i] > 0)
/* node.mastership(): asked immediately before each act */
#ifdef DOUBT            /* node 0 may for a while doubt its history: then it is not master */
bit doubt = 0;
#define SURE(i)    (!doubt || i == 1)
#else
#define SURE(i)    1
#endif
#ifdef M_PUT            /* an entry that was overwritten is still the one its writer knows */
byte knows[2];
#define KNOWS(i)   (knows[i] == te[i] && te[i] > 1)
#else
#define KNOWS(i)   0
#endif
#define MASTER(i)  (VALID(i) && SURE(i) && ((mkn[te[i]] == i && mki[te[i]] == inc[i]) || KNOWS(i)) && released[i] < te[i])

inline check() {
	assert(!(MASTER(0) && MASTER(1)));   /* ONE MASTER */
#ifdef REACH
	assert(!(takeover && E == MAXE && MASTER(1)));
#endif
}

/* Observer.Claimed, once a beat: a mastership read for the first time begins its window. */
inline claimed(i) {
	if
	:: om[i] != te[i] -> om[i] = te[i]; w[i] = 0; over[i] = 0; gone[i] = 0
	:: else
	fi
}

inline dec(x) { if :: x > 0 -> x-- :: else fi }
inline clock(i) {
	if :: IDEAL(i) :: else -> dec(left[i]) fi; dec(rl[i]);
	if :: ren[i] == 0 -> rl[i] = 0 :: else fi;
	if :: w[i] < T -> w[i]++ :: else fi
}

/* Clocks. With SKEW one of them may run ahead by one tick, and be caught up with:
 * within no window do the two differ by more than M = 1 tick. */
proctype ticks() {
end:	do
	:: d_step { printf("tick\n"); clock(0); clock(1); check() }
#ifdef SKEW
	:: d_step { lag == 0 -> printf("tick of 0\n"); lag = 1; clock(0); check() }
	:: d_step { lag == 1 -> printf("tick of 1\n"); lag = 0; clock(1); check() }
#endif
	od
}

proctype node(bit i) {
end:	do
	/* ---- the beat: rule 1 ---- */
	:: d_step { /* a new incarnation after a loss: the old one is over for everything */
		OVER(i) && inc[i] < MAXI && ren[i] == 0 ->
		printf("%d: its lease is over; a new incarnation %d\n", i, inc[i]+1);
		inc[i]++; seq[i] = 0; begun[i] = 0; held[i] = 0;
		/* Ledger.Abandon: what was sent may still be made */
		if :: cl[i] == 1 || cl[i] == 4 -> ghost[i] = ce[i]; gi[i] = ci[i] :: else fi;
		cl[i] = 0; ce[i] = 0; ci[i] = 0; over[i] = 0; w[i] = 0; rd[i] = 0; ra[i] = 0; CLEAR(rr[i])
	   }
	:: d_step { /* dated, tail read, record built, sent. Merged: an earlier date only shortens. */
		(!OVER(i) && !IDEAL(i) && ren[i] == 0
#ifndef M_STRADDLE
		&& rd[i] == 0   /* reads and the tail's refresh follow each other: one goroutine */
#endif
		&& (seq[i] < MAXS2 || (inc[i] == 1 && seq[i] < (i == 0 -> MAXS : MAXS1)))) ->
		te[i] = E; claimed(i);
#ifdef M_PUT
		knows[i] = 0;
#endif
		seq[i]++;
		rec[i].inc = inc[i]; rec[i].seq = seq[i]; rec[i].te = te[i]; rec[i].carry = 0;
		if
		:: MASTER(i) -> rec[i].carry = 1
#ifndef M_CARRYAGAIN
		/* once not carried, a mastership is given up for good */
		:: !MASTER(i) && mkn[te[i]] == i && mki[te[i]] == inc[i] -> released[i] = te[i]
#endif
		:: else
		fi;
		rec[i].rel = released[i];
		if :: !begun[i] -> begun[i] = 1; left[i] = D :: else fi;
		ren[i] = 1; rl[i] = D;
		printf("%d: sends heartbeat %d.%d (read entry %d, carries it: %d, released %d)\n", i, inc[i], seq[i], te[i], rec[i].carry, rec[i].rel);
		check()
	   }
	:: d_step { ren[i] == 1 -> printf("%d: it lands\n", i); COPY(reg[i], rec[i]); ren[i] = 2 }
	:: d_step { /* answered: counts only before the deadline in force */
		ren[i] == 2 -> printf("%d: its heartbeat is answered\n", i);
		ren[i] = 0;
#ifdef M_DATED_AFTER
		rl[i] = D;
#endif
		if
#ifndef M_REVIVE
		:: begun[i] && left[i] > 0 && SURE(i) ->
#else
		:: rl[i] > 0 || left[i] > 0 ->
#endif
			held[i] = 1;
			if :: rl[i] > left[i] -> left[i] = rl[i] :: else fi
		:: else
		fi;
		rl[i] = 0; CLEAR(rec[i]); check()
	   }
	:: d_step { ren[i] == 2 -> printf("%d: the answer is lost\n", i); ren[i] = 0; rl[i] = 0; CLEAR(rec[i]) }  /* the answer is lost */
	:: d_step { ren[i] == 1 -> printf("%d: its heartbeat is lost\n", i); ren[i] = 0; rl[i] = 0; CLEAR(rec[i]) }  /* not landed, and never will */
	:: d_step { ren[i] == 1 && late[i].inc == 0 ->  /* not landed yet: it may, after newer ones, once */
		printf("%d: its heartbeat is given up, it may land late\n", i); COPY(late[i], rec[i]); ren[i] = 0; rl[i] = 0; CLEAR(rec[i]) }
	:: d_step { late[i].inc > 0 -> printf("%d: heartbeat %d.%d lands late\n", i, late[i].inc, late[i].seq); COPY(reg[i], late[i]); CLEAR(late[i]) }
	:: d_step { late[i].inc > 0 -> CLEAR(late[i]) }

	/* ---- observation: rules 2 and 3 ---- */
	:: d_step { (IDEAL(i)
#ifndef M_STRADDLE
		&& rd[i] == 0
#endif
		&& (te[i] < E || om[i] < E)) -> printf("%d: reads entry %d\n", i, E); te[i] = E; claimed(i) }
	:: d_step { /* a read begins, and finds what lies there: the worst case, the judgement
	             * counts from its beginning and sees least */
		rd[i] == 0 && mkn[om[i]] != i && !IDEAL(1-i) && !over[i] && !gone[i] ->
		printf("%d: reads the other's heartbeat: finds %d.%d\n", i, reg[1-i].inc, reg[1-i].seq);
		rd[i] = 1; ra[i] = w[i];
#ifndef M_WINDOW_BEFORE
		COPY(rr[i], reg[1-i])
#endif
	   }
	:: d_step { /* it ends: Observer.sawMaster */
		rd[i] == 1 ->
		rd[i] = 0;
#ifdef M_WINDOW_BEFORE  /* here the store looks at the end */
		COPY(rr[i], reg[1-i]);
#endif
#ifdef M_EARLY_READ
		ra[i] = w[i];   /* the age at its end, not at its beginning */
#endif
		if
		:: mkn[om[i]] == i
		:: mkn[om[i]] != i && rr[i].inc == mki[om[i]] && rr[i].rel == om[i] -> gone[i] = 1
		:: else ->
			if
			:: ((rr[i].inc != ri[i] || rr[i].seq != rs[i])
#ifdef M_OLDNUM   /* "an old number is no news" */
			   && (rr[i].inc != mxi[i] || rr[i].seq > mxs[i])
#endif
			   && ((rr[i].inc == mki[om[i]] && rr[i].carry && rr[i].te == om[i]) || rr[i].te < om[i])
			   ) ->
#ifdef M_WINDOW_BEFORE
				w[i] = w[i] - ra[i];    /* dated from before the read that shows it */
#else
				w[i] = 0;
#endif
				over[i] = 0
			:: else -> over[i] = (ra[i] >= T)
			fi
		fi;
		ri[i] = rr[i].inc; rs[i] = rr[i].seq;
#ifdef M_OLDNUM
		if :: rr[i].inc != mxi[i] || rr[i].seq > mxs[i] -> mxi[i] = rr[i].inc; mxs[i] = rr[i].seq :: else fi;
#endif
		printf("%d: that read ends: over %d, released %d, window %d\n", i, over[i], gone[i], w[i]);
		ra[i] = 0; CLEAR(rr[i])
	   }

#ifdef DOUBT
	:: d_step { i == 0 -> doubt = 1 - doubt; printf("0: doubts: %d\n", doubt); check() }
#endif
	/* ---- election: node/decide.go ---- */
	:: d_step { MASTER(i) && E == te[i] -> printf("%d: gives mastership %d up\n", i, te[i]); released[i] = te[i] }            /* graceful release */
	:: d_step { /* claim: valid, vacant, and after a refresh still the mastership judged */
		(cl[i] == 0 && VALID(i) && te[i] < MAXE &&
		((mkn[te[i]] != i && om[i] == te[i] && (over[i] || gone[i])) ||
		 (mkn[te[i]] == i && (mki[te[i]] != inc[i] || released[i] >= te[i])))
#ifndef M_NO_REJUDGE
		&& E == te[i]
#endif
		&& E < MAXE) ->
		te[i] = E;
		ce[i] = te[i] + 1; ci[i] = inc[i]; cl[i] = 1;
		printf("%d: claims %d\n", i, ce[i])
	   }
	/* Create: the compare-and-set on the tail. Sent again after ErrUnknown it is the same record. */
	:: d_step { (cl[i] == 1 || cl[i] == 4) && E < ce[i] ->
		printf("%d: its claim %d is made\n", i, ce[i]);
		E = ce[i]; mkn[ce[i]] = i; mki[ce[i]] = ci[i];
		if :: cl[i] == 1 -> cl[i] = 2 :: else fi;
		if :: i == 1 -> takeover = 1 :: else fi
	   }
#ifdef M_PUT
	/* a plain Put: it overwrites what stands there, and answers that it is made */
	:: d_step { cl[i] == 1 && E == ce[i] -> printf("%d: its claim %d overwrites\n", i, ce[i]); mkn[ce[i]] = i; mki[ce[i]] = ci[i]; cl[i] = 2 }
#else
	:: d_step { cl[i] == 1 && E >= ce[i] -> /* exists: read back and compared by its id */
		if :: mkn[ce[i]] == i && mki[ce[i]] == ci[i] -> cl[i] = 2 :: else -> cl[i] = 3 fi }
#endif
	:: d_step { cl[i] == 2 -> printf("%d: reads that its claim is made\n", i); cl[i] = 0; if :: te[i] < ce[i] -> te[i] = ce[i] :: else fi;
#ifdef M_PUT
		knows[i] = ce[i];
#endif
	
		ce[i] = 0; ci[i] = 0; check() }
	:: d_step { cl[i] == 3 -> cl[i] = 0; ce[i] = 0; ci[i] = 0; te[i] = E; check() }
	:: d_step { cl[i] == 1 || cl[i] == 2 || cl[i] == 3 -> cl[i] = 4 }       /* ErrUnknown */
	:: d_step { cl[i] == 4 && VALID(i) -> cl[i] = 1 }                        /* Settle: the same again */
	/* the Create of a writer whose incarnation is over lands, or is refused, or lost */
	:: d_step { ghost[i] > 0 && E < ghost[i] -> printf("%d: the claim %d of its incarnation before is made\n", i, ghost[i]); E = ghost[i]; mkn[E] = i; mki[E] = gi[i]; ghost[i] = 0; gi[i] = 0; check() }
	:: d_step { ghost[i] > 0 -> ghost[i] = 0; gi[i] = 0 }
	od
}

init {
	d_step {
		byte k = 0;
		/* node 0 is master under entry 1, both leases are fresh, each has read the other's heartbeat */
		mkn[1] = 0; mki[1] = 1; mkn[0] = 2;
		do
		:: k < 2 ->
			inc[k] = 1; seq[k] = 1; begun[k] = 1; held[k] = 1; left[k] = D; te[k] = 1; om[k] = 1;
			reg[k].inc = 1; reg[k].seq = 1; reg[k].te = 1; reg[k].carry = (k == 0);
			ri[k] = 1; rs[k] = 1;
#ifdef M_OLDNUM
			mxi[k] = 1; mxs[k] = 1;
#endif
			k++
		:: else -> break
		od
	}
	atomic { run ticks(); run node(0); run node(1) }
}
