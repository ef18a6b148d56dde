// Package check judges a demonstration from outside: by the evidence that the
// VMs left and by the snapshots that lie in the hosts' folders. It shares no
// code with the program that it judges, and knows nothing of leases, ledgers or
// drivers; it has its own reading of the files.
//
// Promised: it reports every two runs of one VM whose times overlap; every run
// that began with another counter than the snapshot it was prepared from; every
// run that began on another host than the one before without having been
// prepared there, or behind its own disk; every generation that went back; and
// every snapshot and replica once made that is nowhere in its host's folder any
// more, neither own, replica nor aside, or holds something else.
//
// Not promised: what a VM did after its last record. One that was killed leaves
// no stop record and beats each tenth of a second: so much of an overlap can go
// unseen. All times are of one machine's boot-time clock: evidence of several
// machines or boots cannot be judged together. A snapshot that something
// renames while it is looked for may be missed: judge when nothing moves.
package check
