/* failover.pml: admission, fence, proof, ownership, acknowledgement, the gate.
 * docs/protocol.md, "Failover" and "What silence proves"; failover/*.go,
 * node/{decide,host,stop,start}.go, vmctl/gate.go.
 *
 * Two hosts, both candidates, one VM, which host 0 owns. Each may be master in
 * turn, lose its lease and return under a new incarnation; host 0 may also have
 * its daemon restarted or its power cut, be fenced, or leave. With BOTH the VM
 * may leave host 1 again in the same ways.
 *
 * Time: none. What time gives is taken from the other two models, which check it:
 *   lease.pml    a mastership judged over is over for good            (claim)
 *   silence.pml  who is STALE and declared `elapsed` runs nothing     (STALE)
 * All else may take any time: an entry on its way lands whenever it likes, or
 * never; a lease may end after any step.
 *
 * A decision is made from the newest entry: one made from an older one, and one
 * overtaken on its way, is refused by Create. Hosts act on what they read last.
 *
 * Properties: the VM never runs on two hosts; ownership leaves a host only when
 * nothing runs there, or can come to; epoch and generation never fall; what a
 * writer took for not made is never in the ledger.
 */
#ifndef ELAPSED
#define ELAPSED 1       /* is the silence of host 0 a proof? Host 1's VMs always run on */
#endif
#ifndef MAXQ
#define MAXQ 6          /* ledger entries */
#endif
#ifndef MAXI
#define MAXI 2          /* incarnations of host 0 */
#endif
#ifndef MAXI1
#define MAXI1 2         /* of host 1 */
#endif
#ifndef CUTS
#define CUTS 0          /* power cuts of host 0 */
#endif
#ifndef CRASHES
#define CRASHES 0       /* restarts of its daemon alone */
#endif
#ifdef BOTH
#define LOSES(n) 1
#else
#define LOSES(n) (n == 0)
#endif
#ifdef NOLEAVE          /* only proofs, no moves by acknowledgement: for the configurations with more faults */
#define LEAVES 0
#else
#define LEAVES 1
#endif
#define EL(n) (ELAPSED && n == 0)

/* ---- the ledger: the newest entry ---- */
byte q = 1, m = 1, mi = 1;      /* its number, the master and its incarnation */
byte adm[2];                    /* the admitted incarnations */
byte fen[2];                    /* 0: none, 1: fenced, 2: fenced with proof */
bit left[2];                    /* it is leaving: its VMs move */
byte own = 0, gen = 1;          /* the VM: owner, generation */
bit mv, ack;                    /* it is to leave its owner; its owner has acknowledged */

/* ---- what each host has read of it ---- */
byte vadm[2], vfen[2], vown[2], vgen[2]; bit vleft[2], vmv[2];

/* ---- an entry that a node has sent ---- */
mtype = { NONE, CLAIM, FENCE, PROVE, CONFIRM, LEAVE, ACKED, PLACE, ADMIT, CANCEL };
mtype kind[2];
byte num[2], host[2], who[2];   /* its number, the host and the incarnation it is about */
bit told[2];                    /* its writer takes it for not made */
bit gone[2];                    /* its writer is over: nobody sends it again */

/* ---- the hosts ---- */
byte inc[2]; bit lease[2];      /* incarnation; is its lease valid */
bit off[2];                     /* without power */
bit runs[2];                    /* the VM runs there */
bit open[2];                    /* a start is under way: it may yet come to run */
byte ur[2];                     /* ... and unresolved in local memory: 1 by this process, 2 by an earlier one */
#ifdef AGAIN
bit orphan[2];                  /* a start of an earlier process is under way: it may yet come to run */
bit again[2];                   /* local memory: another start was issued over it */
#define ORPHAN(n) orphan[n]
#else
#define ORPHAN(n) 0
#endif
byte closed[2];                 /* local memory: the newest generation closed here */
bit dp[2];                      /* the VMs' deadline has passed */
byte ai[2], ag[2];              /* inventory/: an acknowledgement (incarnation, generation) */
byte vs[2];                     /* inventory/: verified stopped (incarnation) */
byte stale;                     /* node 1's view: host 0 is STALE, last seen as this incarnation */
byte cuts = 0, crashes = 0;
#ifdef OPERATOR
/* heartbeats, as far as confirm-fenced needs them */
byte hb = 1;                    /* members/0: the incarnation that lies there */
bit latehb = 0;                 /* an older one has landed late */
byte seen = 0, last = 0;        /* node 1: the incarnations seen, as a set, and the one seen first last */
bit rq = 0, rv = 0; byte ri = 0; /* the request: asked, void, the incarnation it names */
#endif
#ifdef REACH
bit moved = 0, back = 0;
#endif

