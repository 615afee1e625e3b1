package web_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/web"
)

// TestCut: a page holds what it may, and says where the next one begins only where
// something is left for it.
func TestCut(t *testing.T) {
	t.Parallel()
	at := func(n int) web.Cursor { return web.Cursor{Order: "n", Key: strconv.Itoa(n), ID: "x"} }
	for _, rows := range [][]int{nil, {1}, {1, 2}} {
		kept, next := web.Cut(web.Page{Limit: 2}, rows, at)
		require.Equal(t, rows, kept)
		require.Nil(t, next)
	}
	kept, next := web.Cut(web.Page{Limit: 2}, []int{1, 2, 3}, at)
	require.Equal(t, []int{1, 2}, kept)
	require.Equal(t, &web.Cursor{Order: "n", Key: "2", ID: "x"}, next, "the last that is kept, not the first that is not")
}

// TestAfterID: what is no id never reaches the database.
func TestAfterID(t *testing.T) {
	t.Parallel()
	const id = "019c1b2e-8a3f-7c41-9d2e-5b6f7a8c9d0e"
	first, err := web.Page{Limit: 1}.AfterID()
	require.NoError(t, err)
	require.Empty(t, first)
	behind, err := web.Page{Limit: 1, After: &web.Cursor{Order: "n", ID: id}}.AfterID()
	require.NoError(t, err)
	require.Equal(t, domain.ID(id), behind)
	for _, wrong := range []string{"7", "", "019C1B2E-8A3F-7C41-9D2E-5B6F7A8C9D0E", id + " "} {
		_, err := web.Page{Limit: 1, After: &web.Cursor{Order: "n", ID: wrong}}.AfterID()
		var p *web.Problem
		require.ErrorAs(t, err, &p, wrong)
		require.Equal(t, domain.CodeMalformed, p.Code)
	}
}

// TestParseNumber: each number is written in one way.
func TestParseNumber(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"0": 0, "1": 1, "10": 10, "9223372036854775807": 1<<63 - 1} {
		n, ok := web.ParseNumber(text)
		require.True(t, ok, text)
		require.Equal(t, want, n)
	}
	for _, text := range []string{"", "05", "00", "+5", "-1", "-0", " 5", "5 ", "5.0", "0x5", "1_0", "٥", "9223372036854775808"} {
		_, ok := web.ParseNumber(text)
		require.False(t, ok, text)
	}
}
