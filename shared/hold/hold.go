// Package hold reads what Cloud Billing says of a budget, and throws the switch that
// holds batch work when the budget is spent. Lifting it is by hand only: the end of a
// month does not say that whoever spent it was found.
package hold

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/store"
)

const (
	schema   = "1.0"
	maxData  = 8 << 10 // bytes of a notification; it has about 300
	maxMoney = 1e12
	maxAhead = 48 * time.Hour // a period begins in the time zone of the billing account
)

var (
	idShape       = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)
	currencyShape = regexp.MustCompile(`^[A-Z]{3}$`)
)

// Notice is what Cloud Billing says of a budget, several times a day.
// https://cloud.google.com/billing/docs/how-to/budgets-programmatic-notifications
type Notice struct{ store.Overrun }

// notice is the data of the message. Members that it does not have are Google's to add.
type notice struct {
	Cost      *float64  `json:"costAmount"`
	Budget    *float64  `json:"budgetAmount"`
	Start     time.Time `json:"costIntervalStart"`
	Threshold *float64  `json:"alertThresholdExceeded"` // absent below the first of the budget's thresholds
	Currency  string    `json:"currencyCode"`
}

// Parse reads a notification of schema 1.0. Its errors are for good, and repeat nothing
// of the message.
func Parse(m event.Message) (Notice, error) {
	n, err := parse(m)
	if err != nil {
		return Notice{}, event.Permanent(fmt.Errorf("budget notification: %w", err))
	}
	return n, nil
}

func parse(m event.Message) (Notice, error) {
	var n notice
	switch {
	case m.Attributes["schemaVersion"] != schema:
		return Notice{}, errors.New("schemaVersion is not 1.0")
	case !idShape.MatchString(m.Attributes["budgetId"]):
		return Notice{}, errors.New("budgetId is missing or has another form")
	case !idShape.MatchString(m.Attributes["billingAccountId"]):
		return Notice{}, errors.New("billingAccountId is missing or has another form")
	case len(m.Data) > maxData:
		return Notice{}, errors.New("the data is too large")
	}
	if err := json.Unmarshal(m.Data, &n); err != nil {
		return Notice{}, errors.New("the data is not JSON of this schema")
	}
	switch {
	case n.Cost == nil || *n.Cost < -maxMoney || *n.Cost > maxMoney:
		return Notice{}, errors.New("costAmount is missing or no amount") // credits can make it negative
	case n.Budget == nil || *n.Budget <= 0 || *n.Budget > maxMoney:
		return Notice{}, errors.New("budgetAmount is missing or no amount")
	case n.Start.Year() < 2000:
		return Notice{}, errors.New("costIntervalStart is missing or no time")
	case n.Threshold != nil && (*n.Threshold <= 0 || *n.Threshold > maxMoney):
		return Notice{}, errors.New("alertThresholdExceeded is no threshold")
	case !currencyShape.MatchString(n.Currency):
		return Notice{}, errors.New("currencyCode is missing or has another form")
	}
	return Notice{store.Overrun{
		BudgetID: m.Attributes["budgetId"], Period: n.Start.UTC(), Cost: *n.Cost, Budget: *n.Budget, Currency: n.Currency,
	}}, nil
}

// Over reports whether a part of the budget is spent; 1.0 is all of it. The costs
// decide, not the thresholds at which the budget also sends mail.
func (n Notice) Over(part float64) bool { return n.Cost >= part*n.Budget }

// Past reports whether the period, a month, was over at a moment: what it cost says
// nothing of the one that runs.
func (n Notice) Past(now time.Time) bool { return !now.Before(n.Period.AddDate(0, 1, 0)) }

// Reason says for people what happened, in one line.
func (n Notice) Reason() string {
	money := func(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) }
	return fmt.Sprintf("Of the month's budget of %s %s since %s, %s %s are spent.",
		money(n.Budget), n.Currency, n.Period.Format(time.DateOnly), money(n.Cost), n.Currency)
}

// Switch throws the hold.
type Switch struct {
	DB  *store.DB
	At  float64 // part of the budget at which it is thrown; 1.0: all
	Now func() time.Time
}

// Hear takes a notification and says whether it threw the switch. It may come often and
// in any order: a month throws the switch once.
func (s Switch) Hear(ctx context.Context, m event.Message) (Notice, bool, error) {
	n, err := Parse(m)
	switch {
	case err != nil:
		return n, false, err
	case n.Period.After(s.Now().Add(maxAhead)):
		return n, false, event.Permanent(errors.New("budget notification: costIntervalStart is to come"))
	case !n.Over(s.At) || n.Past(s.Now()):
		return n, false, nil
	}
	thrown, err := s.DB.ThrowHold(ctx, n.Overrun, n.Reason())
	return n, thrown, err
}
