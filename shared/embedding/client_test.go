package embedding

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

// transport answers requests in the test's own process, so that its clock can
// be the test's.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body any) *http.Response {
	text, ok := body.(string)
	if !ok {
		encoded, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		text = string(encoded)
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(text))}
}

func newClient(t testing.TB, f transport) *Client {
	t.Helper()
	c, err := NewClient("http://embed.test/api/v1", ClientOptions{HTTP: &http.Client{Transport: f}})
	require.NoError(t, err)
	return c
}

func good() *http.Response {
	return answer(200, NewResponse(Embedding{Vector: axis(4), Truncated: true}))
}

func TestClientAsksAndReads(t *testing.T) {
	t.Parallel()
	var seen []string
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/generate-embedding", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		seen = append(seen, r.Header.Get("Authorization")+" "+r.Header.Get("Content-Type")+" "+string(body[:min(len(body), 60)]))
		var request Request
		if err := json.Unmarshal(body, &request); err != nil || len(request.Check()) > 0 {
			t.Errorf("%v %v", err, request.Check())
		}
		var answer any = NewResponse(Embedding{Vector: axis(4), Truncated: true})
		if request.Texts != nil {
			embeddings := make([]Embedding, len(request.Texts))
			for i, text := range request.Texts {
				embeddings[i].Vector = axis(len(text))
			}
			answer = NewBatchResponse(embeddings)
		}
		if err := json.MarshalWrite(w, answer); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	c, err := NewClient(server.URL+"/api/v1", ClientOptions{Token: func(context.Context) (string, error) { return "abc", nil }})
	require.NoError(t, err)

	one, err := c.Embed(t.Context(), "Go")
	require.NoError(t, err)
	require.Equal(t, Embedding{Vector: axis(4), Truncated: true}, one)
	require.Equal(t, []string{`Bearer abc application/json {"text":"Go"}`}, seen)

	texts := make([]string, 2*MaxTexts+1)
	for i := range texts {
		texts[i] = strings.Repeat("x", i+1)
	}
	all, err := c.EmbedAll(t.Context(), texts)
	require.NoError(t, err)
	require.Len(t, all, len(texts))
	for i := range all {
		require.Equal(t, axis(i+1), all[i].Vector)
	}
	require.Len(t, seen, 1+3)
	none, err := c.EmbedAll(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, none)
	require.Len(t, seen, 1+3)
}

func TestClientTriesThreeTimes(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func() (*http.Response, error){
		"no connection":  func() (*http.Response, error) { return nil, errors.New("refused") },
		"500":            func() (*http.Response, error) { return answer(500, "{}"), nil },
		"503":            func() (*http.Response, error) { return answer(503, "{}"), nil },
		"not JSON":       func() (*http.Response, error) { return answer(200, "<html>"), nil },
		"half an answer": func() (*http.Response, error) { return answer(200, `{"model":`), nil },
		"another model": func() (*http.Response, error) {
			return answer(200, Response{"other", Dimensions, Embedding{Vector: axis(0)}}), nil
		},
		"another length": func() (*http.Response, error) {
			return answer(200, Response{ModelID, 3, Embedding{Vector: axis(0)}}), nil
		},
		"no vector": func() (*http.Response, error) { return answer(200, NewResponse(Embedding{})), nil },
		"a zero vector": func() (*http.Response, error) {
			return answer(200, NewResponse(Embedding{Vector: make([]float32, Dimensions)})), nil
		},
		"no end of bytes": func() (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(endless{})}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var at []time.Duration
				begin := time.Now()
				flaky := newClient(t, func(*http.Request) (*http.Response, error) {
					if at = append(at, time.Since(begin)); len(at) < 3 {
						return fail()
					}
					return good(), nil
				})
				got, err := flaky.Embed(t.Context(), "Go")
				require.NoError(t, err)
				require.Equal(t, axis(4), got.Vector)
				require.Len(t, at, 3)
				requireBetween(t, 50*time.Millisecond, 150*time.Millisecond, at[1]-at[0])
				requireBetween(t, 100*time.Millisecond, 300*time.Millisecond, at[2]-at[1])

				calls := 0
				broken := newClient(t, func(*http.Request) (*http.Response, error) {
					calls++
					return fail()
				})
				_, err = broken.Embed(t.Context(), "Go")
				require.Error(t, err)
				require.Equal(t, 3, calls)
			})
		})
	}
}

