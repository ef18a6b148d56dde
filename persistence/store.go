package persistence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Store is the shared store. Keys are slash paths (see CheckKey), values are
// 1 byte to MaxValue bytes that do not end in white space or NUL, so that a
// backend may pad them.
//
// Each call ends when its context does, whatever the storage below does. Every
// error is one of: ErrNotFound, ErrExists, ErrUnknown (the outcome is open), or
// a plain failure after which nothing was changed and nothing will be.
// Implementations are safe for concurrent use.
type Store interface {
	// Get reads the newest value of the key. ErrNotFound when there is none.
	Get(ctx context.Context, key string) (Object, error)
	// Put makes or replaces the key. It lands at most once, possibly after the
	// call has failed with ErrUnknown, and then possibly after newer ones.
	Put(ctx context.Context, key string, value []byte) error
	// Create makes the key if it is absent, whole and at once, or fails with
	// ErrExists. It is the only atomic primitive. After ErrUnknown send the
	// same value again until it is made or refused, then read it back and
	// compare: finding nothing proves nothing.
	Create(ctx context.Context, key string, value []byte) error
	// List names what lies directly under a folder ("" is the root), sorted;
	// the names of sub-folders end in a slash, and one that was emptied may still be
	// named. A folder that does not exist is empty; a root that does not exist is an
	// error.
	List(ctx context.Context, folder string) ([]string, error)
	// Delete removes the key; one that is absent already is no error.
	Delete(ctx context.Context, key string) error
}

// Object is a value that was read.
type Object struct {
	Value []byte
	// Modified is when the value was last written, by the store's own clock.
	// It orders nothing and proves nothing: it is shown to people.
	Modified time.Time
}

// Clock is kept by stores that can tell the time that they date values with.
type Clock interface {
	// Now is the store's own time.
	Now(ctx context.Context) (time.Time, error)
}

// Versioner is kept by stores that can tell whether they keep old versions of values.
type Versioner interface {
	// Versions says so.
	Versions(ctx context.Context) (kept bool, err error)
}

// Lister is kept by stores that know what a listing costs.
type Lister interface {
	// ListsDear says that a listing costs far more than the reading of a key, in money
	// or in work for the server.
	ListsDear() bool
}

// ListsDear says so of a store; false where it does not tell.
func ListsDear(s Store) bool {
	l, ok := s.(Lister)
	return ok && l.ListsDear()
}

// Advisor is kept by stores that know what an operator should be told of how they are
// set up.
type Advisor interface {
	// Advice is a line for each; renew is how long a lease lasts.
	Advice(renew time.Duration) []string
}

// Separator is kept by stores over a network that can keep each purpose's requests on
// connections of its own.
type Separator interface {
	// Separate gives the same store over connections that nothing else uses. They are
	// closed with the store that it was asked of.
	Separate() Store
}

// Separate gives a store for one purpose: over connections of its own where that
// makes a difference.
func Separate(s Store) Store {
	if p, ok := s.(Separator); ok {
		return p.Separate()
	}
	return s
}

// Close ends what a store keeps open, if it keeps anything.
func Close(s Store) error {
	if c, ok := s.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// MaxValue is the largest value a store takes, in bytes.
const MaxValue = 16 << 20

// The outcomes that callers decide on.
var (
	// ErrNotFound: the key does not exist.
	ErrNotFound = errors.New("not found")
	// ErrExists: Create found the key made already.
	ErrExists = errors.New("exists already")
	// ErrUnknown: whether the write was done, or will yet be, is open.
	ErrUnknown = errors.New("outcome unknown")
	// ErrRefused: the store cannot be used as it is (missing, no folder,
	// read-only, not honouring Create); an operator has to mend it.
	ErrRefused = errors.New("store refused")
)

// Error says which call on which key failed, and why. It unwraps to its cause.
type Error struct {
	Op  string // get, put, create, list, delete
	Key string
	Err error
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Key, e.Err) }

func (e *Error) Unwrap() error { return e.Err }
