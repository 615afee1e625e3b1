package bench

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/scripts/bench/rawrows"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/web"
)

// limitCertify is how long the certification of one entity may take, in ms.
const limitCertify = 1000

// certifying is what certifications are measured with.
type certifying struct {
	*world
	authors   *registry.Service   // who writes what is certified
	certifier *registry.Certifier // as the function has it, without a topic
	conn      *pgx.Conn           // and without the product
	url       string              // of the function
	key       keys.Key
}

// measureCertify compares certifications with what they cannot do without: for one,
// a signature and the commit; for a batch, one signature, the verification of
// every signature behind what is certified, and the commit. Reading, 42 points an
// entity and the answer are what is on top.
func measureCertify(ctx context.Context, w *world) ([]Row, error) {
	function, err := w.startFunction(ctx, "certify", 1)
	if err != nil {
		return nil, err
	}
	defer function.stop()
	if err := w.admin(ctx, mainDatabase, "ANALYZE"); err != nil { // which autovacuum does within a minute of a bulk load
		return nil, err
	}
	c := &certifying{world: w, url: function.url}
	if err := c.open(ctx); err != nil {
		return nil, err
	}
	one, err := c.rows(ctx, 1, w.rounds(40))
	if err != nil {
		return one, err
	}
	many, err := c.rows(ctx, registry.MaxDecisions, w.rounds(16))
	return append(one, many...), err
}

func (c *certifying) open(ctx context.Context) error {
	var err error
	if c.authors, err = c.service(mainDatabase, pool); err != nil {
		return err
	}
	db, err := c.world.open(certifier, mainDatabase, 1)
	if err != nil {
		return err
	}
	if c.certifier, err = registry.NewCertifier(c.registryOf(db, domain.UseCertification)); err != nil {
		return err
	}
	if c.conn, err = c.connect(ctx, certifier, mainDatabase); err != nil {
		return err
	}
	c.key, err = c.secrets.Key(ctx, c.versions[domain.UseCertification])
	return err
}

// rows measures certifications of n at once.
func (c *certifying) rows(ctx context.Context, n, rounds int) ([]Row, error) {
	digest := sha256.Sum256([]byte("plant"))
	signature, err := rsa.SignPSS(rand.Reader, c.private, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: 32})
	if err != nil {
		return nil, err
	}
	verified := func() error {
		return rsa.VerifyPSS(&c.private.PublicKey, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: 32})
	}
	times, err := interleave(ctx, rounds, repeated(5, c.rawSignature), repeated(20, verified), c.raw(n), c.decides(n), c.asks(n))
	if err != nil {
		return nil, err
	}
	each := 1e3 / float64(n)
	if n == 1 {
		bound := perRound(rounds, func(r int) float64 { return (times[0][r] + times[2][r]) * each })
		return []Row{
			told("certify one: the raw commit", "ms", scaled(times[2], each)),
			limited("certify one: function, publishing", "ms", scaled(times[4], each), limitCertify),
			compared("certify one: registry", "ms", "signature + raw commit", scaled(times[3], each), bound, nil),
			compared("certify one: function, publishing", "ms", "signature + raw commit", scaled(times[4], each), bound, nil),
		}, nil
	}
	// The births share a signature; each move under review has its own.
	signatures := float64(n + 1)
	bound := perRound(rounds, func(r int) float64 { return (times[0][r] + signatures*times[1][r] + times[2][r]) * each })
	name := func(what string) string { return fmt.Sprintf("certify %d at once, each: %s", n, what) }
	by := fmt.Sprintf("(signature + %.0f verifications + raw commit)/%d", signatures, n)
	return []Row{
		told(name("the raw commit"), "ms", scaled(times[2], each)),
		told(name("verifying"), "ms", scaled(times[1], 1e3*signatures/float64(n))),
		compared(name("registry"), "ms", by, scaled(times[3], each), bound, nil),
		compared(name("function, publishing"), "ms", by, scaled(times[4], each), bound, nil),
	}, nil
}

// submitted are n skills that were created together and wait for a decision.
func (c *certifying) submitted(ctx context.Context, n int) ([]domain.Entity, error) {
	items := make([]registry.Candidate, n)
	for i := range items {
		items[i].Facts, items[i].Settable = c.skill(typical)
	}
	born, err := c.authors.CreateAll(ctx, c.request(), domain.KindSkill, items)
	if err != nil {
		return nil, err
	}
	requests := make([]registry.Request, n)
	for i := range requests {
		requests[i] = c.request()
	}
	entities := make([]domain.Entity, n)
	_, err = spread(ctx, pool, n, func(ctx context.Context, _, i int) error {
		one := born.Outcomes[i]
		if one.Code != "" {
			return fmt.Errorf("an item was refused: %s: %s", one.Code, one.Detail)
		}
		match, err := ledger.ParseHash(one.VersionHash)
		if err != nil {
			return err
		}
		moved, err := c.authors.Amend(ctx, requests[i], one.ID, match, domain.MoveTo{To: domain.UnderReview})
		entities[i] = moved.Entity
		return err
	})
	return entities, err
}

