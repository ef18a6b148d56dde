package node

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/failover"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/report"
)

// ReportFile keeps what a node recorded of itself.
type ReportFile interface {
	// Load gives nil where there is none.
	Load() (*report.Report, error)
	Save(r *report.Report) error
}

// reporting records what people ask about; nothing is decided by it.
type reporting struct {
	rec *report.Recorder

	// Owned by the decider.
	would map[string]bool // told already, while it lasts
	lagAt time.Duration   // when the snapshots were looked at last
}

// lagEvery is how many intervals pass between looks at the snapshots.
const lagEvery = 10

func newReporting(cfg Config) reporting {
	return reporting{rec: report.New("", cfg.Name, nil, cfg.Clock.Wall()), would: map[string]bool{}}
}

// beginReport goes on with what an earlier process recorded. What cannot be read, or
// is of another cluster, is begun anew: nothing depends on it.
func (n *Node) beginReport() {
	var before *report.Report
	if n.cfg.Report != nil {
		var err error
		before, err = n.cfg.Report.Load()
		switch {
		case err != nil:
			n.log.Warn().Err(err).Msg("the debug report begins anew: the one before cannot be read")
			before = nil
		case before != nil && (before.Cluster != n.cluster || before.Node != n.cfg.Name):
			n.log.Warn().Msgf("the debug report begins anew: the one before is of node %q of cluster %q", before.Node, before.Cluster)
			before = nil
		}
	}
	n.report.rec = report.New(n.cluster, n.cfg.Name, before, n.cfg.Clock.Wall())
}

// saves writes the report now and then: its disk may be slow, and nobody waits for it.
func (n *Node) saves(ctx context.Context) error {
	if n.cfg.Report == nil {
		return nil
	}
	tick := time.NewTicker(report.Every)
	defer tick.Stop()
	for well := true; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := n.cfg.Report.Save(n.report.rec.Report())
		if err != nil && well {
			n.log.Warn().Err(err).Msg("the debug report was not written")
		}
		well = err == nil
	}
}

// endReport writes it once more; a node of a debug cluster, whose purpose it is, also
// logs it.
func (n *Node) endReport(ctx context.Context) {
	if errors.Is(context.Cause(ctx), ErrCrash) {
		return
	}
	r := n.report.rec.Report()
	if n.cfg.Report != nil {
		if err := n.cfg.Report.Save(r); err != nil {
			n.log.Warn().Err(err).Msg("the debug report was not written")
		}
	}
	if !n.ledger.Tail().State.Debug {
		return
	}
	for _, line := range r.View().Lines() {
		n.log.Info().Msg("report: " + line)
	}
}

func (n *Node) recordBeat(began, answered time.Duration, hb *record.Heartbeat, counted bool, failed string, err error) {
	s := n.ledger.Tail().State
	b := report.Beat{
		Began: began, Answered: answered, Now: n.now(), Wall: n.cfg.Clock.Wall(),
		Incarnation: hb.Incarnation, Timings: s.Timings, Debug: s.Debug, Counted: counted,
	}
	switch {
	case counted:
	case err != nil:
		b.Trouble = err.Error()
	case failed != "":
		b.Trouble = failed
	case s.Closed:
		b.Trouble = "the cluster has moved to another store"
	default:
		b.Trouble = "its answer came after the deadline"
	}
	n.report.rec.Beat(b)
}

func (n *Node) recordLook(node string, r lease.Reading) {
	l := report.Look{
		Begun: r.Begun, Ended: r.Ended, Raw: r.Raw, Interval: n.timings().Interval,
		Stale: n.observer.Node(node).Standing == lease.Stale,
	}
	if r.Heartbeat != nil {
		l.Incarnation, l.Ending = r.Heartbeat.Incarnation, r.Heartbeat.Ending
	}
	n.report.rec.Saw(node, l)
}

// recordWould notes once each failover that debug mode keeps from being made.
func (n *Node) recordWould(would []failover.Would) {
	now := map[string]bool{}
	for _, w := range would {
		now[w.Node] = true
		if n.report.would[w.Node] {
			continue
		}
		why := w.Why
		if len(w.VMs) > 0 {
			why += "; it ran " + strings.Join(w.VMs, ", ")
		}
		n.report.rec.FailedOver(w.Node, why, n.cfg.Clock.Wall())
	}
	n.report.would = now
}

// recordLag looks at the snapshots: as master at what all hosts list, else at this
// host's own.
func (n *Node) recordLag(tail ledger.Stored, v view, master bool) {
	now, wall := n.now(), n.cfg.Clock.Wall()
	if now < n.report.lagAt+lagEvery*n.timings().Interval {
		return
	}
	n.report.lagAt = now
	n.report.rec.Forget(func(m string) bool { _, ok := tail.State.Members[m]; return ok })
	hosts := map[string]report.Host{n.cfg.Name: {Inventory: n.host.listed(), Wall: wall}}
	if master {
		for name, inv := range n.inventories {
			if k := v.nodes[name]; name != n.cfg.Name && k.Standing == lease.Alive && k.Last != nil {
				hosts[name] = report.Host{Inventory: inv, Wall: k.Last.Wall}
			}
		}
	}
	n.report.rec.Lag(report.Lags(hosts), wall)
}

// listed is what runs here and what snapshots there are.
func (h *host) listed() *record.Inventory {
	h.mu.Lock()
	defer h.mu.Unlock()
	inv := &record.Inventory{Datasets: h.datasets}
	for _, vm := range h.vms {
		inv.VMs = append(inv.VMs, record.HostVM{Name: vm.Name, State: vm.State})
	}
	return inv
}
