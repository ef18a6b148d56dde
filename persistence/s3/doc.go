// Package s3 reaches a bucket with aws-sdk-go-v2: the adapter of persistence/object
// for s3:// addresses.
//
// Promised: one attempt a call; credentials by the SDK's own chain, which is asked
// again when the server does not accept what it gave, so that new ones are picked up
// without a restart; checksums only where the protocol wants them, since many servers
// that are not Amazon's refuse the SDK's new ones.
//
// Not promised: that credentials that have to be fetched come in time for a lease.
package s3
