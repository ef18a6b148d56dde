package integration

import "testing"

// watchedPair is a pair that is asked all the time who is primary.
func watchedPair(t *testing.T) *cluster {
	t.Helper()
	c := pair(t)
	c.observe()
	c.await("an answer on /primary", func() bool { return c.watch.answers() > 0 })
	return c
}

// Two daemons started at once on an empty folder found one cluster together,
// with one master and one epoch.
func TestTwoDaemonsHaveOneMaster(t *testing.T) {
	t.Parallel()
	for range 3 {
		c := watchedPair(t)
		tail := c.tail()
		if len(tail.State.Members) != 2 {
			t.Errorf("members: %v", tail.State.Members)
		}
		if lost := c.lost(nil); tail.Epoch != 1 && lost == 0 {
			t.Errorf("epoch %d after the founding", tail.Epoch)
		}
	}
}

func TestKilledMaster(t *testing.T) {
	t.Parallel()
	c := watchedPair(t)
	c.rounds(3, (*daemon).kill, (*daemon).start)
}

// A killed master that is back at once need not wait for the takeover timeout:
// who is master then is open, but there is one, by one epoch more.
func TestKilledMasterBackAtOnce(t *testing.T) {
	t.Parallel()
	c := watchedPair(t)
	for range 3 {
		master := c.settle()
		before, lost := c.tail().Epoch, c.lost(nil)
		master.kill()
		master.start()
		c.claimed(master, before+1)
		c.settle()
		if now := c.tail().Epoch; now != before+1 && c.lost(nil) == lost {
			t.Errorf("epoch %d, then %d", before, now)
		}
	}
}

func TestTerminatedMaster(t *testing.T) {
	t.Parallel()
	c := watchedPair(t)
	c.rounds(3, (*daemon).terminate, (*daemon).start)
}

// A master that stands still past the takeover timeout and goes on finds itself
// superseded: it becomes a standby, and in between it does nothing.
func TestFrozenMaster(t *testing.T) {
	t.Parallel()
	c := watchedPair(t)
	c.rounds(3, (*daemon).freeze, (*daemon).thaw)
}
