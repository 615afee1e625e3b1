package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

// refusal is a row: a request, and what it is answered with. Rule and field are
// of the one violation, where there is one.
type refusal struct {
	call
	status      int
	code        string
	rule, field string
}

// with is a skill with one more member, or another value of one.
func with(member string) string {
	return strings.Replace(`{"name":"Bad","description":"x","category":"technical"}`, "{", "{"+member+",", 1)
}

// instead is a skill with another value for one of its three fields.
func instead(field, value string) string {
	fields := map[string]string{"name": `"Bad"`, "description": `"x"`, "category": `"technical"`, field: value}
	return `{"name":` + fields["name"] + `,"description":` + fields["description"] + `,"category":` + fields["category"] + `}`
}

func quote(s string) string { return `"` + s + `"` }

// badBodies: what a create refuses because of what it says.
func badBodies() map[string]refusal {
	body := func(body string, status int, rule, field string) refusal {
		code := map[int]string{400: "malformed", 422: "rule_violated", 409: "duplicate", 413: "too_large"}[status]
		return refusal{call{body: body}, status, code, rule, field}
	}
	attributes := func(value string) string { return with(`"custom_attributes":` + value) }
	var tags string
	for i := range 65 {
		tags += quote(strings.Repeat("t", i+1)) + ","
	}
	rows := map[string]refusal{
		"empty":                  body(``, 400, "body.syntax", ""),
		"malformed":              body(`{"name":}`, 400, "body.syntax", "/name"),
		"cut off":                body(`{"name":"a"`, 400, "body.syntax", ""),
		"trailing data":          body(plain("Bad")+`{}`, 400, "body.syntax", ""),
		"trailing brace":         body(plain("Bad")+`}`, 400, "body.syntax", ""),
		"duplicate key":          body(with(`"name":"Bad"`), 400, "body.duplicate_key", "/name"),
		"duplicate, escaped":     body(with(`"n\u0061me":"Bad"`), 400, "body.duplicate_key", "/name"),
		"duplicate inside":       body(attributes(`{"a":{"b":1,"b":1}}`), 400, "body.duplicate_key", "/custom_attributes/a/b"),
		"unknown key":            body(with(`"colour":"red"`), 400, "body.unknown_field", "/colour"),
		"wrong case":             body(with(`"Name":"Bad"`), 400, "body.unknown_field", "/Name"),
		"null":                   body(`null`, 400, "body.object", ""),
		"array":                  body(`[`+plain("Bad")+`]`, 400, "body.object", ""),
		"string":                 body(`"Bad"`, 400, "body.object", ""),
		"name null":              body(instead("name", `null`), 422, "L1-SKILL-01", "/name"),
		"description null":       body(instead("description", `null`), 422, "L1-SKILL-02", "/description"),
		"category null":          body(instead("category", `null`), 422, "L1-SKILL-03", "/category"),
		"name a number":          body(instead("name", `7`), 400, "body.type", "/name"),
		"tags a string":          body(with(`"tags":"x"`), 400, "body.type", "/tags"),
		"NUL":                    body(instead("name", `"a\u0000b"`), 400, "body.nul", "/name"),
		"NUL in attributes":      body(attributes(`{"a":"\u0000"}`), 400, "body.nul", "/custom_attributes/a"),
		"raw NUL":                body(instead("name", "\"a\x00b\""), 400, "body.syntax", "/name"),
		"lone high surrogate":    body(instead("name", `"\ud800"`), 400, "body.surrogate", "/name"),
		"lone low surrogate":     body(instead("name", `"\udc00"`), 400, "body.surrogate", "/name"),
		"invalid UTF-8":          body(instead("name", "\"\xff\""), 400, "body.utf8", "/name"),
		"depth 33":               body(attributes(strings.Repeat(`{"a":`, 32)+`1`+strings.Repeat(`}`, 32)), 400, "body.depth", "/custom_attributes"+strings.Repeat("/a", 31)),
		"300 KiB":                body(instead("description", quote(strings.Repeat("x", 300<<10))), 413, "", ""),
		"unknown category":       body(instead("category", `"magic"`), 422, "L1-SKILL-03", "/category"),
		"category in upper case": body(instead("category", `"Technical"`), 422, "L1-SKILL-03", "/category"),
		"name empty":             body(instead("name", `""`), 422, "L1-SKILL-01", "/name"),
		"name blank":             body(instead("name", `" \t\u00a0\u2003"`), 422, "L1-SKILL-01", "/name"),
		"name too long":          body(instead("name", quote(strings.Repeat("é", 10_000))), 422, "FORM-LIMIT", "/name"),
		"name 201":               body(instead("name", quote(strings.Repeat("é", 201))), 422, "FORM-LIMIT", "/name"),
		"description empty":      body(instead("description", `""`), 422, "L1-SKILL-02", "/description"),
		"description too long":   body(instead("description", quote(strings.Repeat("é", 8001))), 422, "FORM-LIMIT", "/description"),
		"65 tags":                body(with(`"tags":[`+strings.TrimSuffix(tags, ",")+`]`), 422, "FORM-LIMIT", "/tags"),
		"tag empty":              body(with(`"tags":["a",""]`), 422, "FORM-TAGS", "/tags/0"), // sorted
		"tag too long":           body(with(`"tags":["`+strings.Repeat("x", 101)+`"]`), 422, "FORM-LIMIT", "/tags/0"),
		"notes too long":         body(with(`"governance_notes":"`+strings.Repeat("x", 8001)+`"`), 422, "FORM-LIMIT", "/governance_notes"),
		"external id too long":   body(with(`"external_id":"`+strings.Repeat("x", 201)+`"`), 422, "FORM-LIMIT", "/external_id"),
		"attributes an array":    body(attributes(`[1]`), 422, "FORM-ATTRIBUTES", "/custom_attributes"),
		"attributes a number":    body(attributes(`1`), 422, "FORM-ATTRIBUTES", "/custom_attributes"),
		"null in attributes":     body(attributes(`{"a":[{"b":null}]}`), 422, "FORM-ATTRIBUTES", "/custom_attributes/a/0/b"),
		"attributes too large":   body(attributes(`{"a":"`+strings.Repeat("x", 16<<10)+`"}`), 422, "FORM-LIMIT", "/custom_attributes"),
		"visibility unknown":     body(with(`"visibility":"secret"`), 422, "FORM-VISIBILITY", "/visibility"),
		"parent no UUIDv7":       body(with(`"parent_id":"6a3f8f5e-3f0c-4a57-9a53-0d7b3a1f6c22"`), 422, "FORM-ID", "/parent_id"),
		"parent no UUID":         body(with(`"parent_id":"'; DROP TABLE skill; --"`), 422, "FORM-ID", "/parent_id"),
		"parent unknown":         body(with(`"parent_id":"01890000-0000-7000-8000-000000000000"`), 422, "FORM-PARENT", "/parent_id"),
		"name taken":             body(plain("Taken"), 409, "FORM-UNIQUE-NAME", "/name"),
		"name in another case":   body(plain("tAKEN"), 409, "FORM-UNIQUE-NAME", "/name"),
		"name with white space":  body(instead("name", `" Taken\t"`), 409, "FORM-UNIQUE-NAME", "/name"),
		"name composed":          body(instead("name", `"caf\u00e9"`), 409, "FORM-UNIQUE-NAME", "/name"),
		"name, both":             body(instead("name", `"CAF\u00c9"`), 409, "FORM-UNIQUE-NAME", "/name"),
		"name folded":            body(instead("name", `"STRASSE"`), 409, "FORM-UNIQUE-NAME", "/name"),
		"external id taken":      body(with(`"external_id":"e-1"`), 409, "FORM-EXTERNAL-ID", "/external_id"),
	}
	for _, number := range []string{"9007199254740993", "-9007199254740992", "1e400", "1e-400", "-0", "-0.0", "1e16", "1E+21", "0.1234567890123456"} {
		rows["number "+number] = body(attributes(`{"n":`+number+`}`), 400, "body.number", "/custom_attributes/n")
	}
	for _, field := range []string{
		"id", "entity_type", "status", "status_reason", "version", "version_hash", "created_at", "updated_at", "deleted_at",
		"governance_agent_id", "genesis_certification", "embedding", "embedding_384", "amendment_alignment", "drift_detector",
		"superseded_by", "erased_seqs", "reattests", "amendment_history", "hash_chain_sha256", "l0_compliance_status",
		"constitution_hash", "tamper_proof", "append_only", "child_ids", "evolution_markers",
	} {
		rows["not to be set: "+field] = body(with(`"`+field+`":null`), 400, "body.unknown_field", "/"+field)
	}
	return rows
}

