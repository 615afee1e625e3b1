package checkpoints_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"

	"github.com/dlai-sd/plant/shared/checkpoints"
)

// fakeBucket answers Cloud Storage's JSON API as far as a Bucket asks: create-only
// uploads, lists in pages of two, reads.
type fakeBucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	lose    bool // the next upload's answer
}

func (f *fakeBucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/upload/storage/v1/b/log/o"):
		f.upload(w, r)
	case r.URL.Path == "/storage/v1/b/log/o":
		f.list(w, r)
	default:
		name, _ := strings.CutPrefix(r.URL.Path, "/storage/v1/b/log/o/")
		if content, ok := f.objects[name]; ok {
			_, _ = w.Write(content)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}
}

func (f *fakeBucket) upload(w http.ResponseWriter, r *http.Request) {
	_, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	parts := multipart.NewReader(r.Body, params["boundary"])
	var object struct {
		Name string `json:"name"`
	}
	meta, _ := parts.NextPart()
	_ = json.UnmarshalRead(meta, &object)
	body, _ := parts.NextPart()
	content, _ := io.ReadAll(body)
	if r.URL.Query().Get("ifGenerationMatch") != "0" {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	if _, taken := f.objects[object.Name]; taken {
		w.WriteHeader(http.StatusPreconditionFailed)
		return
	}
	f.objects[object.Name] = content
	if f.lose {
		f.lose = false
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	crc := binary.BigEndian.AppendUint32(nil, crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli)))
	_, _ = fmt.Fprintf(w, `{"kind":"storage#object","name":%q,"bucket":"log","size":"%d","crc32c":%q}`,
		object.Name, len(content), base64.StdEncoding.EncodeToString(crc))
}

func (f *fakeBucket) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var names []string
	for name := range f.objects {
		if strings.HasPrefix(name, q.Get("prefix")) && name >= q.Get("startOffset") && name > q.Get("pageToken") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	next := ""
	if len(names) > 2 {
		names, next = names[:2], names[1]
	}
	items := make([]map[string]string, len(names))
	for i, name := range names {
		items[i] = map[string]string{"name": name}
	}
	_ = json.MarshalWrite(w, map[string]any{"items": items, "nextPageToken": next})
}

func bucket(t *testing.T, f *fakeBucket) checkpoints.Store {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	b, err := checkpoints.NewBucket(t.Context(), "log", option.WithEndpoint(server.URL+"/storage/v1/"), option.WithoutAuthentication())
	require.NoError(t, err)
	return b
}

// stores are the two, with what puts a foreign thing among the checkpoints.
func stores(t *testing.T) map[string]struct {
	checkpoints.Store
	litter func(name string)
} {
	t.Helper()
	dir := t.TempDir()
	folder, err := checkpoints.NewFolder(dir)
	require.NoError(t, err)
	fake := &fakeBucket{objects: map[string][]byte{}}
	type store = struct {
		checkpoints.Store
		litter func(name string)
	}
	return map[string]store{
		"folder": {folder, func(name string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "checkpoints", name), []byte("x"), 0o600))
		}},
		"bucket": {bucket(t, fake), func(name string) { fake.objects["checkpoints/"+name] = []byte("x") }},
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			_, _, err := s.Newest(ctx, 0)
			require.ErrorIs(t, err, checkpoints.ErrNone)
			for n := int64(1); n <= 11; n++ {
				require.NoError(t, s.Create(ctx, n, fmt.Appendf(nil, "note %d", n)))
			}
			require.ErrorIs(t, s.Create(ctx, 7, []byte("another")), checkpoints.ErrExists)
			require.ErrorIs(t, s.Create(ctx, 7, []byte("note 7")), checkpoints.ErrExists)
			for _, foreign := range []string{"zzz", "00000000099", "000000000099.txt", ".new-1", "000000000000"} {
				s.litter(foreign)
			}
			for _, from := range []int64{0, 1, 11} {
				n, note, err := s.Newest(ctx, from)
				require.NoError(t, err)
				require.EqualValues(t, 11, n)
				require.Equal(t, "note 11", string(note))
			}
			_, _, err = s.Newest(ctx, 12)
			require.ErrorIs(t, err, checkpoints.ErrNone)
			for _, bad := range []int64{0, -1, 1e12} {
				require.Error(t, s.Create(ctx, bad, []byte("x")))
			}
			require.Error(t, s.Create(ctx, 12, nil))
			require.Error(t, s.Create(ctx, 12, make([]byte, checkpoints.MaxSize+1)))
		})
	}
}

// TestOneWins: of many that publish under one number at once one does, and what is
// there is what it wrote, whole.
func TestOneWins(t *testing.T) {
	t.Parallel()
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all sync.WaitGroup
			won := make(chan []byte, 20)
			for i := range 20 {
				all.Go(func() {
					note := bytes.Repeat(fmt.Appendf(nil, "%02d", i), 1000)
					if err := s.Create(context.WithoutCancel(t.Context()), 1, note); err == nil {
						won <- note
					}
				})
			}
			all.Wait()
			require.Len(t, won, 1)
			_, note, err := s.Newest(t.Context(), 1)
			require.NoError(t, err)
			require.Equal(t, <-won, note)
		})
	}
}

// TestLostAnswer: an upload whose answer was lost is an error that says nothing, and
// what it did is there.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	fake := &fakeBucket{objects: map[string][]byte{}, lose: true}
	s := bucket(t, fake)
	err := s.Create(t.Context(), 1, []byte("note"))
	require.Error(t, err)
	require.NotErrorIs(t, err, checkpoints.ErrExists)
	_, note, err := s.Newest(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, "note", string(note))
}

// TestNothingIsLeftBehind: only numbered files stay in the folder.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := checkpoints.NewFolder(dir)
	require.NoError(t, err)
	require.NoError(t, s.Create(t.Context(), 1, []byte("x")))
	require.ErrorIs(t, s.Create(t.Context(), 1, []byte("y")), checkpoints.ErrExists)
	names, err := os.ReadDir(filepath.Join(dir, "checkpoints"))
	require.NoError(t, err)
	require.Len(t, names, 1)
	_, err = checkpoints.NewFolder(filepath.Join(dir, "checkpoints", "000000000001"))
	require.Error(t, err)
}
