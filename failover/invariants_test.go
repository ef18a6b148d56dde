package failover_test

import (
	"fmt"
	"slices"

	"github.com/hoster-ha/hoster-ha/failover"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// invariants says what a plan breaks of what must be so of every plan, "" for
// nothing.
func invariants(in failover.Input, out failover.Output) string {
	if (out.State == nil) != (len(out.Why) == 0) {
		return fmt.Sprintf("an entry: %t, and %d reasons", out.State != nil, len(out.Why))
	}
	if out.State == nil {
		return ""
	}
	from, to := &in.Tail.State, out.State
	if from.Master != to.Master || from.Incarnation != to.Incarnation {
		return "the plan gave the mastership away"
	}
	for _, check := range []func(in failover.Input, from, to *ledger.State) string{ownership, admissions, fences, stillness} {
		if broken := check(in, from, to); broken != "" {
			return broken
		}
	}
	return ""
}

// ownership leaves a node only by its acknowledgement or with its fence proved,
// and with each step the generation rises by one, never down.
func ownership(in failover.Input, from, to *ledger.State) string {
	for vm, old := range from.VMs {
		now, ok := to.VMs[vm]
		switch {
		case !ok:
			return vm + " is gone from the ledger"
		case now.Generation < old.Generation || now.Generation > old.Generation+1:
			return fmt.Sprintf("%s went from generation %d to %d", vm, old.Generation, now.Generation)
		case now.Owner == old.Owner:
			if now.Restore != old.Restore || now.Restored != old.Restored {
				return fmt.Sprintf("%s is rolled back on its own host %s", vm, now.Owner)
			}
			continue
		case now.Generation == old.Generation:
			return fmt.Sprintf("%s went from %s to %s within generation %d", vm, old.Owner, now.Owner, now.Generation)
		case len(from.Repair) > 0:
			continue // whoever runs it owns it: see the tests of repairs
		}
		fence := to.Members[old.Owner].Fence
		mv := to.Failovers[old.Owner].Moves[vm]
		if (fence == nil || fence.Proof == "") && (!mv.Acked || mv.Generation != old.Generation) {
			return fmt.Sprintf("%s left %s, which neither acknowledged nor is proved to run nothing", vm, old.Owner)
		}
		if why := unfit(in, to, now.Owner); why != "" {
			return fmt.Sprintf("%s was given to %s: %s", vm, now.Owner, why)
		}
	}
	for vm, now := range to.VMs {
		if _, known := from.VMs[vm]; known {
			continue
		}
		if now.Generation != 1 || from.Members[now.Owner].Role == "" {
			return fmt.Sprintf("%s was adopted at generation %d by %s", vm, now.Generation, now.Owner)
		}
		for n, inv := range in.Inventories {
			host := inv.VM(vm)
			mayRun := host != nil && host.State != record.VMStopped && inv.Complete && inv.Incarnation == to.Members[n].Admitted
			proved := to.Members[n].Fence != nil && to.Members[n].Fence.Proof != ""
			if mayRun && !proved && to.Members[n].Role != ledger.RoleWitness && to.Members[n].Left != record.LeaveStop && n != now.Owner {
				return fmt.Sprintf("%s was adopted by %s, and %s says that it runs it", vm, now.Owner, n)
			}
		}
	}
	return ""
}

// unfit says why a node must not be given a VM.
func unfit(in failover.Input, st *ledger.State, n string) string {
	m, member := st.Members[n]
	k, hb := in.Nodes[n], in.Nodes[n].Last
	if n == in.Self {
		k.Standing, hb = lease.Alive, in.Own
	}
	switch {
	case !member:
		return "it is no member"
	case m.Role == ledger.RoleWitness:
		return "it is a witness"
	case m.Maintenance:
		return "it is in maintenance"
	case m.Fence != nil:
		return "it is fenced"
	case m.Left != "":
		return "it left"
	case k.Standing != lease.Alive:
		return "it does not live"
	case m.Admitted == "" || hb == nil || hb.Incarnation != m.Admitted:
		return "it is not admitted"
	}
	return ""
}

// admissions come after two numbers of a heartbeat that lives.
func admissions(in failover.Input, from, to *ledger.State) string {
	for n, now := range to.Members {
		old := from.Members[n]
		if now.Admitted == old.Admitted || n == in.Self {
			continue
		}
		k := in.Nodes[n]
		if k.Standing != lease.Alive || k.Numbers < 2 || k.Last == nil || k.Last.Incarnation != now.Admitted {
			return fmt.Sprintf("incarnation %s of %s was admitted: %s, %d numbers", now.Admitted, n, k.Standing, k.Numbers)
		}
	}
	return ""
}

// fences are proved only by what holds, and end with a proof only for an
// incarnation that has verified that nothing runs.
func fences(in failover.Input, from, to *ledger.State) string {
	for n, old := range from.Members {
		now, member := to.Members[n]
		if !member {
			continue // forgotten
		}
		before, after := old.Fence, now.Fence
		wasProved := before != nil && before.Proof != ""
		isProved := after != nil && after.Proof != ""
		switch {
		case wasProved && after == nil:
			inv := in.Inventories[n]
			if inv == nil || !inv.Complete || !inv.VerifiedStopped || inv.LedgerSeq < before.Proved || inv.Incarnation != now.Admitted {
				return n + " is not fenced any more, and nothing shows that it stopped everything"
			}
		case wasProved && !isProved:
			return n + " lost the proof of its fence"
		case !wasProved && isProved && after.Proof == ledger.ProvedElapsed:
			k := in.Nodes[n]
			if k.Standing != lease.Stale || k.Last.Incarnation != old.Admitted || k.Last.Proof != record.ProofElapsed || now.Proof != record.ProofElapsed {
				return fmt.Sprintf("%s is proved by elapsed time: %s", n, k.Standing)
			}
		case !wasProved && isProved && after.Proof == ledger.ProvedOperator:
			if !slices.ContainsFunc(in.Requests, func(a failover.Asked) bool { return a.Action == record.ActConfirmFenced && a.Node == n }) {
				return n + " is proved by an operator who said nothing"
			}
		}
		for vm, mv := range to.Failovers[n].Moves {
			was := from.Failovers[n].Moves[vm]
			if mv.Acked && !was.Acked && !acknowledged(in, old, vm, from.VMs[vm].Generation) {
				return fmt.Sprintf("%s is taken for acknowledged by %s", vm, n)
			}
		}
	}
	return ""
}

// acknowledged: the admitted incarnation's inventory says so of this generation.
func acknowledged(in failover.Input, m ledger.Member, vm string, generation uint64) bool {
	for _, inv := range in.Inventories {
		if inv == nil || inv.Incarnation != m.Admitted {
			continue
		}
		if slices.ContainsFunc(inv.Acks, func(a record.Ack) bool {
			return a.VM == vm && a.Incarnation == m.Admitted && a.Generation == generation
		}) {
			return true
		}
	}
	return false
}

// stillness: a cluster that is frozen, not armed or in debug gives no VM away,
// and in debug nothing is taken for proved.
func stillness(_ failover.Input, from, to *ledger.State) string {
	for vm, old := range from.VMs {
		if (to.Frozen || !to.Armed || to.Debug) && len(from.Repair) == 0 && to.VMs[vm].Owner != old.Owner {
			return vm + " moved in a cluster that is frozen, not armed or in debug"
		}
	}
	for n, m := range to.Members {
		if to.Debug && proved(m) && !proved(from.Members[n]) {
			return "a cluster in debug took the fence of " + n + " for proved"
		}
	}
	return ""
}

func proved(m ledger.Member) bool { return m.Fence != nil && m.Fence.Proof != "" }
