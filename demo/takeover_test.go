package demo

import (
	"strings"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

// The last VM's start is told only by the entry that ends the failover and
// drops its journal.
func TestPhases(t *testing.T) {
	f := newTakeover("alpha", 1)
	at := func(s int) time.Time { return f.began.Add(time.Duration(s) * time.Second) }
	ptr := func(t time.Time) *time.Time { return &t }
	lost := 0.5
	state := func(moves map[string]ledger.Move) ledger.State {
		s := ledger.State{Members: map[string]ledger.Member{"alpha": {Fence: &ledger.Fence{Proof: ledger.ProvedElapsed}}}}
		if moves != nil {
			s.Failovers = map[string]ledger.Failover{"alpha": {Began: at(4), Proved: ptr(at(5)), Moves: moves}}
		}
		return s
	}
	placed := ledger.Move{Phase: ledger.MovePlaced, To: "beta", Snapshot: "1", Lost: &lost, Placed: ptr(at(6))}
	runs := placed
	runs.Running = ptr(at(7))
	for _, e := range []ledger.Entry{
		{Kind: ledger.KindClaim, Node: "beta", Epoch: 2, Time: at(3), State: state(nil)},
		{Kind: ledger.KindDecide, Epoch: 2, Time: at(6), State: state(map[string]ledger.Move{"db": placed, "web": placed})},
		{Kind: ledger.KindDecide, Epoch: 2, Time: at(7), State: state(map[string]ledger.Move{"db": runs, "web": placed})},
		{Kind: ledger.KindDecide, Epoch: 2, Time: at(8), State: state(nil)},
		{Kind: ledger.KindDecide, Epoch: 2, Time: at(9), State: state(nil)},
	} {
		f.entry(&e)
	}
	var b strings.Builder
	f.print(newScreen(&b), "phases")
	want := `
phases
   +3.00s  beta becomes master, epoch 2
   +4.00s  its VMs' move is written down: db, web
   +5.00s  alpha is fenced, proof that it runs nothing: elapsed
   +6.00s  db goes to beta, 0.5 s lost up to the last heartbeat
   +6.00s  web goes to beta, 0.5 s lost up to the last heartbeat
   +7.00s  db runs on beta
   +8.00s  web runs on beta
   +8.00s  complete
`
	if b.String() != want || !f.over {
		t.Errorf("over %v\n%s", f.over, b.String())
	}
}

func TestTableIsDrawnAnew(t *testing.T) {
	var b strings.Builder
	s := newScreen(&b)
	s.live = true
	s.draw("one\ntwo\n")
	s.draw("one\ntwo\n")
	s.text("said")
	s.leave()
	s.text("after")
	if want := "one\ntwo\n\x1b[2A\x1b[Jsaid\none\ntwo\nafter\n"; b.String() != want {
		t.Errorf("%q", b.String())
	}
}
