// Package transfer takes a cluster's records out of a store and into another: a move,
// which closes the old store for good, an export, and an import.
//
// Promised of a move: nothing is decided in the new store before the old one is closed
// to all decisions, and every lease that was held there has ended; the old store names
// the one place that the cluster has gone to; a move that was interrupted goes on where
// it was; the new store holds every entry of the ledger, byte for byte, before a daemon
// can use it, but for what a repair had set aside and nobody can read. Of an import: what
// it makes lies 9,000 numbers above the export, and nothing starts before every member
// that the operator has named has said what it runs.
//
// Not promised: that an export is of one instant, beyond each record's own; nor that
// whoever imports one tells the truth about the daemons of the old store.
package transfer
