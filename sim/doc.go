// Package sim proves the cluster by machine: it runs the real loops of two to
// seven nodes, made by node.New as the daemon makes them, in one testing/synctest
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
// A script replays exactly: what a fault does is drawn from the seed, the operation
// and the virtual time, never from a shared stream, and each call to the store takes
// a small time of its own, so that the order of goroutines does not matter but where
// two wake at the very same instant (see TestSeedReplays: a seed in two hundred).
//
//	go test ./sim -run TestRandom -sim.seed=N
//
// Not simulated: clocks that go backwards within a boot, a driver that lies twice
// in a row about what runs, and the operator's word being false. What is left out
// of random schedules stands where it is left out, as an "Exclusion".
package sim
