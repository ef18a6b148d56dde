// Package clusterview reads a cluster from its store alone, once, for commands
// that people and monitoring run beside the daemons.
//
// Promised: one bad record never keeps the others from being read, and a
// heartbeat's age is told by the store's own times, or by watching whether it
// moves; the clock of its writer is never compared with anything. Nothing is
// written to the cluster.
//
// Not promised: that what was read is of one instant, or that a node called
// alive holds its lease: only the node itself knows that.
package clusterview
