// Package api is what people and programs ask a running daemon over HTTP: its
// state in the words of AMP's REST interface, health checks for balancers and
// supervisors, and metrics for Prometheus.
//
// Promised: everything is read-only, every answer is of this very instant (the
// lease is checked for each), and an answer never waits for the store. Not
// promised: that a node which answered 200 on /primary is still master when the
// answer arrives.
//
// This version speaks plain HTTP; the caller sees to it that the address is
// loopback unless the operator said otherwise.
package api
