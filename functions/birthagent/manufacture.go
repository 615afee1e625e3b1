package birthagent

import (
	"context"
	"net/http"
	"strings"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/registry/api"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

const consumer = "birth-agent"

// follow takes what may make an agent's next step due: its birth and its author's
// work on it, its certification, and the certification of what it waits for. The
// event is a hint: what it is about is read again.
func follow(s *registry.Service) func(context.Context, event.Event) error {
	return func(ctx context.Context, e event.Event) error {
		req := registry.Request{
			Who: registry.System(consumer), Tenant: e.Data.GovernanceAgentID, RequestID: e.RequestID, Traceparent: e.Traceparent,
			Receipt: &store.Receipt{Consumer: consumer, EventID: e.ID},
		}
		id := domain.ID(e.Data.EntityID)
		kind, change, _ := strings.Cut(strings.TrimPrefix(e.Type, "plant."), ".")
		switch {
		case change == domain.ChangeCertified && kind == string(domain.KindAgent):
			return s.Activate(ctx, req, id)
		case change == domain.ChangeCertified && (kind == string(domain.KindSkill) || kind == string(domain.KindJobRole)):
			return s.AssembleWaiting(ctx, req, id)
		case kind == string(domain.KindAgent) &&
			(change == domain.ChangeCreated || change == domain.ChangeAssigned || change == domain.ChangeEvolved):
			return s.Assemble(ctx, req, id)
		}
		return nil
	}
}

// Manufacture is an agent's timeline.
type Manufacture struct {
	ID        domain.ID          `json:"id"`
	Name      string             `json:"name"`
	Status    domain.Status      `json:"status"`
	TeamID    domain.ID          `json:"team_id"`
	Stage     registry.Stage     `json:"stage"`
	Submitted bool               `json:"submitted"`
	Missing   []domain.Violation `json:"missing"`
	Steps     []Step             `json:"steps"`
	Earlier   bool               `json:"earlier"`
}

// Step is one amendment's part in it.
type Step struct {
	Step       string        `json:"step"`
	Seq        int64         `json:"seq"`
	Change     string        `json:"change"`
	Status     domain.Status `json:"status"`
	TeamID     domain.ID     `json:"team_id"`
	Author     string        `json:"author"`
	Reason     *string       `json:"reason"`
	RecordedAt domain.Time   `json:"recorded_at"`
	Hash       string        `json:"hash"`
}

// timeline answers GET on an agent's manufacture.
func timeline(s *registry.Service) http.Handler {
	return web.Endpoint(api.DecodeOne, func(ctx context.Context, in api.OneIn) (Manufacture, error) {
		m, err := s.Manufacture(ctx, in.Who, in.ID)
		if err != nil {
			return Manufacture{}, err
		}
		return manufactureOf(m), nil
	})
}

func manufactureOf(m registry.Manufacture) Manufacture {
	e := m.Entity
	out := Manufacture{
		ID: e.ID, Name: e.Facts.Label(), Status: e.Governed.Status, TeamID: e.Facts.(domain.Agent).TeamID, Stage: m.Stage,
		Submitted: m.Submitted, Missing: append([]domain.Violation{}, m.Missing...), Steps: make([]Step, len(m.Steps)), Earlier: m.Earlier,
	}
	for i, step := range m.Steps {
		out.Steps[i] = Step{
			Step: step.Name, Seq: step.Seq, Change: step.Change, Status: step.Status, TeamID: step.Team, Author: step.Author,
			RecordedAt: domain.Time(step.At), Hash: step.Hash.String(),
		}
		if step.Reason != "" {
			out.Steps[i].Reason = &step.Reason
		}
	}
	return out
}
