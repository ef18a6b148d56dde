package lease

import "time"

// Node is what is known of a node; Unseen when nothing is.
func (o *Observer) Node(node string) Node {
	if w := o.nodes[node]; w != nil {
		return w.node
	}
	return Node{Standing: Unseen}
}

// Nodes copies what is known of all nodes.
func (o *Observer) Nodes() map[string]Node {
	all := make(map[string]Node, len(o.nodes))
	for n, w := range o.nodes {
		all[n] = w.node
	}
	return all
}

// Vacancy says whether the mastership of the newest entry is over.
type Vacancy struct {
	Of        Mastership // the one judged
	Vacant    bool
	Released  bool   // given up by its holder, not merely silent
	Successor string // whom the holder asked to claim first
	Age       time.Duration
}

// Vacancy judges the mastership last told by Claimed.
func (o *Observer) Vacancy() Vacancy {
	w := &o.mwindow
	return Vacancy{
		Of:     o.master,
		Vacant: o.master.Node == "" || w.released || w.over, Released: o.master.Node == "" || w.released,
		Successor: w.successor, Age: w.age,
	}
}

// NextJudgement is the earliest instant at which a read could show that the
// mastership is over: a beat that comes just before it would cost an interval.
func (o *Observer) NextJudgement() (time.Duration, bool) {
	w := &o.mwindow
	if o.master.Node == "" || w.released || w.over {
		return 0, false
	}
	return w.date + o.ledger.Of(o.Node(o.master.Node).Last).Timeout, true
}
