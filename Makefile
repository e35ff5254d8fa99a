# Everything a person or a machine runs here is a target; `make help` lists them. The work itself lies in scripts/.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := help

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 10s
# Packages where goroutines meet: the rest is pure functions over bytes, where the race detector only costs time.
RACE     ?= ./proxy/... ./registry/... ./remote/... ./daemonset/... ./client/... ./cmd/...
BENCH    ?= .

GOBUILD  := CGO_ENABLED=0 go build -trimpath -ldflags '-X main.version=$(VERSION)'

# run NAME: scripts/NAME.sh, or else `go run ./scripts/NAME`; a proof that is not written fails and says so.
run = if [ -f scripts/$(1).sh ]; then exec bash scripts/$(1).sh; \
	elif compgen -G 'scripts/$(1)/*.go' >/dev/null; then exec go run ./scripts/$(1); \
	else echo '$(1): neither scripts/$(1).sh nor scripts/$(1)/ exists: nothing was run' >&2; exit 2; fi

.PHONY: help
help: ## list every target
	@awk -F':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo; echo '  FUZZTIME=10s (per decoder), RACE=packages, BENCH=pattern, VERSION=string, BENCHFLAGS=flags, PROVEFLAGS=flags can be set.'

.PHONY: setup
setup: ## install what tests, demo, benchmarks and linting need (Debian; once)
	@scripts/setup.sh all

.PHONY: build
build: ## bin/bellhop and bin/thriftperf, static, with their version
	@mkdir -p bin
	@for d in bellhop thriftperf; do \
	  if [ -d cmd/$$d ] || [ $$d = bellhop ]; then $(GOBUILD) -o bin/$$d ./cmd/$$d && echo "built bin/$$d $(VERSION)" || exit 1; fi; done

.PHONY: test
test: ## every test, with the real Thrift peers (installs them first, once)
	@scripts/setup.sh test
	@scripts/gotest.sh test -timeout 20m ./...

.PHONY: test-cluster
test-cluster: ## the tests against a real etcd and kube-apiserver (built first, once: some ten minutes on two cores)
	@scripts/kube.sh
	@scripts/gotest.sh test-cluster -count=1 -timeout 10m ./registry/kubernetes ./cmd/bellhop

.PHONY: race
race: ## the tests of the concurrent packages under the race detector (at most 15 minutes)
	@scripts/setup.sh race
	@CGO_ENABLED=1 scripts/gotest.sh race -race -short -timeout 15m $(RACE)

.PHONY: lint
lint: ## golangci-lint (import table, comments, lengths), gofmt, the import table's own proof, house checks
	@scripts/setup.sh lint
	@scripts/lint.sh

.PHONY: vet
vet: ## go vet and the house checks only (seconds)
	@go vet ./...
	@scripts/vet.sh

.PHONY: fmt
fmt: ## format every Go file as the linter wants it
	@scripts/setup.sh lint
	@.cache/bin/golangci-lint fmt

.PHONY: fuzz
fuzz: ## fuzz every decoder for FUZZTIME each; crashers become test data
	@FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

.PHONY: bench
bench: ## bellhop beside HAProxy, nginx and Envoy over the whole grid: tables and plots in docs/bench (20 minutes)
	@scripts/setup.sh bench
	@$(MAKE) -s build
	@go run ./scripts/bench/grid $(BENCHFLAGS)

.PHONY: bench-go
bench-go: ## the Go benchmarks (BENCH=pattern), one package at a time
	@go test -p 1 -run '^$$' -bench '$(BENCH)' -benchmem ./...

.PHONY: bench-quick
bench-quick: ## CPU per call against HAProxy in the same run, within a minute; the last line is the ratios
	@scripts/setup.sh quick
	@$(MAKE) -s build
	@$(call run,bench-quick)

.PHONY: bench-profile
bench-profile: ## where a call's CPU time goes, kernel included, beside HAProxy: flame graphs and docs/bench/profile.md
	@scripts/setup.sh quick
	@$(MAKE) -s build
	@go run ./scripts/bench --flames docs/bench

.PHONY: bench-growth
bench-growth: build ## CPU per call as services, endpoints, connections and sources grow; full table swaps under load (5 minutes)
	@go run ./scripts/bench/growth $(BENCHFLAGS)

.PHONY: demo
demo: build ## the whole thing on this machine: services, proxies, callers in Go and Python, a crash, a summary
	@scripts/setup.sh demo || echo 'demo: going on without the Python caller' >&2
	@exec bin/bellhop demo $(DEMOFLAGS)

.PHONY: prove-interop
prove-interop: build ## every caller framing to every server framing, real libraries in five languages
	@scripts/setup.sh test
	@$(call run,prove-interop)

.PHONY: prove-isolation
prove-isolation: build ## an attacker on a shared upstream connection: its neighbours see and lose nothing
	@scripts/setup.sh test
	@$(call run,prove-isolation)

.PHONY: prove-crash
prove-crash: build ## kill -9 of the local proxy under load: what failed, what ran twice, for how long
	@scripts/setup.sh demo
	@$(call run,prove-crash)

.PHONY: prove-memory
prove-memory: build ## memory at rest, per idle connection, with 20,000 endpoints, with 64 MB frames; idle CPU
	@go run ./scripts/prove-memory $(PROVEFLAGS)

.PHONY: prove-registry
prove-registry: build ## what callers feel while a real ZooKeeper ensemble fails, forgets and changes (PROVEFLAGS=--only=NAME,…)
	@scripts/setup.sh test
	@go run ./scripts/prove-registry $(PROVEFLAGS)

.PHONY: prove-kubernetes
prove-kubernetes: build ## what callers feel while a real API server fails and Services change (root; PROVEFLAGS=--only=NAME,…)
	@scripts/setup.sh test
	@scripts/kube.sh
	@go run ./scripts/prove-kubernetes $(PROVEFLAGS)

.PHONY: prove-fairness
prove-fairness: build ## what nine sources feel of a tenth with ten times their work; shares and weights (root; 10 minutes; PROVEFLAGS=--only=NAME,…)
	@scripts/setup.sh quick
	@go run ./scripts/prove-fairness $(PROVEFLAGS)

.PHONY: prove-overload
prove-overload: build ## three times as many calls as a proxy carries, with and without room at the remote tier; a retry storm (root; 9 minutes)
	@go run ./scripts/prove-overload $(PROVEFLAGS)

.PHONY: prove-rules
prove-rules: build ## bad endpoints, shares of versions, a thousand changes under load, CPU per call with 500 rules (root; 8 minutes)
	@go run ./scripts/prove-rules $(PROVEFLAGS)

.PHONY: ci
ci: ## exactly what CI runs, with the duration of each step
	@FUZZTIME=$(FUZZTIME) scripts/ci.sh

.PHONY: clean
clean: ## remove what was built (.cache, with the linter in it, stays; `rm -r .cache` removes that too)
	@rm -rf bin dist
