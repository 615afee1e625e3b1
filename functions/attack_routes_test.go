package main

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/dlai-sd/plant/shared/domain"
)

// attacks are what is tried on each route, by its shape: {c} is a collection. A
// route that is not here fails the test.
func attacks() map[string]func(w *siege, collection string) []aim {
	return map[string]func(w *siege, collection string) []aim{
		"POST {c}":                  (*siege).onCreate,
		"GET {c}":                   (*siege).onList,
		"POST {c}/batch":            (*siege).onBatch,
		"GET {c}/{id}":              (*siege).onGet,
		"PATCH {c}/{id}":            (*siege).onPatch,
		"DELETE {c}/{id}":           (*siege).onDelete,
		"POST {c}/{id}/transitions": (*siege).onMove,
		"GET {c}/{id}/amendments":   (*siege).onAmendments,
		"GET {c}/{id}/diff":         (*siege).onDiff,
		"GET {c}/{id}/dependents":   (*siege).onDependents,
		"POST {c}/{id}/assign-team": (*siege).onAssign,
		"POST /api/v1/auth/token":   (*siege).onToken,
		"POST /events/sequence":     (*siege).onSequence,
		"GET {c}/{id}/similar":      (*siege).onSimilar,
		"GET /api/v1/search":        (*siege).onSearch,
		"POST /api/v1/similar":      (*siege).onLikeness,
		"POST /generate-embedding":  (*siege).onEmbedding,
		"POST /events/embed":        pushedTo("/events/embed"),
		"GET /api/v1/changes":       (*siege).onChanges,

		"POST /api/v1/simulation/team":      (*siege).onTeamTrial,
		"POST /api/v1/simulation/skill-gap": (*siege).onSkillGap,
		"POST /api/v1/simulation/run":       (*siege).onSimulation,

		"POST {c}/{id}/certify":                 (*siege).onCertify,
		"GET {c}/{id}/certification":            (*siege).onCertification,
		"GET {c}/{id}/manufacture":              (*siege).onManufacture,
		"POST /api/v1/certify/batch":            (*siege).onCertifyAll,
		"GET /api/v1/certify/queue":             onDocument("/api/v1/certify/queue"),
		"GET /api/v1/certify/refusals":          onDocument("/api/v1/certify/refusals?limit=1&cursor=x"), // what one asked for oneself: TestRefusals
		"GET /api/v1/certify/checklist":         onDocument("/api/v1/certify/checklist"),
		"POST /api/v1/constitution/replay":      onReplay,
		"GET /api/v1/constitution":              onDocument("/api/v1/constitution"),
		"GET " + proposals:                      onDocument(proposals),
		"POST " + proposals:                     onProposing,
		"GET " + proposals + "/{id}":            onProposal("GET", "", ""),
		"POST " + proposals + "/{id}/decisions": onProposal("POST", "/decisions", `{"gate":"guardian","verdict":"reject","reasons":["x"]}`),
		"POST " + proposals + "/{id}/enact":     onProposal("POST", "/enact", `{}`),
		"POST " + proposals + "/{id}/rollback":  onProposal("POST", "/rollback", `{"reasons":["x"]}`),
		"POST /events/certify":                  pushedTo("/events/certify"),
		"POST /events/manufacture":              pushedTo("/events/manufacture"),
		"GET /log/checkpoint":                   onDocument("/log/checkpoint"),
		"GET /log/tile/{path...}":               onDocument("/log/tile/0/000"),
		"GET /log/proof/{hash}":                 (*siege).onProof,
		"GET /api/v1/openapi.yaml":              onDocument("/api/v1/openapi.yaml"),
		"GET /problems":                         onDocument("/problems"),
		"GET /problems/{code}":                  onDocument("/problems/not_found"),
		"POST /api/v1/audit/run":                (*siege).onAudit,
		"GET /api/v1/audit/runs/{id}":           onRun,
		"GET /api/v1/audit/tampering/{id}":      (*siege).onTampering,
		"POST /events/audit":                    onAuditEvent,
		"POST /events/budget":                   pushedTo("/events/budget"),
		"POST /api/v1/drift/run":                (*siege).onDrift,
		"GET /api/v1/drift/reports":             onDocument("/api/v1/drift/reports"),
		"GET /api/v1/drift/reports/{id}":        onDriftReport,
		"POST /events/drift":                    pushedTo("/events/drift"),
		"GET /api/v1/audit/export":              (*siege).onExport,
		"POST /api/v1/audit/exports":            (*siege).onExportOrder,
		"GET /api/v1/audit/exports/{id}":        onExported(""),
		"GET /api/v1/audit/exports/{id}/bundle": onExported("/bundle"),
	}
}

