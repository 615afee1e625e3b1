package main

import (
	"fmt"
	"strings"
)

// What is tried on the routes beside the collections: search, the log, documents,
// events, certification.

func (w *siege) onSimilar(collection string) []aim {
	return eachID(collection, func(at func(victim) string, _ string) []aim {
		return []aim{func(v victim) call { return call{method: "GET", path: at(v) + "/similar"} }}
	})
}

// onSearch looks for the attacked tenant's own words, by meaning and by words: what
// it owns is embedded, and is not among the hits.
func (w *siege) onSearch(string) (aims []aim) {
	for _, query := range []string{"q=geheim+name", "q=geheim+name&mode=lexical", "q=geheim+name&mode=semantic&limit=100", "q=x&limit=100&kind=skill"} {
		aims = append(aims, func(victim) call { return call{method: "GET", path: "/api/v1/search?" + query} })
	}
	return aims
}

func (w *siege) onLikeness(string) []aim {
	return []aim{func(victim) call {
		return call{method: "POST", path: "/api/v1/similar", body: `{"entity_type":"skill","name":"geheim name","description":"x"}`}
	}}
}

// onReplay asks what would break under a constitution by which everything does.
func onReplay(*siege, string) []aim {
	return []aim{func(victim) call {
		return call{method: "POST", path: "/api/v1/constitution/replay", body: fmt.Sprintf(`{"document":%s}`, breakingAll())}
	}, func(victim) call {
		return call{method: "POST", path: "/api/v1/constitution/replay?limit=1", body: `{"sha256":"` + strings.Repeat("0", 64) + `"}`}
	}}
}

// onEmbedding: the vector of a text is the same whoever owns it.
func (w *siege) onEmbedding(string) []aim {
	return []aim{func(victim) call {
		return call{method: "POST", path: "/generate-embedding", body: `{"text":"geheim name"}`}
	}}
}

// questions are simulations of what the victim has, by its ids of every kind, beside
// what the attacker has.
func (w *siege) questions(kind string) (bodies []func(victim) string) {
	forms := map[string][]string{
		"team":      {`"job_role_id":%[1]q,"agents":[%[2]q]`, `"job_role_id":%[3]q,"agents":[%[1]q]`},
		"skill_gap": {`"job_role_id":%[1]q,"agent_id":%[2]q`, `"job_role_id":%[3]q,"agent_id":%[1]q`, `"job_role_id":%[3]q,"team_id":%[1]q`, `"job_role_id":%[3]q,"skill_ids":[%[1]q]`},
	}[kind]
	for _, collection := range everyCollection() {
		for _, form := range forms {
			bodies = append(bodies, func(v victim) string {
				return fmt.Sprintf(form, v.ids[collection], w.own.ids[agents], w.own.ids[jobRoles])
			})
		}
	}
	return bodies
}

func (w *siege) onTeamTrial(string) (aims []aim) {
	for _, body := range w.questions("team") {
		aims = append(aims, func(v victim) call {
			return call{method: "POST", path: "/api/v1/simulation/team", body: "{" + body(v) + "}"}
		})
	}
	return aims
}

func (w *siege) onSkillGap(string) (aims []aim) {
	for _, body := range w.questions("skill_gap") {
		aims = append(aims, func(v victim) call {
			return call{method: "POST", path: "/api/v1/simulation/skill-gap", body: "{" + body(v) + "}"}
		})
	}
	return aims
}

func (w *siege) onSimulation(string) (aims []aim) {
	for _, kind := range []string{"team", "skill_gap"} {
		for _, body := range w.questions(kind) {
			aims = append(aims, func(v victim) call {
				return call{method: "POST", path: "/api/v1/simulation/run", body: fmt.Sprintf(`{"kind":%q,`, kind) + body(v) + "}"}
			})
		}
	}
	return aims
}

// pushedTo: events are for the platform's own services; no tenant's token opens them.
func pushedTo(path string) func(*siege, string) []aim {
	return func(*siege, string) []aim {
		return []aim{func(v victim) call {
			return call{method: "POST", path: path, body: fmt.Sprintf(`{"id":%q}`, v.ids[skills])}
		}}
	}
}

func (w *siege) onCertify(collection string) []aim {
	return eachID(collection, func(at func(victim) string, _ string) (aims []aim) {
		for _, body := range []string{`{"decision":"certify"}`, `{"decision":"reject","reasons":["x"]}`, `{"decision":"revoke","reasons":["x"]}`} {
			aims = append(aims, both(func(v victim) call { return call{method: "POST", path: at(v) + "/certify", body: body} })...)
		}
		return aims
	})
}

func (w *siege) onCertification(collection string) []aim {
	return eachID(collection, func(at func(victim) string, _ string) []aim {
		return []aim{func(v victim) call { return call{method: "GET", path: at(v) + "/certification"} }}
	})
}

func (w *siege) onManufacture(collection string) []aim {
	return eachID(collection, func(at func(victim) string, _ string) []aim {
		return []aim{func(v victim) call { return call{method: "GET", path: at(v) + "/manufacture"} }}
	})
}

func (w *siege) onCertifyAll(string) (aims []aim) {
	for _, kind := range everyCollection() {
		aims = append(aims, both(func(v victim) call {
			return call{method: "POST", path: "/api/v1/certify/batch", body: fmt.Sprintf(`{"items":[{"id":%q,"decision":"certify"}]}`, v.ids[kind])}
		})...)
	}
	return aims
}

// onDocument is what anybody may read.
func onDocument(path string) func(*siege, string) []aim {
	return func(*siege, string) []aim {
		return []aim{func(victim) call { return call{method: "GET", path: path} }}
	}
}

// onChanges reads the feed from its beginning: all of the attacked tenant's changes
// are in the log.
func (w *siege) onChanges(string) []aim {
	return []aim{func(victim) call { return call{method: "GET", path: "/api/v1/changes?limit=100"} }}
}

// onProof: the log is public, and shows hashes alone. That a record exists is told to
// whoever knows its hash.
func (w *siege) onProof(string) []aim {
	return onDocument("/log/proof/"+strings.Repeat("0", 64))(w, "")
}
