package checkpoints

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
)

// callTimeout bounds one call of the store, its repeats included.
const callTimeout = 8 * time.Second

// Bucket is a Store in a bucket of Cloud Storage. The bucket's retention lock is
// what keeps its owner from taking checkpoints back.
type Bucket struct{ bucket *storage.BucketHandle }

// NewBucket returns the store in a bucket. The client stays the caller's.
func NewBucket(client *storage.Client, name string) Bucket { return Bucket{client.Bucket(name)} }

// Create implements Store. It is not repeated here: a call whose answer was lost may
// have published, and only who asks for the newest knows.
func (b Bucket) Create(ctx context.Context, n int64, note []byte) error {
	if err := check(n, note); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	w := b.bucket.Object(name(n)).If(storage.Conditions{DoesNotExist: true}).NewWriter(ctx)
	w.ContentType, w.CacheControl, w.ChunkSize = "text/plain; charset=utf-8", "no-cache", 0
	_, err := w.Write(note)
	err = errors.Join(err, w.Close())
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
	query := &storage.Query{Prefix: folder + "/", StartOffset: name(max(from, 0))}
	if err := query.SetAttrSelection([]string{"Name"}); err != nil {
		return 0, nil, fmt.Errorf("list checkpoints: %w", err)
	}
	newest := int64(0)
	for objects := b.bucket.Objects(ctx, query); ; {
		object, err := objects.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			return 0, nil, fmt.Errorf("list checkpoints: %w", err)
		}
		if n, ok := number(object.Name); ok && n >= from {
			newest = max(newest, n)
		}
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
	r, err := b.bucket.Object(name(n)).NewReader(ctx)
	if err != nil {
		return nil, err
	}
	note, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	return note, errors.Join(err, r.Close())
}
