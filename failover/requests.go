package failover

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// maxVoidAnswers bounds the answers to refused requests in one entry, so that
// a flood of requests cannot grow the ledger without bound.
const maxVoidAnswers = 50

// keptAnswers is how many entries an answer outlives its request by: a listing that misses
// the request for once must not have it executed again.
const keptAnswers = 20

// requests executes what was asked for, in the order of asking.
func (p *plan) requests() {
	for id, ans := range p.s.Answers {
		if p.next() > ans.At+keptAnswers && !slices.ContainsFunc(p.Requests, func(a Asked) bool { return a.ID == id }) {
			// The request is gone from the store: its answer was there to be read
			// and goes with the next entry that has a reason of its own.
			delete(p.s.Answers, id)
		}
	}
	for _, a := range p.Requests {
		if _, done := p.Tail.State.Answers[a.ID]; done || a.Done {
			p.out.Drop = append(p.out.Drop, a.ID)
			continue
		}
		if len(p.out.Requests) >= maxVoidAnswers {
			return
		}
		text, err := "", error(nil)
		if a.Void != "" {
			err = fmt.Errorf("void: %s", a.Void)
		} else {
			text, err = p.execute(a.Request)
		}
		if errors.Is(err, errLater) {
			continue
		}
		p.answer(a.Request, text, err)
	}
}

func (p *plan) answer(r *record.Request, text string, err error) {
	if p.s.Answers == nil {
		p.s.Answers = map[string]ledger.Answer{}
	}
	ans := ledger.Answer{OK: err == nil, Text: text, At: p.next()}
	if err != nil {
		ans.Text = err.Error()
		p.because("refuse %s: %v", what(r), err)
	} else {
		p.because("%s: %s%s", what(r), text, reason(r))
	}
	p.s.Answers[r.ID] = ans
	p.out.Requests = append(p.out.Requests, r.ID)
	if !slices.Contains(p.out.By, r.By) {
		p.out.By = append(p.out.By, r.By)
	}
}

func what(r *record.Request) string {
	if r.Node == "" {
		return r.Action
	}
	return r.Action + " " + r.Node
}

func reason(r *record.Request) string {
	if r.Why == "" {
		return ""
	}
	return " (" + r.Why + ")"
}

// errLater: it cannot be told yet whether a request holds.
var errLater = errors.New("later")

// execute changes the state as asked, says why not, or errLater.
func (p *plan) execute(r *record.Request) (string, error) {
	m, known := p.s.Members[r.Node]
	switch r.Action {
	case record.ActJoin:
		return p.join(r, m, known)
	case record.ActFreeze:
		if !p.s.Frozen {
			p.s.Frozen, p.s.FrozenAt = true, p.next()
		}
		for n := range p.s.Members {
			p.setMember(n, func(m *ledger.Member) { m.Proof = record.ProofNothing })
		}
		return "no VM is started, stopped or failed over until: hoster-ha arm", nil
	case record.ActArm:
		p.s.Frozen, p.s.Armed, p.s.ArmedAt = false, true, p.next()
		return "the cluster is armed", nil
	case record.ActTimings:
		return p.timings(r)
	case record.ActDebug:
		return p.debug(r)
	}
	if !known {
		return "", fmt.Errorf("no node %q in this cluster (its nodes: %s)", r.Node, some(sorted(p.s.Members)))
	}
	switch r.Action {
	case record.ActLeave:
		return p.leave(r, m)
	case record.ActPromote:
		return p.promote(r, m)
	case record.ActDemote:
		return p.demote(r)
	case record.ActPriority:
		p.setMember(r.Node, func(m *ledger.Member) { m.Priority = r.Priority })
		return fmt.Sprintf("priority of %s is %d, was %d", r.Node, r.Priority, m.Priority), nil
	case record.ActConfirmFenced:
		return p.confirmFenced(r, m)
	case record.ActUnfence:
		return p.unfence(r, m)
	case record.ActForget:
		return p.forget(r, m)
	default:
		return "", fmt.Errorf("this version knows no %q", r.Action)
	}
}

