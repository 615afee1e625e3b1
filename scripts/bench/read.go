package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/scripts/bench/rawrows"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry/api"
	"github.com/dlai-sd/plant/shared/web"
)

// listed is how many a page of a list has.
const listed = web.DefaultLimit

// The statements of the reads, as package store sends them (a test holds the
// single read's to it), and the list in its default order without filters.
const (
	rawTenant = `SELECT set_config('app.governance_agent_id', $1, true)`
	rawHead   = `
SELECT a.entity_type, a.governance_agent_id, a.seq, a.hash, a.constitution, a.recorded_at, a.state_hash, o.salt, o.state,
	a.record, coalesce(a.signature, s.signature), s.statement, coalesce(a.batch_index, 0), a.batch_path, coalesce(k.spki, ''),
	(SELECT b.hash FROM public.amendment b WHERE b.entity_id = a.entity_id AND b.seq <= a.seq AND b.change <> 'embedded'
		ORDER BY b.seq DESC LIMIT 1),
	coalesce((SELECT e.created_at FROM public.entity e WHERE e.id = a.entity_id), public.born_at(a.entity_id)),
	(SELECT n.status FROM public.entity e JOIN public.entity n ON n.id = e.superseded_by WHERE e.id = a.entity_id)
FROM public.opening o JOIN public.amendment a USING (entity_id, seq)
LEFT JOIN public.signature_batch s ON s.id = a.batch_id LEFT JOIN public.signing_key k ON k.key_id = a.key_id
WHERE o.entity_id = $1 AND o.seq <= $2
ORDER BY o.seq DESC LIMIT 1`
	rawHistory = `
SELECT seq, hash, prev_hash, state_hash, constitution, change, author, governance_agent_id, key_id, breaking, recorded_at,
	hash = sha256(convert_to(record, 'UTF8'))
FROM public.amendment WHERE entity_id = $1 AND seq <= $2 ORDER BY seq DESC LIMIT $3`
	rawSummary = `
SELECT count(*), coalesce(array_agg(seq ORDER BY seq) FILTER (WHERE breaking), '{}')
FROM public.amendment WHERE entity_id = $1 AND seq <= $2`
	rawChildren = `SELECT id FROM public.entity WHERE parent_id = $1 ORDER BY id LIMIT $2`

	rawBranch = `(SELECT e.id, e.entity_type, e.governance_agent_id, e.version, e.version_hash, e.etag_hash, e.constitution_hash,
	e.created_at, e.updated_at, e.created_at AS sort_key
FROM public.entity e WHERE %s AND e.entity_type = $2 AND e.status <> 'archived' ORDER BY e.created_at ASC, e.id ASC LIMIT $3)`
	rawPage = `SELECT p.id, p.entity_type, p.governance_agent_id, p.version, p.version_hash, p.etag_hash, p.constitution_hash,
	p.created_at, p.updated_at, to_jsonb(p.sort_key) #>> '{}', o.state
FROM (SELECT * FROM (%s
UNION ALL
%s) b ORDER BY b.sort_key ASC, b.id ASC LIMIT $3) p
JOIN public.opening o ON o.entity_id = p.id AND o.seq = p.version
ORDER BY p.sort_key ASC, p.id ASC`
)

