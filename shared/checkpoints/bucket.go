package checkpoints

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/api/storage/v1"
)

// callTimeout bounds one call of the store, its repeats included.
const callTimeout = 8 * time.Second

// Bucket is a Store in a bucket of Cloud Storage. The bucket's retention lock is
// what keeps its owner from taking checkpoints back. It speaks the JSON API: the
// larger client library would cost every function 9 MiB for three calls.
type Bucket struct {
	objects *storage.ObjectsService
	bucket  string
}

// NewBucket returns the store in a bucket, with the environment's credentials
// unless options say otherwise.
func NewBucket(ctx context.Context, bucket string, options ...option.ClientOption) (Bucket, error) {
	service, err := storage.NewService(ctx, options...)
	if err != nil {
		return Bucket{}, fmt.Errorf("open Cloud Storage: %w", err)
	}
	return Bucket{service.Objects, bucket}, nil
}

// Create implements Store. It is not repeated here: a call whose answer was lost may
// have published, and only who asks for the newest knows.
func (b Bucket) Create(ctx context.Context, n int64, note []byte) error {
	if err := check(n, note); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	object := &storage.Object{Name: name(n), ContentType: "text/plain; charset=utf-8", CacheControl: "no-cache"}
	insert := b.objects.Insert(b.bucket, object).IfGenerationMatch(0) // only where there is none
	insert.Media(bytes.NewReader(note), googleapi.ChunkSize(0), googleapi.ContentType(object.ContentType))
	_, err := insert.Context(ctx).Do()
	var refused *googleapi.Error
	switch {
	case errors.As(err, &refused) && refused.Code == http.StatusPreconditionFailed:
		return ErrExists
	case err != nil:
		return fmt.Errorf("create checkpoint %d: %w", n, err)
	}
	return nil
}

// Newest implements Store.
func (b Bucket) Newest(ctx context.Context, from int64) (int64, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	newest := int64(0)
	list := b.objects.List(b.bucket).Prefix(folder+"/").StartOffset(name(max(from, 0))).Fields("items(name)", "nextPageToken")
	err := list.Pages(ctx, func(page *storage.Objects) error {
		for _, object := range page.Items {
			if n, ok := number(object.Name); ok && n >= from {
				newest = max(newest, n)
			}
		}
		return nil
	})
	if err != nil {
		return 0, nil, fmt.Errorf("list checkpoints: %w", err)
	}
	if newest == 0 {
		return 0, nil, ErrNone
	}
	note, err := b.read(ctx, newest)
	if err != nil {
		return 0, nil, fmt.Errorf("read checkpoint %d: %w", newest, err)
	}
	return newest, note, nil
}

func (b Bucket) read(ctx context.Context, n int64) ([]byte, error) {
	response, err := b.objects.Get(b.bucket, name(n)).Context(ctx).Download()
	if err != nil {
		return nil, err
	}
	note, err := io.ReadAll(io.LimitReader(response.Body, MaxSize+1))
	return note, errors.Join(err, response.Body.Close())
}