#define MASTER(i)  (lease[i] && m == i && mi == inc[i])
#define FREE(i)    (kind[i] == NONE && q < MAXQ)
#define DECIDES(i) (MASTER(i) && FREE(i))
/* no start is open that could outlive a deadline handed anew */
#ifdef M_ORPHANS_COUNT_NOT
#define CLEAN(n)   (ur[n] != 1)
#else
#define CLEAN(n)   (ur[n] == 0)
#endif
#ifdef HAND_ONLY_ADMITTED
#define MENDED 1
#else
#define MENDED 0
#endif
#define CANRUN(n)  (!off[n] && !dp[n])

inline check() {
	assert(!(runs[0] && runs[1]));                          /* ONE PLACE */
#ifdef REACH
	assert(REACH != 1 || !(moved && runs[1]));
	assert(REACH != 2 || !(back && runs[0] && own == 0 && gen > 1));
#endif
}

inline readtail(z) {
	vadm[z] = adm[z]; vfen[z] = fen[z]; vown[z] = own; vgen[z] = gen; vleft[z] = left[z]; vmv[z] = mv
}
inline forget(z) { kind[z] = NONE; num[z] = 0; host[z] = 0; who[z] = 0; told[z] = 0; gone[z] = 0 }
inline send(z, k, h, x) {
	kind[z] = k; host[z] = h; who[z] = x; num[z] = q + 1;
	printf("node %d.%d sends entry %d: %e, of %d.%d\n", z, inc[z], num[z], kind[z], host[z], who[z]);
#ifdef M_UNKNOWN_FAILURE
	told[z] = 1;    /* no answer: taken for a failure, and told so */
#endif
#ifdef M_START_BEFORE_ENTRY
	if :: kind[z] == PLACE && host[z] != z && !runs[z] -> runs[z] = 1; printf("node %d starts\n", z); check() :: else fi;
#endif
#ifdef M_UNKNOWN_SUCCESS
	/* no answer: taken for made */
	if :: kind[z] == PLACE && host[z] != z -> vown[z] = z; vgen[z] = gen + 1; vmv[z] = 0 :: else fi;
#endif
	skip
}
#ifdef AGAIN
/* a start has come to its end */
inline settled(z) {
#ifdef M_AGAIN_IS_OVER
	ur[z] = 0; again[z] = 0
#else
	if :: !again[z] -> ur[z] = 0 :: else fi
#endif
}
#endif
/* the daemon's process ends, or its incarnation: Ledger.Abandon */
inline abandon(z) { if :: kind[z] != NONE -> gone[z] = 1 :: else fi }

/* The entry lands: its content, applied to the entry before it. failover.Plan. */
inline land(z) {
	printf("entry %d is made: %e\n", num[z], kind[z]);
	assert(!told[z]);                                       /* TOLD THE TRUTH */
#ifdef OPERATOR
	/* a request is void once an entry touches its host. confirm-fenced survives a claim ... */
	if
	:: kind[z] != CLAIM && kind[z] != ACKED && kind[z] != PLACE && host[z] == 0 && rq -> rv = 1
#ifndef M_OWN_CLAIM_VOIDS_NOT
	/* ... but not one by that very host, which admits an incarnation of it */
	:: kind[z] == CLAIM && z == 0 && rq -> rv = 1
#endif
	:: else
	fi;
#endif
	q++;
	if
	:: kind[z] == CLAIM -> m = z; mi = who[z]; adm[z] = who[z]
	:: kind[z] == FENCE || kind[z] == PROVE || kind[z] == CONFIRM ->
		left[host[z]] = 0;
		fen[host[z]] = (kind[z] == FENCE -> 1 : 2);
		if :: own == host[z] && !mv -> mv = 1; ack = 0 :: else fi
	:: kind[z] == LEAVE ->
		left[host[z]] = 1;
		if :: own == host[z] && !mv -> mv = 1; ack = 0 :: else fi
	:: kind[z] == ACKED -> ack = 1
	:: kind[z] == PLACE ->
		/* OWNERSHIP: nothing runs where it leaves, nor can come to */
		assert(!runs[own] && !((open[own] || ORPHAN(own)) && CANRUN(own)));
		own = 1 - own; gen++; mv = 0; ack = 0
#ifdef REACH
		; moved = 1
#endif
	:: kind[z] == ADMIT ->
		if
		:: own == host[z] && mv ->
			/* what was proved or acknowledged, and has not moved, restarts under the next generation */
			if :: fen[host[z]] == 2 || ack -> gen++
#ifdef REACH
				; back = 1
#endif
			:: else fi;
			mv = 0; ack = 0
		:: else
		fi;
		adm[host[z]] = who[z]; fen[host[z]] = 0; left[host[z]] = 0
	:: kind[z] == CANCEL ->
		fen[host[z]] = 0;
		if :: own == host[z] && mv && !ack -> mv = 0 :: else fi
	fi;
	forget(z)
}

