package lease

import (
	"cmp"
	"slices"
	"strings"

	"golang.org/x/mod/semver"
)

// Candidate is a live member that may claim.
type Candidate struct {
	Node     string
	Priority int
	Version  string
	// HoldBack: demoted by hand; it claims only when nobody else can.
	HoldBack bool
}

// Rank is this node's place in the order of succession, 0 for the first: the
// named successor, then by priority, version (newer first) and name. ok is
// false when it must not claim: it is not among them, or holds back while
// another can.
func Rank(self, successor string, candidates []Candidate) (rank int, ok bool) {
	order := slices.Clone(candidates)
	slices.SortFunc(order, func(a, b Candidate) int {
		return cmp.Or(
			compareBool(a.HoldBack, b.HoldBack),
			compareBool(b.Node == successor, a.Node == successor),
			cmp.Compare(b.Priority, a.Priority),
			CompareVersions(b.Version, a.Version),
			cmp.Compare(a.Node, b.Node),
		)
	})
	rank = slices.IndexFunc(order, func(c Candidate) bool { return c.Node == self })
	if rank < 0 || (order[rank].HoldBack && !order[0].HoldBack) {
		return 0, false
	}
	return rank, true
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// CompareVersions orders semantic versions, with or without the v in front; what
// is none comes before all that are.
func CompareVersions(a, b string) int {
	return semver.Compare("v"+strings.TrimPrefix(a, "v"), "v"+strings.TrimPrefix(b, "v"))
}
