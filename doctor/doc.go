// Package doctor examines a store before a cluster relies on it, or beside one that
// does: it writes below probe/ alone, and removes that again.
//
// Promised: each finding says what was tried and what came of it; a store that breaks
// its contract, or is too slow for the timings asked for, is never called well.
//
// Not promised: that a store that passes keeps its contract for ever, or under a load
// that is not there now.
package doctor
