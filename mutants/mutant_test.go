package main

import "testing"

// A mutant whose text has moved is found here, before the long run trips over it.
func TestEveryMutantHasItsText(t *testing.T) {
	for _, list := range []string{"protocol.yaml", "list.yaml"} {
		all, err := load(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all {
			for _, e := range m.edits() {
				if _, _, err := e.in(".."); err != nil {
					t.Errorf("%s: %s: %v", list, m.Rule, err)
				}
			}
		}
	}
}
