// Package run is the one place that runs external commands.
//
// Promised: a command is an argument vector, never read by a shell. It runs in
// a session and process group of its own. When its time is over or the context
// ends, the whole group is asked to end (TERM) and after the grace made to
// (KILL). Run returns when the command has ended and closed its output, or a
// moment after it has been told to, whatever keeps its pipes open; with a
// deadline in the context it returns by then. Output is kept up to a bound, and
// what is beyond it is read and thrown away, so that no command blocks on it.
// A command that ends by itself leaves behind what it wants: nothing of its
// group is ended then.
//
// Not promised: that processes which left the group end with it, nor that one
// which the kernel cannot end (it hangs in an unreachable disk) is gone when Run
// returns: Error.Ended tells when it is. Programs must lie on a local disk: the
// kernel can hold up a whole process while it loads a program.
package run
