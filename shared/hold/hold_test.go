package hold_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/hold"
	"github.com/dlai-sd/plant/shared/store"
)

// The example of Google's documentation.
const example = `{"budgetDisplayName":"name-of-budget","alertThresholdExceeded":1.0,"costAmount":100.01,"costIntervalStart":"2019-01-01T00:00:00Z",` +
	`"budgetAmount":100.00,"budgetAmountType":"SPECIFIED_AMOUNT","currencyCode":"USD"}`

func attributes() map[string]string {
	return map[string]string{"billingAccountId": "01D4EE-079462-DFD6EC", "budgetId": "de72f49d-779b-4945-a127-4d6ce8def0bb", "schemaVersion": "1.0"}
}

func TestParse(t *testing.T) {
	t.Parallel()
	n, err := hold.Parse(event.Message{Data: []byte(example), Attributes: attributes()})
	require.NoError(t, err)
	begun := time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC)
	require.Equal(t, hold.Notice{Overrun: store.Overrun{
		BudgetID: "de72f49d-779b-4945-a127-4d6ce8def0bb", Period: begun, Cost: 100.01, Budget: 100, Currency: "USD",
	}}, n)
	require.Equal(t, "Of the month's budget of 100.00 USD since 2019-01-01, 100.01 USD are spent.", n.Reason())
	require.True(t, n.Over(1))
	require.False(t, n.Over(1.5))
	require.False(t, n.Past(begun.AddDate(0, 1, 0).Add(-1)))
	require.True(t, n.Past(begun.AddDate(0, 1, 0)))
	zoned, err := hold.Parse(event.Message{Data: []byte(strings.Replace(example, "T00:00:00Z", "T08:00:00+08:00", 1)), Attributes: attributes()})
	require.NoError(t, err)
	require.Equal(t, n, zoned, "the same moment")
	below, err := hold.Parse(event.Message{
		Data: []byte(`{"costAmount":0,"costIntervalStart":"2019-01-01T00:00:00Z","budgetAmount":1,"currencyCode":"EUR"}`), Attributes: attributes(),
	})
	require.NoError(t, err, "without a threshold, and free of cost")
	require.False(t, below.Over(1))
	below.Cost = 1
	require.True(t, below.Over(1), "all of it")
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ replace, with, reason string }{
		"no cost":               {`"costAmount":100.01,`, ``, "costAmount"},
		"too large a credit":    {`100.01`, `-1e13`, "costAmount"},
		"too large a budget":    {`100.00`, `1e13`, "budgetAmount"},
		"an early period":       {`2019`, `1999`, "costIntervalStart"},
		"a year of five digits": {`2019`, `12019`, "not JSON of this schema"},
		"no threshold":          {`1.0`, `0`, "alertThresholdExceeded"},
		"too large a threshold": {`1.0`, `1e13`, "alertThresholdExceeded"},
		"a text as cost":        {`100.01`, `"100.01"`, "not JSON of this schema"},
		"a cost without bound":  {`100.01`, `1e13`, "costAmount"},
		"beyond all numbers":    {`100.01`, `1e999`, "not JSON of this schema"},
		"no budget":             {`"budgetAmount":100.00,`, ``, "budgetAmount"},
		"a budget of nothing":   {`100.00`, `0`, "budgetAmount"},
		"no period":             {`"costIntervalStart":"2019-01-01T00:00:00Z",`, ``, "costIntervalStart"},
		"a day":                 {`2019-01-01T00:00:00Z`, `2019-01-01`, "not JSON of this schema"},
		"a threshold below 0":   {`1.0`, `-1`, "alertThresholdExceeded"},
		"no currency":           {`,"currencyCode":"USD"`, ``, "currencyCode"},
		"a long currency":       {`"USD"`, `"dollars"`, "currencyCode"},
		"twice":                 {`"currencyCode"`, `"costAmount":1,"currencyCode"`, "not JSON of this schema"},
		"more than JSON":        {`"USD"}`, `"USD"} {}`, "not JSON of this schema"},
		"too much":              {`name-of-budget`, strings.Repeat("x", 8<<10), "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, example, c.replace)
			_, err := hold.Parse(event.Message{Data: []byte(strings.Replace(example, c.replace, c.with, 1)), Attributes: attributes()})
			require.ErrorContains(t, err, c.reason)
			require.True(t, event.IsPermanent(err))
		})
	}
	for name, values := range map[string][]string{
		"schemaVersion": {"", "2.0"}, "budgetId": {"", "a b", strings.Repeat("x", 65)}, "billingAccountId": {"", "/"},
	} {
		for _, value := range values {
			a := attributes()
			a[name] = value
			if value == "" {
				maps.DeleteFunc(a, func(k, _ string) bool { return k == name })
			}
			_, err := hold.Parse(event.Message{Data: []byte(example), Attributes: a})
			require.ErrorContains(t, err, name)
			require.True(t, event.IsPermanent(err))
		}
	}
}

// FuzzParse: whatever comes, it is refused for good or is within bounds.
func FuzzParse(f *testing.F) {
	f.Add([]byte(example), "1.0", "b")
	f.Add([]byte(`{}`), "", "")
	f.Fuzz(func(t *testing.T, data []byte, version, id string) {
		a := attributes()
		a["schemaVersion"], a["budgetId"] = version, id
		n, err := hold.Parse(event.Message{Data: data, Attributes: a})
		if err != nil {
			require.True(t, event.IsPermanent(err))
			return
		}
		require.Less(t, len(n.Reason()), 500)
		require.NotContains(t, n.Reason(), "\n")
		require.Positive(t, n.Budget)
		require.Len(t, n.Currency, 3)
	})
}
