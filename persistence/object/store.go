package object

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5" //nolint:gosec // see write
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
)

// Client is one library's way to a bucket. Each call is one attempt. What the server
// answered other than success is an *Answer; keys are whole, with the prefix.
type Client interface {
	Get(ctx context.Context, key string) (io.ReadCloser, time.Time, error)
	// Put makes or replaces an object; with absent only if there is none. sum is for
	// the Content-MD5 header, without which a bucket with a retention lock takes nothing.
	Put(ctx context.Context, key string, value []byte, sum string, absent bool) error
	// List gives one page of what lies under a prefix that ends in a slash or is
	// empty, folded at slashes, from where the page before ended.
	List(ctx context.Context, prefix, from string) (Page, error)
	Delete(ctx context.Context, key string) error
	// Versions says whether the bucket keeps old versions.
	Versions(ctx context.Context) (bool, error)
}

// Page is a part of a listing: whole keys, and whole prefixes that end in a slash.
type Page struct {
	Keys []string
	Next string // "" at the end
}

// Bucket says where a store lies.
type Bucket struct {
	Name   string // of the bucket
	Prefix string // "" or a key
	// Address is how people know the store: without secrets.
	Address string
	// Connect makes a client over that HTTP client.
	Connect func(*http.Client) (Client, error)
}

// Store is a store over one bucket.
type Store struct {
	bucket Bucket
	client Client
	http   *http.Client

	mu    sync.Mutex
	parts []*Store // over connections of their own
}

// ListsDear implements persistence.Lister: a bucket bills a listing like twelve reads,
// and a server walks its disks for it.
func (s *Store) ListsDear() bool { return true }

var (
	_ persistence.Store     = (*Store)(nil)
	_ persistence.Clock     = (*Store)(nil)
	_ persistence.Separator = (*Store)(nil)
	_ persistence.Versioner = (*Store)(nil)
	_ io.Closer             = (*Store)(nil)
)

// Open makes a store; nothing is sent yet.
func Open(b Bucket) (*Store, error) {
	h := newHTTPClient()
	c, err := b.Connect(h)
	if err != nil {
		return nil, err
	}
	return &Store{bucket: b, client: c, http: h}, nil
}

// Separate implements persistence.Separator.
func (s *Store) Separate() persistence.Store {
	part, err := Open(s.bucket)
	if err != nil {
		return s // it could be opened before, and nothing is sent
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts = append(s.parts, part)
	return part
}

// Close closes the connections that nothing uses, and those of its parts.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.http.CloseIdleConnections()
	for _, p := range s.parts {
		_ = p.Close() // it never fails
	}
	return nil
}

// Get implements persistence.Store.
func (s *Store) Get(ctx context.Context, key string) (persistence.Object, error) {
	o, err := call(ctx, s, "get", key, persistence.CheckKey(key), func(ctx context.Context) (persistence.Object, error) {
		body, modified, err := s.client.Get(ctx, s.key(key))
		if err != nil {
			return persistence.Object{}, err
		}
		defer body.Close()
		// One byte more, so that what is too long is noticed.
		value, err := io.ReadAll(io.LimitReader(body, persistence.MaxValue+1))
		if err == nil && len(value) > persistence.MaxValue {
			err = errors.New("it is longer than any record")
		}
		return persistence.Object{Value: value, Modified: modified}, err
	})
	if err != nil {
		return persistence.Object{}, err
	}
	return o, nil
}

// Put implements persistence.Store.
func (s *Store) Put(ctx context.Context, key string, value []byte) error {
	return s.write(ctx, "put", key, value, false)
}

// Create implements persistence.Store.
func (s *Store) Create(ctx context.Context, key string, value []byte) error {
	return s.write(ctx, "create", key, value, true)
}

func (s *Store) write(ctx context.Context, op, key string, value []byte, absent bool) error {
	value = bytes.Clone(value) // the library may still read it when the call has ended
	digest := md5.Sum(value)   //nolint:gosec // what the protocol asks for; nothing rests on it
	sum := base64.StdEncoding.EncodeToString(digest[:])
	_, err := call(ctx, s, op, key, errors.Join(persistence.CheckKey(key), persistence.CheckValue(value)), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.client.Put(ctx, s.key(key), value, sum, absent)
	})
	return err
}

// Delete implements persistence.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	_, err := call(ctx, s, "delete", key, persistence.CheckKey(key), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.client.Delete(ctx, s.key(key))
	})
	return err
}

// List implements persistence.Store.
func (s *Store) List(ctx context.Context, folder string) ([]string, error) {
	var bad error
	prefix := ""
	if folder != "" {
		bad, prefix = persistence.CheckKey(folder), folder+"/"
	}
	if s.bucket.Prefix != "" {
		prefix = s.bucket.Prefix + "/" + prefix
	}
	return call(ctx, s, "list", cmp.Or(folder, "/"), bad, func(ctx context.Context) ([]string, error) {
		var names []string
		for from := ""; ; {
			page, err := s.client.List(ctx, prefix, from)
			if err != nil {
				return nil, err
			}
			for _, key := range page.Keys {
				name := strings.TrimPrefix(key, prefix)
				if persistence.CheckName(strings.TrimSuffix(name, "/")) == nil {
					names = append(names, name)
				}
			}
			if page.Next == "" {
				break
			}
			if page.Next == from {
				return nil, errors.New("the listing does not go on: the same page came twice")
			}
			from = page.Next
		}
		slices.Sort(names)
		return slices.Compact(names), nil
	})
}

// Now implements persistence.Clock, by the date of an answer.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	return call(ctx, s, "time", "/", nil, func(ctx context.Context) (time.Time, error) {
		body, _, err := s.client.Get(ctx, s.key("clock"))
		if err == nil {
			body.Close()
		}
		date := attemptOf(ctx).date()
		if date.IsZero() && err == nil {
			err = errors.New("the answer has no date")
		}
		if !date.IsZero() {
			err = nil // an answer that there is no such key tells the time as well
		}
		return date, err
	})
}

// Versions implements persistence.Versioner.
func (s *Store) Versions(ctx context.Context) (bool, error) {
	return call(ctx, s, "versions", "/", nil, s.client.Versions)
}

func (s *Store) key(key string) string {
	if s.bucket.Prefix == "" {
		return key
	}
	return s.bucket.Prefix + "/" + key
}

// call sends one request and says what its answer means.
func call[T any](ctx context.Context, s *Store, op, key string, bad error, f func(context.Context) (T, error)) (T, error) {
	var none T
	if bad == nil {
		bad = context.Cause(ctx)
	}
	if bad != nil {
		return none, &persistence.Error{Op: op, Key: key, Err: bad}
	}
	actx, attempt := withAttempt(ctx)
	v, err := f(actx)
	if err == nil {
		return v, nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err = s.meaning(op, err, attempt); err == nil {
		return v, nil
	}
	return none, &persistence.Error{Op: op, Key: key, Err: err}
}
