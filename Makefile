# Plant. `make help` lists what there is. run and test need only Go and Python 3.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PORT         ?= 8080
FUZZTIME     ?= 60s
PACKAGES     ?= ./...
CHAOS_KILLS  ?= 50
CHAOS_WRITES ?= 500
CHAOS_EVENTS ?= 20000
CHAOS_AGENTS ?= 1000

SOAK_OPS     ?= 10000

DRILL_COUNT  ?= 1000
CHAOS_LOG_KILLS ?= 100
CHAOS_AUDIT_KILLS ?= 400

# Tools of the checks, pinned; Go fetches them by version and checksum.
GOFUMPT     := go run mvdan.cc/gofumpt@v0.12.0
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOSEC       := go run github.com/securego/gosec/v2/cmd/gosec@v2.30.0
GREMLINS    := go run github.com/go-gremlins/gremlins/cmd/gremlins@v0.6.0
TESTSTACK   := go run ./scripts/localstack/cmd/teststack

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

.PHONY: build
build: ## Build the binaries into bin/
	@mkdir -p bin
	@CGO_ENABLED=0 go build -trimpath -o bin/ ./functions ./scripts/plant ./scripts/plant-verify

.PHONY: run
run: build ## Run the whole stack on this machine until Ctrl-C (PORT=8080)
	@exec bin/plant run --port $(PORT)

.PHONY: demo
demo: build ## Start a stack, create a skill, prove its record, stop
	@bin/plant demo

.PHONY: test
test: ## Run every test on a real PostgreSQL and Redis (PACKAGES=./...)
	@$(TESTSTACK) -- go test -timeout 10m $(PACKAGES)

.PHONY: client-test
client-test: ## Generate a client from openapi.yaml and live with it (needs the Go module proxy once)
	@PLANT_CLIENT_TEST=required $(TESTSTACK) -- go test -count=1 -v -timeout 10m ./functions -run '^TestGeneratedClient$$'

.PHONY: bench
bench: build ## Measure every goal against a bound of the same run; also as bin/bench.json
	@bin/plant bench --out bin/bench.json

.PHONY: bench-embed
bench-embed: ## Measure the embedding model and its cache: one text, batches, hit and miss
	@$(TESTSTACK) -- go test -run '^$$' -bench . -benchtime 1s ./shared/embedding/...

.PHONY: bench-audit
bench-audit: ## Measure sequencer, export, plant-verify and audit, that against raw VerifyPSS (AUDIT_ROWS=100000)
	@AUDIT_ROWS=$(or $(AUDIT_ROWS),100000) $(TESTSTACK) -- go test ./functions -run '^TestAuditAtScale$$' -count=1 -v -timeout 30m

.PHONY: generate
generate: ## Write the generated code again (the embedding model's kernel)
	@go generate ./shared/embedding/minilm

.PHONY: catalogue
catalogue: ## List anew what a fresh migration guards (migrations/catalogue.txt), as plant doctor expects it
	PLANT_UPDATE=1 go run ./scripts/localstack/cmd/teststack -- go test -count=1 -run TestExpectedIsWhatMigrationsMake ./migrations

.PHONY: chaos
chaos: ## Kill, repeat and race at full count (CHAOS_KILLS=50 CHAOS_LOG_KILLS=100 CHAOS_AUDIT_KILLS=400 CHAOS_WRITES=500 CHAOS_EVENTS=20000 CHAOS_AGENTS=1000 CHAOS_SEED=)
	@CHAOS_KILLS=$(CHAOS_KILLS) CHAOS_LOG_KILLS=$(CHAOS_LOG_KILLS) CHAOS_AUDIT_KILLS=$(CHAOS_AUDIT_KILLS) CHAOS_WRITES=$(CHAOS_WRITES) CHAOS_EVENTS=$(CHAOS_EVENTS) CHAOS_AGENTS=$(CHAOS_AGENTS) $(TESTSTACK) -- go test -v -count=1 -timeout 60m ./scripts/chaos

.PHONY: import-real
import-real: ## Import all of O*NET and ESCO, verify every record, kill and resume (PLANT_TESTDATA= IMPORT_SEED=)
	@IMPORT_REAL=full go test -v -count=1 -timeout 30m -run '^TestImportReal$$' ./scripts/plant

.PHONY: soak
soak: ## Random operations of concurrent tenants, then every promise checked (SOAK_OPS=10000 SOAK_SEED=)
	@SOAK_OPS=$(SOAK_OPS) $(TESTSTACK) -- go test -v -count=1 -timeout 60m -run '^TestSoak' ./functions

.PHONY: drill
drill: build ## Attack bundles and databases in every known way, at full count (DRILL_COUNT=1000 DRILL_SEED=0)
	@bin/plant drill --count $(DRILL_COUNT) --clean 100000 --seed $(or $(DRILL_SEED),0)

