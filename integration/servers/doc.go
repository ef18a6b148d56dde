// Package servers runs real S3 servers for tests: MinIO, versitygw and gofakes3, each
// built from the Go module proxy at a pinned version.
//
// Promised: a server is built once and kept in the user's cache folder; it listens on
// loopback alone, and ends with the test, or with the test's process, however that
// ends. Nothing of the servers is linked into the program or shipped with it.
//
// Not promised: a quick first run. MinIO takes some minutes to build.
package servers
