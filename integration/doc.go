// Package integration runs the real program: daemons as processes on loopback
// over a real folder, killed, stopped and frozen by real signals, some of them
// with the demonstration's VMs. What happened is judged from outside, by three
// witnesses that share no code with what they judge, or only its file formats:
// the ledger, entry by entry; whoever answered 200 on /primary, and when; and
// the VMs' own records (package demo/check).
//
// The tests assert conditions, never tight times: a machine that is busy makes
// them slow and not red. Speed is measured by the benchmarks, which print
// figures and judge only safety. The hundred rounds of the first issue:
//
//	go test -run '^$' -bench '^BenchmarkHundredRounds$' -benchtime 1x -timeout 60m ./integration
//
// HOSTER_HA_ROUNDS changes their number, HOSTER_HA_SEED repeats a run's choices.
//
// Everything that a run makes lies in one folder and goes with it, also when
// the run is killed: daemons die with their parent, and a janitor process ends
// the VMs and removes the folder (see main_test.go).
package integration
