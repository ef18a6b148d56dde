// Package persistence is the contract between the cluster and its shared
// store: a small set of calls that a folder, a bucket or a map in memory can
// keep, and of which exactly one is atomic.
//
// Promised: a read sees every write that was answered before the read began
// (on NFS within the bounds that docs/protocol.md gives), and of all Create
// calls for one key at most one succeeds, ever.
//
// Not promised: that a call which failed did nothing (see ErrUnknown), that
// Put calls land in the order they were sent, that a listing is a snapshot of
// one instant, or that the store's clock agrees with anybody's.
//
// The backends live in sub-packages and are opened by address in
// persistence/stores; the suite that each of them passes is in
// persistence/storetest.
package persistence
