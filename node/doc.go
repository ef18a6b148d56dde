// Package node is one member of the cluster: the one place that wires the
// lease, the ledger, the planner and the host's VMs together. The daemon and
// the tests make it by the same constructor.
//
// Four loops share its state. The beat reads the ledger's tail, renews the
// lease and observes the others; nothing queues in front of it. The decider
// plans and writes the ledger when this node is master, and claims when it
// should be. The host's loop starts and stops VMs and says what there is. The
// guard ends what must end when the lease does.
//
// Promised: whatever this node writes or starts, it has checked its lease
// immediately before, on its own boot-time clock. Not promised: that it
// notices a loss while its process is stopped; what then protects is the
// ledger's compare-and-set, and what the node's silence proves.
package node
