/* silence.pml: what silence proves. docs/protocol.md, "Why the node's own clock
 * suffices for its VMs" and "What silence proves"; node/stop.go, failover/prove.go,
 * lease/observer.go (Node, not mastership).
 *
 * Host A runs VMs that obey a deadline, dated + D + S of an answered renewal. B,
 * the master, observes it, freezes and arms the cluster, changes its timings, and
 * in the end takes A's silence for a proof.
 *
 * Property: when B takes silence for a proof, nothing runs on A, nor will under
 * the deadlines handed.
 *
 * Time as in lease.pml: relative ticks, runs not bounded in time.
 */
#ifndef M
#define M 0                             /* margin; 1 with SKEW */
#endif
/* two sets of timings: 0 the long ones, 1 the short ones */
#ifndef DLONG
#define DLONG 2
#endif
#define D(t)  (t == 0 -> DLONG : 1)
#define S     1                         /* S + K */
#define T(t)  (D(t) + S + M)
#ifndef MAXS
#define MAXS 5                          /* heartbeats */
#endif
#ifndef MAXQ
#define MAXQ 4                          /* ledger entries */
#endif
#ifdef MASTER
#define RESTARTS 0                      /* a mastership is of one incarnation */
#endif
#ifndef RESTARTS
#define RESTARTS 1                      /* restarts of A's daemon: its VMs run on within their deadline */
#endif

typedef Rec { byte seq, lq; bit proof, tim }    /* number, ledger number read, declared, timings */
Rec reg, late, rec, rr, last;
/* the ledger */
byte q = 1, frozenat = 0, timat = 0, armedat = 1; bit frozen = 0, prf = 1, tim = 0;
/* A */
byte aq = 1; bit afrozen = 0, aprf = 1, atim = 0;       /* the entry it has read */
byte seq = 1, left, ren = 0, rl = 0, restarts = 0; bit begun = 1;
byte vl; bit lifted = 0;                                /* the VMs' deadline: ticks left; none in force */
/* B */
byte w = 0, rs = 1, ra = 0; bit rd = 0, alive = 1, lag = 0;

#ifdef MASTER
#define WRITES (begun && left > 0)
#ifndef FIRST
#define FIRST 0
#endif
#else
#define WRITES 1
#define FIRST 0
#endif
#define RUNS (lifted || vl > 0)
#define COPY(a, b) a.seq = b.seq; a.lq = b.lq; a.proof = b.proof; a.tim = b.tim
#define CLEAR(a)   a.seq = 0; a.lq = 0; a.proof = 0; a.tim = 0
/* The larger of the ledger's timings and the record's, and the longest there were as long as
 * no heartbeat was seen that has read the entry which changed them. */
#ifdef M_TIMINGS_UNREAD
#define WAIT (tim == 0 || last.tim == 0 -> T(0) : T(1))
#else
#define WAIT (tim == 0 || last.tim == 0 || last.lq < timat -> T(0) : T(1))
#endif

inline dec(x) { if :: x > 0 -> x-- :: else fi }
inline clockA() { dec(left); dec(rl); dec(vl) }
inline clockB() { if :: w < T(0) -> w++ :: else fi }

proctype ticks() {
end:	do
	:: d_step { printf("tick\n"); clockA(); clockB() }
#ifdef SKEW
	:: d_step { lag == 0 -> lag = 1; printf("tick of A\n"); clockA() }
	:: d_step { lag == 1 -> lag = 0; printf("tick of B\n"); clockB() }
#endif
	od
}

