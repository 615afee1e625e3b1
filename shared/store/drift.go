package store

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"

	"github.com/dlai-sd/plant/shared/domain"
)

// The phases of a run of the drift check, in their order; PhaseDone ends it.
const (
	PhaseVectors        = "vectors"
	PhaseConstitution   = "constitution"
	PhaseCertifications = "certifications"
	PhaseWorkflows      = "workflows"
)

// DriftRun is how far a run of the drift check is, with what it counted so far.
type DriftRun struct {
	ID              string
	GovernanceAgent string // whose it is; "": the platform's
	Principal       string // "": the daily one, or an enactment's
	Phase           string
	Position        string
	StartedAt       time.Time
	UpdatedAt       time.Time
	FinishedAt      *time.Time
	Figures         map[string]int64 // as far as the reader sees them, summed
	Enactment       *int64           // that it carries out; nil: it is no enactment's
}

// DriftFinding is something about an entity that its owner should know.
type DriftFinding struct {
	ID              string
	GovernanceAgent string
	EntityID        string
	EntityType      string
	Reason          string
	Detail          string
	StabilityPPM    *int64
	At              time.Time
}

// Step moves a run of the drift check on, in the transaction of what its chunk does.
type Step struct {
	From     DriftRun
	Phase    string
	Position string
	Counts   map[string]map[string]int64 // by governance agent and figure
	Findings []DriftFinding
	Events   []Event
}

