package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

// exportScopes are what an attacker asks for: what another owns, by everything that
// it can be called.
func exportScopes() map[string]func(victim) string {
	scopes := map[string]func(victim) string{}
	for _, kind := range everyCollection() {
		scopes["entity "+kind] = func(v victim) string { return v.ids[kind] }
		scopes["agent "+kind] = func(v victim) string { return v.ids[kind] }
	}
	scopes["governance_agent"] = func(v victim) string { return v.owner }
	return scopes
}

func scopeType(name string) string {
	var kind string
	_, _ = fmt.Sscan(name, &kind)
	return kind
}

func (w *siege) onExport(string) (aims []aim) {
	for name, id := range exportScopes() {
		aims = append(aims, func(v victim) call {
			return call{method: "GET", path: "/api/v1/audit/export?scope=" + scopeType(name) + "&id=" + id(v)}
		})
	}
	return append(aims, func(victim) call { return call{method: "GET", path: "/api/v1/audit/export?scope=all"} })
}

func (w *siege) onExportOrder(string) (aims []aim) {
	for name, id := range exportScopes() {
		aims = append(aims, func(v victim) call {
			return call{method: "POST", path: "/api/v1/audit/exports", body: fmt.Sprintf(`{"scope":%q,"id":%q}`, scopeType(name), id(v))}
		})
	}
	return aims
}

// onExported asks for the export that the attacked tenant made.
func onExported(rest string) func(*siege, string) []aim {
	return func(*siege, string) []aim {
		return []aim{func(v victim) call { return call{method: "GET", path: "/api/v1/audit/exports/" + v.export + rest} }}
	}
}

func (w *siege) onAudit(string) (aims []aim) {
	for name, id := range exportScopes() {
		aims = append(aims, func(v victim) call {
			scope := scopeType(name)
			if scope == "agent" {
				scope = "entity"
			}
			return call{method: "POST", path: "/api/v1/audit/run", body: fmt.Sprintf(`{"scope":%q,"id":%q}`, scope, id(v))}
		})
	}
	return append(aims, func(victim) call { return call{method: "POST", path: "/api/v1/audit/run", body: `{"scope":"all"}`} })
}

// onRun asks for the run that the attacked tenant began.
func onRun(*siege, string) []aim {
	return []aim{func(v victim) call { return call{method: "GET", path: "/api/v1/audit/runs/" + v.run} }}
}

func (w *siege) onTampering(string) (aims []aim) {
	for _, kind := range everyCollection() {
		aims = append(aims, func(v victim) call { return call{method: "GET", path: "/api/v1/audit/tampering/" + v.ids[kind]} })
	}
	return aims
}

// onAuditEvent is for the platform's own services.
func onAuditEvent(*siege, string) []aim {
	return []aim{func(v victim) call {
		return call{method: "POST", path: "/events/audit", body: fmt.Sprintf(`{"id":%q}`, v.ids[skills])}
	}}
}

// audited makes an export of the attacked tenant's.
func (w *siege) audited(t *testing.T, audit *server) {
	t.Helper()
	a := audit.post(t, w.token, "/api/v1/audit/exports", fmt.Sprintf(`{"scope":"entity","id":%q}`, w.them.ids[skills]))
	require.Equal(t, 202, a.status, "%s", a.body)
	w.them.owner, w.them.export = "acme", as[wrote](t, a).ID
	w.at["/api/v1/audit/export"], w.at["/api/v1/audit/exports"] = audit, audit
	auditor := w.Token(t, w.Principal(t, "acme", domain.Auditor))
	a = audit.post(t, auditor, "/api/v1/audit/run", `{"scope":"governance_agent","id":"acme"}`)
	require.Equal(t, 202, a.status, "%s", a.body)
	w.them.run = as[wrote](t, a).ID
	w.at["/api/v1/audit/run"], w.at["/events/audit"], w.at["/events/budget"] = audit, audit, audit
}

// unaudited is an export that nobody made.
func (w *siege) unaudited(t *testing.T, audit *server) {
	t.Helper()
	id, err := domain.NewID()
	require.NoError(t, err)
	w.nobody.owner, w.nobody.export, w.nobody.run = "nobody", string(id), string(id)
	for _, v := range []victim{w.them, w.nobody} {
		w.at["/api/v1/audit/exports/"+v.export], w.at["/api/v1/audit/exports/"+v.export+"/bundle"] = audit, audit
		w.at["/api/v1/audit/runs/"+v.run] = audit
		for _, id := range v.ids {
			w.at["/api/v1/audit/tampering/"+id] = audit
		}
	}
}

// onDrift asks for a check of what another owns.
func (w *siege) onDrift(string) []aim {
	return []aim{
		func(v victim) call {
			return call{method: "POST", path: "/api/v1/drift/run", body: fmt.Sprintf(`{"scope":"governance_agent","id":%q}`, v.owner)}
		},
		func(victim) call { return call{method: "POST", path: "/api/v1/drift/run", body: `{"scope":"all"}`} },
	}
}

// onDriftReport asks for the report of the attacked tenant.
func onDriftReport(*siege, string) []aim {
	return []aim{func(v victim) call { return call{method: "GET", path: "/api/v1/drift/reports/" + v.drift} }}
}

// drifting makes a report of the attacked tenant's, and one that nobody has.
func (w *siege) drifting(t *testing.T) {
	t.Helper()
	s := w.serve(t, driftCheck, nil)
	guardian := w.Token(t, w.Principal(t, "acme", domain.Guardian))
	a := s.post(t, guardian, "/api/v1/drift/run", `{"scope":"governance_agent","id":"acme"}`)
	require.Equal(t, 202, a.status, "%s", a.body)
	none, err := domain.NewID()
	require.NoError(t, err)
	w.them.drift, w.nobody.drift = as[wrote](t, a).ID, string(none)
	for _, path := range []string{"/api/v1/drift/run", "/api/v1/drift/reports", "/events/drift", "/api/v1/drift/reports/" + w.them.drift, "/api/v1/drift/reports/" + w.nobody.drift} {
		w.at[path] = s
	}
}
