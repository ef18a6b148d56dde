// Package record holds what the nodes write into the store apart from the
// ledger: heartbeats, inventories, requests and the cluster's identity, and
// the sealed form that all records share.
//
// Promised: Open gives back only what Seal made, whole and of a format that
// this program understands; anything else is told apart as torn, foreign or
// newer (ErrTorn, ErrForeign, ErrNewer). Times of the wall clock in records
// are for people; no code compares them with a clock of its own host.
package record
