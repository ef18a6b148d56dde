// Package local is what a node remembers by itself, apart from the store:
// which machine and cluster it is of, the newest ledger entry it has seen, the
// starts it has issued and the generations that are closed here for good.
//
// Promised:
//
//   - What a setter answered without error is durable: the file is fsynced,
//     renamed and its folder fsynced, before readers see it and before the call
//     returns.
//   - A setter that failed has changed nothing that readers see, though its
//     change may stand on the disk; repeating it writes again.
//   - Closed generations never go down; the tail goes down only by ResetTail.
//   - A memory that is torn, foreign or newer is an error that names the file,
//     and never taken for an empty one; nor is a missing one whose key is there.
//   - One process at a time holds a folder (OpenDir, LockedError).
//
// Not promised: that a copied or restored folder is noticed, or that unlike
// calls of one VM are put into order: whoever issues starts does that.
//
// The folder lies on a local disk. Readers never wait for the disk; setters do.
package local
