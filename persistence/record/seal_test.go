package record_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// body is what the tests seal.
type body struct {
	Text string `json:"text"`
	N    int    `json:"n"`
}

var (
	small = body{Text: "<a> & \u2028 \xff ä", N: 7}
	large = body{Text: strings.Repeat("abcdefgh", 4<<10), N: 8}
)

func seal(t testing.TB, kind string, v any) []byte {
	t.Helper()
	data, err := record.Seal(kind, v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// refused says whether an error is one of those that Open tells apart.
func refused(err error) bool {
	return errors.Is(err, record.ErrTorn) || errors.Is(err, record.ErrForeign) || errors.Is(err, record.ErrNewer)
}

func TestSealed(t *testing.T) {
	for _, c := range []struct {
		name   string
		v      body
		packed bool
	}{
		{"what is small stays readable", small, false},
		{"what is large is compressed", large, true},
		{"nothing", body{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := seal(t, "x", c.v)
			if packed := !bytes.Contains(data, []byte(`"body"`)); packed != c.packed {
				t.Errorf("compressed: %t", packed)
			}
			if err := persistence.CheckValue(data); err != nil {
				t.Errorf("no store takes it: %v", err)
			}
			var got body
			if err := record.Open("x", data, &got); err != nil {
				t.Fatal(err)
			}
			want := c.v
			want.Text = strings.ToValidUTF8(want.Text, "\ufffd")
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if !bytes.Equal(seal(t, "x", c.v), data) || record.Hash(data) != record.Hash(seal(t, "x", c.v)) {
				t.Error("the same record is sealed in two ways")
			}
		})
	}
	if _, err := record.Seal("x", func() {}); err == nil {
		t.Error("what is no JSON was sealed")
	}
}

func TestOpenRefuses(t *testing.T) {
	good := string(seal(t, "x", small))
	packed := string(seal(t, "x", large))
	for _, c := range []struct {
		name string
		data string
		want error
	}{
		{"nothing", "", record.ErrTorn},
		{"white space", " \n\t ", record.ErrTorn},
		{"zeroes, as a crash leaves them", strings.Repeat("\x00", 4096), record.ErrTorn},
		{"no JSON", "hello", record.ErrTorn},
		{"JSON of something else", `{"hello":1}`, record.ErrForeign},
		{"a record of another kind", string(seal(t, "y", small)), record.ErrForeign},
		{"a newer format", strings.Replace(good, `"format":1`, `"format":2`, 1), record.ErrNewer},
		{"a newer format with a body that this version cannot know", `{"format":99,"kind":"x","sum":"","other":[]}`, record.ErrNewer},
		{"a format that never was", strings.Replace(good, `"format":1`, `"format":-1`, 1), record.ErrForeign},
		{"a body that was changed", strings.Replace(good, `"n":7`, `"n":8`, 1), record.ErrTorn},
		{"a body that is missing", `{"format":1,"kind":"x","sum":"00"}`, record.ErrTorn},
		{"a body of another shape", string(seal(t, "x", []int{1})), record.ErrForeign},
		{"a compressed body with something behind it", packed + ".", record.ErrTorn},
		{"a compressed body whose last byte is another", packed[:len(packed)-1] + "!", record.ErrTorn},
		{"a length that no memory holds", `{"format":1,"kind":"x","sum":"","packed":9223372036854775807}` + "\nabc.", record.ErrTorn},
		{"a negative length", `{"format":1,"kind":"x","sum":"","packed":-1}` + "\nabc.", record.ErrTorn},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := record.Open("x", []byte(c.data), &body{}); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// A write that was cut off anywhere, alone or over an older record, is torn.
func TestTornAtEveryByte(t *testing.T) {
	for _, v := range []body{small, large} {
		data := seal(t, "x", v)
		older := seal(t, "x", body{Text: v.Text + "older", N: v.N + 1})
		for n := range data {
			if err := record.Open("x", data[:n], &body{}); !errors.Is(err, record.ErrTorn) {
				t.Fatalf("the first %d of %d bytes: %v", n, len(data), err)
			}
			mixed := append(bytes.Clone(data[:n]), older[n:]...)
			if n == 0 || bytes.Equal(mixed, older) {
				continue
			}
			if err := record.Open("x", mixed, &body{}); !refused(err) {
				t.Fatalf("the first %d bytes over an older record: %v", n, err)
			}
		}
	}
}

func TestFlippedBits(t *testing.T) {
	for _, v := range []body{small, large} {
		data := seal(t, "x", v)
		var want body
		if err := record.Open("x", data, &want); err != nil {
			t.Fatal(err)
		}
		for bit := range len(data) * 8 {
			flipped := bytes.Clone(data)
			flipped[bit/8] ^= 1 << (bit % 8)
			var got body
			// A flip may lie where it changes nothing (the case of a key).
			if err := record.Open("x", flipped, &got); !refused(err) && (err != nil || got != want) {
				t.Fatalf("bit %d: %v, read %+v", bit, err, got)
			}
		}
	}
}

// Padding after a small record, as a folder store could leave it, changes
// nothing; a line feed ends the record.
func TestPadding(t *testing.T) {
	data := seal(t, "x", small)
	for _, padding := range []string{"\n", "   ", "\n   \n", "\n" + strings.Repeat("\x00", 100)} {
		var got body
		if err := record.Open("x", append(bytes.Clone(data), padding...), &got); err != nil || got.N != small.N {
			t.Errorf("%q: %v", padding, err)
		}
	}
}

func heartbeatOf(cluster, node string) *record.Heartbeat {
	return &record.Heartbeat{Cluster: cluster, Node: node, Incarnation: "i", Seq: 1, Wall: time.Unix(1e9, 0).UTC()}
}

func TestOpenHeartbeatRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(hb *record.Heartbeat)
		want   error
	}{
		{"nothing wrong", func(*record.Heartbeat) {}, nil},
		{"another node's in the place of this one's", func(hb *record.Heartbeat) { hb.Node = "b" }, record.ErrForeign},
		{"another cluster's", func(hb *record.Heartbeat) { hb.Cluster = "other" }, record.ErrForeign},
		{"one without an incarnation", func(hb *record.Heartbeat) { hb.Incarnation = "" }, record.ErrForeign},
		{"one without a number", func(hb *record.Heartbeat) { hb.Seq = 0 }, record.ErrForeign},
	} {
		t.Run(c.name, func(t *testing.T) {
			hb := heartbeatOf("c", "a")
			c.change(hb)
			data, err := record.SealHeartbeat(hb)
			if err != nil {
				t.Fatal(err)
			}
			got, err := record.OpenHeartbeat("c", "a", data)
			if !errors.Is(err, c.want) || (err == nil) != (got != nil) {
				t.Fatalf("%v, %v, want %v", got, err, c.want)
			}
			if d := cmp.Diff(hb, got); err == nil && d != "" {
				t.Error(d)
			}
		})
	}
}

func TestHeartbeatsHaveAMostSize(t *testing.T) {
	hb := heartbeatOf("c", "a")
	bare, err := record.SealHeartbeat(hb)
	if err != nil {
		t.Fatal(err)
	}
	field := len(`,"alarm":""`)
	hb.Alarm = strings.Repeat("x", record.MaxHeartbeat-len(bare)-field)
	if data, err := record.SealHeartbeat(hb); err != nil || len(data) != record.MaxHeartbeat {
		t.Errorf("%d bytes: %v", len(data), err)
	}
	hb.Alarm += "x"
	if _, err := record.SealHeartbeat(hb); err == nil {
		t.Errorf("more than %d bytes were sealed", record.MaxHeartbeat)
	}
}

func TestOpenOthersRefuse(t *testing.T) {
	inv := func(cluster, node string) []byte {
		return seal(t, record.KindInventory, record.Inventory{Cluster: cluster, Node: node})
	}
	req := func(cluster, id string) []byte {
		return seal(t, record.KindRequest, record.Request{Cluster: cluster, ID: id})
	}
	inventory := func(data []byte) error { _, err := record.OpenInventory("c", "a", data); return err }
	request := func(data []byte) error { _, err := record.OpenRequest("c", "r", data); return err }
	for _, c := range []struct {
		name string
		open func([]byte) error
		data []byte
		want error
	}{
		{"an inventory", inventory, inv("c", "a"), nil},
		{"another node's inventory", inventory, inv("c", "b"), record.ErrForeign},
		{"another cluster's inventory", inventory, inv("d", "a"), record.ErrForeign},
		{"a request in the place of an inventory", inventory, req("c", "a"), record.ErrForeign},
		{"a request", request, req("c", "r"), nil},
		{"another request in its place", request, req("c", "s"), record.ErrForeign},
		{"another cluster's request", request, req("d", "r"), record.ErrForeign},
		{"an empty request", request, nil, record.ErrTorn},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.open(c.data); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestInventoryFinds(t *testing.T) {
	inv := &record.Inventory{
		VMs:      []record.HostVM{{Name: "a"}, {Name: "b", State: record.VMRunning}},
		Datasets: []record.Dataset{{VM: "b", Generation: 3}},
	}
	if inv.VM("b").State != record.VMRunning || inv.VM("c") != nil {
		t.Error("VM finds another one than asked for")
	}
	if inv.Dataset("b").Generation != 3 || inv.Dataset("a") != nil {
		t.Error("Dataset finds another one than asked for")
	}
	var none *record.Inventory
	if none.VM("a") != nil || none.Dataset("a") != nil {
		t.Error("a host that published nothing has something")
	}
}

func TestTimingsMax(t *testing.T) {
	one := record.Timings{Interval: 1, Timeout: 20, Renew: 3, StopGrace: 40, Kill: 5, Watchdog: 60, Margin: 7}
	two := record.Timings{Interval: 10, Timeout: 2, Renew: 30, StopGrace: 4, Kill: 50, Watchdog: 6, Margin: 70}
	want := record.Timings{Interval: 10, Timeout: 20, Renew: 30, StopGrace: 40, Kill: 50, Watchdog: 60, Margin: 70}
	for _, got := range []record.Timings{one.Max(two), two.Max(one)} {
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	if got := one.Stopped(); got != 48 {
		t.Errorf("stopped after %d, want D + S + K", got)
	}
}

func TestTimingsOf(t *testing.T) {
	f := record.InForce{
		Timings: record.Timings{Interval: 2, Timeout: 20}, Seq: 8, Before: record.Timings{Interval: 1, Timeout: 60},
	}
	beat := func(seq uint64) *record.Heartbeat {
		return &record.Heartbeat{LedgerSeq: seq, Timings: record.Timings{Interval: 3, Timeout: 10}}
	}
	for _, c := range []struct {
		name string
		last *record.Heartbeat
		want record.Timings
	}{
		{"none was ever read", nil, record.Timings{Interval: 2, Timeout: 60}},
		{"it was made before the entry was read", beat(7), record.Timings{Interval: 3, Timeout: 60}},
		{"it has read the entry", beat(8), record.Timings{Interval: 3, Timeout: 20}},
		{"it has read a later one", beat(9), record.Timings{Interval: 3, Timeout: 20}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, f.Of(c.last)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestIDsSortByTheirTime(t *testing.T) {
	last := ""
	for range 3 {
		id := record.NewID()
		if id <= last || persistence.CheckKey(record.RequestKey(id)) != nil {
			t.Errorf("%q after %q", id, last)
		}
		last = id
	}
	if len(last) != 26 {
		t.Errorf("%q is no ULID", last)
	}
}
