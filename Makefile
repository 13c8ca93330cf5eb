# Chandler. `make help` lists the targets; `make demo` and `make test` are all
# that a fresh machine with Go and make needs.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

# Where executables go; plugins are found there by their names.
BIN ?= bin
# How long each fuzz target runs in `make fuzz`.
FUZZTIME ?= 2m
# How long `make soak` goes on, and more flags, e.g. -store postgres -replicas 3 -seed 1.
SOAK ?= 10m
SOAKFLAGS ?=
# Packages that `make test` and `make bench` look at.
PKG ?= ./...
# Flags of e2e/load in `make bench`, such as -duration 30s -workers 128 or -json.
LOADFLAGS ?=
# go test's flags.
TESTFLAGS ?= -race -timeout 25m
# The linter, pinned: it is built from the module proxy when it is missing.
STATICCHECK ?= go run honnef.co/go/tools/cmd/staticcheck@v0.8.2

PLUGINS := $(notdir $(wildcard plugins/*))

.PHONY: help build gateway demo run test lint fuzz bench e2e soak generate clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the broker and the plugins into bin/
	@mkdir -p $(BIN)
	CGO_ENABLED=0 go build -trimpath -o $(BIN)/ ./cmd/chandler
	@set -e; for p in $(PLUGINS); do \
	  echo "go build plugins/$$p"; \
	  CGO_ENABLED=0 go build -trimpath -o $(BIN)/chandler-plugin-$$p ./plugins/$$p; \
	done

gateway: ## build the S3 gateway that demo, run and tests use (a nested module; about a minute the first time)
	@mkdir -p $(BIN)
	cd e2e/s3gateway && CGO_ENABLED=0 go build -trimpath -o $(abspath $(BIN))/s3gateway .

demo: build gateway ## walk the main job from marketplace to deprovision against a real S3 gateway
	go run ./e2e/demo -bin $(BIN)

run: build gateway ## the same set-up in the foreground, for playing (ctrl-c ends it)
	go run ./e2e/demo -bin $(BIN) -serve

test: ## run the tests, with the race detector
	go test $(TESTFLAGS) $(PKG)
	cd e2e/s3gateway && go test $(TESTFLAGS) ./...

lint: ## gofmt, go vet and staticcheck
	@files=$$(gofmt -l .); test -z "$$files" || { echo "run gofmt -w on these files:"; echo "$$files"; exit 1; }
	go vet ./...
	$(STATICCHECK) ./...
	cd e2e/s3gateway && go vet ./...

# Before Go 1.27 a duration can end with "context deadline exceeded" where nothing was found
# (golang/go#75804); that alone is no failure. A count, such as FUZZTIME=3000x, cannot.
fuzz: ## run each fuzz target for FUZZTIME (default 2m)
	@set -o pipefail; log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	for pkg in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' "$$pkg" 2>/dev/null | grep '^Fuzz'); do \
	    echo "== $$pkg $$f"; \
	    go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "$$pkg" | tee "$$log" && continue; \
	    grep -q 'context deadline exceeded' "$$log" && ! grep -q 'Failing input' "$$log" || exit 1; \
	    echo "   its time ended; nothing was found"; \
	  done; \
	done

bench: build ## measure: Go benchmarks, then a broker under load; both print ratios of one run (docs/performance.md)
	go test -run '^$$' -bench . -benchmem $(PKG)
	go run ./e2e/load -bin $(BIN) $(LOADFLAGS)

e2e: ## end-to-end tests with real processes only: broker, plugins, S3 gateway
	go test $(TESTFLAGS) -count=1 ./e2e/...

soak: build gateway ## clients do random things while everything is killed, for SOAK (default 10m); SOAKFLAGS: see -help
	go build -o $(BIN)/ ./e2e/soak
	$(BIN)/soak -bin $(BIN) -duration $(SOAK) $(SOAKFLAGS)

generate: ## regenerate the plugin contract's Go code (needs protoc: Debian's protobuf-compiler and libprotobuf-dev)
	core/plugin/proto/generate.sh

clean: ## remove what build made
	rm -rf $(BIN)
