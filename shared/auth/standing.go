package auth

import (
	"context"
	"net/http"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

// Standing serves next with the caller as it stands: of the authorities that the token
// shows, those that the database still knows. A token lives for half an hour; who has
// lost an authority meanwhile, or was disabled, is one who never held it. It goes behind
// Bearer, where what may be read depends on an authority; a write asks in its own
// transaction.
func Standing(db *store.DB, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := FromContext(r.Context())
		if err == nil {
			p, err = p.standing(r.Context(), db)
		}
		if err != nil {
			web.Fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(NewContext(r.Context(), p)))
	})
}

func (p Principal) standing(ctx context.Context, db *store.DB) (Principal, error) {
	if len(p.Authorities)+len(p.Platform) == 0 {
		return p, nil
	}
	var err error
	p.Authorities, p.Platform, err = db.StillHeld(ctx, p.ID, p.GovernanceAgent, p.Authorities, p.Platform)
	if err != nil {
		return p, &domain.Error{Code: domain.CodeUnavailable, Detail: "It cannot be found out now what you may; try again later.", Err: err}
	}
	return p, nil
}