proctype node(bit i) {
end:	do
	/* ================= the ledger ================= */
	:: d_step { (!off[i] && (vadm[i] != adm[i] || vfen[i] != fen[i] || vown[i] != own || vgen[i] != gen ||
		vleft[i] != left[i] || vmv[i] != mv || (i == 1 && stale > 0))) ->
		readtail(i); if :: i == 1 -> stale = 0 :: else fi; printf("node %d reads entry %d\n", i, q) }
	/* Create is a compare-and-set; after ErrUnknown the same record again: it lands whenever it likes */
	:: d_step { (kind[i] != NONE
#ifndef M_PUT
		&& q + 1 == num[i]
#else
		&& q <= num[i] && q < MAXQ      /* a plain Put: over what stands there */
#endif
		) -> land(i) }
	:: d_step { (kind[i] != NONE && q >= num[i]) -> forget(i) }     /* ErrExists */
	:: d_step { (kind[i] != NONE && gone[i]) -> forget(i) }         /* abandoned: never lands */

	/* ================= the lease ================= */
	:: d_step { lease[i] -> lease[i] = 0; printf("%d.%d: its lease is over\n", i, inc[i]) }
	:: d_step { (EL(i) && !lease[i] && !dp[i]) -> dp[i] = 1; runs[i] = 0; printf("%d: its VMs' deadline passes\n", i) }
	/* A new incarnation, never the old one again. It hands the VMs no new deadline before
	 * all is seen stopped and no start of this process is open */
	:: d_step { (!lease[i] && !off[i] && inc[i] < (i == 0 -> MAXI : MAXI1) && (!EL(i) || MENDED || (!runs[i] && CLEAN(i)))) ->
		abandon(i); inc[i]++; lease[i] = 1; if :: !MENDED -> dp[i] = 0 :: else fi; if :: i == 1 -> stale = 0 :: else fi;
		printf("%d.%d: a new incarnation holds a lease\n", i, inc[i]) }
	/* (the mend proposed: a deadline that has passed is followed by another only once admitted) */
	:: d_step { (MENDED && dp[i] && lease[i] && vadm[i] == inc[i] && vfen[i] == 0 && !runs[i] && ur[i] != 1) -> dp[i] = 0 }
	/* the daemon alone restarts, within the deadline of its VMs: they run on */
	:: d_step { (i == 0 && !off[i] && crashes < CRASHES && inc[i] < MAXI && !dp[i]) ->
		crashes++; abandon(i); readtail(i); inc[i]++; lease[i] = 1;
#ifdef M_RESTART_FORGETS_START
		ur[i] = 0;
#else
		if
		:: ur[i] == 1 -> ur[i] = 2
#ifdef AGAIN
			; if :: open[i] -> orphan[i] = 1; open[i] = 0 :: else fi
#endif
		:: else
		fi;
#endif
		printf("%d.%d: its daemon restarted, a new incarnation holds a lease\n", i, inc[i]) }
	:: d_step { (i == 0 && !off[i] && cuts < CUTS) ->
		cuts++; abandon(i); off[i] = 1; runs[i] = 0; open[i] = 0; ur[i] = 0; lease[i] = 0; dp[i] = 0;
#ifdef AGAIN
		orphan[i] = 0; again[i] = 0;
#endif
#ifdef MEMLOSS
		closed[i] = 0;          /* local memory is rolled back, to a backup */
#endif
		printf("%d: power cut\n", i) }
	:: d_step { off[i] -> off[i] = 0; readtail(i); printf("%d: boots\n", i) }

	/* ================= election: a mastership judged over is over (lease.pml) ================= */
	:: d_step { (lease[i] && FREE(i) && !(lease[m] && inc[m] == mi)) -> send(i, CLAIM, i, inc[i]) }

	/* ================= the master: failover.Plan ================= */
	/* a fence without proof, on any suspicion; it ends when the host goes on */
	:: d_step { (DECIDES(i) && LEAVES && LOSES(1-i) && fen[1-i] == 0) -> send(i, FENCE, 1-i, 0) }
	:: d_step { (DECIDES(i) && fen[1-i] == 1) -> send(i, CANCEL, 1-i, 0) }
	:: d_step { (DECIDES(i) && fen[i] == 1) -> send(i, CANCEL, i, 0) }
	/* elapsed time proves: STALE (silence.pml), and declared. The view may be older than the tail */
	:: d_step { (i == 1 && lease[1] && stale == 0 && !lease[0]
#ifdef M_ELAPSED_UNDECLARED
		) ->
#else
		&& EL(0) && (dp[0] || off[0])) ->
#endif
		/* a newer incarnation may have been hidden by late writes, unless it was admitted */
		stale = adm[0]; printf("node 1 judges host 0 STALE, last seen as 0.%d\n", stale) }
	:: d_step { (i == 1 && DECIDES(1) && stale > 0 && fen[0] < 2
#ifndef M_STALE_OF_REPLACED
		&& stale == adm[0]
#endif
		) -> send(1, PROVE, 0, stale) }
	/* a host leaves: its VM moves */
	:: d_step { (DECIDES(i) && LEAVES && LOSES(1-i) && fen[1-i] == 0 && !left[1-i]) -> send(i, LEAVE, 1-i, 0) }
	:: d_step { (DECIDES(i) && LEAVES && LOSES(i) && fen[i] == 0 && !left[i]) -> send(i, LEAVE, i, 0) }
	/* an acknowledgement counts: of the admitted incarnation, for the present generation.
	 * (Its order is left out: in a failover of several VMs one order can serve twice.) */
	:: d_step { (DECIDES(i) && mv && !ack && ag[own] == gen
#ifndef M_ACK_OF_REPLACED
		&& ai[own] == adm[own]
#endif
		) -> send(i, ACKED, own, 0) }
	/* place: by acknowledgement or proof, generation + 1 */
	:: d_step { (DECIDES(i) && mv && fen[1-own] == 0 && !left[1-own] && (ack || fen[own] == 2
#ifdef M_MOVE_UNPROVED
		|| fen[own] == 1
#endif
		)) -> send(i, PLACE, own, 0) }
	/* admit a new incarnation; after a fence with proof only one that is verified stopped */
	:: d_step { (DECIDES(i) && inc[1-i] > adm[1-i]
#ifndef M_ADMIT_UNVERIFIED
		&& (fen[1-i] < 2 || vs[1-i] == inc[1-i])
#endif
		) -> send(i, ADMIT, 1-i, inc[1-i]) }
	:: d_step { (DECIDES(i) && (left[i] || fen[i] > 0) && (fen[i] < 2 || vs[i] == inc[i])) -> send(i, ADMIT, i, inc[i]) }

	/* ================= the host ================= */
	/* the gate, and a start, written down before it is issued */
	:: d_step { (lease[i] && !runs[i] && ur[i] == 0
#ifndef M_NO_ADMISSION
		&& vadm[i] == inc[i]
#endif
		&& vfen[i] == 0 && !vleft[i] && vown[i] == i && !vmv[i] && closed[i] < vgen[i] && !dp[i]) ->
		open[i] = 1; ur[i] = 1; printf("%d.%d: issues a start of generation %d\n", i, inc[i], vgen[i]) }
	:: d_step { open[i] -> open[i] = 0; if :: CANRUN(i) -> runs[i] = 1 :: else fi; printf("%d: that start ends: runs %d\n", i, runs[i]); check() }
	:: d_step { open[i] -> open[i] = 0 }                                    /* it never runs, and nobody knows */
