package certify

import (
	"context"
	"encoding/hex"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/registry/api"
	"github.com/dlai-sd/plant/shared/web"
)

// Constitution is the one in force, and those before it.
type Constitution struct {
	SHA256    string         `json:"sha256"`
	EnactedAt domain.Time    `json:"enacted_at"`
	Document  jsontext.Value `json:"document"`
	History   []Enactment    `json:"history"` // newest first, the one in force included
}

// Enactment is a constitution that came into force.
type Enactment struct {
	N          int64       `json:"n"` // 0 for the founding one
	SHA256     string      `json:"sha256"`
	EnactedAt  domain.Time `json:"enacted_at"`
	ProposalID *domain.ID  `json:"proposal_id"` // null for the founding one
	Seq        int64       `json:"seq"`         // of the amendment that enacted it, 0 without one
}

// constitution answers GET on what is in force.
func (s Service) constitution() http.Handler {
	return web.Endpoint(decodeNothing, func(ctx context.Context, _ struct{}) (Constitution, error) {
		list, err := s.Evolution.Enactments(ctx)
		if err != nil {
			return Constitution{}, err
		}
		out := Constitution{Document: list[0].Document, History: make([]Enactment, len(list))}
		for i, e := range list {
			out.History[i] = Enactment{
				N: e.N, SHA256: hex.EncodeToString(e.Sum[:]), EnactedAt: domain.Time(e.At), ProposalID: orNull(e.Proposal), Seq: e.Seq,
			}
		}
		out.SHA256, out.EnactedAt = out.History[0].SHA256, out.History[0].EnactedAt
		return out, nil
	})
}

// Proposal is a proposed constitution. The document and how it differs are null in
// lists and answers to decisions.
type Proposal struct {
	ID                domain.ID             `json:"id"`
	GovernanceAgentID string                `json:"governance_agent_id"`
	Status            domain.Status         `json:"status"`
	StatusReason      *string               `json:"status_reason"`
	Version           int64                 `json:"version"`
	VersionHash       string                `json:"version_hash"`
	ProposedAt        domain.Time           `json:"proposed_at"`
	ProposedBy        string                `json:"proposed_by"`
	Purpose           string                `json:"purpose"`
	DocumentSHA256    string                `json:"document_sha256"`
	Replaces          string                `json:"replaces"`
	InForce           *string               `json:"in_force"` // what its newest enactment put in force
	Decisions         []domain.GateDecision `json:"decisions"`
	Document          jsontext.Value        `json:"document"`
	Differences       *domain.Differences   `json:"differences"`

	written registry.Written
}

// StatusCode is that of a birth where something was born.
func (p Proposal) StatusCode() int {
	if p.written.Entity.Facts != nil && p.written.Entity.Head.Version == 1 && !p.written.Validated {
		return http.StatusCreated
	}
	return http.StatusOK
}

// SetHeaders names the version that was written, and says whether this was a
// repeat.
func (p Proposal) SetHeaders(h http.Header) {
	if p.written.Entity.Facts == nil || p.written.Validated {
		return
	}
	h.Set("ETag", web.ETag(p.VersionHash))
	if p.StatusCode() == http.StatusCreated {
		h.Set("Location", proposalsPath+"/"+string(p.ID))
	}
	if p.written.Replayed {
		h.Set("Idempotency-Replayed", "true")
	}
}

const proposalsPath = "/api/v1/constitution/proposals"

func proposalOf(e domain.Entity) Proposal {
	p := e.Facts.(domain.Proposal)
	out := Proposal{
		ID: e.ID, GovernanceAgentID: e.GovernanceAgentID, Status: e.Governed.Status, StatusReason: orNull(e.Governed.StatusReason),
		Version: e.Head.Version, VersionHash: hexOf(e.Head.Hash), ProposedAt: domain.Time(e.Head.CreatedAt), ProposedBy: p.ProposedBy,
		Purpose: p.Purpose, DocumentSHA256: p.DocumentSHA256, Replaces: p.Replaces, InForce: orNull(p.InForce), Decisions: p.Decisions,
		Document: jsontext.Value("null"),
	}
	if out.Decisions == nil {
		out.Decisions = []domain.GateDecision{}
	}
	return out
}

func wroteProposal(w registry.Written, err error) (Proposal, error) {
	if err != nil {
		return Proposal{}, err
	}
	p := proposalOf(w.Entity)
	p.written = w
	return p, nil
}

// orderProposed is the one order of the proposals: newest first.
const orderProposed = "-proposed_at"

