package stores_test

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/hoster-ha/hoster-ha/integration/servers"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/stores"
)

// BenchmarkHeartbeat measures a heartbeat's write to MinIO on loopback beside a bare
// one by the same library, in turn.
func BenchmarkHeartbeat(b *testing.B) {
	const pairs = 1000
	value := bytes.Repeat([]byte("h"), 900)
	server := servers.Start(b, servers.MinIO)
	server.Bucket(b, bucket)
	for name, bare := range map[string]func() func(context.Context) error{
		"aws": func() func(context.Context) error {
			c := awss3.New(awss3.Options{
				Region: "us-east-1", BaseEndpoint: aws.String("http://" + server.Address), UsePathStyle: true,
				Credentials: awscredentials.NewStaticCredentialsProvider(servers.AccessKey, servers.SecretKey, ""),
			})
			return func(ctx context.Context) error {
				_, err := c.PutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("bare"), Body: bytes.NewReader(value)})
				return err
			}
		},
		"minio": func() func(context.Context) error {
			c, err := minio.New(server.Address, &minio.Options{Creds: credentials.NewStaticV4(servers.AccessKey, servers.SecretKey, ""), Region: "us-east-1"})
			if err != nil {
				b.Fatal(err)
			}
			return func(ctx context.Context) error {
				_, err := c.PutObject(ctx, bucket, "bare", bytes.NewReader(value), int64(len(value)), minio.PutObjectOptions{})
				return err
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			s, err := stores.Open(libraries[name](server.Address, "speed"))
			if err != nil {
				b.Fatal(err)
			}
			lane := persistence.Lane(persistence.Separate(s), "heartbeat")
			put := bare()
			took := map[string][]time.Duration{}
			for range pairs {
				for how, do := range map[string]func() error{
					"bare":      func() error { return put(b.Context()) },
					"heartbeat": func() error { return lane.Put(b.Context(), "members/a.json", value) },
				} {
					began := time.Now()
					if err := do(); err != nil {
						b.Fatal(err)
					}
					took[how] = append(took[how], time.Since(began))
				}
			}
			at := func(how string, p float64) float64 {
				s := slices.Sorted(slices.Values(took[how]))
				return s[int(p*float64(len(s)))].Seconds() * 1000
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(at("bare", 0.5), "ms/bare-median")
			b.ReportMetric(at("heartbeat", 0.5), "ms/median")
			b.ReportMetric(at("heartbeat", 0.99), "ms/p99")
			b.ReportMetric(at("heartbeat", 0.5)/at("bare", 0.5), "ratio")
		})
	}
}
