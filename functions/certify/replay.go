package certify

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/web"
)

// Replay is a part of a replay of a constitution: its figures are those of this part.
type Replay struct {
	web.List[Breaking] `json:",embed"`

	// Scope is whose entities were judged: governance_agent, the caller's own; or platform.
	Scope        string           `json:"scope"`
	Constitution string           `json:"constitution_hash"`
	Judged       int64            `json:"judged"`
	Broken       int64            `json:"broken"`
	Unsound      int64            `json:"unsound"`
	ByRule       map[string]int64 `json:"by_rule"`
}

// Breaking is an entity that would break rules.
type Breaking struct {
	ID                domain.ID          `json:"id"`
	EntityType        domain.Kind        `json:"entity_type"`
	Name              string             `json:"name"`
	GovernanceAgentID string             `json:"governance_agent_id"`
	Version           int64              `json:"version"`
	Status            domain.Status      `json:"status"`
	Violations        []domain.Violation `json:"violations"`
}

type replayIn struct {
	who      auth.Principal
	url      *url.URL
	query    url.Values
	document jsontext.Value
	sha256   string
}

func decodeReplay(r *http.Request) (replayIn, error) {
	who, err := auth.FromContext(r.Context())
	if err != nil {
		return replayIn{}, err
	}
	in := replayIn{who: who, url: r.URL}
	if in.query, err = web.Query(r, "limit", "cursor"); err != nil {
		return in, err
	}
	body, _, err := web.Body[struct {
		Document jsontext.Value `json:"document"`
		SHA256   string         `json:"sha256"`
	}](r, web.LimitBody)
	if err != nil {
		return in, err
	}
	in.document, in.sha256 = body.Document, body.SHA256
	if (len(in.document) == 0) == (in.sha256 == "") {
		return in, web.Refuse(domain.CodeMalformed, "The constitution is a document, or the sha256 of one that the ledger knows.")
	}
	return in, nil
}

// law is the constitution that is asked about.
func (s Service) law(ctx context.Context, in replayIn) (law domain.Constitution, err error) {
	if in.sha256 != "" {
		sum, err := hex.DecodeString(in.sha256)
		if err != nil || len(sum) != 32 || hex.EncodeToString(sum) != in.sha256 {
			return law, web.Refuse(domain.CodeMalformed, "sha256 is 64 lower-case hex digits.")
		}
		law, err := s.Certifier.Law(ctx, [32]byte(sum))
		return law, err
	}
	return registry.ReadProposed(in.document)
}

// replay answers POST on what would break under a constitution; it writes nothing. A
// cursor goes with the document it was given for.
func (s Service) replay(ctx context.Context, in replayIn) (Replay, error) {
	law, err := s.law(ctx, in)
	if err != nil {
		return Replay{}, err
	}
	page, err := web.ParsePage(in.query, law.Hash())
	if err != nil {
		return Replay{}, err
	}
	after, err := page.AfterID()
	if err != nil {
		return Replay{}, err
	}
	part, err := s.Certifier.Replay(ctx, in.who, law, after, page.Limit)
	if err != nil {
		return Replay{}, err
	}
	return replayOf(in.url, law, part), nil
}

func replayOf(at *url.URL, law domain.Constitution, part registry.Replayed) Replay {
	items := make([]Breaking, len(part.Items))
	for i, one := range part.Items {
		e := one.Entity
		items[i] = Breaking{e.ID, e.Kind(), e.Facts.Label(), e.GovernanceAgentID, e.Head.Version, e.Governed.Status, one.Violations}
	}
	var next *web.Cursor
	if part.Next != "" {
		next = &web.Cursor{Order: law.Hash(), ID: string(part.Next)}
	}
	scope := "platform"
	if part.Owner != "" {
		scope = "governance_agent"
	}
	return Replay{
		Scope: scope,
		List:  web.NewList(at, items, next), Constitution: law.Hash(), Judged: part.Judged, Broken: part.Broken, Unsound: part.Unsound, ByRule: part.ByRule,
	}
}
