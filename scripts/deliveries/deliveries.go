// Package deliveries says who is told what: which events are pushed to which function,
// and what the clock begins. The local stack, infra/ and plant doctor have it from here,
// and from nowhere else.
package deliveries

import (
	"fmt"
	"strings"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
)

// The topics, and the subscription in which dead letters wait for somebody who pulls
// them. Their ids are the same in every deployment.
const (
	Events      = "plant-events"
	Budget      = "plant-budget" // Cloud Billing says there what is spent
	Dead        = "plant-dead-letter"
	DeadLetters = "plant-dead-letter-pull"
)

// Topics are those that functions rely on.
func Topics() []string { return []string{Events, Budget, Dead} }

// Subscription is who is pushed what.
type Subscription struct {
	Name     string
	Topic    string
	Function string
	Route    string   // below /events/
	Types    []string // of events; none: whatever is said on the topic
}

// ID is the subscription's in every deployment.
func (s Subscription) ID() string { return "plant-" + s.Name }

// Path is where the function takes the events.
func (s Subscription) Path() string { return "/events/" + s.Route }

// Filter lets through the types, in the filter language of Pub/Sub; "" lets through
// everything. Pub/Sub takes at most 256 bytes.
func (s Subscription) Filter() string {
	var terms []string
	for _, t := range s.Types {
		terms = append(terms, fmt.Sprintf("attributes.type=%q", t))
	}
	return strings.Join(terms, " OR ")
}

// Subscriptions are all that functions want. An event is a hint: handlers read the
// database again. What one filter has no room for has a subscription of its own.
func Subscriptions() []Subscription {
	events := func(name, function, route string, types ...string) Subscription {
		return Subscription{Name: name, Topic: Events, Function: function, Route: route, Types: types}
	}
	return []Subscription{
		{Name: "budget", Topic: Budget, Function: "audit-run", Route: "budget"},
		events("embed", "embed", "embed", // what changes an entity's meaning
			"plant.skill.created", "plant.skill.evolved", "plant.job_role.created", "plant.job_role.evolved", "plant.industry.created", "plant.industry.evolved"),
		events("manufacture", "birth-agent", "manufacture", // what may make an agent's next step due
			"plant.agent.created", "plant.agent.assigned", "plant.agent.evolved", "plant.agent.certified"),
		events("manufacture-waiting", "birth-agent", "manufacture", // and what it may have waited for
			"plant.skill.certified", "plant.job_role.certified"),
		events("certify-moved", "certify", "certify", ofEveryKind("moved")...),
		events("certify-evolved", "certify", "certify", ofEveryKind("evolved")...),
		events("certify-decertified", "certify", "certify", ofEveryKind("decertified")...),
		events("certify-reaffirm", "certify", "certify", "plant.reaffirmation.due"),
		events("audit", "audit-run", "audit", "plant.audit.continued"),
		events("drift", "drift-check", "drift", "plant.drift.continued"),
		events("drift-enacted", "drift-check", "drift", "plant.constitution.enacted"),
		events("drift-tampered", "drift-check", "drift", append(ofEveryKind("tampered"), "plant.entity.tampered")...),
	}
}

func ofEveryKind(change string) []string {
	var types []string
	for _, kind := range domain.Kinds() {
		types = append(types, fmt.Sprintf("plant.%s.%s", kind, change))
	}
	return types
}

// Attempts is how often an event is tried before it becomes a dead letter.
const Attempts = 20

// How long Pub/Sub in the cloud waits for an answer, and before it tries again.
const (
	AckDeadline = time.Minute
	MinBackoff  = 10 * time.Second
	MaxBackoff  = 10 * time.Minute
)

// Job is what the clock begins: an empty POST to /events/NAME of its function.
type Job struct {
	Name     string
	Function string
	Cron     string        // in the cloud, UTC
	Every    time.Duration // on one machine
	AtStart  bool          // on one machine: also as soon as everything runs
	Deadline time.Duration // of one call in the cloud
	Retries  int           // in the cloud
}

// ID is the job's in the cloud.
func (j Job) ID() string { return "plant-" + j.Name }

// Path is where the function is called.
func (j Job) Path() string { return "/events/" + j.Name }

// Jobs are the three that Cloud Scheduler has for nothing.
func Jobs() []Job {
	const day = 24 * time.Hour
	return []Job{
		{"sequence", "audit-run", "* * * * *", time.Minute, true, 55 * time.Second, 0}, // what the start wrote is in the log at once
		{"drift", "drift-check", "0 2 * * *", day, true, 10 * time.Minute, 3},          // one a day, however often the stack is started
		{"audit", "audit-run", "30 3 * * *", day, false, 10 * time.Minute, 3},
	}
}
