// Package certify decides what is fit for work: it certifies, renews, rejects and
// withdraws, shows what waits for a decision, and takes those decisions by itself
// that the constitution leaves to policy. It also keeps the constitution: what is
// proposed, judged, enacted and rolled back.
package certify

import (
	"net/http"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/web"
)

// Service is what the handlers rest on.
type Service struct {
	Certifier *registry.Certifier
	Evolution *registry.Evolution
	Marker    *registry.Marker
	Dead      event.DeadLetter
}

// Handlers returns the function's operations by their id.
func (s Service) Handlers() map[string]http.Handler {
	all := map[string]http.Handler{
		"certifyAll":               s.batch(),
		"listCertifyQueue":         s.queue(),
		"listRefusals":             s.refusals(),
		"certifyEvent":             event.Handler(consumer, s.handle, s.Dead),
		"replayConstitution":       web.Endpoint(decodeReplay, s.replay),
		"readChecklist":            web.Endpoint(decodeNothing, checklist),
		"certifySkill":             s.decide(domain.KindSkill, "certifySkill"),
		"certifyJobRole":           s.decide(domain.KindJobRole, "certifyJobRole"),
		"certifyIndustry":          s.decide(domain.KindIndustry, "certifyIndustry"),
		"certifyTeam":              s.decide(domain.KindTeam, "certifyTeam"),
		"certifyAgent":             s.decide(domain.KindAgent, "certifyAgent"),
		"getSkillCertification":    s.certificate(domain.KindSkill),
		"getJobRoleCertification":  s.certificate(domain.KindJobRole),
		"getIndustryCertification": s.certificate(domain.KindIndustry),
		"getTeamCertification":     s.certificate(domain.KindTeam),
		"getAgentCertification":    s.certificate(domain.KindAgent),
		"getConstitution":          s.constitution(),
		"listProposals":            s.proposals(),
		"getProposal":              s.proposal(),
		"proposeConstitution":      s.propose(),
		"judgeConstitution":        s.judge(),
		"enactConstitution":        s.enact(),
		"rollbackConstitution":     s.rollback(),
	}
	return all
}

// Expired notes that somebody came with a token that was ours and is over: it is
// known who that is, and nothing else was done.
func (s Service) Expired(operation string) func(*http.Request, auth.Principal) {
	return func(r *http.Request, p auth.Principal) {
		req := registry.Request{Who: p, Route: operation, RequestID: web.RequestID(r.Context())}
		s.Certifier.NoteRefused(r.Context(), req, registry.Attempt{
			ID: domain.ID(r.PathValue("id")), Err: domain.Refuse(domain.CodeUnauthenticated, "the token is over"),
		})
	}
}
