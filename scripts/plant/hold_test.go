package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gcp "cloud.google.com/go/pubsub/v2"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/deliveries"
	"github.com/dlai-sd/plant/scripts/localstack/pubsub"
	"github.com/dlai-sd/plant/shared/store"
)

// TestHold throws the switch, looks at it and lifts it.
func TestHold(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	require.Equal(t, "Batch work is not held.\n", d.must(t, "hold", "show"))
	require.Contains(t, d.must(t, "hold", "on", "--reason", "The import runs."), "Batch work is held since ")
	first, held, err := d.db.Held(t.Context())
	require.NoError(t, err)
	require.True(t, held)
	d.must(t, "hold", "on", "--reason", "It still does.")
	var shown holdView
	require.NoError(t, json.Unmarshal([]byte(d.must(t, "--json", "hold", "show")), &shown))
	require.True(t, shown.Held)
	require.Equal(t, first.At.UTC(), shown.Since, "since it was first held")
	require.Equal(t, []string{"It still does.", "The import runs."}, []string{shown.Changes[0].Reason, shown.Changes[1].Reason})
	require.Equal(t, "Batch work is not held.\n", d.must(t, "hold", "off", "--reason", "It is done."))
	lines := strings.Split(strings.TrimSpace(d.must(t, "hold", "show")), "\n")
	require.Len(t, lines, 4)
	require.Regexp(t, `^\S+Z  off  operator  It is done\.$`, lines[1])
	require.Len(t, strings.Split(strings.TrimSpace(d.must(t, "hold", "show", "--limit", "2")), "\n"), 3)
	_, held, err = d.db.Held(t.Context())
	require.NoError(t, err)
	require.False(t, held)
	d.must(t, "hold", "on", "--reason", "Anew.")
	anew, _, err := d.db.Held(t.Context())
	require.NoError(t, err)
	require.Equal(t, anew.At, anew.Since)

	for _, args := range [][]string{
		{"hold", "on", "--reason", " "}, {"hold", "off", "--reason", strings.Repeat("x", 501)}, {"hold", "show", "--limit", "0"},
	} {
		code, _, stderr := d.say(t, args...)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "Try: ")
	}
	code, _, _ := d.say(t, "hold", "on")
	require.Equal(t, 2, code)
}

// TestWhatIsHeldSaysSo: a command that a hold stops says why and ends with a code of its
// own.
func TestWhatIsHeldSaysSo(t *testing.T) {
	t.Parallel()
	errs, err := os.CreateTemp(t.TempDir(), "stderr")
	require.NoError(t, err)
	defer func() { _ = errs.Close() }()
	held := &store.HeldError{Hold: store.Hold{On: true, By: store.ByBudget, Reason: "Spent.", Since: time.Unix(0, 0)}}
	require.Equal(t, 3, report(errs, advise(held, "something else")))
	said, err := os.ReadFile(errs.Name())
	require.NoError(t, err)
	require.Equal(t, "plant: batch work is held since 1970-01-01T00:00:00Z by the budget: Spent.\n"+
		"Try: the same command once plant hold off has lifted it\n", string(said))
}

// TestTheBudgetsMessageHolds publishes what Cloud Billing would to the running stack:
// batch work is held, a backfill says so, and a skill is created all the same.
func TestTheBudgetsMessageHolds(t *testing.T) {
	t.Parallel()
	s := start(t, filepath.Join(t.TempDir(), "data"), "NO_COLOR=1")
	settings, err := loadSettings(t.Context(), s.dir)
	require.NoError(t, err)
	client, err := gcp.NewClient(t.Context(), localProject, pubsub.ClientOptions(settings.PubSub)...)
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	topic := client.Publisher(deliveries.Budget)
	defer topic.Stop()
	_, err = topic.Publish(t.Context(), &gcp.Message{
		Data: fmt.Appendf(nil, `{"budgetDisplayName":"Plant","alertThresholdExceeded":1.0,"costAmount":101.5,"costIntervalStart":%q,`+
			`"budgetAmount":100.0,"budgetAmountType":"SPECIFIED_AMOUNT","currencyCode":"USD"}`, time.Now().UTC().Format(time.RFC3339)),
		Attributes: map[string]string{"billingAccountId": "01D4EE-079462-DFD6EC", "budgetId": "de72f49d-779b-4945-a127-4d6ce8def0bb", "schemaVersion": "1.0"},
	}).Get(t.Context())
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return strings.Contains(must(t, s.env(), "hold", "show").stdout, "by the budget: Of the month's budget of 100.00 USD")
	}, readyTimeout, tick)
	s.create(t, "bread", breadBody)
	backfill := plant(t, s.env(), "embed", "backfill")
	require.Equal(t, 3, backfill.code, backfill.stderr)
	require.Contains(t, backfill.stderr, "plant: after 0 vectors: batch work is held since ")
	require.Contains(t, backfill.stderr, "Try: the same command once plant hold off has lifted it")
	must(t, s.env(), "hold", "off", "--reason", "Paid for.")
	require.Zero(t, plant(t, s.env(), "embed", "backfill").code)
}
