// Package minio reaches a bucket with minio-go: the adapter of persistence/object for
// minio:// and minio+http:// addresses.
//
// Promised: one attempt a call; credentials from the environment (MINIO_ROOT_USER and
// MINIO_ROOT_PASSWORD, MINIO_ACCESS_KEY and MINIO_SECRET_KEY, AWS_ACCESS_KEY_ID and
// AWS_SECRET_ACCESS_KEY) or a file (AWS_SHARED_CREDENTIALS_FILE, ~/.aws/credentials,
// ~/.mc/config.json), read again when the server does not accept them.
//
// Not promised: a listing of more than one page is more than one request.
package minio
