package stores

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hoster-ha/hoster-ha/persistence"
)

// The options of addresses of buckets.
const (
	optRegion    = "region"
	optEndpoint  = "endpoint"
	optPathStyle = "path-style"
)

var options = map[string][]string{
	schemeS3:        {optEndpoint, optPathStyle, optRegion},
	schemeMinio:     {optRegion},
	schemeMinioHTTP: {optRegion},
}

// parsed is an address, taken apart.
type parsed struct {
	scheme         string
	path           string // of a folder
	host           string // of minio, with its port if one was given
	bucket, prefix string
	options        url.Values
}

// String is the canonical form.
func (a *parsed) String() string {
	u := url.URL{Scheme: a.scheme, Path: a.path}
	switch a.scheme {
	case schemeS3:
		u.Host, u.Path = a.bucket, "/"+a.prefix
	case schemeMinio, schemeMinioHTTP:
		u.Host, u.Path = a.host, "/"+a.bucket+"/"+a.prefix
	}
	if a.scheme != schemeFile {
		u.Path = strings.TrimSuffix(u.Path, "/")
		u.RawQuery = a.options.Encode() // sorted
	}
	return u.String()
}

// names of buckets, as all servers take them.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func parseBucket(scheme, address string) (*parsed, error) {
	u, err := url.Parse(address)
	switch {
	case strings.Contains(address, "@") && (err != nil || u.User != nil):
		return nil, refuse(address, "credentials are never in an address: they come from the environment or a file")
	case err != nil:
		return nil, refuse(address, "it is no URL")
	case u.Fragment != "" || u.Opaque != "":
		return nil, refuse(address, "write %s", example(scheme))
	}
	a := &parsed{scheme: scheme, bucket: u.Host}
	path := strings.Trim(u.Path, "/")
	if scheme != schemeS3 {
		if a.host = strings.ToLower(u.Host); a.host == "" || !goodHost(u) {
			return nil, refuse(address, "there is no host; write %s", example(scheme))
		}
		a.bucket, path, _ = strings.Cut(path, "/")
	}
	if !bucketName.MatchString(a.bucket) {
		return nil, refuse(address, "%q is no bucket's name; write %s", a.bucket, example(scheme))
	}
	if a.prefix = strings.Trim(path, "/"); a.prefix != "" {
		if err := persistence.CheckKey(a.prefix); err != nil {
			return nil, refuse(address, "the prefix: %w", err)
		}
		if len(a.prefix) > persistence.MaxKey/2 {
			return nil, refuse(address, "the prefix is longer than %d bytes", persistence.MaxKey/2)
		}
	}
	if a.options, err = parseOptions(scheme, u.RawQuery); err != nil {
		return nil, refuse(address, "%w", err)
	}
	return a, nil
}

func goodHost(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0 && u.Hostname() != ""
}

// parseOptions gives the options that say something; their values may be secrets
// that were put in the wrong place, and are never quoted.
func parseOptions(scheme, query string) (url.Values, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("its options cannot be read")
	}
	kept := url.Values{}
	for name, all := range values {
		switch {
		case !slices.Contains(options[scheme], name):
			return nil, fmt.Errorf("%s:// has no option %q (it has %s)", scheme, name, strings.Join(options[scheme], ", "))
		case len(all) > 1:
			return nil, fmt.Errorf("the option %s is given twice", name)
		}
		value := all[0]
		switch name {
		case optPathStyle:
			if value != "true" && value != "false" {
				return nil, fmt.Errorf("the option %s is true or false", name)
			}
			if value == "false" {
				continue
			}
		case optEndpoint:
			e, err := url.Parse(value)
			if err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "" || e.User != nil || e.RawQuery != "" {
				return nil, fmt.Errorf("the option %s is a server's http:// or https:// URL, without credentials", name)
			}
			value = e.Scheme + "://" + strings.ToLower(e.Host) + strings.TrimSuffix(e.EscapedPath(), "/")
		case optRegion:
			if err := persistence.CheckName(value); err != nil {
				return nil, fmt.Errorf("the option %s is no region's name", name)
			}
		}
		kept.Set(name, value)
	}
	return kept, nil
}

func example(scheme string) string {
	if scheme == schemeS3 {
		return "s3://BUCKET/PREFIX"
	}
	return scheme + "://HOST:PORT/BUCKET/PREFIX"
}
