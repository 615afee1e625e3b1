package auditrun

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

// Change is an amendment in the feed.
type Change struct {
	Position          string      `json:"position"` // to go on behind this one
	EntityID          domain.ID   `json:"entity_id"`
	EntityType        domain.Kind `json:"entity_type"`
	GovernanceAgentID string      `json:"governance_agent_id"`
	Seq               int64       `json:"seq"`
	Change            string      `json:"change"`
	Hash              string      `json:"hash"`
	RecordedAt        string      `json:"recorded_at"`
}

// Changes is a part of the feed.
type Changes struct {
	Items    []Change `json:"items"`
	Position string   `json:"position"` // to go on behind all of them, and what the caller may not read
}

type changesIn struct {
	tenant string
	from   int64 // log index
	limit  int
}

// changes answers GET on what has changed since a position, in the order of the
// log. A change is here once it is in the log, at most about a minute after it was
// made, and never below a position that was given out.
func changes(db *store.DB) http.Handler {
	return web.Endpoint(decodeChanges, func(ctx context.Context, in changesIn) (Changes, error) {
		list, next, err := db.Changes(ctx, in.tenant, in.from, in.limit)
		if errors.Is(err, store.ErrPosition) {
			return Changes{}, web.Refuse(domain.CodeMalformed, "The position is beyond the end of this log; begin again without it.")
		}
		out := Changes{Items: make([]Change, len(list)), Position: position(next)}
		for i, c := range list {
			out.Items[i] = Change{
				position(c.LogIndex + 1), c.EntityID, c.EntityType, c.GovernanceAgentID, c.Seq, c.Change,
				hex.EncodeToString(c.Hash), c.RecordedAt.UTC().Format(ledger.TimeLayout),
			}
		}
		return out, err
	})
}

// A position is a cursor, so that nobody takes it for a number to count with.
const positionOrder, positionID = "log", "from"

func position(index int64) string {
	return web.Cursor{Order: positionOrder, Key: strconv.FormatInt(index, 10), ID: positionID}.String()
}

func decodeChanges(r *http.Request) (changesIn, error) {
	who, err := auth.FromContext(r.Context())
	if err != nil {
		return changesIn{}, err
	}
	q, err := web.Query(r, "after", "limit")
	if err != nil {
		return changesIn{}, err
	}
	page, err := web.ParsePage(q, positionOrder)
	in := changesIn{tenant: who.GovernanceAgent, limit: page.Limit}
	if err != nil || !q.Has("after") {
		return in, err
	}
	refused := web.Refuse(domain.CodeMalformed, "after takes a position that this feed gave; begin again without it.")
	c, err := web.ParseCursor(q.Get("after"))
	if err != nil || c.Order != positionOrder || c.ID != positionID {
		return in, refused
	}
	if in.from, err = strconv.ParseInt(c.Key, 10, 64); err != nil || in.from < 0 || strconv.FormatInt(in.from, 10) != c.Key {
		return in, refused
	}
	return in, nil
}