func (p *plan) join(r *record.Request, m ledger.Member, known bool) (string, error) {
	j := r.Join
	switch {
	case j == nil || r.Node == "":
		return "", fmt.Errorf("a join without the node's particulars")
	case known && (m.Machine != j.Machine || m.Key != j.Key):
		return "", fmt.Errorf("the name %q is bound to another machine or another --state-dir", r.Node)
	case known:
		return r.Node + " is a member already", nil
	}
	p.s.Members[r.Node] = ledger.Member{
		Role: j.Role, Priority: j.Priority, Machine: j.Machine, Key: j.Key, URL: j.URL, Version: j.Version,
	}
	return r.Node + " is a member now", nil
}

func (p *plan) timings(r *record.Request) (string, error) {
	switch {
	case r.Timings == nil:
		return "", fmt.Errorf("no timings given")
	case !p.s.Frozen:
		return "", fmt.Errorf("timings change only while the cluster is frozen: hoster-ha freeze")
	}
	if err := lease.CheckTimings(*r.Timings); err != nil {
		return "", err
	}
	if err := p.knowFrozen(); err != nil {
		return "", err
	}
	if was := &p.Tail.State; p.s.Timings != *r.Timings {
		// What was in force counts on for whoever was not seen to have read this.
		p.s.Timings, p.s.TimingsSeq, p.s.TimingsBefore = *r.Timings, p.next(), was.Timings.Max(was.TimingsBefore)
	}
	return fmt.Sprintf("timeout %s, interval %s", r.Timings.Timeout, r.Timings.Interval), nil
}

// knowFrozen: every member that lives has read that the cluster is frozen.
func (p *plan) knowFrozen() error {
	for _, n := range sorted(p.s.Members) {
		if k := p.node(n); k.Standing == lease.Alive && k.Last != nil && k.Last.LedgerSeq < p.s.FrozenAt {
			return fmt.Errorf("%s has not read yet that the cluster is frozen; ask again", n)
		}
	}
	return nil
}

// leave: a node stops by itself. What becomes of its VMs is written down before
// it goes.
func (p *plan) leave(r *record.Request, m ledger.Member) (string, error) {
	if m.Admitted == "" || r.Incarnation != m.Admitted {
		return "", fmt.Errorf("incarnation %s of %s is not the admitted one", r.Incarnation, r.Node)
	}
	if m.Fence != nil {
		return "", fmt.Errorf("%s is fenced: %s", r.Node, m.Fence.Why)
	}
	switch k := p.node(r.Node); {
	case k.Standing == lease.Unseen:
		return "", errLater
	case k.Standing != lease.Alive, k.Last == nil, k.Last.Ending, k.Last.Incarnation != r.Incarnation:
		// It has given up waiting, and done with its VMs what is safe unrecorded.
		return "", fmt.Errorf("%s does not wait for it any more", r.Node)
	}
	how := r.Leave
	switch how {
	case record.LeaveFreeze:
	case record.LeaveStop:
		if p.s.Debug {
			how = record.LeaveFreeze // nobody would stop them
		}
	case record.LeaveMove:
		if p.s.Frozen || !p.s.Armed || p.s.Debug {
			// Nothing moves now: the VMs run on, as a frozen cluster promises.
			how = record.LeaveFreeze
		}
	default:
		return "", fmt.Errorf("no way to leave is called %q", how)
	}
	p.setMember(r.Node, func(m *ledger.Member) {
		m.Left, m.LeftBy = how, r.Incarnation
		if how == record.LeaveFreeze {
			m.Proof = record.ProofNothing
		}
	})
	if how == record.LeaveMove && len(p.owned(r.Node)) > 0 {
		p.journal(r.Node, "it leaves")
	}
	return r.Node + " leaves: " + how, nil
}

func (p *plan) promote(r *record.Request, m ledger.Member) (string, error) {
	k := p.node(r.Node)
	switch {
	case !m.Candidate():
		return "", fmt.Errorf("%s is a %s and never master", r.Node, m.Role)
	case r.Node != p.Self && k.Standing != lease.Alive:
		return "", fmt.Errorf("%s does not live (%s)", r.Node, k.Standing)
	case r.Node != p.Self && k.Last != nil && k.Last.State == StateHotBackup:
		return "", fmt.Errorf("%s is a hot backup and never claims", r.Node)
	}
	p.setMember(r.Node, func(m *ledger.Member) { m.HoldBack = false })
	if r.Node == p.Self {
		return r.Node + " is the master already", nil
	}
	p.out.Release, p.out.Successor = true, r.Node
	return fmt.Sprintf("%s hands the mastership to %s", p.Self, r.Node), nil
}

