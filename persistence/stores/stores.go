package stores

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/folder"
)

// Open opens the store at the address: a path, or file:///path.
func Open(address string) (persistence.Store, error) {
	path, err := parse(address)
	if err != nil {
		return nil, err
	}
	return folder.Open(path)
}

// Normalize gives the one form of an address that local memory keeps. Symbolic
// links are not followed: that would ask a mount that may hang.
func Normalize(address string) (string, error) {
	path, err := parse(address)
	if err != nil {
		return "", err
	}
	return (&url.URL{Scheme: "file", Path: path}).String(), nil
}

// parse gives the absolute path that an address means.
func parse(address string) (string, error) {
	refuse := func(format string, args ...any) (string, error) {
		return "", fmt.Errorf("%w: address %q: %w", persistence.ErrRefused, address, fmt.Errorf(format, args...))
	}
	path := address
	if scheme, _, ok := strings.Cut(address, ":"); ok && isScheme(scheme) {
		if scheme = strings.ToLower(scheme); scheme != "file" {
			return refuse("this version knows folders only (a path, or file:///path), not %s:", scheme)
		}
		u, err := url.Parse(address)
		switch {
		case err != nil:
			return refuse("%w", err)
		case u.Host != "" && u.Host != "localhost", u.User != nil:
			return refuse("a folder has no host; write file:///path")
		case u.RawQuery != "" || u.Fragment != "":
			return refuse("a folder has no ? or #; write them as %%3F and %%23")
		case !strings.HasPrefix(u.Path, "/"):
			return refuse("write file:///path")
		}
		path = u.Path
	}
	switch {
	case path == "":
		return refuse("it is empty")
	case strings.ContainsRune(path, 0):
		return refuse("it contains a NUL byte")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return refuse("%w", err)
	}
	return abs, nil
}

// isScheme: a letter, then letters, digits, plus, minus and dots. A path that
// would begin like that is written with ./ in front.
func isScheme(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", r)) {
			return false
		}
	}
	return s != ""
}