// measureRead compares single reads and pages with the bare statements: what
// the handler adds is a token, routing, the state read and its hash checked, and
// an answer in JSON.
func measureRead(ctx context.Context, w *world) ([]Row, error) {
	service, err := w.service(mainDatabase, 1)
	if err != nil {
		return nil, err
	}
	if _, err := w.createAlls(service, typical, listed+1)(ctx); err != nil {
		return nil, err
	}
	conn, err := w.connect(ctx, writer, mainDatabase)
	if err != nil {
		return nil, err
	}
	skills := api.New[domain.Skill](service, skillsPath)
	list, err := w.around("GET "+skillsPath, skills.List())
	if err != nil {
		return nil, err
	}
	single, err := w.around("GET "+skillsPath+"/{id}", skills.Get())
	if err != nil {
		return nil, err
	}
	token, err := w.token()
	if err != nil {
		return nil, err
	}
	ids, err := firstPage(ctx, list, token, conn)
	if err != nil {
		return nil, err
	}
	n := 0
	next := func() string { n++; return ids[n%len(ids)] }
	times, err := interleave(ctx, w.rounds(40),
		repeated(50, func() error { _, err := read(ctx, single, token, "/"+next()); return err }),
		repeated(50, func() error { return rawRead(ctx, conn, next()) }),
		repeated(10, func() error { _, err := read(ctx, list, token, ""); return err }),
		repeated(10, func() error { _, err := rawList(ctx, conn); return err }))
	if err != nil {
		return nil, err
	}
	return []Row{
		compared("read one, through the handler", perSecond, "the same statements, raw", rates(times[0]), rates(times[1]), nil),
		compared(fmt.Sprintf("list %d, through the handler", listed), perSecond, "the same rows, raw", rates(times[2]), rates(times[3]), nil),
		told("read one, through the handler", "ms", scaled(times[0], 1e3)),
		told(fmt.Sprintf("list %d, through the handler", listed), "ms", scaled(times[2], 1e3)),
	}, nil
}

// firstPage is a page of the list, which the handler and the raw statement must
// answer alike.
func firstPage(ctx context.Context, list http.Handler, token string, conn *pgx.Conn) ([]string, error) {
	body, err := read(ctx, list, token, "")
	if err != nil {
		return nil, err
	}
	var page struct {
		Items []struct {
			ID string `json:"id"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, err
	}
	raw, err := rawList(ctx, conn)
	if err != nil {
		return nil, err
	}
	if len(page.Items) != listed || len(raw) != listed+1 {
		return nil, fmt.Errorf("a page has %d skills, the raw one %d", len(page.Items), len(raw))
	}
	ids := make([]string, listed)
	for i, item := range page.Items {
		if ids[i] = item.ID; ids[i] != raw[i] {
			return nil, errors.New("the page and the raw statement answer differently")
		}
	}
	return ids, nil
}

// read asks a handler without a network.
func read(ctx context.Context, h http.Handler, token, rest string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://bench.example"+skillsPath+rest, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, r)
	if answer.Code != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %d: %s", r.URL.Path, answer.Code, answer.Body)
	}
	return answer.Body.Bytes(), nil
}

// rawRead sends the statements of a single read as one batch and takes every
// value.
func rawRead(ctx context.Context, conn *pgx.Conn, id string) error {
	const newest = int64(1<<63 - 1)
	var b pgx.Batch
	b.Queue(rawrows.SetTenant, tenant)
	var rows int
	count := func(r pgx.Rows) error {
		for r.Next() {
			if _, err := r.Values(); err != nil {
				return err
			}
			rows++
		}
		return r.Err()
	}
	b.Queue(rawHead, id, newest).Query(count)
	b.Queue(rawHistory, id, newest, 100).Query(count)
	b.Queue(rawSummary, id, newest).Query(count)
	b.Queue(rawChildren, id, 1000).Query(count)
	if err := rawrows.Send(ctx, conn, &b); err != nil {
		return err
	}
	if rows != 3 {
		return fmt.Errorf("a new skill has %d rows, not head, amendment and summary", rows)
	}
	return nil
}

// rawList is a page and one more, as the list asks for it.
func rawList(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	var b pgx.Batch
	var ids []string
	b.Queue(rawrows.SetTenant, tenant)
	sql := fmt.Sprintf(rawPage, fmt.Sprintf(rawBranch, "e.governance_agent_id = $1"), fmt.Sprintf(rawBranch, "e.governance_agent_id <> $1 AND e.shared"))
	b.Queue(sql, tenant, "skill", listed+1).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var id, kind, owner, key, state string
			var version int64
			var hash, etag, constitution []byte
			var created, updated time.Time
			if err := rows.Scan(&id, &kind, &owner, &version, &hash, &etag, &constitution, &created, &updated, &key, &state); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return rows.Err()
	})
	return ids, rawrows.Send(ctx, conn, &b)
}
