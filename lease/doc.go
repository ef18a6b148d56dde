// Package lease holds the rules by which at most one node at a time is master
// and by which a node's silence comes to mean something. It is pure: it reads
// no store, no clock and no network; it is told what was read and when.
//
// Guaranteed, if every node's boot-time clock runs within 1 % of true:
//
//   - A Holder is valid only between an answered renewal and the deadline D
//     after the instant before that renewal was sent. Once over, an incarnation
//     stays over: no late answer revives it.
//   - An Observer calls a lease SUSPECT only when a read that began at least
//     D + M after it last saw something new shows nothing new, and STALE only at
//     T. The holder's own deadline has then passed, since it dated its renewal
//     before the request that the observer dated after its read.
//   - An Observer that was itself without a lease, paused or cut off, counts
//     nothing of that time.
//   - Of several claimants of one mastership the ledger lets one win (package
//     ledger); this package only decides when to try.
//
// Not guaranteed:
//
//   - That a process which checked its lease acts before it ends: a pause may
//     come between the check and the act. The ledger's compare-and-set makes
//     such an act fail; a VM's start is covered by the rules for unresolved
//     starts and by what a node's silence proves.
//   - Anything while a host's hypervisor stops the host's clock.
//   - That somebody is master at all times: in doubt nobody is.
package lease
