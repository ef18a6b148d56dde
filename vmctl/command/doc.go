// Package command drives VMs, and anything else that can be started and
// stopped, by commands from the settings; and takes their snapshots likewise.
// docs/command-driver.md is what such commands may rely on.
//
// Promised: commands get their arguments as they are, no shell reads them, and
// a VM's name is checked before any command sees it. What a listing does not
// say clearly makes the whole listing an error: never an empty or shorter list.
// A start that was ended from outside, or that left processes when it failed,
// is unresolved. A VM has stopped when a listing after the stop says so,
// whatever the stop command said.
//
// Not promised: that processes which a command moved out of its group end with
// it, or that VMs stop themselves because self_stop says so: that is the word of
// whoever wrote the settings.
package command