// raw writes certifications whose rows stand ready, in one transaction.
func (c *certifying) raw(n int) arm {
	return func(ctx context.Context) (time.Duration, error) {
		entities, err := c.submitted(ctx, n)
		if err != nil {
			return 0, err
		}
		rows, err := c.certified(entities)
		if err != nil {
			return 0, err
		}
		b, err := rawrows.Decided(c.decider.ID, rows)
		if err != nil {
			return 0, err
		}
		began := time.Now()
		err = rawrows.Send(ctx, c.conn, b)
		return time.Since(began), err
	}
}

// certified are the rows of certifications, with random bytes for signatures.
func (c *certifying) certified(entities []domain.Entity) ([]rawrows.Row, error) {
	after, drafts := make([]domain.Entity, len(entities)), make([]ledger.Draft, len(entities))
	now := time.Now().UTC().Truncate(time.Microsecond)
	for i, e := range entities {
		id, err := domain.NewID()
		if err != nil {
			return nil, err
		}
		after[i], err = domain.Certify{Certification: domain.Certification{
			CertificationID: string(id), CertifiedAt: domain.Time(now), CertifiedBy: c.decider.Author(),
			ChecklistSHA256: domain.ChecklistInForce().Hash(), Passed: 42, ExpiresAt: domain.Time(now.AddDate(1, 0, 0)),
		}}.Apply(e)
		if err != nil {
			return nil, err
		}
		state, err := after[i].State()
		if err != nil {
			return nil, err
		}
		drafts[i] = ledger.Draft{
			EntityID: string(e.ID), EntityType: string(e.Kind()), GovernanceAgentID: e.GovernanceAgentID, Author: c.decider.Author(),
			Change: domain.ChangeCertified, Seq: e.Head.Version + 1, PrevHash: ledger.Hash(e.Head.Hash), After: e.Head.UpdatedAt, State: state,
		}
	}
	sealer := c.sealer(rawrows.Unsigned{Key: c.key.Public()})
	sealer.KeyID = c.key.ID()
	amendments, err := sealer.Seal(drafts)
	if err != nil {
		return nil, err
	}
	return rawrows.Rows(after, amendments)
}

// decides certifies through the registry.
func (c *certifying) decides(n int) arm {
	return func(ctx context.Context) (time.Duration, error) {
		entities, err := c.submitted(ctx, n)
		if err != nil {
			return 0, err
		}
		list := make([]registry.Decision, n)
		for i, e := range entities {
			list[i] = registry.Decision{ID: e.ID, Verdict: registry.VerdictCertify}
		}
		request := c.request()
		request.Who, request.Route = c.decider, "certifyAll"
		began := time.Now()
		var all registry.DecidedAll
		if n == 1 {
			all, err = c.certifier.Decide(ctx, request, list[0])
		} else {
			all, err = c.certifier.DecideAll(ctx, request, list)
		}
		took := time.Since(began)
		for _, o := range all.Outcomes {
			if !o.Recorded {
				err = errors.Join(err, fmt.Errorf("a certification was refused: %s: %s", o.Code, o.Detail))
			}
		}
		return took, err
	}
}

// asks certifies over HTTP.
func (c *certifying) asks(n int) arm {
	client := &http.Client{Timeout: 30 * time.Second}
	return func(ctx context.Context) (time.Duration, error) {
		entities, err := c.submitted(ctx, n)
		if err != nil {
			return 0, err
		}
		request, err := c.decisions(ctx, entities)
		if err != nil {
			return 0, err
		}
		began := time.Now()
		answer, err := client.Do(request)
		if err != nil {
			return 0, err
		}
		body, err := io.ReadAll(io.LimitReader(answer.Body, 4<<20))
		took := time.Since(began)
		if err = errors.Join(err, answer.Body.Close()); err != nil {
			return 0, err
		}
		if answer.StatusCode != http.StatusOK || bytes.Count(body, []byte(`"recorded":true`)) != n {
			return 0, fmt.Errorf("certify %d: %d: %.500s", n, answer.StatusCode, body)
		}
		return took, nil
	}
}

// decisions is the request that certifies these: a batch if there is more than one.
func (c *certifying) decisions(ctx context.Context, entities []domain.Entity) (*http.Request, error) {
	type item struct {
		ID       domain.ID        `json:"id,omitzero"`
		Decision registry.Verdict `json:"decision"`
	}
	path, content := skillsPath+"/"+string(entities[0].ID)+"/certify", any(item{Decision: registry.VerdictCertify})
	if len(entities) > 1 {
		items := make([]item, len(entities))
		for i, e := range entities {
			items[i] = item{e.ID, registry.VerdictCertify}
		}
		path, content = "/api/v1/certify/batch", map[string]any{"items": items}
	}
	body, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	token, err := c.tokenOf(c.decider)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", web.MediaJSON)
	r.Header.Set("Idempotency-Key", uuid.NewString())
	return r, nil
}
