package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// What a write can be refused for. The registry decides what the caller hears.
var (
	ErrNotFound        = errors.New("no such row, or not visible to this tenant")
	ErrStale           = errors.New("another amendment came first")
	ErrNameTaken       = errors.New("the name is taken")
	ErrExternalIDTaken = errors.New("the external id is taken")
	ErrAssignmentTaken = errors.New("skill, role and team are taken")
	ErrKeyUsed         = errors.New("the idempotency key was used before")
	ErrPrincipal       = errors.New("the principal is unknown, disabled or of another tenant")
	ErrKeyOutOfForce   = errors.New("the signing key is not in force")
	ErrClockSkew       = errors.New("recorded_at is too far from the database's clock")
	ErrKeyKnown        = errors.New("the signing key is in the ledger already")
	ErrCycle           = errors.New("an entity would be its own ancestor")
	ErrTeamEmpty       = errors.New("a living team would be without an agent")
	ErrTeamRole        = errors.New("the team has another job role, or there is no such team")
	ErrHandled         = errors.New("the event was handled before")
	ErrUncertified     = errors.New("something that must be certified is not")
	ErrReference       = errors.New("a reference is absent or hidden")
	ErrLawOutOfForce   = errors.New("the constitution is not in force")
	ErrLawReplaced     = errors.New("another constitution is in force than the one to be replaced")
	ErrReason          = errors.New("a reason is one line of at most 500 characters")
	ErrLawUnjudged     = errors.New("fewer than five decided about the constitution")
	ErrDeadlock        = errors.New("two writes waited for each other, and this one gave way")
)

// Unavailable says that the database could not be reached or was too busy: the
// same call may succeed later.
type Unavailable struct{ Err error }

// Error describes the cause for a log.
func (e *Unavailable) Error() string { return fmt.Sprintf("database unavailable: %v", e.Err) }

// Unwrap returns the cause.
func (e *Unavailable) Unwrap() error { return e.Err }

// byConstraint names what a broken constraint means.
var byConstraint = map[string]error{
	"entity_name_taken":        ErrNameTaken,
	"principal_name_taken":     ErrNameTaken,
	"entity_external_id_taken": ErrExternalIDTaken,
	"agent_assignment_taken":   ErrAssignmentTaken,
	"agent_team_fkey":          ErrTeamRole,
	"signing_key_key_id_taken": ErrKeyKnown,
	"idempotency_key_used":     ErrKeyUsed,
	"inbox_pkey":               ErrHandled,
	"amendment_pkey":           ErrStale,
	"drift_run_daily":          ErrAlready,
	"hold_change_reason_check": ErrReason,
	"drift_run_enactment_key":  ErrAlready,
}

// byState names what the database's own conditions mean (class PL is ours).
var byState = map[string]error{
	"PL001": ErrPrincipal,
	"PL002": ErrReference,
	"PL003": ErrKeyOutOfForce,
	"PL005": ErrClockSkew,
	"PL007": ErrCycle,
	"PL008": ErrTeamEmpty,
	"PL009": ErrUncertified,
	"PL010": ErrMovedOn,
	"PL014": ErrLawOutOfForce,
	"PL015": ErrLawReplaced,
	"PL016": ErrLawUnjudged,
}

// translate turns an error of the driver into one of this package's; what it
// does not know it passes on.
func translate(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNotFound
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return translatePg(pg)
	}
	var netErr net.Error
	var connect *pgconn.ConnectError
	if errors.As(err, &netErr) || errors.As(err, &connect) || errors.Is(err, context.DeadlineExceeded) ||
		pgconn.SafeToRetry(err) || pgconn.Timeout(err) || brokeOff(err) {
		return &Unavailable{Err: err}
	}
	return err
}

// brokeOff reports whether the server went away in the middle of an answer: it
// crashed or was restarted, and whether it committed is not known. A repeat
// under the same idempotency key finds out.
func brokeOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func translatePg(pg *pgconn.PgError) error {
	if known, ok := byState[pg.Code]; ok {
		return known
	}
	if known, ok := byConstraint[pg.ConstraintName]; ok {
		return known
	}
	switch pg.Code {
	case "40P01":
		return &Unavailable{Err: ErrDeadlock}
	case "40001", "55P03", "57014", "57P01", "57P02", "57P03", "53300":
		// serialisation, lock timeout, cancelled, shutting down, crashed, starting, full
		return &Unavailable{Err: errors.New(pg.Code)}
	}
	// Never the message or the detail: they can hold what a user wrote.
	return fmt.Errorf("postgres %s on %s.%s", pg.Code, pg.TableName, pg.ConstraintName)
}
