// Package report records what a node went through, for people who ask whether a
// cluster would be quiet, and which takeover timeout it needs: the times of its
// renewals, the silences of others as it saw them, leases lost, failovers that a
// cluster in debug mode did not make, leaps of the wall clock, and how far replicas
// were behind.
//
// Promised: what is recorded has a bounded size, whatever happens and for however
// long; recording does no I/O and waits for nobody who does; a file that is torn,
// foreign or of another format is refused as such. Silences of others are judged as
// the lease's observer judges them: those that this node's own trouble made look long
// do not count.
//
// Not promised: that the last minute before a crash is in the file, that what two
// nodes recorded agrees, or that what was quiet will be. Nothing is decided by it.
package report
