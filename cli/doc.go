// Package cli is the command line: one file a subcommand. Without a subcommand
// the program is the daemon. All other commands work through the store alone.
//
// Promised: exit codes as in exit.go and docs/commands.md, one clear line on
// standard error for what went wrong, and machine-readable output on request.
package cli