func (p *plan) demote(r *record.Request) (string, error) {
	if r.Node != p.Self {
		return "", fmt.Errorf("%s is not the master, %s is", r.Node, p.Self)
	}
	p.setMember(p.Self, func(m *ledger.Member) { m.HoldBack = true })
	p.out.Release = true
	return p.Self + " gives the mastership up and holds back while another can claim", nil
}

// confirmFenced takes the operator's word that a node runs nothing.
func (p *plan) confirmFenced(r *record.Request, m ledger.Member) (string, error) {
	k := p.node(r.Node)
	switch {
	case p.s.Debug:
		return "", fmt.Errorf("a cluster in debug mode confirms no fence")
	case k.Standing == lease.Alive:
		return "", fmt.Errorf("%s lives: its heartbeat was seen to move", r.Node)
	case k.Standing == lease.Unreadable && k.Still && r.Heartbeat == 0 && r.Incarnation == m.Admitted:
		// Its last record cannot be read and stands still: no number can be named.
		if m.Fence == nil {
			p.fence(r.Node, "confirmed by the operator to run nothing")
		} else if m.Fence.Proof != "" {
			return fmt.Sprintf("%s is fenced already, proof: %s", r.Node, m.Fence.Proof), nil
		}
		p.proved(r.Node, ledger.ProvedOperator)
		return r.Node + " is taken to run nothing", nil
	case newest(k) != nil && (newest(k).Incarnation != r.Incarnation || newest(k).Seq > r.Heartbeat):
		return "", fmt.Errorf("%s wrote a newer heartbeat than the one confirmed (%s %d)", r.Node, r.Incarnation, r.Heartbeat)
	case m.Fence != nil && m.Fence.Proof != "":
		return fmt.Sprintf("%s is fenced already, proof: %s", r.Node, m.Fence.Proof), nil
	}
	if m.Fence == nil {
		p.fence(r.Node, "confirmed by the operator to run nothing")
	} else if len(p.owned(r.Node)) > 0 {
		p.journal(r.Node, "confirmed by the operator to run nothing")
	}
	p.proved(r.Node, ledger.ProvedOperator)
	return r.Node + " is taken to run nothing", nil
}

// newest is the heartbeat that an operator can see: what lies there.
func newest(k lease.Node) *record.Heartbeat {
	if k.Lies != nil {
		return k.Lies
	}
	return k.Last
}

func (p *plan) unfence(r *record.Request, m ledger.Member) (string, error) {
	switch {
	case m.Fence == nil:
		return "", fmt.Errorf("%s is not fenced", r.Node)
	case !m.Fence.Manual:
		return "", fmt.Errorf("%s rejoins by itself when it is back and has verified that it runs nothing", r.Node)
	}
	p.setMember(r.Node, func(m *ledger.Member) {
		f := *m.Fence
		f.Manual = false
		m.Fence, m.Fences = &f, nil
	})
	return r.Node + " may rejoin", nil
}

func (p *plan) forget(r *record.Request, m ledger.Member) (string, error) {
	switch owned := p.owned(r.Node); {
	case r.Node == p.Self:
		return "", fmt.Errorf("%s is the master", r.Node)
	case p.node(r.Node).Standing == lease.Alive:
		return "", fmt.Errorf("%s lives; stop it first", r.Node)
	case len(owned) > 0:
		return "", fmt.Errorf("%s owns %s", r.Node, some(owned))
	case m.Admitted != "" && m.Left == "" && !p.ended(r.Node) && (m.Fence == nil || m.Fence.Proof == ""):
		return "", fmt.Errorf("%s neither left nor is it fenced: hoster-ha confirm-fenced %s", r.Node, r.Node)
	}
	delete(p.s.Members, r.Node)
	return r.Node + " is forgotten", nil
}

// ended: the node's last heartbeat says that it stops.
func (p *plan) ended(n string) bool {
	k := p.node(n)
	return k.Last != nil && k.Last.Ending
}

// StateHotBackup is the state of a node that follows and never claims.
const StateHotBackup = "HOT_BACKUP"
