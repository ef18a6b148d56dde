package object

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
)

// Answer is what a server said other than success.
type Answer struct {
	Status  int    // of HTTP
	Code    string // of S3, "" if the answer is none of its
	Message string
	Region  string // where the bucket is, if it is elsewhere
}

func (a *Answer) Error() string {
	text := fmt.Sprintf("the server answered %d", a.Status)
	if a.Code != "" {
		text += " " + a.Code
	}
	if a.Message != "" {
		text += ": " + strings.Join(strings.Fields(a.Message), " ")
	}
	return text
}

// absent: there is no such object.
func (a *Answer) absent() bool {
	return a.Code == "NoSuchKey" || a.Status == http.StatusNotFound && a.Code == "NotFound"
}

// Credentials: the server does not accept these credentials, or not any more.
func (a *Answer) Credentials() bool {
	return slices.Contains([]string{
		"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "SignatureDoesNotMatch",
	}, a.Code)
}

// permissions is what each call needs to be allowed.
var permissions = map[string]string{
	"get": "s3:GetObject", "time": "s3:GetObject", "put": "s3:PutObject", "create": "s3:PutObject", "delete": "s3:DeleteObject", "list": "s3:ListBucket",
	"versions": "s3:GetBucketVersioning",
}

// meaning is the outcome of a call that failed; nil for one that is done all the same.
func (s *Store) meaning(op string, err error, a *attempt) error {
	write := op == "put" || op == "create" || op == "delete"
	if answer, ok := errors.AsType[*Answer](err); ok {
		return s.answered(op, write, answer, a)
	}
	if text := unverified(err); text != "" {
		return fmt.Errorf("%w: %s: %w", persistence.ErrRefused, text, err)
	}
	if write && a.wasSent() {
		return fmt.Errorf("%w: %w", persistence.ErrUnknown, err)
	}
	return err
}

// answered is what an answer of the server means.
func (s *Store) answered(op string, write bool, a *Answer, of *attempt) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s: %w", persistence.ErrRefused, fmt.Sprintf(format, args...), a)
	}
	switch {
	case op == "create" && a.Status == http.StatusPreconditionFailed:
		return fmt.Errorf("%w: %w", persistence.ErrExists, a)
	case a.Status == http.StatusNotImplemented && !of.isForeign():
		return refuse("the server lacks what a store needs")
	case write && open(a.Status):
		return fmt.Errorf("%w: %w", persistence.ErrUnknown, a)
	case of.isForeign() && a.Status < http.StatusInternalServerError:
		return fmt.Errorf("%w: %s does not answer like an S3 server: HTTP status %d", persistence.ErrRefused, s.bucket.Address, a.Status)
	case op == "get" && a.absent():
		return fmt.Errorf("%w: %w", persistence.ErrNotFound, a)
	case op == "delete" && a.absent():
		return nil
	case a.Code == "NoSuchBucket":
		return refuse("the bucket %s does not exist; make it (that is never done by itself)", s.bucket.Name)
	case a.Region != "", redirect(a.Status):
		return refuse("the bucket %s is in another region%s: say so with ?region=", s.bucket.Name, prefixed(", ", a.Region))
	case a.Code == "RequestTimeTooSkewed":
		return refuse("this host's clock is wrong%s: set it (NTP)", skew(of.date()))
	case a.Credentials():
		return refuse("the credentials are not accepted")
	case a.Status == http.StatusUnauthorized, a.Status == http.StatusForbidden:
		return refuse("these credentials may not do that: allow them %s (deploy/iam-policy.json has all it takes)", permissions[op])
	}
	return a
}

// open: an answer after which a write may have been done, or may yet be, whoever gave
// it.
func open(status int) bool {
	return status == http.StatusConflict || status == http.StatusRequestTimeout || status >= http.StatusInternalServerError ||
		status < http.StatusBadRequest && !redirect(status)
}

func redirect(status int) bool {
	return slices.Contains([]int{http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect}, status)
}

// unverified says in words that the server's certificate was not believed: nothing
// was sent then.
func unverified(err error) string {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the server's certificate does not verify (SSL_CERT_FILE names a further authority)"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the server's certificate does not verify (SSL_CERT_FILE names a further authority)"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return "the server does not speak TLS"
	}
	return ""
}

func skew(date time.Time) string {
	if date.IsZero() {
		return ""
	}
	return fmt.Sprintf(", by %s against the server's", time.Since(date).Round(time.Second))
}

func prefixed(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}