// badRequests: what is refused for how it is asked.
func badRequests() map[string]refusal {
	header := func(name, value string) call {
		return call{body: plain("Bad"), header: map[string]string{name: value}}
	}
	list := func(query string) refusal {
		return refusal{call: call{method: "GET", path: skills + "?" + query}, status: 400, code: "malformed"}
	}
	batch := func(body string, status int, code string) refusal {
		return refusal{call: call{path: skills + "/batch", body: body}, status: status, code: code}
	}
	absent := func(id string) refusal {
		return refusal{call: call{method: "GET", path: skills + "/" + id}, status: 404, code: "not_found"}
	}
	id := uuid.Must(uuid.NewV7()).String()
	return map[string]refusal{
		"no content type":         {header("Content-Type", ""), 415, "unsupported_media_type", "", ""},
		"text":                    {header("Content-Type", "text/plain"), 415, "unsupported_media_type", "", ""},
		"form":                    {header("Content-Type", "application/x-www-form-urlencoded"), 415, "unsupported_media_type", "", ""},
		"merge patch":             {header("Content-Type", "application/merge-patch+json"), 415, "unsupported_media_type", "", ""},
		"latin1":                  {header("Content-Type", "application/json; charset=latin1"), 415, "unsupported_media_type", "", ""},
		"compressed":              {header("Content-Encoding", "gzip"), 415, "unsupported_media_type", "", ""},
		"no idempotency key":      {header("Idempotency-Key", ""), 400, "idempotency_key_missing", "", ""},
		"256 characters":          {header("Idempotency-Key", strings.Repeat("k", 256)), 400, "malformed", "", ""},
		"key not ASCII":           {header("Idempotency-Key", "schlüssel"), 400, "malformed", "", ""},
		"headers too large":       {header("X-Padding", strings.Repeat("x", 33<<10)), 431, "headers_too_large", "", ""},
		"validate_only maybe":     {call{path: skills + "?validate_only=maybe", body: plain("Bad")}, 400, "malformed", "", ""},
		"unknown parameter":       {call{path: skills + "?verbose=1", body: plain("Bad")}, 400, "malformed", "", ""},
		"batch without items":     batch(`{}`, 400, "malformed"),
		"batch of none":           batch(`{"items":[]}`, 400, "malformed"),
		"batch of null":           batch(`{"items":null}`, 400, "malformed"),
		"batch of 501":            batch(`{"items":[`+strings.TrimSuffix(strings.Repeat(`{},`, 501), ",")+`]}`, 400, "malformed"),
		"batch, unknown":          batch(`{"items":[{}],"more":1}`, 400, "malformed"),
		"batch, items an object":  batch(`{"items":{}}`, 400, "malformed"),
		"batch over 4 MiB":        batch(`{"items":["`+strings.Repeat("x", 4<<20)+`"]}`, 413, "too_large"),
		"list, unknown parameter": list("colour=red"),
		"list, wrong case":        list("Limit=1"),
		"list, twice":             list("limit=1&limit=2"),
		"list, malformed":         list("limit=%zz"),
		"list, not UTF-8":         list("tag=%ff"),
		"list, NUL":               list("tag=%00"),
		"limit 0":                 list("limit=0"),
		"limit 101":               list("limit=101"),
		"limit abc":               list("limit=abc"),
		"limit -1":                list("limit=-1"),
		"limit 007":               list("limit=007"),
		"cursor garbage":          list("cursor=garbage"),
		"cursor not base64":       list("cursor=%21%21"),
		"cursor of no list":       list("cursor=e30"),
		"order_by":                list("order_by=colour"),
		"order_by injected":       list("order_by=name%3B+DROP+TABLE+skill"),
		"status":                  list("status=sleeping"),
		"category":                list("category=magic"),
		"alignment":               list("amendment_alignment=fine"),
		"updated_since":           list("updated_since=yesterday"),
		"include_archived":        list("include_archived=yes"),
		"read, parameter":         {call{method: "GET", path: skills + "/" + id + "?since=1"}, 400, "malformed", "", ""},
		"read, version 0":         {call{method: "GET", path: skills + "/" + id + "?version=0"}, 400, "malformed", "", ""},
		"read, version 05":        {call{method: "GET", path: skills + "/" + id + "?version=05"}, 400, "malformed", "", ""},
		"read, version +5":        {call{method: "GET", path: skills + "/" + id + "?version=%2B5"}, 400, "malformed", "", ""},
		"read, no moment":         {call{method: "GET", path: skills + "/" + id + "?at=yesterday"}, 400, "malformed", "", ""},
		"unknown path":            {call{method: "GET", path: "/api/v1/nothing"}, 404, "not_found", "", ""},
		"root":                    {call{method: "GET", path: "/"}, 404, "not_found", "", ""},
		"another function's path": {call{path: "/events/sequence"}, 404, "not_found", "", ""},
		"trailing slash":          {call{method: "GET", path: skills + "/"}, 404, "not_found", "", ""},
		"path not clean":          {call{method: "GET", path: "/api/v1//genesis/skills"}, 404, "not_found", "", ""},
		"path with dots":          {call{method: "GET", path: "/api/v1/genesis/../genesis/skills"}, 404, "not_found", "", ""},
		"absent":                  absent(id),
		"absent, its chain":       absent(id + "/amendments"),
		"id in upper case":        absent(strings.ToUpper("019c1b2e-8a3f-7c41-9d2e-5b6f7a8c9d0e")),
		"UUIDv4":                  absent("6a3f8f5e-3f0c-4a57-9a53-0d7b3a1f6c22"),
		"no UUID":                 absent("welding"),
		"no UUID, its chain":      absent("welding/amendments"),
		"method DELETE":           {call{method: "DELETE", path: skills}, 405, "method_not_allowed", "", ""},
		"method PUT":              {call{method: "PUT", path: skills + "/" + id}, 405, "method_not_allowed", "", ""},
		"method PUT on batch":     {call{method: "PUT", path: skills + "/batch"}, 405, "method_not_allowed", "", ""},
		"method POST on ready":    {call{path: "/ready"}, 405, "method_not_allowed", "", ""},
		"OPTIONS, nobody's":       {call{method: "OPTIONS", path: skills}, 405, "method_not_allowed", "", ""},
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, token := k.author(t, "acme")
	for _, body := range []string{plain("Taken"), instead("name", `"cafe\u0301"`), instead("name", `"Straße"`), strings.Replace(everything, "onet:2.B.1.d", "e-1", 1)} {
		s.create(t, token, body)
	}
	before := k.skillsWritten(t)
	t.Run("rows", func(t *testing.T) {
		for _, rows := range []map[string]refusal{badBodies(), badRequests()} {
			for name, row := range rows {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					row.refuses(t, s, token)
				})
			}
		}
	})
	require.Equal(t, before, k.skillsWritten(t), "what is refused leaves nothing behind")
	require.Len(t, k.messages(), 4)
}

