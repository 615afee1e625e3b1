package main

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/scripts/deliveries"
)

// terraformDeliveries is infra/deliveries.json, which Terraform reads: the subscriptions to
// events and the clock's jobs. The budget's subscription is on a topic of its own and
// stands in infra/events.tf; a test compares it.
func terraformDeliveries() ([]byte, error) {
	type subscription struct {
		Function string `json:"function"`
		Route    string `json:"route"`
		Filter   string `json:"filter"`
	}
	type job struct {
		Function string `json:"function"`
		Cron     string `json:"cron"`
		Deadline string `json:"deadline"`
		Retries  int    `json:"retries"`
	}
	var all struct {
		Subscriptions map[string]subscription `json:"subscriptions"`
		Schedule      map[string]job          `json:"schedule"`
		AckSeconds    int                     `json:"ack_deadline_seconds"`
		Attempts      int                     `json:"max_delivery_attempts"`
		MinBackoff    string                  `json:"minimum_backoff"`
		MaxBackoff    string                  `json:"maximum_backoff"`
	}
	all.Subscriptions, all.Schedule = map[string]subscription{}, map[string]job{}
	for _, s := range deliveries.Subscriptions() {
		if s.Topic == deliveries.Events {
			all.Subscriptions[s.Name] = subscription{s.Function, s.Route, s.Filter()}
		}
	}
	for _, j := range deliveries.Jobs() {
		all.Schedule[j.Name] = job{j.Function, j.Cron, seconds(j.Deadline), j.Retries}
	}
	all.AckSeconds, all.Attempts = int(deliveries.AckDeadline.Seconds()), deliveries.Attempts
	all.MinBackoff, all.MaxBackoff = seconds(deliveries.MinBackoff), seconds(deliveries.MaxBackoff)
	b, err := json.Marshal(all, json.Deterministic(true), jsontext.WithIndent("  "))
	return append(b, '\n'), err
}

// seconds writes a duration as Google's APIs do.
func seconds(d time.Duration) string { return fmt.Sprintf("%ds", int(d.Seconds())) }