.PHONY: test-pg16
test-pg16: ## Run the tests that speak SQL on PostgreSQL 16
	@$(TESTSTACK) -postgres 16 -- go test -timeout 10m ./migrations/... ./shared/store/... ./shared/sequencer/... ./shared/registry/... ./functions/...

.PHONY: race
race: ## Run the tests of the code that is concurrent with the race detector
	@$(TESTSTACK) -- go test -race -timeout 20m ./functions/... ./shared/... ./scripts/localstack/...

.PHONY: lint
lint: ## gofumpt, vet, staticcheck, gosec, the import rule
	@unformatted=$$($(GOFUMPT) -l .); test -z "$$unformatted" || { echo "gofumpt would change:"; echo "$$unformatted"; exit 1; }
	@go vet ./...
	@$(STATICCHECK) ./...
	@$(GOSEC) -quiet -exclude-generated -exclude-dir=scripts ./...
	@# Tools open the files and start the programs that their user names.
	@$(GOSEC) -quiet -exclude-generated -exclude=G115,G204,G301,G302,G304,G703,G704 ./scripts/...
	@go test ./shared/testkit/layers

.PHONY: cover
cover: ## Measure coverage and hold it to its floors
	@$(TESTSTACK) -- go test -timeout 20m -coverpkg=./functions/...,./shared/...,./migrations/... -coverprofile=cover.out ./functions/... ./shared/... ./migrations/...
	@go run ./scripts/coverage cover.out

.PHONY: fuzz
fuzz: ## Fuzz every target (FUZZTIME=60s each)
	@grep -rlE '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do \
		grep -oE '^func Fuzz[A-Za-z0-9]+' "$$file" | sed 's/func //' | while read -r target; do \
			echo "== $$(dirname "$$file") $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$file")"; \
		done; \
	done

.PHONY: image
image: ## Build the image without Docker into bin/image, print contents, size, digest (PUSH=repository)
	@go run ./scripts/image -out bin/image $(if $(PUSH),-push $(PUSH))

.PHONY: rehearsal
rehearsal: ## Run the image's files with the settings of infra/: a life, what each function takes, a rolling upgrade
	@$(TESTSTACK) -- go test -count=1 -v -timeout 15m ./scripts/rehearsal

.PHONY: upgrade
upgrade: ## Upgrade a running deployment under load (UPGRADE_FROM=commit of the earlier version)
	@from=""; trap 'rm -rf "$$from"' EXIT; \
	if [ -n "$(UPGRADE_FROM)" ]; then from=$$(mktemp -d); git archive $(UPGRADE_FROM) | tar x -C "$$from"; fi; \
	UPGRADE_FROM="$$from" $(TESTSTACK) -- go test -count=1 -v -timeout 15m -run '^TestRollingUpgrade$$' ./scripts/rehearsal

.PHONY: upgrade-latency
upgrade-latency: ## Latency while migrations run against none, in interleaved pairs (UPGRADE_PAIRS=20 UPGRADE_WINDOW=10s UPGRADE_RATE=50 UPGRADE_SEED=)
	@UPGRADE_PAIRS=$(or $(UPGRADE_PAIRS),20) UPGRADE_WINDOW=$(UPGRADE_WINDOW) UPGRADE_RATE=$(UPGRADE_RATE) UPGRADE_SEED=$(UPGRADE_SEED) \
		$(TESTSTACK) -- go test -count=1 -v -timeout 60m -run '^TestUpgradeLatency$$' ./scripts/rehearsal

.PHONY: infra
infra: ## Check infra/ with terraform, then price, connections and rights of its plans (TF_PROVIDER_DIR=)
	@infra/check.sh bin/infra
	@if [ -f bin/infra/team.json ]; then INFRA_PLANS=$(CURDIR)/bin/infra go test -count=1 ./scripts/cloud; fi

.PHONY: infra-update
infra-update: ## The same, keeping what changed: summaries of the plans, prices, rewrites, deliveries, settings
	@go run ./scripts/cloud generate
	@infra/check.sh bin/infra
	@INFRA_PLANS=$(CURDIR)/bin/infra go test -count=1 -run TestSummaries ./scripts/cloud -update
	@go run ./scripts/cloud generate

.PHONY: infra-widen
infra-widen: ## Make each right of infra/ wider and see terraform test fail
	@INFRA_WIDEN=1 go test -count=1 -timeout 60m -run TestWidened ./scripts/cloud

.PHONY: mutate
mutate: ## Mutation tests of the packages that decide and prove
	@for p in domain ledger translog bundle keys auth; do echo "== $$p"; $(GREMLINS) unleash --timeout-coefficient 5 ./shared/$$p; done

.PHONY: quality
quality: ## Search over the API on whole catalogues: recall and latency of every mode
	@QUALITY=full SEARCH_ROWS=100000 $(TESTSTACK) -- go test ./functions -run '^(TestQuality|TestSearchAtScale)$$' -count=1 -v -timeout 60m
