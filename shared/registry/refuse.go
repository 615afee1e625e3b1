package registry

import (
	"context"
	"errors"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
)

// refusal is the one table from what the store says to what a caller hears.
// missing names the references that did not hold; it is asked only then.
func refusal(err error, missing func() []domain.Violation) error {
	var unavailable *store.Unavailable
	var unsigned *UnsignedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unsigned):
		return notAsSigned(unsigned)
	case errors.Is(err, store.ErrNotFound):
		return notFound()
	case errors.Is(err, store.ErrNameTaken):
		return nameTaken()
	case errors.Is(err, store.ErrExternalIDTaken):
		return externalIDTaken()
	case errors.Is(err, store.ErrAssignmentTaken):
		return duplicate(domain.RuleAssignment, "/team_id", "another agent has this skill, role and team")
	case errors.Is(err, store.ErrStale):
		return &domain.Error{Code: domain.CodeUnavailable, Detail: "something that this changes too was changed at the same time; try again", Err: err}
	case errors.Is(err, store.ErrCycle):
		return violated(domain.RuleParent, "/parent_id", "an entity would be its own ancestor")
	case errors.Is(err, store.ErrTeamEmpty):
		return violated("L1-TEAM-01", "/agents", "a living team keeps at least one agent")
	case errors.Is(err, store.ErrTeamRole):
		return violated("L1-TEAM-03", "/team_id", "the team has another job role")
	case errors.Is(err, store.ErrPrincipal):
		return domain.Refuse(domain.CodeForbidden, "the principal of this token may no longer write")
	case errors.Is(err, store.ErrReference):
		return noSuchReference(missing())
	case errors.Is(err, store.ErrLawOutOfForce):
		return &domain.Error{Code: domain.CodeUnavailable, Detail: "another constitution was put in force at the same time; try again", Err: err}
	case errors.Is(err, store.ErrLawReplaced):
		return lawReplaced()
	case errors.Is(err, store.ErrLawUnjudged):
		return domain.Refuse(domain.CodeIllegalMove, "fewer than five persons decided about this constitution")
	case errors.Is(err, store.ErrClockSkew), errors.Is(err, store.ErrKeyOutOfForce):
		return &domain.Error{Code: domain.CodeUnavailable, Detail: "the registry cannot sign now; try again later", Err: err}
	case errors.As(err, &unavailable):
		return &domain.Error{Code: domain.CodeUnavailable, Detail: "the registry is busy; try again later", Err: err}
	default:
		return err
	}
}

// notFound is the one answer to an id that is absent, hidden or another kind's.
func notFound() *domain.Error { return &domain.Error{Code: domain.CodeNotFound} }

func duplicate(rule, field, message string) *domain.Error {
	return &domain.Error{
		Code: domain.CodeDuplicate, Detail: message,
		Violations: []domain.Violation{domain.Broken(rule, field, message)},
	}
}

func violated(rule, field, message string) *domain.Error {
	return &domain.Error{
		Code: domain.CodeRuleViolated, Detail: message,
		Violations: []domain.Violation{domain.Broken(rule, field, message)},
	}
}

func nameTaken() *domain.Error {
	return duplicate(domain.RuleUniqueName, "/name", "a living entity of this kind has the name already")
}

func externalIDTaken() *domain.Error {
	return duplicate(domain.RuleExternalID, "/external_id", "an entity has this external_id already")
}

// noSuchReference refuses references that are absent, hidden, or not the
// caller's to make.
func noSuchReference(v []domain.Violation) *domain.Error {
	return &domain.Error{Code: domain.CodeRuleViolated, Detail: "a reference does not hold", Violations: v}
}

// unknown are the violations of the references that are missing.
func unknown(refs []domain.Ref, missing map[domain.ID]bool) (v []domain.Violation) {
	for _, r := range refs {
		if missing[r.ID] {
			v = append(v, domain.UnknownReferenceViolation(r))
		}
	}
	return v
}

// invisible names the references that the tenant may not make. Where even that
// cannot be found out, all of them are in doubt.
func (s *Service) invisible(ctx context.Context, tenant string, refs []domain.Ref) []domain.Violation {
	missing, err := s.db.Invisible(ctx, tenant, refs)
	var v []domain.Violation
	for _, r := range refs {
		if err != nil || missing[r.ID] {
			v = append(v, domain.UnknownReferenceViolation(r))
		}
	}
	return v
}

func isStale(err error) bool { return errors.Is(err, store.ErrStale) }

func isUnknownKey(err error) bool { return errors.Is(err, errUnknownKey) }
