# Two commands set everything up: `go run . demo` and `make test`.

GO            ?= go
GOLANGCI_LINT ?= github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
PLATFORMS     := linux/amd64 linux/arm64 freebsd/amd64 freebsd/arm64

.PHONY: build test servers lint vet-all bench soak rounds pauses mutants model

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o hoster-ha .

# Every test, with the race detector, and the simulator's 2,000 schedules without.
test: servers
	$(GO) test -race -timeout 15m ./...
	$(GO) test -timeout 10m -run TestRandom ./sim

# The S3 servers that the tests run, built once into the user's cache folder.
servers:
	$(GO) run ./integration/servers/install

# The linters, and all four platforms built and vetted.
lint: vet-all
	$(GO) run $(GOLANGCI_LINT) run ./...
	$(GO) mod tidy -diff

vet-all:
	@set -e; for p in $(PLATFORMS); do \
		echo "vet $$p"; \
		GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) build -o /dev/null .; \
		GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) vet ./...; \
	done

# The figures in docs/results.md.
bench:
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 30m ./...

# The protocol as a model, over all interleavings (installs spin where it may).
model:
	./model/run.sh

# Each rule broken in a copy, and whether the tests notice.
mutants:
	$(GO) run ./mutants

# Random schedules in the simulator for as long as HOSTER_HA_SOAK says;
# HOSTER_HA_SOAK_FILE keeps the count, so that the next one of the same build goes on.
soak: export HOSTER_HA_SOAK ?= 10m
# A third of a schedule is JSON; Go's newer decoder behind the same functions is faster.
soak: export GOEXPERIMENT ?= jsonv2
soak:
	$(GO) test -trimpath -tags soak -run TestSoak -count 1 -timeout 0 ./sim

# The rounds with real processes: HOSTER_HA_ROUNDS (100) rounds of killed, stopped and frozen
# masters with VMs, judged by the ledger and by the VMs' own records.
rounds:
	$(GO) test -run '^$$' -bench '^BenchmarkHundredRounds$$' -benchtime 1x -timeout 60m ./integration

# Daemons under a watchdog, stopped for about as long as their deadline lasts,
# HOSTER_HA_ROUNDS (1,000) times.
pauses:
	$(GO) test -run '^$$' -bench '^BenchmarkPausesRoundTheDeadline$$' -benchtime 1x -timeout 180m ./integration