// eachID aims at every kind's id under a collection: also where a skill's id
// stands in an agent's place.
func eachID(collection string, aims func(at func(victim) string, of string) []aim) (all []aim) {
	for _, kind := range everyCollection() {
		all = append(all, aims(func(v victim) string { return collection + "/" + v.ids[kind] }, kind)...)
	}
	return all
}

// both makes a write for real and as a question.
func both(make aim) []aim {
	return []aim{make, func(v victim) call {
		c := make(v)
		join := "?"
		if strings.Contains(c.path, "?") {
			join = "&"
		}
		c.path += join + "validate_only=true"
		return c
	}}
}

// fields are where a body of a kind can name something of another's.
func fields(collection string) map[string]string { // the field's JSON by the collection it names
	one := map[string]map[string]string{
		skills:     {},
		industries: {},
		jobRoles:   {skills: `"required_skills":[%q]`, industries: `"industry_id":%q`},
		agents:     {skills: `"skill_id":%q`, jobRoles: `"job_role_id":%q`, industries: `"industry_id":%q`, teams: `"team_id":%q`},
		teams:      {jobRoles: `"job_role_id":%q`, agents: `"agents":[%q]`},
	}[collection]
	one[collection] = `"parent_id":%q`
	return one
}

// body is what the attacker would send for itself, with one field replaced.
func (w *siege) body(collection, named, id string) string {
	parts := []string{fmt.Sprintf(`"name":"mine %s"`, named)}
	if collection == skills {
		parts = append(parts, `"description":"x","category":"technical"`)
	}
	if collection == jobRoles {
		parts = append(parts, `"seniority_level":"mid"`)
	}
	for other, field := range fields(collection) {
		switch {
		case other == named:
			parts = append(parts, fmt.Sprintf(field, id))
		case other != collection && other != teams && other != agents:
			parts = append(parts, fmt.Sprintf(field, w.own.ids[other]))
		case other == agents && collection == teams:
			parts = append(parts, `"agents":[]`)
		}
	}
	return "{" + strings.Join(slices.Sorted(slices.Values(parts)), ",") + "}"
}

// named are the attacker's bodies that name something of the victim in each
// field, with an id of every kind.
func (w *siege) named(collection string) (bodies []func(victim) string) {
	for field := range fields(collection) {
		for _, kind := range everyCollection() {
			bodies = append(bodies, func(v victim) string { return w.body(collection, field, v.ids[kind]) })
		}
	}
	return bodies
}

func (w *siege) onCreate(collection string) (aims []aim) {
	for _, body := range w.named(collection) {
		aims = append(aims, both(func(v victim) call { return call{method: "POST", path: collection, body: body(v)} })...)
	}
	// Names, external ids, tags and keys of others are free.
	if collection != teams { // a team needs an agent of its own
		aims = append(aims, both(func(v victim) call {
			external := v.external // that of another's skill
			if collection != skills {
				external += " " + collection
			}
			body := strings.Replace(w.body(collection, "", ""), `"name":"mine "`,
				fmt.Sprintf(`"external_id":%q,"name":%q,"tags":[%q]`, external, v.name, v.tag), 1)
			return call{method: "POST", path: collection, body: body, header: map[string]string{"Idempotency-Key": v.key + collection}}
		})...)
	}
	return aims
}

