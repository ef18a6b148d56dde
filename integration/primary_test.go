package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// watch asks all daemons all the time who is primary, and gives no false alarm:
// it accuses only where the order of two answers is certain. An answer was
// made after its request was sent and before it came. So a node that answers
// 200 under an epoch, to a request that was sent when another's 200 under a
// higher epoch had already come, was primary after it had been superseded; and
// no epoch has two primaries, whenever they answer.
type watch struct {
	mu     sync.Mutex
	high   primary
	of     map[uint64]string // who answered 200 under an epoch
	faults []string
	yes    int // answers that said 200
}

// primary is the body of an answer on /primary.
type primary struct {
	Node  string `json:"node"`
	State string `json:"state"`
	Epoch uint64 `json:"epoch"`
}

const askEvery = 20 * time.Millisecond

// follow asks one daemon until ctx ends.
func (w *watch) follow(ctx context.Context, d *daemon) {
	t := time.NewTicker(askEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		before := w.highest()
		code, body := d.get(ctx, "/primary")
		if code != http.StatusOK {
			continue
		}
		var p primary
		if err := json.Unmarshal(body, &p); err != nil {
			w.fault("%s answered 200 on /primary with %q: %v", d.name, body, err)
			continue
		}
		w.saw(before, p)
	}
}

func (w *watch) highest() primary {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.high
}

// saw takes in an answer to a request before which the highest was known.
func (w *watch) saw(before, p primary) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.yes++
	if p.State != "MASTER" {
		w.faults = append(w.faults, fmt.Sprintf("%s answered 200 on /primary as %s", p.Node, p.State))
	}
	if p.Epoch < before.Epoch {
		w.faults = append(w.faults, fmt.Sprintf("%s was primary under epoch %d after %s had been under %d",
			p.Node, p.Epoch, before.Node, before.Epoch))
	}
	if other := w.of[p.Epoch]; other != "" && other != p.Node {
		w.faults = append(w.faults, fmt.Sprintf("epoch %d has two primaries, %s and %s", p.Epoch, other, p.Node))
	}
	w.of[p.Epoch] = p.Node
	if p.Epoch > w.high.Epoch {
		w.high = p
	}
}

func (w *watch) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// found is what was seen that must not be.
func (w *watch) found() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string{}, w.faults...)
}

// answers counts those that said 200.
func (w *watch) answers() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.yes
}

// against holds the answers against the ledger: each epoch's primary is who
// claimed it.
func (w *watch) against(claimed map[uint64]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for epoch, node := range w.of {
		if claimed[epoch] != node {
			w.faults = append(w.faults, fmt.Sprintf("%s was primary under epoch %d, which %q has claimed", node, epoch, claimed[epoch]))
		}
	}
}