func (row refusal) refuses(t *testing.T, s *server, token string) {
	t.Helper()
	row.token = token
	if row.method == "" {
		row.method = http.MethodPost
	}
	if row.path == "" {
		row.path = skills
	}
	a := s.do(t, row.call)
	require.Equal(t, row.status, a.status, "%s", a.body)
	p := a.problem(t)
	require.Equal(t, row.code, p.Code, p.Detail)
	require.Equal(t, row.status == http.StatusMethodNotAllowed, a.header.Get("Allow") != "")
	require.Equal(t, row.status == http.StatusUnsupportedMediaType, a.header.Get("Accept") == "application/json")
	if row.rule == "" {
		return
	}
	require.Contains(t, placed(p.Violations), [2]string{row.rule, row.field})
	if row.status != http.StatusUnprocessableEntity {
		require.Len(t, p.Violations, 1)
	}
}

func placed(violations []domain.Violation) (places [][2]string) {
	for _, v := range violations {
		places = append(places, [2]string{v.Rule, v.Field})
	}
	return places
}

// TestEveryRuleAtOnce: a caller hears of everything that is wrong, not of the
// first thing.
func TestEveryRuleAtOnce(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, token := k.author(t, "acme")
	a := s.post(t, token, skills, `{"name":" ","category":"magic","visibility":"x","tags":[""],"custom_attributes":[],"parent_id":"x"}`)
	require.Equal(t, 422, a.status)
	require.ElementsMatch(t, [][2]string{
		{"L1-SKILL-01", "/name"},
		{"L1-SKILL-02", "/description"},
		{"L1-SKILL-03", "/category"},
		{"FORM-VISIBILITY", "/visibility"},
		{"FORM-TAGS", "/tags/0"},
		{"FORM-ATTRIBUTES", "/custom_attributes"},
		{"FORM-ID", "/parent_id"},
	}, placed(a.problem(t).Violations))
}

