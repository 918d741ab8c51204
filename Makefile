# Phantom VM. `make demo` and `make test` need Go 1.26, make and git; they set up the rest.

SHELL      := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
GO         ?= go
# The arena lies at fixed addresses; without this, Go puts its own heap anywhere, now and then there.
export GOEXPERIMENT := norandomizedheapbase64
TOOLS      := $(CURDIR)/.cache/bin
KERNEL     := cmd/phantom-vm/internal/monitor/kernel/unikernel.elf
GOLANGCI   := v2.15.0
GOFUMPT    := v0.12.0
GOVULN     := v1.9.0

.PHONY: help build demo test test-short test-kvm-real soak bench bench-docs lint generate fuzz clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

build: bin/phantom-vm ## bin/phantom-vm, the unikernel built in

# Go decides what is out of date; these rules always ask it.
bin/phantom-vm: $(KERNEL) FORCE
	$(GO) build -o $@ ./cmd/phantom-vm

$(KERNEL): FORCE
	$(GO) run ./hypervisor/unikernel/mkunikernel -o $@ ./cmd/phantom-vm/unikernel

FORCE:

demo: build ## the main job: compile a program, run it as a KVM guest, kill -9, resume
	bin/phantom-vm demo ./examples/counter

test: build ## all tests
	PHANTOM_VM=$(CURDIR)/bin/phantom-vm $(GO) test -timeout 25m ./...

test-short: build ## the quick ones
	PHANTOM_VM=$(CURDIR)/bin/phantom-vm $(GO) test -short ./...

test-kvm-real: build ## the demo under hardware-style KVM, in QEMU
	bin/phantom-vm build -o .cache/counter.pbc ./examples/counter
	$(GO) run ./hypervisor/realkvm -- bin/phantom-vm .cache/counter.pbc -- /phantom-vm demo --monitor kvm /counter.pbc

soak: build ## long tests: thousands of kills, a million crash images
	PHANTOM_VM=$(CURDIR)/bin/phantom-vm PHANTOM_SOAK=1 $(GO) test -v -timeout 12h -run 'Soak|KillStorm|Crash' ./...

bench: build ## measurements, with ratios to peers; GROUPS=engine,peers for some (go run ./bench -help), BENCH=-json
	PHANTOM_VM=$(CURDIR)/bin/phantom-vm $(GO) run ./bench -run "$(GROUPS)" $(BENCH)

bench-docs: build ## the same, into docs/performance.md and docs/plots
	mkdir -p docs/plots
	PHANTOM_VM=$(CURDIR)/bin/phantom-vm $(GO) run ./bench -run "$(GROUPS)" -save docs/plots/data.json $(BENCH)
	cd bench/stores && $(GO) run ./report -doc ../../docs/performance.md -plots ../../docs/plots

lint: $(TOOLS)/golangci-lint $(TOOLS)/gofumpt $(TOOLS)/govulncheck ## formatting, staticcheck, vulnerabilities (that generated files are current, the tests check)
	@test -z "$$($(TOOLS)/gofumpt -l $$(git ls-files '*.go' ':!*testdata/*'))" || { echo "not formatted:"; $(TOOLS)/gofumpt -l $$(git ls-files '*.go' ':!*testdata/*'); exit 1; }
	$(TOOLS)/golangci-lint run ./...
	cd bench/stores && $(TOOLS)/golangci-lint run ./...
	$(GO) vet ./...
	@$(TOOLS)/govulncheck ./... || { rc=$$?; if [ $$rc = 3 ]; then exit 3; fi; echo "govulncheck: skipped, its database can't be reached"; }

fuzz: ## every fuzz target for half a minute
	for t in bytecode:FuzzDecode bytecode:FuzzSections bytecode:FuzzVerify bytecode:FuzzAssemble persist:FuzzImage persist/nbddev:FuzzServer objectvm:FuzzRun objectvm/machine/wire:FuzzDecode metrics:FuzzUnmarshal; do \
		$(GO) test ./$${t%%:*} -run XXX -fuzz "^$${t##*:}$$" -fuzztime 30s -fuzzminimizetime 5x; done

generate: ## generated code and tables
	$(GO) generate ./...

clean: ## what was built
	rm -rf bin $(KERNEL) .cache/unikernel

$(TOOLS)/golangci-lint:
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)
$(TOOLS)/gofumpt:
	GOBIN=$(TOOLS) $(GO) install mvdan.cc/gofumpt@$(GOFUMPT)
$(TOOLS)/govulncheck:
	GOBIN=$(TOOLS) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULN)
