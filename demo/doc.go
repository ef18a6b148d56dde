// Package demo plays the whole program on one machine: three real daemons over
// a folder of their own, each with two demonstration VMs (package vm) and a
// replication that runs each second. It kills the master's daemon, shows the
// takeover, lets the killed one rejoin, ends the new master gracefully, and has
// all of it judged from outside (package check) by the VMs' own records.
//
// What is shown is read from the store, as any other reader would, but for two
// things that no store can tell: when the VMs of the killed daemon have stopped
// (their locks) and what was lost in truth (their records).
//
// It can reboot nothing: this version has no action that reboots a machine. When
// there is one, the demonstration replaces it by one that is only recorded.
//
// Promised: everything that it starts has ended when Run returns, also after an
// error, a panic or a signal, and it looks for what might remain and says so. If
// it is killed itself, its daemons and replications die with it, and the VMs stop
// at their deadlines; the folder then stays. Settings of a real node in the
// environment are not seen, and a store that is not empty is not touched.
//
// Not promised: that times measured here say anything about production, where
// the timeout is ten times as long and the store is a network away. What a user
// started in the folder of a demonstration that is kept running is his to end.
package demo