// proposals answers GET on the proposals.
func (s Service) proposals() http.Handler {
	return web.Endpoint(api.DecodePage(orderProposed), func(ctx context.Context, in api.PageIn) (web.List[Proposal], error) {
		before, err := in.Page.AfterID()
		if err != nil {
			return web.List[Proposal]{}, err
		}
		rows, err := s.Evolution.Proposals(ctx, in.Who, before, in.Page.Limit+1)
		if err != nil {
			return web.List[Proposal]{}, err
		}
		rows, next := web.Cut(in.Page, rows, func(e domain.Entity) web.Cursor {
			return web.Cursor{Order: orderProposed, Key: e.Head.CreatedAt.UTC().Format(domain.TimeLayout), ID: string(e.ID)}
		})
		items := make([]Proposal, len(rows))
		for i, e := range rows {
			items[i] = proposalOf(e)
		}
		return web.NewList(in.URL, items, next), nil
	})
}

// proposal answers GET on one of them.
func (s Service) proposal() http.Handler {
	return web.Endpoint(api.DecodeOne, func(ctx context.Context, in api.OneIn) (Proposal, error) {
		d, err := s.Evolution.Proposal(ctx, in.Who, in.ID)
		if err != nil {
			return Proposal{}, err
		}
		out := proposalOf(d.Entity)
		out.Document, out.Differences = d.Document, &d.Differences
		return out, nil
	})
}

// lawIn is a write about the constitution: its content is what is decoded.
type lawIn[T any] struct {
	registry.Request
	id   domain.ID
	body T
}

func decodeLaw[T any](route string) func(*http.Request) (lawIn[T], error) {
	return func(r *http.Request) (lawIn[T], error) {
		body, raw, err := web.Body[T](r, web.LimitBody)
		if err != nil {
			return lawIn[T]{}, err
		}
		in := lawIn[T]{id: domain.ID(r.PathValue("id")), body: body}
		if r.PathValue("id") != "" && !in.id.Valid() {
			return in, web.Refuse(domain.CodeNotFound, "")
		}
		in.Request, err = api.RequestOf(r, domain.KindConstitution, route, append([]byte(r.URL.RequestURI()+"\n"), raw...))
		return in, err
	}
}

type proposeBody struct {
	Document jsontext.Value `json:"document"`
	Purpose  string         `json:"purpose"`
}

// propose answers POST on the proposals.
func (s Service) propose() http.Handler {
	return web.Endpoint(decodeLaw[proposeBody]("proposeConstitution"), func(ctx context.Context, in lawIn[proposeBody]) (Proposal, error) {
		return wroteProposal(s.Evolution.Propose(ctx, in.Request, in.body.Document, in.body.Purpose))
	})
}

type judgeBody struct {
	Gate     domain.Gate `json:"gate"`
	Verdict  string      `json:"verdict"`
	Reasons  []string    `json:"reasons"`
	Evidence struct {
		Broken  *int64   `json:"broken"`
		LeftOut []string `json:"left_out"`
	} `json:"evidence"`
}

// judge answers POST on a proposal's decisions.
func (s Service) judge() http.Handler {
	return web.Endpoint(decodeLaw[judgeBody]("judgeConstitution"), func(ctx context.Context, in lawIn[judgeBody]) (Proposal, error) {
		j := registry.Judgement{
			Gate: in.body.Gate, Verdict: in.body.Verdict, Reasons: in.body.Reasons, Broken: in.body.Evidence.Broken, LeftOut: in.body.Evidence.LeftOut,
		}
		switch j.Gate {
		case domain.GateGenesis, domain.GateArchitect, domain.GateGuardian:
		default:
			return Proposal{}, web.Refuse(domain.CodeMalformed, "gate is genesis, architect or guardian.")
		}
		if j.Verdict != domain.Approves && j.Verdict != domain.Rejects {
			return Proposal{}, web.Refuse(domain.CodeMalformed, "verdict is approve or reject.")
		}
		return wroteProposal(s.Evolution.Judge(ctx, in.Request, in.id, j))
	})
}

type reasonsBody struct {
	Reasons []string `json:"reasons"`
}

// enact answers POST on a proposal's enactment.
func (s Service) enact() http.Handler {
	return web.Endpoint(decodeLaw[reasonsBody]("enactConstitution"), func(ctx context.Context, in lawIn[reasonsBody]) (Proposal, error) {
		return wroteProposal(s.Evolution.Enact(ctx, in.Request, in.id, in.body.Reasons))
	})
}

// rollback answers POST on taking an enactment back.
func (s Service) rollback() http.Handler {
	return web.Endpoint(decodeLaw[reasonsBody]("rollbackConstitution"), func(ctx context.Context, in lawIn[reasonsBody]) (Proposal, error) {
		return wroteProposal(s.Evolution.Rollback(ctx, in.Request, in.id, in.body.Reasons))
	})
}
