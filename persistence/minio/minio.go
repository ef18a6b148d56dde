package minio

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/object"
)

// Options name a bucket.
type Options struct {
	Host           string // with its port
	Plain          bool   // no TLS
	Bucket, Prefix string
	Region         string // "": us-east-1, what a MinIO server answers to
	Address        string // as people know it
}

// Open makes a store over the bucket. It asks nobody.
func Open(o Options) (*object.Store, error) {
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	creds := credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvMinio{}, &credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.FileMinioClient{},
	})
	return object.Open(object.Bucket{
		Name: o.Bucket, Prefix: o.Prefix, Address: o.Address,
		Connect: func(h *http.Client) (object.Client, error) {
			core, err := minio.NewCore(o.Host, &minio.Options{
				Creds: creds, Secure: !o.Plain, Transport: h.Transport, Region: o.Region,
				BucketLookup: minio.BucketLookupPath, MaxRetries: 1,
			})
			if err != nil {
				return nil, fmt.Errorf("%w: %s: %w", persistence.ErrRefused, o.Address, err)
			}
			return &client{o.Bucket, creds, core}, nil
		},
	})
}

// client implements object.Client.
type client struct {
	bucket      string
	credentials *credentials.Credentials
	core        *minio.Core
}

func (c *client) Get(ctx context.Context, key string) (io.ReadCloser, time.Time, error) {
	body, info, _, err := c.core.GetObject(ctx, c.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, time.Time{}, c.answer(err)
	}
	return body, info.LastModified, nil
}

func (c *client) Put(ctx context.Context, key string, value []byte, sum string, absent bool) error {
	// The sum is signed. The library's signed streaming, which it would use without TLS,
	// closes the body from two goroutines at once.
	opts := minio.PutObjectOptions{ContentType: "application/json", DisableContentSha256: true}
	if absent {
		opts.SetMatchETagExcept("*")
	}
	signed := sha256.Sum256(value)
	_, err := c.core.PutObject(ctx, c.bucket, key, bytes.NewReader(value), int64(len(value)), sum, hex.EncodeToString(signed[:]), opts)
	return c.answer(err)
}

// List gives all pages as one: the library turns them over itself.
func (c *client) List(ctx context.Context, prefix, _ string) (object.Page, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the library's goroutine
	var page object.Page
	for o := range c.core.Client.ListObjects(ctx, c.bucket, minio.ListObjectsOptions{Prefix: prefix}) {
		if o.Err != nil {
			return object.Page{}, c.answer(o.Err)
		}
		page.Keys = append(page.Keys, o.Key)
	}
	return page, context.Cause(ctx)
}

func (c *client) Delete(ctx context.Context, key string) error {
	return c.answer(c.core.RemoveObject(ctx, c.bucket, key, minio.RemoveObjectOptions{}))
}

func (c *client) Versions(ctx context.Context) (bool, error) {
	v, err := c.core.GetBucketVersioning(ctx, c.bucket)
	return v.Enabled(), c.answer(err)
}

// answer takes the server's answer out of an error.
func (c *client) answer(err error) error {
	var said minio.ErrorResponse
	if !errors.As(err, &said) || said.StatusCode == 0 {
		return err
	}
	a := &object.Answer{Status: said.StatusCode, Code: said.Code, Message: said.Message}
	if a.Credentials() {
		c.credentials.Expire()
	}
	switch said.Code {
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect":
		a.Region = said.Region
	}
	return a
}