#ifndef AGAIN
	:: d_step { (open[i] && ur[i] == 1) -> open[i] = 0; ur[i] = 0 }         /* it failed for certain */
	:: d_step { (ur[i] > 0 && runs[i] && !off[i]) -> ur[i] = 0; open[i] = 0 } /* seen to run */
#else
	/* what an earlier process began is over when it is seen to run, unless another start
	 * was issued over it: which of the two runs nobody can tell, and the other may come yet */
	:: d_step { (lease[i] && !runs[i] && ur[i] == 2 && vadm[i] == inc[i] && vfen[i] == 0 && !vleft[i] && vown[i] == i && !vmv[i] &&
		closed[i] < vgen[i] && !dp[i] && !open[i]) ->
		open[i] = 1; again[i] = 1; printf("%d.%d: issues a start over an orphaned one\n", i, inc[i]) }
	:: d_step { (open[i] && (ur[i] == 1 || again[i])) -> open[i] = 0; settled(i) }
	:: d_step { (ur[i] > 0 && runs[i] && !off[i]) -> open[i] = 0; settled(i) }
	:: d_step { orphan[i] -> orphan[i] = 0; if :: CANRUN(i) -> runs[i] = 1 :: else fi; printf("%d: the orphaned start ends: runs %d\n", i, runs[i]); check() }
	:: d_step { orphan[i] -> orphan[i] = 0 }
