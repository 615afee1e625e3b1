package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

// summary is what the tests of price, connections and rights need of a Terraform
// plan; small enough to be kept, so that they also run where there is no Terraform.
type summary struct {
	Services      map[string]service    `json:"services"`
	Jobs          map[string][]string   `json:"jobs"` // settings by job
	Database      database              `json:"database"`
	RedisGB       float64               `json:"redis_gb"`
	Secrets       int                   `json:"secrets"`
	Subscriptions map[string]subscribed `json:"subscriptions"`
	Schedule      map[string]scheduled  `json:"schedule"`
	Conditions    int                   `json:"conditions"` // of alerts on metrics
	KeptImages    int                   `json:"kept_images"`
	BudgetUSD     float64               `json:"budget_usd"`
	Grants        []string              `json:"grants"` // type role member on what, sorted
	Types         map[string]int        `json:"types"`  // resources by type

	// DatabaseGrants is the administrator's SQL: which login has which duty.
	DatabaseGrants string `json:"database_grants"`
}

type service struct {
	Instances   int      `json:"instances"`
	Minimum     int      `json:"minimum"`
	Pool        int      `json:"pool"`
	Concurrency int      `json:"concurrency"`
	CPU         float64  `json:"cpu"`
	MemoryGiB   float64  `json:"memory_gib"`
	OnRequest   bool     `json:"on_request"` // pays for processors only while a request runs
	Settings    []string `json:"settings"`

	Values map[string]string `json:"values"` // of the settings that are no secrets
}

// subscribed is what a subscription says; Endpoint is "" where somebody pulls.
type subscribed struct {
	Topic      string `json:"topic"`
	Filter     string `json:"filter"`
	Endpoint   string `json:"endpoint"`
	AckSeconds int    `json:"ack_seconds"`
	DeadLetter string `json:"dead_letter"`
	Attempts   int    `json:"attempts"`
	MinBackoff string `json:"min_backoff"`
	MaxBackoff string `json:"max_backoff"`
}

type scheduled struct {
	Cron     string `json:"cron"`
	Zone     string `json:"zone"`
	Target   string `json:"target"`
	Deadline string `json:"deadline"`
	Retries  int    `json:"retries"`
}

type database struct {
	Tier         string  `json:"tier"`
	Edition      string  `json:"edition"`
	Availability string  `json:"availability"`
	DiskGB       float64 `json:"disk_gb"`
	Backups      int     `json:"backups"`
}

// values are a resource's attributes.
type values map[string]any

type resource struct {
	Type   string `json:"type"`
	Name   string `json:"name"`
	Index  any    `json:"index"`
	Values values `json:"values"`
}

// summarise reads what terraform show -json prints of a plan.
func summarise(plan []byte) (summary, error) {
	var p struct {
		Planned struct {
			Outputs struct {
				Grants struct {
					Value string `json:"value"`
				} `json:"grants"`
			} `json:"outputs"`
			Root struct {
				Resources []resource `json:"resources"`
			} `json:"root_module"`
		} `json:"planned_values"`
	}
	if err := json.Unmarshal(plan, &p); err != nil {
		return summary{}, fmt.Errorf("read the plan: %w", err)
	}
	s := summary{
		Services: map[string]service{}, Jobs: map[string][]string{}, Subscriptions: map[string]subscribed{},
		Schedule: map[string]scheduled{}, Types: map[string]int{}, DatabaseGrants: p.Planned.Outputs.Grants.Value,
	}
	for _, r := range p.Planned.Root.Resources {
		s.Types[r.Type]++
		if err := s.add(r); err != nil {
			return s, fmt.Errorf("%s.%s[%v]: %w", r.Type, r.Name, r.Index, err)
		}
	}
	if len(s.Types) == 0 {
		return s, fmt.Errorf("read the plan: it has no resources")
	}
	slices.Sort(s.Grants)
	return s, nil
}

