// Package stores opens a store by its address.
//
// Promised: an address that this version does not know is refused in one clear
// line, and two spellings of one folder have one canonical address.
//
// Not promised: that the store honours the contract (persistence.Prove), that
// it is the cluster's own, or that opening ends while a mount hangs.
package stores
