// Package memory is a persistence.Store in a map, for tests and simulations.
//
// Promised: the whole contract of persistence.Store and persistence.Clock,
// every call answered at once and none ever with ErrUnknown. It does no I/O
// and never waits with a mutex held, so it may be used in testing/synctest
// bubbles; its times are then the bubble's.
//
// Not promised: anything after the process has ended.
package memory