func requireBetween(t testing.TB, least, most, got time.Duration) {
	t.Helper()
	require.GreaterOrEqual(t, got, least)
	require.LessOrEqual(t, got, most)
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte(" "), len(b))), nil }

func TestClientDelaysDiffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := map[time.Duration]bool{}
		for range 20 {
			begin := time.Now()
			require.NoError(t, pause(t.Context(), 0))
			seen[time.Since(begin)] = true
		}
		require.Greater(t, len(seen), 10)
	})
}

func TestClientDoesNotRepeatWhatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c := newClient(t, func(*http.Request) (*http.Response, error) {
			calls++
			return answer(400+calls, "{}"), nil
		})
		for i := 1; i <= 20; i++ { // nor does the circuit open
			_, err := c.Embed(t.Context(), "Go")
			var status *StatusError
			require.ErrorAs(t, err, &status)
			require.Equal(t, 400+i, status.Status)
			require.Equal(t, i, calls)
		}
	})
}

func TestClientCircuit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls, well := 0, false
		c := newClient(t, func(*http.Request) (*http.Response, error) {
			if calls++; well {
				return good(), nil
			}
			return answer(503, "{}"), nil
		})
		_, err := c.Embed(t.Context(), "Go")
		require.NotErrorIs(t, err, ErrCircuitOpen)
		_, err = c.Embed(t.Context(), "Go")
		require.ErrorIs(t, err, ErrCircuitOpen, "before the sixth attempt")
		require.Equal(t, 5, calls)
		_, err = c.Embed(t.Context(), "Go")
		require.ErrorIs(t, err, ErrCircuitOpen)
		require.Equal(t, 5, calls, "nothing was sent")

		time.Sleep(openFor + time.Millisecond)
		_, err = c.Embed(t.Context(), "Go")
		require.ErrorIs(t, err, ErrCircuitOpen, "one attempt failed and opened it again")
		require.Equal(t, 6, calls)

		well = true
		time.Sleep(openFor + time.Millisecond)
		for range 3 {
			_, err = c.Embed(t.Context(), "Go")
			require.NoError(t, err)
		}
		require.Equal(t, 9, calls)
	})
}

func TestClientDeadlines(t *testing.T) {
	t.Parallel()
	hang := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	t.Run("an attempt's", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			_, err := newClient(t, hang).Embed(t.Context(), "Go")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			requireBetween(t, 30*time.Second, 31*time.Second, time.Since(begin))
		})
	})
	t.Run("the caller's", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, hang)
			for range 20 { // says nothing about the service
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				begin := time.Now()
				_, err := c.Embed(ctx, "Go")
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, time.Second, time.Since(begin))
				cancel()
			}
		})
	})
	t.Run("between attempts", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			c := newClient(t, func(*http.Request) (*http.Response, error) { return answer(500, "{}"), nil })
			_, err := c.Embed(ctx, "Go")
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	})
}

func TestClientWithoutAToken(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	away := errors.New("no token today")
	c, err := NewClient("http://embed.test", ClientOptions{
		HTTP: &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
			calls.Add(1)
			return good(), nil
		})},
		Token: func(context.Context) (string, error) { return "", away },
	})
	require.NoError(t, err)
	for range 20 {
		_, err = c.Embed(t.Context(), "Go")
		require.ErrorIs(t, err, away)
	}
	require.Zero(t, calls.Load())
}

func TestNewClientRefuses(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "embed", "/api", "ftp://x", "http://", "http://%zz"} {
		_, err := NewClient(base, ClientOptions{})
		require.Error(t, err, base)
	}
}
