package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/object"
)

// Options name a bucket.
type Options struct {
	Bucket, Prefix string
	Region         string // "": by the SDK's chain
	Endpoint       string // URL of a server that is not Amazon's, or ""
	PathStyle      bool   // the bucket in the path, not in the host's name
	Address        string // as people know it
}

// Open makes a store over the bucket. It asks nobody.
func Open(o Options) (*object.Store, error) {
	// What it reads now are files and the environment; who has to be asked for
	// credentials is asked by the first request.
	cfg, err := load(context.Background(), o)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", persistence.ErrRefused, o.Address, err)
	}
	if cfg.Region == "" {
		if o.Endpoint == "" {
			return nil, fmt.Errorf("%w: %s: no region is known: add ?region= to the address, or set AWS_REGION", persistence.ErrRefused, o.Address)
		}
		cfg.Region = "us-east-1" // what servers of one region answer to
	}
	credentials := aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		now, err := load(ctx, o)
		if err != nil {
			return aws.Credentials{}, err
		}
		return now.Credentials.Retrieve(ctx)
	}))
	cfg.Credentials = credentials
	return object.Open(object.Bucket{
		Name: o.Bucket, Prefix: o.Prefix, Address: o.Address,
		Connect: func(h *http.Client) (object.Client, error) {
			c := &client{bucket: o.Bucket, region: cfg.Region, credentials: credentials, connect: func() *s3.Client {
				return s3.NewFromConfig(cfg, func(so *s3.Options) {
					so.HTTPClient = h
					so.Retryer = aws.NopRetryer{}
					so.Logger = logging.Nop{} // what matters is in the errors
					so.UsePathStyle = o.PathStyle
					so.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
					so.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
					if o.Endpoint != "" {
						so.BaseEndpoint = aws.String(o.Endpoint)
					}
				})
			}}
			c.api.Store(c.connect())
			return c, nil
		},
	})
}

func load(ctx context.Context, o Options) (aws.Config, error) {
	var with []func(*config.LoadOptions) error
	if o.Region != "" {
		with = append(with, config.WithRegion(o.Region))
	}
	return config.LoadDefaultConfig(ctx, with...)
}

// client implements object.Client.
type client struct {
	bucket, region string
	credentials    *aws.CredentialsCache
	connect        func() *s3.Client
	api            atomic.Pointer[s3.Client]
}

func (c *client) Get(ctx context.Context, key string) (io.ReadCloser, time.Time, error) {
	out, err := c.api.Load().GetObject(ctx, &s3.GetObjectInput{Bucket: &c.bucket, Key: &key})
	if err != nil {
		return nil, time.Time{}, c.answer(err)
	}
	return out.Body, aws.ToTime(out.LastModified), nil
}

func (c *client) Put(ctx context.Context, key string, value []byte, sum string, absent bool) error {
	in := &s3.PutObjectInput{Bucket: &c.bucket, Key: &key, Body: bytes.NewReader(value), ContentMD5: &sum, ContentType: aws.String("application/json")}
	if absent {
		in.IfNoneMatch = aws.String("*")
	}
	_, err := c.api.Load().PutObject(ctx, in)
	return c.answer(err)
}

func (c *client) List(ctx context.Context, prefix, from string) (object.Page, error) {
	in := &s3.ListObjectsV2Input{Bucket: &c.bucket, Prefix: &prefix, Delimiter: aws.String("/")}
	if from != "" {
		in.ContinuationToken = &from
	}
	out, err := c.api.Load().ListObjectsV2(ctx, in)
	if err != nil {
		return object.Page{}, c.answer(err)
	}
	var page object.Page
	for _, o := range out.Contents {
		page.Keys = append(page.Keys, aws.ToString(o.Key))
	}
	for _, p := range out.CommonPrefixes {
		page.Keys = append(page.Keys, aws.ToString(p.Prefix))
	}
	if aws.ToBool(out.IsTruncated) {
		if page.Next = aws.ToString(out.NextContinuationToken); page.Next == "" {
			return page, errors.New("the listing is cut off, and the server does not say where it goes on")
		}
	}
	return page, nil
}

func (c *client) Delete(ctx context.Context, key string) error {
	_, err := c.api.Load().DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &c.bucket, Key: &key})
	return c.answer(err)
}

func (c *client) Versions(ctx context.Context) (bool, error) {
	out, err := c.api.Load().GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &c.bucket})
	if err != nil {
		return false, c.answer(err)
	}
	return out.Status == types.BucketVersioningStatusEnabled, nil
}

// answer takes the server's answer out of an error.
func (c *client) answer(err error) error {
	response, ok := errors.AsType[*awshttp.ResponseError](err)
	if err == nil || !ok || response.HTTPStatusCode() == 0 {
		return err
	}
	a := &object.Answer{Status: response.HTTPStatusCode()}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		a.Code, a.Message = api.ErrorCode(), api.ErrorMessage()
	}
	if response.Response != nil && a.Status >= 300 && a.Status != http.StatusNotFound {
		a.Region = elsewhere(a, response.Response.Header.Get("X-Amz-Bucket-Region"), c.region)
	}
	if a.Credentials() {
		c.credentials.Invalidate()
		// Its signer keeps what it derived from a secret for as long as the key's name
		// stays the same.
		c.api.Store(c.connect())
	}
	if a.Status < 300 {
		return err // a success that could not be read
	}
	return a
}

// elsewhere is the region of a bucket that is not in ours.
func elsewhere(a *object.Answer, there, ours string) string {
	if there == ours || a.Code == "AccessDenied" {
		return ""
	}
	return there
}
