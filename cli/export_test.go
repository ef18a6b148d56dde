package cli

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hoster-ha/hoster-ha/cli/transfer"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// content is what an export holds, by name.
func content(t *testing.T, data []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	must(t, err)
	all := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		must(t, err)
		text, err := io.ReadAll(r)
		must(t, err)
		must(t, r.Close())
		all[f.Name] = string(text)
	}
	return all
}

func TestExport(t *testing.T) {
	c := newFixture(t)
	dir := t.TempDir()
	c.inventory("a", record.Inventory{})
	must(t, c.raw.Put(t.Context(), "probe/x/left", []byte("of a proof")))
	must(t, c.raw.Put(t.Context(), "members/torn.json", []byte("{torn")))
	file := filepath.Join(dir, "export.zip")
	export := func(code int, text, to string) string {
		t.Helper()
		return c.wants(code, text, "store", "export", to, "--persist-dir", dir)
	}
	export(0, "7 records of cluster cluster-1, ledger 2", file)
	data, err := os.ReadFile(file)
	must(t, err)
	all := content(t, data)
	want := []string{
		"cluster.json", "export.json", "inventory/a.json", "ledger/0/00000000000000000001.json", "ledger/0/00000000000000000002.json",
		"members/a.json", "members/b.json", "members/torn.json",
	}
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, key := range want {
		if o, err := c.raw.Get(t.Context(), key); key != transfer.ManifestName && (err != nil || string(o.Value) != all[key]) {
			t.Errorf("%s: %q, %v", key, all[key], err)
		}
	}
	var m transfer.Manifest
	must(t, json.Unmarshal([]byte(all[transfer.ManifestName]), &m))
	if tail := c.led.Tail(); m.Cluster != c.id || m.LedgerSeq != tail.Seq || m.LedgerHash != tail.Hash || m.Records != 7 || !strings.HasPrefix(m.Store, "file:///") {
		t.Errorf("%+v", m)
	}

	// What is there is kept.
	export(2, "exists already", file)
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, data) {
		t.Errorf("the export before was changed: %v", err)
	}
	if got := content(t, []byte(export(0, "", "-"))); len(got) != len(all) {
		t.Errorf("to the standard output: %d files", len(got))
	}
	export(1, "no such file", filepath.Join(dir, "absent", "export.zip"))
	c.wants(2, "it has copy, export and import", "store")
	c.wants(2, `unknown command "move"`, "store", "move")
}

// unreadable does not give one key back.
type unreadable struct {
	*memory.Store
	key string
}

func (s unreadable) Get(ctx context.Context, key string) (persistence.Object, error) {
	if key == s.key {
		return persistence.Object{}, &persistence.Error{Op: "get", Key: key, Err: errors.New("input/output error")}
	}
	return s.Store.Get(ctx, key)
}

// TestExportOfADamagedStore: what cannot be read is named, and the rest is exported.
func TestExportOfADamagedStore(t *testing.T) {
	c := newFixture(t)
	c.store = unreadable{c.raw, "cluster.json"}
	dir := t.TempDir()
	file := filepath.Join(dir, "export.zip")
	code, _, stderr := c.run("store", "export", file, "--persist-dir", dir)
	if code != 1 || !strings.Contains(stderr, "not in it: get cluster.json: input/output error") {
		t.Errorf("%d %s", code, stderr)
	}
	data, err := os.ReadFile(file)
	must(t, err)
	if all := content(t, data); all["members/a.json"] == "" || all["cluster.json"] != "" || !strings.Contains(all[transfer.ManifestName], "input/output error") {
		t.Errorf("%q", slices.Sorted(maps.Keys(all)))
	}
	if code, _, stderr := c.run("store", "export", "-", "--persist-dir", dir); code != 1 || !strings.Contains(stderr, "not in it: ") {
		t.Errorf("to the standard output: %d %s", code, stderr)
	}
	left, err := os.ReadDir(dir)
	must(t, err)
	if len(left) != 1 {
		t.Errorf("%v was left", left)
	}
}
