package drift

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/embedding"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/registry/vectors"
	"github.com/dlai-sd/plant/shared/store"
)

// vectors makes the vectors of entities again and compares. What drifted is replaced
// and recorded; what is not the vector that was signed is tampering: it is recorded and
// announced, and then made good.
func (c *Checker) vectors(ctx context.Context, list []store.Candidate, n *notes) error {
	byModel := map[string][]store.Candidate{}
	for _, one := range list {
		if named := one.Entity.Governed.Embedding; named != nil {
			byModel[named.ModelID] = append(byModel[named.ModelID], one)
		}
	}
	for model, some := range byModel {
		recipe, err := embedding.FindRecipe(model)
		if err != nil {
			continue // of a model that this binary does not have: nothing to compare with
		}
		entities := make([]domain.Entity, len(some))
		for i, one := range some {
			entities[i] = one.Entity
		}
		fresh, err := vectors.Fresh(ctx, c.Embedder, recipe, entities)
		if err != nil {
			return err
		}
		for i, one := range some {
			if err := c.vector(one, fresh[i], n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Checker) vector(one store.Candidate, fresh store.Vector, n *notes) error {
	e, named := one.Entity, one.Entity.Governed.Embedding
	n.count(e.GovernanceAgentID, FigureChecked, 1)
	present := hex.EncodeToString(fresh.TextSHA256[:]) == named.TextSHA256
	made := domain.Embedding{ModelID: fresh.ModelID, TextSHA256: named.TextSHA256, VectorSHA256: hex.EncodeToString(fresh.VectorSHA256[:])}
	mend := registry.Found{Entity: e, Vectors: []store.Vector{fresh}}
	if made != *named {
		mend.Change = domain.Embed{Embedding: made}
	}
	replaced := one.Vector != nil && one.Vector.ModelID == named.ModelID && !intact(*one.Vector, *named)
	switch {
	case replaced && !present:
		return c.replaced(one, "It is made again with that of its present text.", nil, n)
	case !present:
		return nil // of a text that it has not any more: its own event sees to it
	case one.Vector == nil || one.Vector.ModelID != named.ModelID:
		n.changes = append(n.changes, mend)
		return n.found(e, e.Kind(), ReasonVectorMissing, "It had no vector and was given one.", nil)
	}
	stability := Stability(one.Vector.Values, fresh.Values)
	if replaced {
		n.changes = append(n.changes, mend)
		return c.replaced(one, "It was made again.", &stability, n)
	}
	if stability <= n.law.Policies.DriftStabilityPPM {
		mend.Change = domain.Regenerate{Embedding: made, StabilityPPM: stability, At: domain.Time(c.Now().UTC().Truncate(time.Microsecond))}
		n.changes = append(n.changes, mend)
		return n.found(e, e.Kind(), ReasonVectorDrifted, "Its vector had drifted from its text and was made again.", &stability)
	}
	return nil
}

// replaced notes that somebody put another vector, or another name of one, where the
// signed one was, however near it comes: vector and state are written together, so
// nothing else does that. It says what was signed and what was found, before the vector
// is made again, and it is announced as an audit's finding is, so that the mark follows.
func (c *Checker) replaced(one store.Candidate, then string, stability *int64, n *notes) error {
	e, named, v := one.Entity, one.Entity.Governed.Embedding, one.Vector
	alarm, err := c.Event("plant."+string(e.Kind())+".tampered", string(e.ID), string(e.Kind()), e.GovernanceAgentID)
	if err != nil {
		return err
	}
	n.Events = append(n.Events, alarm)
	return n.found(e, e.Kind(), ReasonVectorDiffers, fmt.Sprintf(
		"Its vector was not the one that was signed. Signed: vector %s of text %s. Found: values of hash %x, named %x of text %x. %s",
		named.VectorSHA256, named.TextSHA256, embedding.VectorHash(v.Values), v.VectorSHA256, v.TextSHA256, then), stability)
}

// intact reports whether a vector is the one that a state names.
func intact(v store.Vector, named domain.Embedding) bool {
	return ledger.CheckVector(named.VectorSHA256, v.Values) == nil && hex.EncodeToString(v.VectorSHA256[:]) == named.VectorSHA256 &&
		hex.EncodeToString(v.TextSHA256[:]) == named.TextSHA256
}

// Stability is the cosine of two vectors in millionths, 0 where they have nothing in
// common, or one of them is none.
func Stability(a, b []float32) int64 {
	if len(a) != len(b) {
		return 0
	}
	var dot, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot, aa, bb = dot+x*y, aa+x*x, bb+y*y
	}
	cosine := dot / math.Sqrt(aa*bb)
	if math.IsNaN(cosine) {
		return 0
	}
	return int64(math.Round(1e6 * min(max(cosine, 0), 1)))
}

// constitution judges what was last amended under another one. Who passes is told to
// certify, a chunk at a time: only its key may reaffirm.
func (c *Checker) constitution(_ context.Context, list []store.Candidate, n *notes) error {
	entities := make([]domain.Entity, len(list))
	for i, one := range list {
		entities[i] = one.Entity
	}
	pass, short := registry.Reconsider(n.law, entities, c.Now())
	for _, e := range pass {
		n.count(e.GovernanceAgentID, FigureReaffirm, 1)
	}
	for _, f := range short {
		n.changes = append(n.changes, f)
		if err := n.found(f.Entity, f.Entity.Kind(), ReasonShort, f.Change.(domain.FallShort).Because, nil); err != nil {
			return err
		}
	}
	if len(pass) == 0 {
		return nil
	}
	due, err := c.Event(EventReaffirm, cmp.Or(n.From.Position, string(domain.BeforeAll)), "entity", System)
	n.Events = append(n.Events, due)
	return err
}

// certifications puts what is over under review, and names what soon will be.
func (c *Checker) certifications(_ context.Context, list []store.Candidate, n *notes) error {
	for _, one := range list {
		e := one.Entity
		made := e.Governed.GenesisCertification
		if made == nil || e.Governed.Status != domain.Certified && e.Governed.Status != domain.Active {
			continue // the row says otherwise: the audit's
		}
		ends := time.Time(made.ExpiresAt)
		until := ends.UTC().Format(time.RFC3339)
		var err error
		switch {
		case ends.After(c.Now()):
			err = n.found(e, e.Kind(), ReasonEnding, "Its certification ends at "+until+".", nil)
		default:
			because := "Its certification ended at " + until + ". It is to be certified again."
			n.changes = append(n.changes, registry.Found{Entity: e, Change: domain.Expire{Because: because}})
			err = n.found(e, e.Kind(), ReasonEnded, because, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// workflows names what waits too long. A step that the platform itself owes an agent is
// asked for again, by the hint that was lost.
func (c *Checker) workflows(_ context.Context, list []store.Candidate, n *notes) error {
	for _, one := range list {
		e := one.Entity
		var err error
		switch status := e.Governed.Status; {
		case e.Tampered():
			err = n.found(e, e.Kind(), ReasonTampered, "It was tampered with and waits for its governor.", nil)
		case status == domain.UnderReview:
			err = n.found(e, e.Kind(), ReasonUndecided, "It waits for a decision.", nil)
		case e.Kind() == domain.KindAgent && (status == domain.Draft || status == domain.Certified):
			hint := map[domain.Status]string{domain.Draft: domain.ChangeAssigned, domain.Certified: domain.ChangeCertified}[status]
			again, failed := c.Event("plant.agent."+hint, string(e.ID), string(e.Kind()), e.GovernanceAgentID)
			if failed != nil {
				return failed
			}
			n.Events = append(n.Events, again)
			err = n.found(e, e.Kind(), ReasonStalled, "Its next step was not taken, and was asked for again.", nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
