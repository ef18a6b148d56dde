// Package vmctl is what a host can do to its VMs: the small interfaces that
// hypervisor drivers and snapshot providers keep, the runner through which all
// external commands go, and the gate, through which every start goes.
//
// Promised: no driver starts a VM and no provider touches a VM's disk without
// a Permit, and only the Gate makes permits, after it has checked all that
// docs/protocol.md lists under "The gate". Every call ends by its deadline, and
// what it could not find out it calls unknown, never stopped.
//
// Not promised: that a start which was issued ends before the lease does. Such
// starts are journaled in local memory before they are issued, and count as
// running until they have certainly ended.
package vmctl
