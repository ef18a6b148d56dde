// Package object is a persistence.Store over a bucket that speaks the S3 protocol,
// whichever library reaches it. The libraries' adapters are in sub-packages of
// persistence (s3, minio); what an answer means is decided here, once for both.
//
// Promised, where the server honours If-None-Match (persistence.Prove finds out):
//
//   - Each call is one request, sent once: no library repeats a write on its own.
//   - Create is a conditional PUT: 412 is ErrExists, 409 leaves the outcome open.
//   - A write is a plain failure only if the server refused it before doing
//     anything, or nothing was ever sent; whatever else is ErrUnknown.
//   - What an operator has to mend wraps persistence.ErrRefused, and says in one
//     line what to do.
//   - What Separate gives has connections of its own: nothing of another purpose is
//     in front of its requests.
//
// Not promised: that the server is truthful about what is absent, or that a proxy in
// between does not repeat a write later. Objects' versions are never looked at; a
// versioned bucket wants a rule that removes old ones.
package object
