package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/deliveries"
	"github.com/dlai-sd/plant/scripts/doctor"
	"github.com/dlai-sd/plant/scripts/localstack/pubsub"
	"github.com/dlai-sd/plant/scripts/localstack/scheduler"
)

// The local stack pushes what the table says and begins what it says, doctor looks for the
// same, and dead letters wait: what infra/ does is compared with that table beside it.
func TestTheLocalStackDeliversAsTheCloud(t *testing.T) {
	t.Parallel()
	s := &stack{targets: map[string]string{}}
	letters := pubsub.Subscription{Name: "plant-dead-letter-pull", Topic: "plant-dead-letter"}
	want, looked := []pubsub.Subscription{letters}, []doctor.Subscription{{Name: letters.Name, Topic: letters.Topic}}
	for _, d := range deliveries.Subscriptions() {
		s.targets[d.Function] = "http://" + d.Function
		want = append(want, pubsub.Subscription{
			Name: "plant-" + d.Name, Topic: d.Topic, Filter: d.Filter(), PushURL: "http://" + d.Function + "/events/" + d.Route,
			Audience: pushAudience, MaxAttempts: 20, MinBackoff: minBackoff, MaxBackoff: maxBackoff, DeadLetterTopic: "plant-dead-letter",
		})
		looked = append(looked, doctor.Subscription{Name: "plant-" + d.Name, Topic: d.Topic, Filter: d.Filter()})
	}
	require.ElementsMatch(t, want, s.subscriptions())
	require.ElementsMatch(t, looked, subscriptions())
	var jobs []scheduler.Job
	for _, j := range deliveries.Jobs() {
		s.targets[j.Function] = "http://" + j.Function
		jobs = append(jobs, scheduler.Job{
			Name: j.Name, URL: "http://" + j.Function + "/events/" + j.Name, Audience: pushAudience, Interval: j.Every, AtStart: j.AtStart,
		})
	}
	require.ElementsMatch(t, jobs, s.jobs())
}
