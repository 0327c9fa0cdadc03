# Every command of the project; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(DATAMESH_CACHE),$(HOME)/.cache/datamesh)
export CARGO_TARGET_DIR ?= $(CACHE)/target
export GOMODCACHE ?= $(CACHE)/go/mod
export GOCACHE ?= $(CACHE)/go/build
BIN := $(CARGO_TARGET_DIR)/debug

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## install missing Debian packages (and Rust, where Debian has rustup); says what else must be there
	@scripts/install-deps.sh

.PHONY: build
build: ## compile everything
	cargo build --workspace --all-targets

.PHONY: fmt
fmt: ## format the code
	cargo fmt --all

.PHONY: lint
lint: ## formatting, clippy with warnings as errors, licences; with DATAMESH_ADVISORIES=1 also advisories
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	scripts/deny.sh

.PHONY: unit
unit: ## tests that need no cluster
	cargo test --workspace

.PHONY: test
test: deps ## everything: lint, unit tests, end-to-end on a real Kubernetes; prints minutes per step
	scripts/test.sh

.PHONY: test-long
test-long: deps ## what does not fit into `make test`: longer fuzzing, more seeds, all promises, a 10 GiB object through a 256 MiB gateway
	scripts/test-long.sh

.PHONY: measure
measure: ## one large file through the cluster of `make up`: rate, CPU, memory, overhead
	scripts/measure.sh

.PHONY: e2e
e2e: ## end-to-end tests alone, on a Kubernetes brought up as `make up` does
	scripts/e2e.sh

.PHONY: fuzz
fuzz: ## coverage-guided fuzzing of every decoder; SECONDS_EACH=300 for longer
	scripts/fuzz.sh

.PHONY: sim
sim: ## the simulated cluster: SEEDS=0..100000 for a long run, SEEDS=17 tells one seed's story
	cargo build --quiet --workspace --bins
	$(BIN)/sim $(or $(SEEDS),0..2000)

.PHONY: bench
bench: ## put, get, small objects and list against `make dev` with separate processes; ROW="of 200" for some rows alone
	scripts/bench.sh $(if $(ROW),--rows "$(ROW)")

.PHONY: profile
profile: ## where the CPU of one row of the benchmark goes: ROW="GET 10 MiB" SVG=flame.svg
	scripts/profile.sh "$(or $(ROW),GET 10 MiB)" "$(SVG)"

.PHONY: generate
generate: ## write generated files anew (CRDs, install manifest, docs/openapi.json, the table of docs/scale.md)
	UPDATE=1 cargo test --workspace --test generated

.PHONY: dev
dev: ## the store on this machine without Kubernetes; Ctrl-C stops it
	cargo build --workspace --bins
	$(BIN)/datamesh-node dev --data $(CACHE)/dev

.PHONY: up
up: ## a Kubernetes with DataMesh and an example cluster, ready to store files
	scripts/up.sh

.PHONY: down
down: ## remove everything `make up` made
	scripts/down.sh
