# Two commands are all a newcomer needs: `make demo` and `make test`.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := build

GO      ?= go
STAMP   := $(shell git describe --always --dirty --abbrev=12 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/tightrope-dev/tightrope/clusters/lab.Stamp=$(STAMP)
K8S     := $(shell sed -n 's,^\tk8s.io/kubernetes \(v[0-9.]*\).*,\1,p' clusters/labd/go.mod)
LABD_LDFLAGS := -s -w -X main.stamp=$(STAMP) \
	-X k8s.io/component-base/version.gitVersion=$(K8S) \
	-X k8s.io/component-base/version.gitMajor=1 \
	-X k8s.io/component-base/version.gitMinor=$(word 2,$(subst ., ,$(K8S))) \
	-X k8s.io/client-go/pkg/version.gitVersion=$(K8S)
BENCH    ?= short
COMMANDS := tightrope controller agent twin standin
# Images have the time of their commit, and nothing of where or when they were built.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

# The race detector needs a C compiler. Without one the tests still run, and say so.
RACE := $(shell command -v gcc cc clang 2>/dev/null | head -1)

.PHONY: release release-cli e2e-kind lint-corpus build commands labd images demo test test-all check generate bench bench-verdict busy lab-conformance fuzz-dataplane fuzz-verdict fuzz-engine fuzz-packets fuzz-parsers clean tools

build: commands labd ## every binary, static, with one stamp, into bin/

commands:
	@mkdir -p bin
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ $(addprefix ./cmd/,$(COMMANDS))

OUT ?= bin
labd:
	@hack/build-labd.sh '$(GO)' '$(LABD_LDFLAGS)' '$(OUT)'

images: commands ## the container images for amd64 and arm64, without Docker: an OCI layout in bin/images
	@export CGO_ENABLED=0 GOOS=linux GOAMD64=v1 GOARM64=v8.0; for GOARCH in amd64 arm64; do \
		export GOARCH && mkdir -p bin/linux_$$GOARCH && \
		$(GO) build -trimpath -buildvcs=false -ldflags '-s -w' -o bin/linux_$$GOARCH/ $(addprefix ./cmd/,$(filter-out tightrope,$(COMMANDS))) || exit 1; \
	done
	@bin/tightrope images build --binaries bin --image-layout bin/images --version '$(STAMP)' \
		--revision "$$(git rev-parse HEAD 2>/dev/null)" --created '$(SOURCE_DATE_EPOCH)'

release: ## what people download, into dist: archives for every platform, with the lab for Linux; images, checksums, SBOMs
	@hack/release.sh '$(GO)' lab

release-cli: ## the same without the lab, which compiles Kubernetes for each architecture; PLATFORMS=linux/amd64 is faster
	@hack/release.sh '$(GO)' cli

demo: build ## a rollout that is rolled back and one that is committed, on a lab of its own
	@bin/tightrope demo --report reports/demo

test: build bin/testsum ## unit tests, stories, the operator, and the scenarios on the lab
	@hack/test.sh '$(GO)' '$(RACE)'

test-all: export TIGHTROPE_TEST_ALL = 1
test-all: test ## make test, then every other module, random packets, the engine against another one, and Kubernetes' own tests of the lab
	@hack/test.sh '$(GO)' '$(RACE)' nested
	@$(MAKE) --no-print-directory fuzz-packets PREDICTED=20
	@$(MAKE) --no-print-directory lint-corpus
	@$(MAKE) --no-print-directory bench-verdict
	@$(MAKE) --no-print-directory lab-conformance

bin/testsum: $(wildcard tools/testsum/*.go)
	@mkdir -p bin
	@cd tools && CGO_ENABLED=0 $(GO) build -o ../bin/testsum ./testsum

tools:
	@mkdir -p bin
	@cd tools && $(GO) build -o ../bin/ honnef.co/go/tools/cmd/staticcheck sigs.k8s.io/controller-tools/cmd/controller-gen

generate: tools ## deep copies and CRDs, from the types; the Helm chart and the kustomize base, from what deploy returns
	@bin/controller-gen object paths=./api/... crd output:crd:dir=deploy/crds
	@$(GO) test -count=1 -run '^TestChartAndBase' ./deploy/charts -update >/dev/null

check: generate ## formatting, vet, staticcheck, tidy modules and generated code
	@hack/check.sh '$(GO)'

lab-conformance: build ## the lab, judged by Kubernetes' own tests of policies, Services, DNS and pods
	@hack/lab-conformance.sh '$(GO)' '$(LABD_LDFLAGS)' $(CONFORMANCE)

lint-corpus: ## lint on manifests as public platforms have them, each finding judged; UPDATE=1 makes lines for new findings
	@CGO_ENABLED=0 $(GO) test -count=1 -v -run '^TestCorpus$$' ./verdict/lint -args -corpus -corpus-modules $(if $(UPDATE),-corpus-update)

bench-verdict: ## the verdict engine against cyclonus' matcher, on the same inputs; reports/bench/verdict.md
	@cd verdict/bench && CGO_ENABLED=0 $(GO) run -trimpath . -o '$(CURDIR)/reports/bench/verdict.md'

bench: build bench-verdict ## the figures, as ratios where they can be; BENCH=long adds the lab with 1,000 pods and 500 rollouts
	@$(GO) test -run '^$$' -bench . -benchmem ./verdict/... ./probes/... ./rollout/...
	@cd clusters/labd && $(GO) test -run '^$$' -bench . -benchmem -benchtime 200x -trimpath ./dataplane/...
	@CGO_ENABLED=0 TIGHTROPE_BIN='$(CURDIR)/bin' TIGHTROPE_BENCH=$(BENCH) TIGHTROPE_BENCH_REPORT='$(CURDIR)/reports/bench' \
		$(GO) test -trimpath -count=1 -timeout 30m -run '^TestBars$$' ./clusters/lab && cat reports/bench/lab.md
	@CGO_ENABLED=0 TIGHTROPE_BIN='$(CURDIR)/bin' TIGHTROPE_BENCH=$(BENCH) TIGHTROPE_BENCH_REPORT='$(CURDIR)/reports/bench' \
		$(GO) test -trimpath -count=1 -timeout 90m -run '^TestAtSize$$' ./rollout/operator && cat reports/bench/controller.md
	@CGO_ENABLED=0 TIGHTROPE_BIN='$(CURDIR)/bin' TIGHTROPE_BENCH=$(BENCH) TIGHTROPE_BENCH_REPORT='$(CURDIR)/reports/bench' \
		$(GO) test -trimpath -count=1 -timeout 30m -run '^TestScenarios$$' ./scenarios/e2e -ginkgo.focus 'how soon a pod is isolated' && cat reports/bench/isolated.md
	@hack/rollout-cost.sh

SETS ?= 2000
SEED ?= 0
fuzz-dataplane: ## SETS random policy sets from SEED (0: the clock), compared with the specification by real packets; then with seeded bugs
	@cd clusters/labd && export CGO_ENABLED=0 && \
		$(GO) test -trimpath -count=1 -timeout 60m -v -run '^TestTheDataPlaneDoes' ./dataplane -args -fuzz-sets=$(SETS) -fuzz-seed=$(SEED) && \
		TIGHTROPE_FUZZ_BUGS=1 $(GO) test -trimpath -count=1 -timeout 60m -v -run '^TestSeededBugs' ./dataplane

VERDICTS ?= 10000000
fuzz-verdict: ## VERDICTS random verdicts from SEED (0: the clock), compared with the literal reading of the specifications; then with seeded bugs
	@export CGO_ENABLED=0 && \
		$(GO) test -trimpath -count=1 -timeout 120m -v -run '^TestDifferential$$' ./verdict/literal -args -verdicts=$(VERDICTS) -seed=$(SEED) && \
		TIGHTROPE_FUZZ_BUGS=1 $(GO) test -trimpath -count=1 -timeout 60m -v -run '^TestSeededBugs' ./verdict/literal

FUZZTIME ?= 10m
fuzz-engine: ## Go's fuzzer chooses worlds and connections for FUZZTIME, compared with the literal reading; what it finds is kept in testdata
	@$(GO) test -run '^$$' -fuzz '^FuzzEngine$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 1x ./verdict/literal

fuzz-parsers: ## Go's fuzzer writes manifests, scenarios and what else is read from outside, for FUZZTIME each
	@set -e; for f in FuzzDecode:./api/strict FuzzRead:./verdict/manifest FuzzParse:./scenarios FuzzParse:./report \
		FuzzParseLine:./probes FuzzParsePlan:./probes FuzzFix:./verdict/lint; do \
		$(GO) test -run '^$$' -fuzz "^$${f%%:*}$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x "$${f##*:}"; done

PREDICTED ?= 200
fuzz-packets: build ## PREDICTED random policy sets on a lab, where packets must do what the engine says
	@CGO_ENABLED=0 TIGHTROPE_BIN='$(CURDIR)/bin' TIGHTROPE_PREDICT_SETS=$(PREDICTED) \
		$(GO) test -trimpath -count=1 -timeout 60m -v -run '^TestPacketsDoWhatWasPredicted$$' ./clusters/lab

BUSY ?= 8
RUNS ?= 10
# Without these the tests skip, and say so. KIND_IMAGE=default is kind's own image, which is pulled.
KIND_IMAGE    ?=
KIND_CONFIG   ?=
KIND_ENFORCES ?=
e2e-kind: images ## on real kind clusters: KIND_IMAGE=NODE-IMAGE [KIND_CONFIG=FILE] [KIND_ENFORCES=true]; reports in reports/kind
	@cd cmd/tightrope && CGO_ENABLED=0 TIGHTROPE_BIN='$(CURDIR)/bin' TIGHTROPE_KIND_IMAGE='$(KIND_IMAGE)' TIGHTROPE_KIND_CONFIG='$(abspath $(KIND_CONFIG))' \
		TIGHTROPE_KIND_ENFORCES='$(KIND_ENFORCES)' TIGHTROPE_KIND_REPORT='$(CURDIR)/reports/kind' \
		$(GO) test -trimpath -count=1 -timeout 45m -v -run 'Kind' .

busy: build ## a good and a bad set of policies, RUNS times each on one lab, beside BUSY busy processes; recordings in reports/busy
	@CGO_ENABLED=0 TIGHTROPE_BIN='$(CURDIR)/bin' TIGHTROPE_BUSY=$(BUSY) TIGHTROPE_BUSY_RUNS=$(RUNS) TIGHTROPE_BUSY_REPORT='$(CURDIR)/reports/busy' \
		$(GO) test -trimpath -count=1 -timeout 4h -v -run '^TestBesideBusyProcesses$$' ./rollout/operator

clean:
	@rm -rf bin reports dist