func (s *summary) add(r resource) error {
	v := r.Values
	switch r.Type {
	case "google_cloud_run_v2_service":
		return s.addService(v)
	case "google_cloud_run_v2_job":
		container := v.block("template").block("template").block("containers")
		s.Jobs[v.text("name")] = container.settings()
	case "google_sql_database_instance":
		settings := v.block("settings")
		s.Database = database{
			Tier: settings.text("tier"), Edition: settings.text("edition"), Availability: settings.text("availability_type"),
			DiskGB: settings.number("disk_size"), Backups: int(settings.block("backup_configuration").block("backup_retention_settings").number("retained_backups")),
		}
	case "google_redis_instance":
		s.RedisGB += v.number("memory_size_gb")
	case "google_secret_manager_secret":
		s.Secrets++
	case "google_pubsub_subscription":
		s.Subscriptions[v.text("name")] = subscription(v)
	case "google_cloud_scheduler_job":
		s.Schedule[v.text("name")] = scheduled{
			Cron: v.text("schedule"), Zone: v.text("time_zone"), Target: v.block("http_target").text("uri"),
			Deadline: v.text("attempt_deadline"), Retries: int(v.block("retry_config").number("retry_count")),
		}
	case "google_monitoring_alert_policy":
		if condition := v.block("conditions"); condition.block("condition_matched_log") == nil {
			s.Conditions++
		}
	case "google_billing_budget":
		amount, err := strconv.ParseFloat(v.block("amount").block("specified_amount").text("units"), 64)
		s.BudgetUSD = amount
		return err
	case "google_artifact_registry_repository":
		for _, policy := range v.blocks("cleanup_policies") {
			s.KeptImages += int(policy.block("most_recent_versions").number("keep_count"))
		}
	}
	if strings.HasSuffix(r.Type, "_iam_member") {
		s.Grants = append(s.Grants, grant(r))
	} else if strings.HasSuffix(r.Type, "_iam_binding") || strings.HasSuffix(r.Type, "_iam_policy") {
		return fmt.Errorf("replaces what others were granted: use _iam_member")
	}
	return nil
}

func subscription(v values) subscribed {
	letters, retry := v.block("dead_letter_policy"), v.block("retry_policy")
	return subscribed{
		Topic: v.text("topic"), Filter: v.text("filter"), Endpoint: v.block("push_config").text("push_endpoint"),
		AckSeconds: int(v.number("ack_deadline_seconds")), DeadLetter: letters.text("dead_letter_topic"),
		Attempts: int(letters.number("max_delivery_attempts")), MinBackoff: retry.text("minimum_backoff"), MaxBackoff: retry.text("maximum_backoff"),
	}
}

func (s *summary) addService(v values) error {
	template := v.block("template")
	container := template.block("containers")
	resources := container.block("resources")
	limits, _ := resources["limits"].(map[string]any)
	cpu, err := strconv.ParseFloat(values(limits).text("cpu"), 64)
	if err != nil {
		return err
	}
	mebibytes, err := strconv.ParseFloat(strings.TrimSuffix(values(limits).text("memory"), "Mi"), 64)
	if err != nil {
		return err
	}
	one := service{
		Instances: int(template.block("scaling").number("max_instance_count")), Minimum: int(template.block("scaling").number("min_instance_count")),
		Concurrency: int(template.number("max_instance_request_concurrency")), CPU: cpu, MemoryGiB: mebibytes / 1024,
		Settings: container.settings(), Values: map[string]string{},
	}
	one.OnRequest, _ = resources["cpu_idle"].(bool)
	for _, env := range container.blocks("env") {
		if value, plain := env["value"].(string); plain {
			one.Values[env.text("name")] = value
		}
		if env.text("name") == "DB_POOL" {
			if one.Pool, err = strconv.Atoi(env.text("value")); err != nil {
				return err
			}
		}
	}
	s.Services[v.text("name")] = one
	return nil
}

// settings are the names of a container's variables.
func (v values) settings() []string {
	var names []string
	for _, env := range v.blocks("env") {
		names = append(names, env.text("name"))
	}
	slices.Sort(names)
	return names
}

// grant is one right in a line: what kind, which role, to whom, on what.
func grant(r resource) string {
	on := "project"
	for _, name := range []string{"secret_id", "topic", "subscription", "bucket", "repository", "service_account_id", "name"} {
		if what := r.Values.text(name); what != "" {
			on = what
			break
		}
	}
	if c := r.Values.block("condition"); c != nil {
		on += " if " + c.text("title")
	}
	kind := strings.TrimSuffix(strings.TrimPrefix(r.Type, "google_"), "_iam_member")
	return fmt.Sprintf("%s: %s to %s on %s", kind, r.Values.text("role"), r.Values.text("member"), on)
}

// text, number and block read an attribute; what is absent is the zero value.
func (v values) text(name string) string { s, _ := v[name].(string); return s }

func (v values) number(name string) float64 { n, _ := v[name].(float64); return n }

func (v values) blocks(name string) []values {
	list, _ := v[name].([]any)
	var all []values
	for _, one := range list {
		if m, ok := one.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

func (v values) block(name string) values {
	if all := v.blocks(name); len(all) > 0 {
		return all[0]
	}
	return nil
}
