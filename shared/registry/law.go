package registry

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
)

// Law is the constitution in force, as an instance knows it: read at first use,
// kept, and read again when the database says that another was enacted. It is safe
// for concurrent use.
type Law struct {
	db   *store.DB
	held atomic.Pointer[domain.Constitution]
}

// NewLaw makes a Law that reads from a database, as any role.
func NewLaw(db *store.DB) *Law { return &Law{db: db} }

// InForce returns the constitution as it is held, reading it if that has not
// succeeded yet. The error is domain.CodeUnavailable where this build cannot judge
// by the one in force.
func (l *Law) InForce(ctx context.Context) (domain.Constitution, error) {
	if c := l.held.Load(); c != nil {
		return *c, nil
	}
	return l.Refresh(ctx)
}

// Refresh reads which one is in force now.
func (l *Law) Refresh(ctx context.Context) (domain.Constitution, error) {
	e, err := l.db.InForce(ctx)
	if err != nil {
		return domain.Constitution{}, refusal(err, nil)
	}
	if c := l.held.Load(); c != nil && c.Sum() == e.Sum {
		return *c, nil
	}
	c, err := domain.ReadConstitution(e.Document)
	if err != nil {
		l.held.Store(nil)
		return domain.Constitution{}, &domain.Error{
			Code: domain.CodeUnavailable, Detail: "this build cannot judge by the constitution in force", Err: err,
		}
	}
	l.held.Store(&c)
	return c, nil
}

// at returns the constitution of a hash that the ledger has in force; none where
// this build cannot judge by it.
func (l *Law) at(ctx context.Context, sum [32]byte) (domain.Constitution, error) {
	c, err := l.InForce(ctx)
	if err == nil && c.Sum() != sum {
		c, err = l.Refresh(ctx)
	}
	if errors.Is(err, domain.ErrUninterpretable) {
		return domain.Constitution{}, nil
	}
	return c, err
}

// lawTries bounds how often a write is judged again because another constitution
// was enacted between the look and the write.
const lawTries = 3

// underLaw runs f under the constitution in force. What the database refuses
// because another was enacted meanwhile, and what only a constitution forbade that
// is in force no more, is judged again under the new one.
func underLaw[T any](ctx context.Context, s *Service, req Request, f func(Request) (T, error)) (T, error) {
	var out T
	law, err := s.law.InForce(ctx)
	if err == nil && req.ValidateOnly {
		law, err = s.law.Refresh(ctx) // no write will say that it is the one in force
	}
	if err != nil {
		return out, err
	}
	for try := 1; ; try++ {
		req.law = law
		if out, err = f(req); err == nil {
			return out, nil
		}
		overruled := errors.Is(err, store.ErrLawOutOfForce)
		if !overruled && !isViolation(err) || try == lawTries {
			return out, advised(law, err)
		}
		now, refreshErr := s.law.Refresh(ctx)
		if refreshErr != nil || !overruled && now.Hash() == law.Hash() {
			return out, advised(law, err)
		}
		law = now
	}
}

func isViolation(err error) bool {
	var e *domain.Error
	return errors.As(err, &e) && len(e.Violations) > 0
}

// advised adds to a refusal what the constitution advises.
func advised(law domain.Constitution, err error) error {
	var e *domain.Error
	if errors.As(err, &e) {
		law.Advised(e.Violations)
	}
	return err
}