func queueStep(b *pgx.Batch, s *Step) {
	b.Queue(`SELECT public.advance_drift($1, $2, $3, $4, $5)`, s.From.ID, s.From.Phase, s.From.Position, s.Phase, s.Position)
	for owner, figures := range s.Counts {
		for figure, n := range figures {
			b.Queue(`INSERT INTO public.drift_report (run_id, governance_agent_id, figure, n) VALUES ($1, $2, $3, $4)
				ON CONFLICT (run_id, governance_agent_id, figure) DO UPDATE SET n = drift_report.n + excluded.n`, s.From.ID, owner, figure, n)
		}
	}
	for _, f := range s.Findings {
		b.Queue(`INSERT INTO public.drift_finding (id, run_id, governance_agent_id, entity_id, entity_type, reason, detail, stability_ppm)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			f.ID, s.From.ID, f.GovernanceAgent, f.EntityID, f.EntityType, f.Reason, f.Detail, f.StabilityPPM)
	}
	queueEvents(b, s.Events)
}

// ErrAlready says that the daily run of this day, or the one of an enactment, exists.
var ErrAlready = errors.New("there is a run of this day, or of this enactment")

// AddDriftRun begins a run, together with the event that brings its first chunk. A
// principal of the tenant who asks for it must exist and be enabled. A second daily
// run of a day, or of an enactment, is ErrAlready.
func (db *DB) AddDriftRun(ctx context.Context, tenant string, r DriftRun, next Event) error {
	var b pgx.Batch
	if r.Principal != "" {
		b.Queue(`SELECT public.require_principal($1, $2)`, r.Principal, tenant)
	}
	b.Queue(`INSERT INTO public.drift_run (id, governance_agent_id, principal_id, phase, enactment)
		VALUES ($1, nullif($2, ''), nullif($3, '')::uuid, $4, $5)`, r.ID, r.GovernanceAgent, r.Principal, r.Phase, r.Enactment)
	queueEvents(&b, []Event{next})
	return db.send(ctx, &b)
}

const selectDriftRuns = `
SELECT r.id::text, coalesce(r.governance_agent_id, ''), coalesce(r.principal_id::text, ''), r.phase, r.position, r.started_at, r.updated_at,
	r.finished_at, (SELECT coalesce(jsonb_object_agg(f.figure, f.n), '{}') FROM (SELECT p.figure, sum(p.n) AS n
		FROM public.drift_report p WHERE p.run_id = r.id GROUP BY p.figure) f), r.enactment
FROM public.drift_run r `

// DriftRuns returns up to limit runs before an id ("": the newest), newest first, as
// a tenant's reader sees them, or with "" all of them.
func (db *DB) DriftRuns(ctx context.Context, tenant, before string, limit int) ([]DriftRun, error) {
	return db.driftRuns(ctx, tenant, `WHERE $1 = '' OR r.id < nullif($1, '')::uuid ORDER BY r.id DESC LIMIT $2`, before, limit)
}

// DriftRun returns a run as DriftRuns does; ErrNotFound if there is none.
func (db *DB) DriftRun(ctx context.Context, tenant, id string) (DriftRun, error) {
	return onlyRun(db.driftRuns(ctx, tenant, `WHERE r.id = $1`, id))
}

// OpenDriftRun returns today's daily run if it has not ended; ErrNotFound if it has.
func (db *DB) OpenDriftRun(ctx context.Context) (DriftRun, error) {
	return onlyRun(db.driftRuns(ctx, "", `WHERE r.principal_id IS NULL AND r.enactment IS NULL AND r.finished_at IS NULL
		AND (r.started_at AT TIME ZONE 'UTC')::date = (now() AT TIME ZONE 'UTC')::date`))
}

// EnactmentRun returns the run of an enactment; ErrNotFound if there is none.
func (db *DB) EnactmentRun(ctx context.Context, n int64) (DriftRun, error) {
	return onlyRun(db.driftRuns(ctx, "", `WHERE r.enactment = $1`, n))
}

func onlyRun(list []DriftRun, err error) (DriftRun, error) {
	if err != nil {
		return DriftRun{}, err
	}
	if len(list) == 0 {
		return DriftRun{}, ErrNotFound
	}
	return list[0], nil
}

func (db *DB) driftRuns(ctx context.Context, tenant, where string, args ...any) (list []DriftRun, err error) {
	var b pgx.Batch
	if tenant != "" {
		asReader(&b, tenant)
	}
	b.Queue(selectDriftRuns+where, args...).Query(func(rows pgx.Rows) error {
		var err error
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[DriftRun])
		return err
	})
	return list, db.send(ctx, &b)
}

// DriftFindings returns up to limit findings of a run behind an id.
func (db *DB) DriftFindings(ctx context.Context, tenant, run, after string, limit int) (list []DriftFinding, err error) {
	var b pgx.Batch
	if tenant != "" {
		asReader(&b, tenant)
	}
	b.Queue(`SELECT id::text, governance_agent_id, entity_id::text, entity_type, reason, detail, stability_ppm, found_at
		FROM public.drift_finding WHERE run_id = $1 AND ($2 = '' OR id > nullif($2, '')::uuid) ORDER BY id LIMIT $3`, run, after, limit).
		Query(func(rows pgx.Rows) error {
			var err error
			list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[DriftFinding])
			return err
		})
	return list, db.send(ctx, &b)
}

// Candidate is an entity as the drift check looks at it. Nothing may be signed on one
// that is not sound.
type Candidate struct {
	Judgeable

	Vector *Vector // that is stored under the model that the row names; nil: none
}

const selectCandidates = judgeableColumns + `, v.model_id, v.vector::text, v.text_sha256, v.vector_sha256` + judgeableTables + `
LEFT JOIN public.embedding v ON v.entity_id = e.id AND v.model_id = e.embedding ->> 'model_id'` + judgeableBehind + `
	($3 = '' OR e.governance_agent_id = $3) AND `

// EmbeddedBehind returns up to limit living entities behind an id whose rows name a
// vector, in the order of their ids; owner "" means everybody's.
func (db *DB) EmbeddedBehind(ctx context.Context, owner, after string, limit int) ([]Candidate, error) {
	return db.candidates(ctx, `e.embedding IS NOT NULL`, after, limit, owner)
}

// outdated is the condition that an entity was last judged by another constitution than
// the one whose hash follows: by the one that it was found to fall short of, or else by
// that of its last amendment that passed one. A vector and a mark are recorded under the
// constitution of their day without anybody's judging the entity.
const outdated = `coalesce(e.drift_detector ->> 'constitution', (SELECT encode(j.constitution, 'hex') FROM public.amendment j
	WHERE j.entity_id = e.id AND NOT j.change = ANY ($4::text[]) ORDER BY j.seq DESC LIMIT 1)) IS DISTINCT FROM `

// OutdatedBehind returns those who were last judged by another constitution than this.
func (db *DB) OutdatedBehind(ctx context.Context, owner, after string, limit int, law [32]byte) ([]Candidate, error) {
	return db.candidates(ctx, outdated+`$5`, after, limit, owner, domain.Notes(), hex.EncodeToString(law[:]))
}

// EndingBehind returns those that are certified until a moment, or not so long.
func (db *DB) EndingBehind(ctx context.Context, owner, after string, limit int, until time.Time) ([]Candidate, error) {
	return db.candidates(ctx, `e.status IN ('certified', 'active') AND e.genesis_certification ->> 'expires_at' <= $4`, after, limit, owner,
		until.UTC().Format(domain.TimeLayout))
}

// WaitingBehind returns those under review since before undecided, agents whose next
// step the platform did not take since before stalled, and what was tampered with and
// waits for the governor.
func (db *DB) WaitingBehind(ctx context.Context, owner, after string, limit int, undecided, stalled time.Time) ([]Candidate, error) {
	return db.candidates(ctx, `(e.status = 'under_review' AND e.updated_at < $4
		OR e.drift_detector ->> 'tampering_found_at' IS NOT NULL
		OR e.entity_type = 'agent' AND e.updated_at < $5 AND (e.status = 'certified' OR e.status = 'draft'
			AND EXISTS (SELECT FROM public.agent g JOIN public.entity s ON s.id = g.skill_id JOIN public.entity r ON r.id = g.job_role_id
				WHERE g.id = e.id AND g.team_id IS NOT NULL AND s.status IN ('certified', 'active') AND r.status IN ('certified', 'active'))
			AND (SELECT h.change FROM public.amendment h WHERE h.entity_id = e.id
				AND h.change NOT IN ('embedded', 'reattested', 'drifted', 'reaffirmed') ORDER BY h.seq DESC LIMIT 1)
				IN ('created', 'assigned', 'evolved')))`, after, limit, owner, undecided, stalled)
}

func (db *DB) candidates(ctx context.Context, condition, after string, limit int, more ...any) (list []Candidate, err error) {
	var b pgx.Batch
	b.Queue(selectCandidates+condition+` ORDER BY e.id LIMIT $2`, append([]any{cmp.Or(after, string(domain.BeforeAll)), limit}, more...)...).
		Query(func(rows pgx.Rows) error {
			var err error
			list, err = pgx.CollectRows(rows, scanCandidate)
			return err
		})
	return list, db.send(ctx, &b)
}

func scanCandidate(row pgx.CollectableRow) (c Candidate, err error) {
	var textHash, vectorHash []byte
	var model, values *string
	if err := c.scan(row, &model, &values, &textHash, &vectorHash); err != nil || values == nil {
		return c, err
	}
	c.Vector = &Vector{EntityID: c.Entity.ID, Kind: c.Kind, ModelID: *model}
	copy(c.Vector.TextSHA256[:], textHash)
	copy(c.Vector.VectorSHA256[:], vectorHash)
	var parsed pgvector.Vector
	err = parsed.Parse(*values)
	c.Vector.Values = parsed.Slice()
	return c, err
}

// Unsent counts the events that were written before a moment and are not sent.
func (db *DB) Unsent(ctx context.Context, before time.Time) (n int64, err error) {
	var b pgx.Batch
	b.Queue(`SELECT count(*) FROM public.outbox WHERE created_at < $1`, before).
		QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
	return n, db.send(ctx, &b)
}

// Tail is the end of an entity's chain, and how the rest of the database agrees.
type Tail struct {
	Proof

	Version int64  // of the entity's row; 0: there is none
	Owner   string // of that row
	Kind    domain.Kind
	Logged  int64 // the highest seq that the log knows, or that waits for it
	Born    time.Time
}

// Tail reads the newest amendment of an entity; ErrNotFound if it has none.
func (db *DB) Tail(ctx context.Context, id domain.ID) (Tail, error) {
	var t Tail
	var b pgx.Batch
	b.Queue(selectAmendments+`WHERE a.entity_id = $1 ORDER BY a.seq DESC LIMIT 1`, string(id)).Query(func(rows pgx.Rows) error {
		var err error
		t.Proof, err = pgx.CollectExactlyOneRow(rows, scanProof)
		return err
	})
	b.Queue(`SELECT e.version, e.governance_agent_id, e.entity_type, e.created_at FROM public.entity e WHERE e.id = $1`, string(id)).
		Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&t.Version, &t.Owner, &t.Kind, &t.Born}, func() error { return nil })
			return err
		})
	b.Queue(`SELECT coalesce(max(amendment), 0) FROM public.log_places(ARRAY[$1]::uuid[])`, string(id)).
		QueryRow(func(row pgx.Row) error { return row.Scan(&t.Logged) })
	return t, db.send(ctx, &b)
}
