package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/hold"
	"github.com/dlai-sd/plant/shared/store"
)

// spent is what Cloud Billing says of a month.
func spent(period time.Time, cost float64) []byte {
	return fmt.Appendf(nil, `{"budgetDisplayName":"Plant","alertThresholdExceeded":0.8,"costAmount":%g,"costIntervalStart":%q,`+
		`"budgetAmount":100,"budgetAmountType":"SPECIFIED_AMOUNT","currencyCode":"USD"}`, cost, period.Format(time.RFC3339))
}

func ofBudget() map[string]string {
	return map[string]string{"billingAccountId": "01D4EE-079462-DFD6EC", "budgetId": "de72f49d-779b-4945-a127-4d6ce8def0bb", "schemaVersion": "1.0"}
}

// TestTheBudgetHolds: what is spent throws the switch once a month, however often and
// in whatever order it is said, and never again after somebody lifted it; what is no
// such message becomes a dead letter with its reason.
func TestTheBudgetHolds(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	dead := k.deadTopic(t)
	s, log := k.serveLogged(t, auditRun, map[string]string{"PUBSUB_DEAD_LETTER_TOPIC": dead})
	operator := k.openAs(t, "plant_operator")
	held := func() bool {
		_, held, err := operator.Held(t.Context())
		require.NoError(t, err)
		return held
	}
	now := time.Now().UTC()
	month := time.Date(now.Year(), now.Month(), 1, 7, 0, 0, 0, time.UTC)
	if month.After(now) {
		month = month.AddDate(0, -1, 0)
	}
	say := func(cost float64) {
		require.Equal(t, http.StatusNoContent, s.push(t, "/events/budget", spent(month, cost), ofBudget()).status)
	}
	say(99.99)
	require.False(t, held())
	for _, cost := range []float64{100, 130, 80, 130} {
		say(cost)
	}
	require.True(t, held())
	require.True(t, log.has(`"WARNING"`, "batch work is held: the budget of the month since "))
	h, _, err := operator.Held(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.ByBudget, h.By)
	require.Equal(t, fmt.Sprintf("Of the month's budget of 100.00 USD since %s, 100.00 USD are spent.", month.Format(time.DateOnly)), h.Reason)
	require.Equal(t, store.Overrun{BudgetID: ofBudget()["budgetId"], Period: h.Period, Cost: 100, Budget: 100, Currency: "USD"}, h.Overrun)
	require.NoError(t, operator.SetHold(t.Context(), false, "Paid for."))
	say(200)
	require.False(t, held(), "what was lifted by hand stays so for the month")

	require.Empty(t, k.messagesOf(dead))
	for name, c := range map[string]struct {
		data       string
		attributes map[string]string
		reason     string
	}{
		"an event":   {`{}`, map[string]string{"ce-id": "x"}, "schemaVersion is not 1.0"},
		"no JSON":    {`{`, ofBudget(), "the data is not JSON"},
		"no cost":    {`{"budgetAmount":1}`, ofBudget(), "costAmount is missing"},
		"the future": {string(spent(now.AddDate(0, 2, 0), 200)), ofBudget(), "costIntervalStart is to come"},
	} {
		require.Equal(t, http.StatusNoContent, s.push(t, "/events/budget", []byte(c.data), c.attributes).status, name)
		letters := k.messagesOf(dead)
		last := letters[len(letters)-1]
		require.Contains(t, last.Attributes[event.AttrReason], c.reason, name)
		require.Equal(t, "budget", last.Attributes[event.AttrConsumer])
		require.Equal(t, c.data, string(last.Data))
	}
	require.Len(t, k.messagesOf(dead), 4)
	require.False(t, held())
}

// TestTheBudgetOverMonths: each month throws the switch by itself, an older one that
// comes late does not, nor does one that is over.
func TestTheBudgetOverMonths(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	operator, auditor := k.openAs(t, "plant_operator"), k.openAs(t, "plant_auditor")
	november := time.Date(2026, 11, 1, 7, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		name   string
		now    time.Time
		period time.Time
		cost   float64
		lift   bool
		thrown bool
	}{
		{name: "over", now: november.AddDate(0, 1, 0), period: november, cost: 200},
		{name: "its last moment", now: november.AddDate(0, 1, 0).Add(-time.Second), period: november, cost: 200, lift: true, thrown: true},
		{name: "again", now: november.AddDate(0, 0, 20), period: november, cost: 300},
		{name: "next month", now: november.AddDate(0, 1, 3), period: november.AddDate(0, 1, 0), cost: 100, lift: true, thrown: true},
		{name: "the month before, said late", now: november.AddDate(0, 0, 29), period: november.AddDate(0, 0, -1), cost: 100},
		{name: "tomorrow, in another time zone", now: november.AddDate(0, 2, -1), period: november.AddDate(0, 2, 0), cost: 100, thrown: true},
	} {
		s := hold.Switch{DB: auditor, At: 1, Now: func() time.Time { return step.now }}
		_, thrown, err := s.Hear(t.Context(), event.Message{Data: spent(step.period, step.cost), Attributes: ofBudget()})
		require.NoError(t, err, step.name)
		require.Equal(t, step.thrown, thrown, step.name)
		_, held, err := auditor.Held(t.Context())
		require.NoError(t, err)
		require.Equal(t, step.thrown, held, step.name)
		if step.lift {
			require.NoError(t, operator.SetHold(t.Context(), false, "Lifted."))
		}
	}
	another := ofBudget()
	another["budgetId"] = "another"
	s := hold.Switch{DB: auditor, At: 1, Now: func() time.Time { return november.AddDate(0, 0, 20) }}
	_, thrown, err := s.Hear(t.Context(), event.Message{Data: spent(november, 200), Attributes: another})
	require.NoError(t, err)
	require.True(t, thrown, "each budget has months of its own")
}

// TestTheBudgetSpeaksAtOnce: of many at once one throws the switch.
func TestTheBudgetSpeaksAtOnce(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	auditor := k.openAs(t, "plant_auditor")
	now := time.Date(2026, 11, 20, 7, 0, 0, 0, time.UTC)
	s := hold.Switch{DB: auditor, At: 1, Now: func() time.Time { return now }}
	var all sync.WaitGroup
	var mu sync.Mutex
	threw := 0
	for i := range 8 {
		all.Go(func() {
			_, thrown, err := s.Hear(context.WithoutCancel(t.Context()), event.Message{Data: spent(now.AddDate(0, 0, -19), 100+float64(i)), Attributes: ofBudget()})
			mu.Lock()
			defer mu.Unlock()
			if err == nil && thrown {
				threw++
			}
		})
	}
	all.Wait()
	require.Equal(t, 1, threw)
	require.Equal(t, 1, k.count(t, "hold_change"))
}

// TestHoldIsASetting: what is no part of a budget is refused at the start.
func TestHoldIsASetting(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for _, at := range []string{"0", "-1", "10.1", "11", "NaN", "much"} {
		_, err := readConfig(t.Context(), envconfig.MapLookuper(k.settings(t, auditRun, map[string]string{"BUDGET_HOLD_AT": at})))
		require.ErrorContains(t, err, "BUDGET_HOLD_AT", at)
	}
	s := k.serve(t, auditRun, map[string]string{"BUDGET_HOLD_AT": "0.5"})
	now := time.Now().UTC()
	require.Equal(t, http.StatusNoContent, s.push(t, "/events/budget", spent(now.AddDate(0, 0, -1), 50), ofBudget()).status)
	require.Equal(t, 1, k.count(t, "hold_change"))
}
