// Package sim proves the cluster by machine: it runs the real loops of two to
// five nodes, made by node.New as the daemon makes them, in one testing/synctest
// bubble over the memory store. Everything outside of the program is simulated
// here, and may fail: hosts with clocks of their own, their VMs, disks, replicas
// and local memories, the way of each host to the store, the operator.
//
// What happens is a script: timed lines of text, made from a seed or written by
// hand (testdata/*.txtar; see verbs_test.go for the words). Code that stands
// outside of the program holds what it does against the rules, at each write to
// the store, each start and stop of a VM, and each time the cluster has settled:
// see rules_test.go, ledger_test.go, placement_test.go and end_test.go.
//
// A script replays by virtual time, and what a fault does is drawn from the
// seed, the operation and that time, never from a shared stream. What Go decides
// by itself may still differ between two runs of one seed: the order of
// goroutines that wake at the same virtual instant, of a map, and the ids that
// the program makes. A rare failure may need its seed several times:
//
//	go test ./sim -run TestRandom -sim.seed=N -count=20
//
// Not simulated: clocks that go backwards within a boot, a driver that lies
// about what runs, and the operator's word being false.
package sim