proctype A() {
end:	do
	:: d_step { (ren == 0 && seq < MAXS && (!begun || left > 0)) ->
		aq = q; afrozen = frozen; aprf = prf; atim = tim;
		seq++;
		rec.seq = seq; rec.lq = aq; rec.tim = atim; rec.proof = (!afrozen && !lifted && vl > 0);
		/* Holder.Begin: shorter timings shorten at once; host.shorten likewise, before it is sent */
		if
		:: !begun -> begun = 1; left = D(atim)
#ifndef M_NO_SHORTEN
		:: begun && left > D(atim) -> left = D(atim)
#endif
		:: else
		fi;
#ifndef M_NO_SHORTEN
		if :: vl > D(atim) + S -> vl = D(atim) + S :: else fi;
#endif
		ren = 1; rl = D(atim);
		printf("A: sends heartbeat %d: read entry %d, declares %d, timings %d\n", seq, aq, rec.proof, atim) }
	:: d_step { ren == 1 -> ren = 2; COPY(reg, rec); printf("A: it lands\n") }
	:: d_step { ren == 2 -> ren = 0;
		if
		:: left > 0 ->
			if :: rl > left -> left = rl :: else fi;
			/* host.renewed */
			if
			:: (!rec.proof && afrozen
#ifndef M_LIFT_UNTOLD
				&& !aprf        /* only when the ledger says so of it */
#endif
				) -> lifted = 1; vl = 0
			:: else ->
				/* never past one that has passed; lifted, it is handed again */
				if :: (lifted || (vl > 0 && vl < rl + S)) -> vl = rl + S; lifted = 0 :: else fi
#ifdef M_PAST_DEADLINE
				; if :: vl < rl + S -> vl = rl + S :: else fi
#endif
			fi
		:: else
		fi;
		printf("A: it is answered: lease %d, VMs %d, lifted %d\n", left, vl, lifted);
		rl = 0; CLEAR(rec) }
	:: d_step { ren > 0 -> ren = 0; rl = 0; CLEAR(rec); printf("A: no answer\n") }
	:: d_step { ren == 1 && late.seq == 0 -> ren = 0; rl = 0; COPY(late, rec); CLEAR(rec); printf("A: no answer, it may land late\n") }
	:: d_step { late.seq > 0 -> printf("A: heartbeat %d lands late\n", late.seq); COPY(reg, late); CLEAR(late) }
	:: d_step { late.seq > 0 -> CLEAR(late) }
	:: d_step { (restarts < RESTARTS && ren == 0) -> restarts++; begun = 0; left = 0; printf("A: its daemon restarts\n") }
	od
}

proctype B() {
end:	do
	:: d_step { rd == 0 -> rd = 1; ra = w; COPY(rr, reg); printf("B: reads, finds heartbeat %d\n", rr.seq) }
	:: d_step { rd == 1 -> rd = 0;
#ifdef M_EARLY_READ
		ra = w;
#endif
		if
		:: (rr.seq != rs
#ifdef M_OLDNUM
			&& rr.seq > last.seq
#endif
			) -> w = 0
		:: else ->
			if :: ra >= D(0) -> alive = 0 :: else fi;
			if
#ifdef MASTER            /* A is the master: its mastership is judged, and it writes the ledger itself */
			:: ra >= WAIT -> printf("B: judges A's mastership over\n"); assert(left == 0)
#endif
			:: (ra >= WAIT && !frozen && prf
#ifndef M_DECLARED_NOT_ASKED
				&& last.proof
#endif
				) ->
				printf("B: takes A's silence for a proof\n");
#ifdef REACH
				assert(q < 3);
#endif
				assert(!RUNS)                           /* SILENCE */
			:: else
			fi
		fi;
		if :: rr.seq > last.seq -> COPY(last, rr); alive = 1 :: else fi;
		rs = rr.seq; ra = 0; CLEAR(rr) }
	/* the ledger: one writer here, so what is decided is made */
	:: d_step { (!frozen && q < MAXQ && WRITES) -> q++; frozen = 1; frozenat = q; printf("entry %d: frozen\n", q);
#ifndef M_FREEZE_KEEPS_PROOF
		prf = 0
#endif
	   }
	:: d_step { (frozen && q < MAXQ && WRITES) -> q++; frozen = 0; armedat = q; printf("entry %d: armed\n", q) }
	:: d_step { (frozen && q < MAXQ && (!alive || last.lq >= frozenat) && WRITES) -> q++; tim = 1 - tim;
		timat = q; printf("entry %d: timings %d\n", q, tim) }
	/* what a heartbeat declares: less at once, more only from one that has read the arming */
	:: d_step { (alive && q < MAXQ && WRITES && prf != (last.proof && !frozen
#ifndef M_RAISE_UNARMED
		&& last.lq >= armedat
#endif
		)) -> q++; prf = 1 - prf; printf("entry %d: the silence of A proves: %d\n", q, prf) }
	od
}

init {
	atomic {
	d_step {
		tim = FIRST; atim = FIRST; left = D(FIRST); vl = D(FIRST) + S;
		reg.tim = FIRST; reg.seq = 1; reg.lq = 1; reg.proof = 1; COPY(last, reg)
	}
	run ticks(); run A(); run B()
	}
}
