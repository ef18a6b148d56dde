// Package watchdog ends a host from within when a deadline passes that nobody has
// extended: by the kernel's watchdog device, which is petted only while the deadline
// lies ahead, and by a reboot without sync.
//
// It is a process of its own. The daemon hands it deadlines, times of the boot-time
// clock, over a Unix socket; what becomes of the daemon changes nothing about the one
// that was handed last.
//
// Promised: a deadline that has passed is never extended, and nothing is petted after
// it; the loop that watches it allocates nothing, takes no lock and does no I/O but the
// device's; State tells what was verified and never more, from what the device itself
// has answered.
//
// One watchdog at a time has a socket. What is asked is carried out while it is waited for
// or never. Another program that takes the process over goes on with the deadline, and
// claims of it only what it has read back. A reset is explained before it comes, where
// that can be written.
//
// Not promised: that a host without a device ends when its kernel hangs, or its
// watchdog process is stopped; that a device which answers resets what it says. What
// the silence of a host proves, Proof derives from State.
package watchdog
