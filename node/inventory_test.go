package node

import (
	"strings"
	"testing"
	"time"
)

// TestEveryWriteOfAnInventoryHasItsNumber: the answers to a's writes are lost, and
// the master reads one of these inventories before a tries again. By then a has
// another VM: what it writes next must not look like what was read already.
func TestEveryWriteOfAnInventoryHasItsNumber(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("a", true, "vm1")
		w.host("b", true)
		b := w.start("b", nil, noProvider)
		w.one(b)
		a := w.start("a", nil, noProvider)
		w.standby(a)
		w.arm("vm1")
		w.wait(10 * time.Second)
		lose := false
		a.store.mu.Lock()
		a.store.Store = &lossy{Store: w.store, lost: func(key string) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return lose && strings.HasPrefix(key, "inventory/")
		}}
		a.store.mu.Unlock()
		appears := func(vm string) { w.change(func() { w.hosts["a"].vms[vm] = &fakeVM{} }) }
		known := func(vm string) func() bool {
			return func() bool { return w.tail().State.VMs[vm].Owner == "a" }
		}

		b.store.on(func(op, key string) error {
			if op == "get" && key == "inventory/a.json" {
				return errNoStore
			}
			return nil
		})
		appears("new1") // b learns that there is a newer inventory, and cannot read it
		w.wait(3 * time.Second)
		w.change(func() { lose = true })
		appears("new2")
		w.wait(3 * time.Second)
		b.store.cut(nil) // now it can, and what lies there is newer still
		w.until("new2 is adopted", 10*time.Second, known("new2"))
		w.wait(5 * time.Second)
		w.change(func() { lose = false })
		appears("new3")
		w.until("new3 is adopted", 10*time.Second, known("new3"))
	})
}
