// Package storetest holds the one suite that every persistence.Store passes.
//
// Promised: what passes Run keeps the contract in the comments of
// persistence.Store as far as a test can tell from one process, races
// included.
//
// Not promised: anything about crashes, full disks, lost answers or other
// hosts' caches; each backend has tests of its own for those.
package storetest
