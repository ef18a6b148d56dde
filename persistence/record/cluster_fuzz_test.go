package record_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// FuzzOpenCluster opens what lies in the place of cluster.json: the bytes as
// they are, or as the body of a whole record. Then one of its bytes is changed,
// or its end cut off: that is noticed, or makes no difference.
func FuzzOpenCluster(f *testing.F) {
	founded := record.Cluster{ID: "c", Format: record.Format, Founder: "a", Founded: time.Unix(1e9, 0).UTC()}
	whole := seal(f, record.KindCluster, founded)
	f.Add(whole, false, 10, byte('x'))
	f.Add(whole, false, len(whole)-4, byte('b'))
	f.Add(whole, false, bytes.Index(whole, []byte("format")), byte('F'))
	f.Add(whole[:len(whole)/2], false, 0, byte(0))
	f.Add(seal(f, record.KindHeartbeat, founded), false, 0, byte(0))
	f.Add([]byte(`{"id":"c","format":1,"founder":"a","founded":"2026-01-02T03:04:05Z"}`), true, 70, byte('\n'))
	f.Add([]byte(`null`), true, 0, byte(0))
	f.Add([]byte(`{"id":"","format":1}`), true, 0, byte(0))
	f.Fuzz(func(t *testing.T, data []byte, wrap bool, at int, to byte) {
		if wrap {
			var err error
			if data, err = record.Seal(record.KindCluster, json.RawMessage(data)); err != nil {
				t.Skip() // no JSON, which nothing can be made of
			}
		}
		c, err := record.OpenCluster(data)
		opened(t, c != nil, err)
		if c == nil {
			return
		}
		if c.ID == "" {
			t.Errorf("a cluster without an id: %+v", c)
		}
		kept(t, record.KindCluster, c, record.OpenCluster)
		if at < 0 || at >= len(data) {
			return
		}
		changed := bytes.Clone(data)
		changed[at] = to
		for what, other := range map[string][]byte{"changed": changed, "cut off": data[:at]} {
			o, err := record.OpenCluster(other)
			opened(t, o != nil, err)
			if d := cmp.Diff(c, o); o != nil && d != "" {
				t.Errorf("%s at byte %d it is another cluster: %s", what, at, d)
			}
		}
	})
}
