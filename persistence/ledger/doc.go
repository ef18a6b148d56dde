// Package ledger is the numbered chain of immutable entries that holds the
// cluster's decided state.
//
// Promised: an entry is made by Create of the next number, so that of two
// writers one wins and the other learns it from that very write; no key is ever
// deleted or overwritten; each entry carries the hash of the one before, and a
// reader that finds another history than the one it remembers says so
// (HistoryError) instead of following it.
//
// Not promised: that the tail which was read is still the tail. Whoever acts on
// it either writes the next number, which fails if it is not, or obeys the
// lease's rule that a tail counts as long as the renewal it was read for.
package ledger
