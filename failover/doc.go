// Package failover is the master's judgement: a pure planner that turns the
// newest entry and what was observed into the next entry, and the rules of
// fencing, proof and placement that it applies.
//
// Promised: the planner moves a VM's ownership only with that node's
// acknowledgement or with its fence proved; it never takes elapsed time for a
// proof where the node did not declare so, or where the last heartbeat cannot be
// read; it writes every step down before anybody takes it, so that the next
// master goes on from any of them; and a VM that it cannot place carries the
// reason.
//
// Not promised: that a host is able to run what is placed on it, or that all of
// this is fast. The planner reads no clock and no store and starts nothing.
package failover
