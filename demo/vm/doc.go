// Package vm is the demonstration's VMs: small processes that count on a "disk",
// the folder of each host that they live in, and the external commands by which
// the command driver and the command snapshot provider reach them, as hidden
// subcommands of the program (see Main).
//
// A root holds a folder a host and the evidence:
//
//	<host>/vms/<vm>/disk           the VM's own disk: it belongs to this host
//	<host>/vms/<vm>/lock           held by the VM's process for as long as it runs
//	<host>/snapshots/<vm>/         snapshots of the own disk, <guid>.snap and index.json
//	<host>/replicas/<vm>/          the same, received from another host
//	<host>/aside/<vm>/<ulid>/      what a prepare or a receive set aside
//	<host>/planted/<vm>/           a planted second copy, unknown to the driver
//	evidence/<vm>/<host>-<pid>-<ulid>.jsonl   what happened, on no VM's disk
//	ended                          EndAll was here: nothing starts any more
//
// Promised: a VM "runs" exactly while a process holds its lock, by the kernel's
// word. It stops itself at the deadline in the file that
// HOSTER_HA_DEADLINE_FILE names, whatever becomes of the daemon, and starts
// nowhere without one. No snapshot and no disk is ever deleted or overwritten:
// they are renamed to aside. Prepare, Snapshot, SetAside and receiving exclude
// one another for each VM of a host, and can be repeated after a kill at any
// point. Nothing is read or written outside the root but the deadline file.
//
// Not promised: that anything survives a crash of the machine (nothing is
// synced: the demonstration kills processes, not machines); that a planted copy
// keeps any rule; that snapshots stay few (none is ever pruned).
package vm
