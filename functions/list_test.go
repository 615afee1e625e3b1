package main

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
)

func names(items []view) (list []string) {
	for _, one := range items {
		list = append(list, one.Name)
	}
	return list
}

// walk follows Link headers from the first page to the last.
func walk(t *testing.T, s *server, token, path string) (all []view, pages int) {
	t.Helper()
	for path != "" {
		pages++
		require.Less(t, pages, 200, "a list ends")
		a := s.get(t, token, path)
		got := as[page[view]](t, a)
		all = append(all, got.Items...)
		link := a.header.Get("Link")
		require.Equal(t, got.Next != nil, link != "")
		path = ""
		if got.Next != nil {
			require.NotEmpty(t, got.Items)
			require.True(t, strings.HasSuffix(link, `>; rel="next"`), link)
			path = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
			u, err := url.Parse(path)
			require.NoError(t, err)
			require.Equal(t, *got.Next, u.Query().Get("cursor"))
		}
	}
	return all, pages
}

func TestListEveryOrder(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	who, token := k.author(t, "acme")
	_, other := k.author(t, "globex")
	s.create(t, other, plain("Hidden"))
	var items []string
	for i := range 120 { // one batch: many with one created_at, so that the id decides
		items = append(items, plain(fmt.Sprintf("%s %03d", []string{"alpha", "Beta", "ÉMILE", "émigré"}[i%4], (i*77)%120)))
	}
	made := s.post(t, token, skills+"/batch", `{"items":[`+strings.Join(items, ",")+`]}`)
	require.Equal(t, 200, made.status)
	oldest := as[page[view]](t, s.get(t, token, skills+"?limit=1")).Items[0]
	_, err := k.Service(t, 1).Amend(t.Context(), requestOf(who), oldest.ID, ledger.Hash{}, domain.MoveTo{To: domain.UnderReview})
	require.NoError(t, err)

	byTime := func(at func(view) string) func(a, b view) int {
		return func(a, b view) int {
			return cmp.Or(strings.Compare(at(a), at(b)), strings.Compare(string(a.ID), string(b.ID)))
		}
	}
	orders := map[string]func(a, b view) int{
		"":           byTime(func(v view) string { return v.CreatedAt }),
		"created_at": byTime(func(v view) string { return v.CreatedAt }),
		"updated_at": byTime(func(v view) string { return v.UpdatedAt }),
		"name":       byTime(func(v view) string { return domain.NameKey(v.Name) }),
	}
	for order, compare := range orders {
		for _, sign := range []string{"", "-"} {
			for _, limit := range []int{7, 50, 100} {
				if sign == "-" && order == "" || limit == 7 && order != "name" && order != "updated_at" {
					continue
				}
				query := fmt.Sprintf("?limit=%d", limit)
				if order != "" {
					query += "&order_by=" + sign + order
				}
				all, pages := walk(t, s, token, skills+query)
				require.Len(t, all, 120, query)
				require.Equal(t, (120+limit-1)/limit, pages, query)
				want := slices.Clone(all)
				slices.SortFunc(want, compare)
				if sign == "-" {
					slices.Reverse(want)
				}
				require.Equal(t, names(want), names(all), query)
				ids := map[domain.ID]bool{}
				for _, one := range all {
					require.False(t, ids[one.ID], "twice")
					ids[one.ID] = true
				}
			}
		}
	}
	require.Len(t, as[page[view]](t, s.get(t, token, skills)).Items, 50, "the usual limit")
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	who, token := k.author(t, "acme")
	of := func(name, category, more string) view {
		return s.create(t, token, fmt.Sprintf(`{"name":%q,"description":"x","category":%q%s}`, name, category, more))
	}
	of("Welding", "technical", `,"tags":["metal","heat"],"external_id":"w-1"`)
	of("Weaving", "domain_expertise", `,"tags":["cloth"]`)
	of("Écriture", "soft_skill", `,"tags":["cloth","paper"],"visibility":"public"`)
	moved := of("Surveying", "technical", "")
	gone := of("Gone", "technical", `,"tags":["metal"]`)
	service := k.Service(t, 2)
	w, err := service.Amend(t.Context(), requestOf(who), moved.ID, ledger.Hash{}, domain.MoveTo{To: domain.UnderReview})
	require.NoError(t, err)
	_, err = service.Amend(t.Context(), requestOf(who), gone.ID, ledger.Hash{}, domain.MoveTo{To: domain.Archived, At: domain.Time(time.Now())})
	require.NoError(t, err)

	since := url.QueryEscape(w.Entity.Head.UpdatedAt.Format(time.RFC3339Nano))
	for query, want := range map[string][]string{
		"":                                      {"Welding", "Weaving", "Écriture", "Surveying"},
		"status=draft":                          {"Welding", "Weaving", "Écriture"},
		"status=under_review":                   {"Surveying"},
		"status=archived":                       nil,
		"status=archived&include_archived=true": {"Gone"},
		"include_archived=true":                 {"Welding", "Weaving", "Écriture", "Surveying", "Gone"},
		"include_archived=false":                {"Welding", "Weaving", "Écriture", "Surveying"},
		"category=technical":                    {"Welding", "Surveying"},
		"category=soft_skill":                   {"Écriture"},
		"category=certification":                nil,
		"tag=metal":                             {"Welding"},
		"tag=cloth":                             {"Weaving", "Écriture"},
		"tag=Cloth":                             nil,
		"tag=metal&include_archived=true":       {"Welding", "Gone"},
		"name_prefix=we":                        {"Welding", "Weaving"},
		"name_prefix=WEL":                       {"Welding"},
		"name_prefix=" + url.QueryEscape("e\u0301c"): {"Écriture"},
		"name_prefix=%25":                           nil,
		"name_prefix=elding":                        nil,
		"external_id=w-1":                           {"Welding"},
		"external_id=w":                             nil,
		"amendment_alignment=aligned":               {"Welding", "Weaving", "Écriture", "Surveying"},
		"amendment_alignment=drifted":               nil,
		"updated_since=" + since:                    {"Surveying"},
		"updated_since=2020-01-01T00:00:00%2B02:00": {"Welding", "Weaving", "Écriture", "Surveying"},
		"updated_since=2999-01-01T00:00:00Z":        nil,
		"category=technical&status=draft&tag=heat&name_prefix=w&external_id=w-1": {"Welding"},
	} {
		require.Equal(t, want, names(as[page[view]](t, s.get(t, token, skills+"?"+query)).Items), query)
	}

	a := s.do(t, call{method: "GET", path: skills + "/" + string(gone.ID), token: token})
	require.Equal(t, 410, a.status)
	require.Equal(t, "gone", a.problem(t).Code)
	history := as[page[proof]](t, s.get(t, token, skills+"/"+string(gone.ID)+"/amendments"))
	require.Len(t, verified(t, history.Items), 2, "its history stays readable")
	s.create(t, token, plain("gone"))
}

// TestListWhileOthersWrite: what does not change is seen exactly once, whatever
// comes in between two pages.
func TestListWhileOthersWrite(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, token := k.author(t, "acme")
	for i := range 6 {
		s.create(t, token, plain(fmt.Sprintf("m%d", i)))
	}
	for order, want := range map[string]int{"name": 6, "-name": 6, "created_at": 6, "-created_at": 6} {
		first := as[page[view]](t, s.get(t, token, skills+"?limit=3&name_prefix=m&order_by="+order))
		s.create(t, token, plain("a before "+order))
		s.create(t, token, plain("z after "+order))
		second := as[page[view]](t, s.get(t, token, skills+"?limit=3&name_prefix=m&order_by="+order+"&cursor="+*first.Next))
		seen := map[string]bool{}
		for _, name := range append(names(first.Items), names(second.Items)...) {
			seen[name] = true
		}
		require.Len(t, seen, want, order)
	}
}
