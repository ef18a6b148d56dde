// Package folder is a persistence.Store over a shared folder: a local one, or
// one on NFS or a cluster file system that several hosts mount.
//
// Promised, where the file system keeps fsync, link(2) and rename(2):
//
//   - Create publishes a complete, fsynced file by link(2): of all creators one
//     wins, and nobody ever sees a part of it.
//   - Put of a small value into a file that Put made writes one block of fixed
//     size in place, so that readers on NFS see it in milliseconds; any other
//     Put replaces the file by rename(2).
//   - Reads open the file anew and keep no descriptor. A name that seems absent
//     is looked for again after its folders have been opened: an NFS client
//     otherwise believes for half a minute that a new name is not there.
//   - What was answered is fsynced, the folders included. What cannot be told
//     is ErrUnknown.
//   - The root is never made: one that is missing is a mount that is missing.
//
// Not promised:
//
//   - That calls end while the kernel does not answer, as with a hung NFS
//     server: contexts are looked at only between system calls. Put
//     persistence.Lane in front of it, one lane a purpose; Open has no bound
//     either.
//   - That a value written in place is never read torn: records carry a
//     checksum (persistence/record) and are read again.
//   - That the file system is a proper one: see persistence.Prove, and the
//     mount options in docs/.
//
// Names that are no keys, such as those that begin with a dot, are not listed.
// Temporary files are named .tmp-*; what a crashed writer left is removed by a
// later Open.
package folder