#endif
	/* stop and kill: fenced, another's, closed, or to be moved. It ends a start of this process too */
	:: d_step { (!off[i] && (runs[i] || ur[i] == 1 || open[i] && ur[i] == 2 && ORPHAN(i) == 1) && (vfen[i] == 2 || vown[i] != i || closed[i] >= vgen[i] || vmv[i])) ->
		runs[i] = 0;
		if
		:: ur[i] == 1 -> ur[i] = 0; open[i] = 0
#ifdef AGAIN
		:: ur[i] == 2 -> open[i] = 0    /* a kill ends what this process began, and no orphan */
#endif
		:: else
		fi; printf("%d: kills\n", i) }
	/* acknowledge: stopped, nothing unresolved, closed durably and for good, then told */
	:: d_step { (!off[i] && LEAVES && vmv[i] && vown[i] == i && vadm[i] == inc[i] && !(ai[i] == inc[i] && ag[i] == vgen[i]) && !runs[i]
#ifndef M_ACK_UNRESOLVED
		&& ur[i] == 0
#endif
		) ->
#ifndef M_ACK_NOT_CLOSED
		closed[i] = vgen[i];
#endif
		ai[i] = inc[i]; ag[i] = vgen[i]; printf("%d.%d: acknowledges generation %d\n", i, inc[i], vgen[i]) }
	/* verified stopped, with the gate shut */
	:: d_step { (!off[i] && vs[i] != inc[i] && !runs[i]
#ifndef M_VERIFY_UNRESOLVED
		&& ur[i] == 0
#endif
		&& (vadm[i] != inc[i] || vfen[i] > 0)) ->
		vs[i] = inc[i]; printf("%d.%d: is verified stopped\n", i, inc[i]) }

#ifdef OPERATOR
	/* ================= the operator's word: true when it is given ================= */
	:: d_step { (i == 0 && off[0] && !rq) -> rq = 1; ri = hb; printf("operator: confirms that 0.%d runs nothing\n", ri) }
	:: d_step { (DECIDES(i) && i == 1 && fen[0] < 2 && rq
#ifndef M_CONFIRM_ANY
		&& !rv && (last == ri || last == 0)
#endif
		) -> send(1, CONFIRM, 0, ri) }
	:: d_step { (i == 0 && lease[0] && hb != inc[0]) -> hb = inc[0]; printf("0.%d: its heartbeat lands\n", inc[0]) }
	:: d_step { (i == 0 && hb > 1 && !latehb) -> latehb = 1; hb--; printf("0: a heartbeat of 0.%d lands late, over it\n", hb) }
	:: d_step { (i == 1 && !((seen >> hb) & 1)) -> seen = seen | (1 << hb); last = hb; printf("node 1 sees 0.%d\n", hb) }
	:: d_step { (i == 1 && seen != 0) -> seen = 0; last = 0; printf("node 1's daemon restarts: it has seen nothing\n") }
#endif
	od
}

init {
	atomic {
	d_step {
		adm[0] = 1; adm[1] = 1; inc[0] = 1; inc[1] = 1; lease[0] = 1; lease[1] = 1;
#ifndef COLD             /* COLD: the VM does not run yet */
		runs[0] = 1;
#endif
		kind[0] = NONE; kind[1] = NONE;
		readtail(0); readtail(1)
	}
	run node(0); run node(1)
	}
}
