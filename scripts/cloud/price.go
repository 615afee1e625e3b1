package main

import (
	"math"
	"slices"
)

// What a month of use is taken to be. Requests are all that functions answer,
// pushes included; the clock's come on top. Where a figure is a guess it is a
// high one.
const (
	monthSeconds    = 730 * 3600.0
	secondsEach     = 0.2 // of one request; a create measures a tenth of it
	responseGiB     = 1.5 / (1 << 20)
	shareThroughCDN = 0.9 // the rest are pushes
	logGiB          = 0.7 / (1 << 20)
	eventsEach      = 0.1 // one request in ten changes something
	sentEach        = 3.0 // published once, delivered twice
	pubsubMinTiB    = 1000.0 / (1 << 40)
	tickSeconds     = 0.2 // of the sequencer, when idle
	ticks           = 43_800.0
	dailySeconds    = 300.0 // of drift check and audit together, a day
	startsEach      = 30.0  // starts of each function a day: it sleeps and wakes
	readsPerStart   = 3.0
	deployments     = 4.0 // a month
	buildMinutes    = 25.0
	imageGB         = 0.11 // compressed; of which the model is shared between versions
	imageChangeGB   = 0.03
	versionsKept    = 2.0 // enabled versions of each secret
	backupGB        = 3.0 // all kept backups of a database of this size, which are increments
	seriesPerLook   = 1.0 // every condition reduces to one, looked at twice a minute
)

// shares say how requests fall on functions.
func shares() map[string]float64 {
	return map[string]float64{
		"create-skill": 0.30, "create-role": 0.15, "birth-agent": 0.20, "certify": 0.08, "embed": 0.14,
		"audit-run": 0.05, "drift-check": 0.02, "issue-token": 0.06,
	}
}

// item is a line of the bill.
type item struct {
	What     string  `json:"what"`
	Quantity float64 `json:"quantity"`
	Unit     string  `json:"unit"`
	USD      float64 `json:"usd"`
	Page     string  `json:"source"`
}

// month is the bill of a deployment that answers so many requests.
func (s summary) month(requests float64) []item {
	var bill []item
	table := rates()
	add := func(what, unit string, quantity float64) {
		r := table[unit]
		bill = append(bill, item{what, quantity, unit, max(quantity-r.Free, 0) * r.USD, r.Page})
	}
	processors, memory := s.compute(requests)
	add("functions: processors", "vCPU-s", processors)
	add("functions: memory", "GiB-s", memory)
	add("functions: requests", "requests", requests+ticks)
	add("database: instance", s.Database.Tier, 1)
	add("database: disk", "database GB", s.Database.DiskGB)
	add("database: backups", "backup GB", backupGB)
	if s.RedisGB > 0 {
		add("Redis", "Redis Basic GB", s.RedisGB)
	}
	add("events", "Pub/Sub TiB", requests*eventsEach*sentEach*pubsubMinTiB)
	add("clock", "scheduler jobs", float64(len(s.Schedule)))
	add("secrets: versions", "secret versions", float64(s.Secrets)*versionsKept)
	add("secrets: reads", "secret reads", float64(len(s.Services))*startsEach*30*readsPerStart)
	add("checkpoints", "bucket writes", min(ticks, requests*eventsEach))
	add("images", "image GB", imageGB+imageChangeGB*float64(s.KeptImages-1))
	add("scans", "image scans", deployments)
	add("builds", "build minutes", deployments*buildMinutes)
	add("logs", "log GiB", (requests+ticks)*logGiB)
	add("alerts: conditions", "alert conditions", float64(s.Conditions))
	add("alerts: looking", "alert time series", float64(s.Conditions)*seriesPerLook*monthSeconds/30)
	add("network", "egress GiB", requests*shareThroughCDN*responseGiB)
	add("front door", "hosting GB", requests*shareThroughCDN*responseGiB*1.073741824)
	return bill
}

// compute is what the functions use: an instance is paid for while at least one
// request is in it. Requests that come evenly, the dearest way, keep a function
// with rate λ and time s busy for 1 − e^(−λs) of the month.
func (s summary) compute(requests float64) (vcpu, gib float64) {
	share := shares()
	for name, f := range s.Services {
		rate := requests * share[name] / monthSeconds
		busy := monthSeconds * (1 - math.Exp(-rate*secondsEach))
		switch name {
		case "audit-run":
			busy += ticks*tickSeconds + dailySeconds*30/2
		case "drift-check":
			busy += dailySeconds * 30 / 2
		}
		if !f.OnRequest {
			busy = monthSeconds * float64(max(f.Minimum, 1))
		}
		vcpu += busy * f.CPU
		gib += busy * f.MemoryGiB
	}
	return vcpu, gib
}

// total is a bill's sum.
func total(bill []item) (usd float64) {
	for _, one := range bill {
		usd += one.USD
	}
	return usd
}

// reaches is how many requests a month cost so much, to a thousand; found by
// halving, because free allowances bend the line.
func (s summary) reaches(usd float64) float64 {
	low, high := 0.0, 1e9
	for high-low > 1000 {
		if middle := (low + high) / 2; total(s.month(middle)) > usd {
			high = middle
		} else {
			low = middle
		}
	}
	return low
}

// volumes are the months that are printed, in requests.
func volumes() []float64 { return []float64{0, 1e6, 11e6} }

// unpriced are the types of resources that the model does not know.
func (s summary) unpriced() []string {
	var unknown []string
	for kind := range s.Types {
		if !slices.Contains(free(), kind) && !slices.Contains(priced(), kind) {
			unknown = append(unknown, kind)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// connections are how many the functions and one job open at most, and how many
// while one function after the other is rolled out: its old and new revision
// then stand side by side.
func (s summary) connections() (steady, rollout int) {
	widest := 0
	for _, f := range s.Services {
		steady += f.Instances * f.Pool
		widest = max(widest, f.Instances*f.Pool)
	}
	steady++
	return steady, steady + widest
}
