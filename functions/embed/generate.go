package embed

import (
	"context"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/embedding"
	"github.com/dlai-sd/plant/shared/web"
)

// generate answers POST /generate-embedding.
func (s Service) generate() http.Handler {
	return web.Endpoint(func(r *http.Request) (embedding.Request, error) {
		in, _, err := web.Body[embedding.Request](r, web.LimitBatch)
		if err != nil {
			return in, err
		}
		if faults := in.Check(); len(faults) > 0 {
			p := web.Refuse(domain.CodeMalformed, "This is not text that can be embedded.")
			p.Violations = faults
			return in, p
		}
		return in, nil
	}, func(ctx context.Context, in embedding.Request) (jsontext.Value, error) {
		made, err := s.Embedder.Embed(ctx, in.All())
		if err != nil {
			return nil, err
		}
		if in.Text != nil {
			return json.Marshal(embedding.NewResponse(made[0]))
		}
		return json.Marshal(embedding.NewBatchResponse(made))
	})
}