func (w *siege) onBatch(collection string) (aims []aim) {
	for _, body := range w.named(collection) {
		aims = append(aims, both(func(v victim) call {
			return call{method: "POST", path: collection + "/batch", body: `{"items":[` + body(v) + `,{"name":""}]}`}
		})...)
	}
	return append(aims, func(v victim) call {
		body := strings.Replace(w.body(collection, "", ""), `"name":"mine "`, fmt.Sprintf(`"external_id":"%s","name":"%s b"`, v.external, v.name), 1)
		return call{method: "POST", path: collection + "/batch?validate_only=true", body: `{"items":[` + body + `]}`, header: map[string]string{"Idempotency-Key": v.key}}
	})
}

func (w *siege) onList(collection string) (aims []aim) {
	for _, query := range []func(victim) string{
		func(v victim) string { return "external_id=" + strings.ReplaceAll(v.external, ":", "%3A") },
		func(v victim) string { return "name_prefix=" + v.name[:6] },
		func(v victim) string { return "include_archived=true&tag=" + strings.ReplaceAll(v.tag, " ", "+") },
		func(v victim) string { return "cursor=" + v.cursor },
		func(v victim) string { return "order_by=-created_at&cursor=" + v.cursor },
		func(v victim) string {
			return "order_by=name&cursor=" + base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf(`{"o":"name","k":"m","i":%q}`, v.ids[collection])))
		},
	} {
		aims = append(aims, func(v victim) call { return call{method: "GET", path: collection + "?" + query(v)} })
	}
	return aims
}

func (w *siege) onGet(collection string) []aim {
	return eachID(collection, func(at func(victim) string, kind string) (aims []aim) {
		for _, query := range []string{"", "?version=1", "?version=2", "?version=3", "?at=2999-01-31T12:00:00Z", "?at=2000-01-31T12:00:00Z"} {
			for _, method := range []string{"GET", "HEAD"} {
				aims = append(aims, func(v victim) call {
					return call{method: method, path: at(v) + query, header: map[string]string{"If-None-Match": `"` + v.etags[kind] + `"`}}
				})
			}
		}
		return aims
	})
}

// under is a change of what the victim has, under the ETag that it has.
func under(v victim, kind string) map[string]string {
	return map[string]string{"If-Match": `"` + v.etags[kind] + `"`}
}

func (w *siege) onPatch(collection string) []aim {
	aims := eachID(collection, func(at func(victim) string, kind string) (aims []aim) {
		for _, body := range []string{`{}`, `{"tags":["mine"]}`, `{"name":"mine"}`, `{"visibility":"public"}`} {
			aims = append(aims, both(func(v victim) call {
				return call{method: "PATCH", path: at(v), body: body, header: under(v, kind)}
			})...)
		}
		aims = append(aims, func(v victim) call {
			h := under(v, kind)
			h["Idempotency-Key"] = v.key
			return call{method: "PATCH", path: at(v), body: `{"governance_notes":"geheim again"}`, header: h}
		})
		return aims
	})
	for field, text := range fields(collection) {
		if field == agents && collection == teams {
			continue // its agents are not patched
		}
		for _, kind := range everyCollection() {
			aims = append(aims, both(func(v victim) call {
				return call{method: "PATCH", path: collection + "/" + w.own.ids[collection], body: "{" + fmt.Sprintf(text, v.ids[kind]) + "}", header: under(w.own, collection)}
			})...)
		}
	}
	return append(aims, func(v victim) call { // another's version of one's own
		return call{method: "PATCH", path: collection + "/" + w.own.ids[collection], body: `{}`, header: under(v, collection)}
	})
}

func (w *siege) onDelete(collection string) []aim {
	return eachID(collection, func(at func(victim) string, kind string) (aims []aim) {
		for _, query := range []string{"", "?reason=mine"} {
			aims = append(aims, both(func(v victim) call { return call{method: "DELETE", path: at(v) + query, header: under(v, kind)} })...)
		}
		return aims
	})
}

