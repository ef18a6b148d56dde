package lease_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/lease"
)

func TestRank(t *testing.T) {
	type candidates = []lease.Candidate
	for _, c := range []struct {
		name      string
		successor string
		of        candidates
		want      []string // in the order of their ranks; who is missing must not claim
	}{
		{"a higher priority first", "", candidates{{Node: "a", Priority: 1}, {Node: "b", Priority: 2}}, []string{"b", "a"}},
		{"then the newer version", "", candidates{{Node: "a", Version: "1.9.0"}, {Node: "b", Version: "1.10.0"}}, []string{"b", "a"}},
		{"a v before the version is nothing", "", candidates{{Node: "b", Version: "v2.0"}, {Node: "a", Version: "2.0"}}, []string{"a", "b"}},
		{"then the name", "", candidates{{Node: "b"}, {Node: "a"}, {Node: "c"}}, []string{"a", "b", "c"}},
		{
			"priority before version", "",
			candidates{{Node: "a", Version: "9"}, {Node: "b", Priority: 1, Version: "1"}},
			[]string{"b", "a"},
		},
		{
			"the named successor before all", "c",
			candidates{{Node: "a", Priority: 9}, {Node: "b"}, {Node: "c", Priority: -1}},
			[]string{"c", "a", "b"},
		},
		{"a successor that does not live changes nothing", "z", candidates{{Node: "a"}, {Node: "b"}}, []string{"a", "b"}},
		{
			"one demoted by hand does not claim while another can", "",
			candidates{{Node: "a", Priority: 9, HoldBack: true}, {Node: "b"}},
			[]string{"b"},
		},
		{
			"one demoted by hand claims when nobody else can", "",
			candidates{{Node: "a", HoldBack: true}, {Node: "b", HoldBack: true}},
			[]string{"a", "b"},
		},
		{
			"being named does not undo a demotion", "a",
			candidates{{Node: "a", HoldBack: true}, {Node: "b"}},
			[]string{"b"},
		},
		{"nobody", "", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			given := slices.Clone(c.of)
			names := []string{"z"}
			for _, k := range c.of {
				names = append(names, k.Node)
			}
			ranks := map[int]string{}
			for _, n := range names {
				if r, ok := lease.Rank(n, c.successor, c.of); ok {
					ranks[r] = n
				}
			}
			for r := range len(ranks) {
				got = append(got, ranks[r])
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(given, c.of); d != "" {
				t.Errorf("Rank changed what it was given: %s", d)
			}
		})
	}
}

func TestCompareVersions(t *testing.T) {
	for _, c := range []struct {
		name       string
		older, new string
	}{
		{"numbers are compared as numbers", "1.9", "1.10"},
		{"a longer one is newer", "1.2", "1.2.1"},
		{"the first part that differs decides", "1.99.99", "2.0.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if lease.CompareVersions(c.older, c.new) >= 0 || lease.CompareVersions(c.new, c.older) <= 0 {
				t.Errorf("%s is older than %s", c.older, c.new)
			}
			if lease.CompareVersions(c.new, "v"+c.new) != 0 {
				t.Errorf("%s is v%s", c.new, c.new)
			}
		})
	}
}
