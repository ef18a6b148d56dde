// Package deadline is the file by which a node tells self-stopping VMs until
// when they may run. The node writes it; the VMs' programs, others' too, read
// it: docs/command-driver.md has the exact format.
//
// Promised: the file is made whole and then overwritten in place by one write
// of fixed size, so that a reader sees the old or the new deadline, also one
// that keeps the file open. What another boot wrote does not count.
//
// Not promised: that it survives the host's crash (no later boot counts it), or
// that every kernel and file system shows a single write as one to a reader
// beside it: ReadDeadline reads until two readings agree.
package deadline
