package stores

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/folder"
	"github.com/hoster-ha/hoster-ha/persistence/minio"
	"github.com/hoster-ha/hoster-ha/persistence/s3"
)

// The schemes of addresses.
const (
	schemeFile      = "file"
	schemeS3        = "s3"
	schemeMinio     = "minio"
	schemeMinioHTTP = "minio+http"
)

// Open opens the store at the address: a path, file:///path, s3://bucket/prefix,
// minio://host:port/bucket/prefix, or minio+http:// without TLS.
func Open(address string) (persistence.Store, error) {
	a, err := parse(address)
	if err != nil {
		return nil, err
	}
	switch a.scheme {
	case schemeS3:
		return s3.Open(s3.Options{
			Bucket: a.bucket, Prefix: a.prefix, Region: a.options.Get(optRegion), Endpoint: a.options.Get(optEndpoint),
			PathStyle: a.options.Get(optPathStyle) == "true", Address: a.String(),
		})
	case schemeMinio, schemeMinioHTTP:
		return minio.Open(minio.Options{
			Host: a.host, Plain: a.scheme == schemeMinioHTTP, Bucket: a.bucket, Prefix: a.prefix,
			Region: a.options.Get(optRegion), Address: a.String(),
		})
	}
	return folder.Open(a.path)
}

// Normalize gives the one form of an address that local memory keeps. Symbolic
// links are not followed: that would ask a mount that may hang.
func Normalize(address string) (string, error) {
	a, err := parse(address)
	if err != nil {
		return "", err
	}
	return a.String(), nil
}

// parse takes an address apart.
func parse(address string) (*parsed, error) {
	if scheme, _, ok := strings.Cut(address, ":"); ok && isScheme(scheme) {
		switch scheme = strings.ToLower(scheme); scheme {
		case schemeFile:
			return parseFile(address)
		case schemeS3, schemeMinio, schemeMinioHTTP:
			return parseBucket(scheme, address)
		default:
			return nil, refuse(address, "no store is called %s: (a path, file:, s3:, minio: and minio+http: are known)", scheme)
		}
	}
	return absolute(address, address)
}

func parseFile(address string) (*parsed, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, refuse(address, "%w", err)
	case u.Host != "" && u.Host != "localhost", u.User != nil:
		return nil, refuse(address, "a folder has no host; write file:///path")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, refuse(address, "a folder has no ? or #; write them as %%3F and %%23")
	case !strings.HasPrefix(u.Path, "/"):
		return nil, refuse(address, "write file:///path")
	}
	return absolute(address, u.Path)
}

func absolute(address, path string) (*parsed, error) {
	switch {
	case path == "":
		return nil, refuse(address, "it is empty")
	case strings.ContainsRune(path, 0):
		return nil, refuse(address, "it contains a NUL byte")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, refuse(address, "%w", err)
	}
	return &parsed{scheme: schemeFile, path: abs}, nil
}

// refuse says why an address cannot be used, without what may be secret in it.
func refuse(address, format string, args ...any) error {
	return fmt.Errorf("%w: address %q: %w", persistence.ErrRefused, shown(address), fmt.Errorf(format, args...))
}

// shown is an address without the parts in which people put secrets.
func shown(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok || strings.EqualFold(scheme, schemeFile) {
		return address
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = "..." + rest[at:]
	}
	if query := strings.IndexByte(rest, '?'); query >= 0 {
		rest = rest[:query] + "?..."
	}
	return scheme + "://" + rest
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