// TestEdgesAreTaken: the last that is still allowed.
func TestEdgesAreTaken(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, token := k.author(t, "acme")
	var tags []string
	for i := range 64 {
		tags = append(tags, quote(strings.Repeat("t", i+1)))
	}
	for _, body := range []string{
		instead("name", quote(strings.Repeat("é", 200))),
		instead("description", quote(strings.Repeat("é", 8000))),
		strings.Replace(with(`"tags":[`+strings.Join(tags, ",")+`]`), "Bad", "64 tags", 1),
		strings.Replace(with(`"custom_attributes":{"a":"`+strings.Repeat("x", 16<<10-8)+`"}`), "Bad", "16 KiB", 1),
		strings.Replace(with(`"custom_attributes":`+strings.Repeat(`{"a":`, 31)+`1`+strings.Repeat(`}`, 31)), "Bad", "Deep", 1),
		strings.Replace(with(`"custom_attributes":{"n":[9007199254740991,-9007199254740991,0.1,1e-300,1E15,123456789012345e0,0]}`), "Bad", "Numbers", 1),
		strings.Replace(with(`"external_id":null,"visibility":null,"tags":null,"custom_attributes":null,"governance_notes":null,"parent_id":null`), "Bad", "Nulls", 1),
		strings.Replace(with(`"external_id":"","visibility":"","tags":[],"custom_attributes":{},"governance_notes":"","parent_id":""`), "Bad", "Empties", 1),
		instead("name", `"\ud83d\ude00 \u202e \\u0000"`),
	} {
		made := s.create(t, token, body)
		require.True(t, made.TamperProof, body)
	}
	a := s.do(t, call{
		method: "POST", path: skills, token: token, body: plain("Longest key"),
		header: map[string]string{"Idempotency-Key": strings.Repeat("k", 255), "Content-Type": "application/json; charset=UTF-8"},
	})
	require.Equal(t, 201, a.status)
}
