package failover_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/failover"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// large is a cluster of 100 hosts with 100 VMs each; every VM has 20 snapshots
// and a replica on the next two hosts.
func large() *scene {
	const hosts, each = 100, 100
	s := newScene(state(func(st *ledger.State) { delete(st.VMs, "v") }))
	name := func(i int) string { return fmt.Sprintf("host-%02d.example.org", i%hosts) }
	for _, n := range []string{"a", "b", "c"} {
		delete(s.state().Members, n)
		delete(s.Inventories, n)
		delete(s.Nodes, n)
	}
	s.Self = name(0)
	for i := range hosts {
		s.join(name(i))
		member(name(i), func(m *ledger.Member) {
			m.Machine, m.Key, m.URL, m.Version = fmt.Sprintf("%032x", i*7919), fmt.Sprintf("%064x", i*104729), "http://"+name(i)+":3900", "0.1.0"
			m.Admitted = record.NewID()
		})(s)
		admitted := s.state().Members[name(i)].Admitted
		s.inv(name(i)).Incarnation = admitted
		if i > 0 {
			node(name(i), func(k *lease.Node) {
				k.Last.Incarnation, k.Last.URL, k.Last.Version = admitted, "http://"+name(i)+":3900", "0.1.0"
			})(s)
		}
	}
	s.Incarnation = s.state().Members[s.Self].Admitted
	s.Own.Incarnation, s.Own.URL, s.Own.Version = s.Incarnation, "http://"+s.Self+":3900", "0.1.0"
	for i := range hosts * each {
		vm := fmt.Sprintf("vm-%05d", i)
		var list []record.Snapshot
		for k := range 20 {
			list = append(list, record.Snapshot{GUID: fmt.Sprint(uint64(i)*11400714819323198485 + uint64(k)), Created: wall.Add(time.Duration(k) * time.Minute)})
		}
		s.state().VMs[vm] = ledger.VM{Owner: name(i), Generation: 3, Disk: true, Snapshot: list[0].GUID}
		own := s.inv(name(i))
		own.VMs = append(own.VMs, record.HostVM{Name: vm, State: record.VMRunning, Generation: 3, Snapshots: true})
		own.Datasets = append(own.Datasets, record.Dataset{VM: vm, Generation: 3, Snapshots: list})
		for k := 1; k <= 2; k++ {
			inv := s.inv(name(i + k))
			inv.Datasets = append(inv.Datasets, record.Dataset{VM: vm, Snapshots: list[:20-k]})
		}
	}
	return s
}

// failing makes the first hosts after the master fall silent.
func failing(s *scene, hosts int) *scene {
	for i := 1; i <= hosts; i++ {
		stale(fmt.Sprintf("host-%02d.example.org", i))(s)
	}
	return s
}

// BenchmarkPlan is a planner run for 100 nodes and 10,000 VMs. Goal: under 50 ms.
func BenchmarkPlan(b *testing.B) {
	journaled := func(hosts int) *scene {
		s := failing(large(), hosts)
		e := *s.Tail.Entry
		e.State, e.Seq = *failover.Plan(s.Input).State, e.Seq+1
		s.Tail.Entry = &e
		s.SinceOrder = func(uint64) time.Duration { return time.Minute }
		return s
	}
	for _, c := range []struct {
		name string
		s    *scene
	}{
		{"nothing happens", large()},
		{"one host fails", failing(large(), 1)},
		{"one host's VMs are placed", journaled(1)},
		{"half of the hosts fail", failing(large(), 50)},
		{"half of the hosts' VMs are placed", journaled(50)},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				failover.Plan(c.s.Input)
			}
		})
	}
}

// BenchmarkEntry seals the entry of 100 nodes and 10,000 VMs. Goal: under 300 KB.
func BenchmarkEntry(b *testing.B) {
	for _, c := range []struct {
		name string
		s    *scene
	}{{"nothing happens", large()}, {"one host fails", failing(large(), 1)}, {"half of the hosts fail", failing(large(), 50)}} {
		b.Run(c.name, func(b *testing.B) {
			e := *c.s.Tail.Entry
			if out := failover.Plan(c.s.Input); out.State != nil {
				e.State = *out.State
			}
			size := 0
			for b.Loop() {
				data, err := record.Seal(record.KindEntry, e)
				if err != nil {
					b.Fatal(err)
				}
				size = len(data)
			}
			b.ReportMetric(float64(size), "bytes/entry")
			if size > 300_000 {
				b.Errorf("the entry has %d bytes", size)
			}
		})
	}
}