func (w *siege) onMove(collection string) []aim {
	aims := eachID(collection, func(at func(victim) string, kind string) (aims []aim) {
		for _, to := range domain.Statuses() {
			aims = append(aims, both(func(v victim) call {
				return call{method: "POST", path: at(v) + "/transitions", body: fmt.Sprintf(`{"to":%q,"reason":"x"}`, to), header: under(v, kind)}
			})...)
		}
		return aims
	})
	for _, kind := range everyCollection() {
		for _, to := range []domain.Status{domain.UnderReview, domain.Deprecated} {
			aims = append(aims, both(func(v victim) call {
				body := fmt.Sprintf(`{"to":%q,"reason":"x","superseded_by":%q}`, to, v.ids[kind])
				return call{method: "POST", path: collection + "/" + w.own.ids[collection] + "/transitions", body: body, header: under(w.own, collection)}
			})...)
		}
	}
	return aims
}

func (w *siege) onAmendments(collection string) []aim {
	return eachID(collection, func(at func(victim) string, kind string) []aim {
		get := func(query string) aim {
			return func(v victim) call { return call{method: "GET", path: at(v) + "/amendments" + query} }
		}
		return []aim{get(""), get("?limit=1"), func(v victim) call {
			cursor := base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf(`{"o":"seq","k":"1","i":%q}`, v.ids[kind])))
			return call{method: "GET", path: at(v) + "/amendments?cursor=" + cursor}
		}, func(v victim) call {
			cursor := base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf(`{"o":"seq","k":"1","i":%q}`, v.ids[kind])))
			return call{method: "GET", path: collection + "/" + w.own.ids[collection] + "/amendments?cursor=" + cursor}
		}}
	})
}

func (w *siege) onDiff(collection string) []aim {
	return eachID(collection, func(at func(victim) string, _ string) (aims []aim) {
		for _, query := range []string{"", "?from=1&to=2", "?from=2", "?from=1&to=99"} {
			aims = append(aims, func(v victim) call { return call{method: "GET", path: at(v) + "/diff" + query} })
		}
		return aims
	})
}

func (w *siege) onDependents(collection string) []aim {
	return eachID(collection, func(at func(victim) string, _ string) []aim {
		return []aim{func(v victim) call { return call{method: "GET", path: at(v) + "/dependents"} }}
	})
}

func (w *siege) onAssign(collection string) (aims []aim) {
	for _, kind := range everyCollection() {
		aims = append(aims, both(func(v victim) call { // one's own agent into another's team
			return call{
				method: "POST", path: collection + "/" + w.own.ids[agents] + "/assign-team",
				body: fmt.Sprintf(`{"team_id":%q}`, v.ids[kind]), header: under(w.own, agents),
			}
		})...)
		for _, team := range []func(victim) string{
			func(victim) string { return `"` + w.own.ids[teams] + `"` },
			func(v victim) string { return `"` + v.ids[teams] + `"` },
			func(victim) string { return "null" },
		} {
			aims = append(aims, both(func(v victim) call { // another's agent
				return call{
					method: "POST", path: collection + "/" + v.ids[kind] + "/assign-team",
					body: `{"team_id":` + team(v) + `}`, header: under(v, kind),
				}
			})...)
		}
	}
	return aims
}

// onToken asks for a token of another's principal: by name, and with a secret
// that nobody has.
func (w *siege) onToken(string) []aim {
	return []aim{func(v victim) call {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {v.client}, "client_secret": {strings.Repeat("s", 43)}}
		return call{
			method: "POST", path: "/api/v1/auth/token", body: form.Encode(),
			header: map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Idempotency-Key": "", "Authorization": ""},
		}
	}}
}

// onSequence is for the platform's own services: no tenant's token opens it.
func (w *siege) onSequence(string) []aim {
	return []aim{func(v victim) call {
		return call{method: "POST", path: "/events/sequence", body: fmt.Sprintf(`{"id":%q}`, v.ids[skills])}
	}}
}
