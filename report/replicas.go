package report

import (
	"slices"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// Replica is how far a VM's snapshots on one host were behind.
type Replica struct {
	Own      bool          `json:"own,omitempty"` // it runs there: its own snapshots
	Age      time.Duration `json:"age"`           // of the newest, at last
	Interval time.Duration `json:"interval"`      // between the last snapshots, the median; 0 is unknown
	Worst    time.Duration `json:"worst"`
	At       time.Time     `json:"at,omitzero"` // of the worst
	Samples  uint64        `json:"samples"`
	Behind   uint64        `json:"behind,omitempty"` // samples that were over the limit
}

// Host is what a living host listed, and its clock when it was heard of last.
type Host struct {
	Inventory *record.Inventory
	Wall      time.Time
}

// Lag is one look at a VM's snapshots on a host.
type Lag struct {
	VM, Host string
	Own      bool
	Age      time.Duration
	Interval time.Duration
}

// enoughSnapshots is how many of the newest tell their interval.
const enoughSnapshots = 10

// Lags compares the snapshots of each VM that runs on one host with what other hosts
// hold of it. All times are by the clock of the host that runs it, which made them.
func Lags(hosts map[string]Host) []Lag {
	runs := map[string][]string{}
	for name, h := range hosts {
		for _, vm := range h.Inventory.VMs {
			if vm.State == record.VMRunning {
				runs[vm.Name] = append(runs[vm.Name], name)
			}
		}
	}
	var lags []Lag
	for vm, on := range runs {
		own := hosts[on[0]].Inventory.Dataset(vm)
		if len(on) != 1 || own == nil || len(own.Snapshots) == 0 {
			continue
		}
		interval := median(own.Snapshots)
		for name, h := range hosts {
			d := h.Inventory.Dataset(vm)
			if d == nil || len(d.Snapshots) == 0 {
				continue
			}
			age := hosts[on[0]].Wall.Sub(d.Snapshots[len(d.Snapshots)-1].Created)
			lags = append(lags, Lag{VM: vm, Host: name, Own: name == on[0], Age: max(age, 0), Interval: interval})
		}
	}
	return lags
}

// median is of the distances between the newest snapshots; 0 if there are none.
func median(snapshots []record.Snapshot) time.Duration {
	snapshots = snapshots[max(len(snapshots)-enoughSnapshots, 0):]
	var apart []time.Duration
	for i := 1; i < len(snapshots); i++ {
		apart = append(apart, max(snapshots[i].Created.Sub(snapshots[i-1].Created), 0))
	}
	if len(apart) == 0 {
		return 0
	}
	slices.Sort(apart)
	return apart[len(apart)/2]
}

// limit is the age from which a replica is behind: one snapshot may be under way, and
// hosts list what they have only every few beats.
func limit(snapshots, beats time.Duration) time.Duration { return 2*snapshots + 10*beats }

// Lag records looks at replicas.
func (r *Recorder) Lag(lags []Lag, wall time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.r.Replicas == nil {
		r.r.Replicas = map[string]map[string]Replica{}
	}
	for _, l := range lags {
		if _, known := r.r.Replicas[l.VM][l.Host]; !known && count(r.r.Replicas) >= mostNames {
			r.r.Forgotten++
			continue
		}
		if r.r.Replicas[l.VM] == nil {
			r.r.Replicas[l.VM] = map[string]Replica{}
		}
		p := r.r.Replicas[l.VM][l.Host]
		p.Own, p.Age, p.Interval = l.Own, l.Age, l.Interval
		p.Samples++
		if l.Age >= p.Worst {
			p.Worst, p.At = l.Age, wall.Round(0)
		}
		if l.Interval > 0 && l.Age > limit(l.Interval, r.r.Timings.Interval) {
			p.Behind++
		}
		r.r.Replicas[l.VM][l.Host] = p
	}
}

func count(replicas map[string]map[string]Replica) int {
	n := 0
	for _, on := range replicas {
		n += len(on)
	}
	return n
}
