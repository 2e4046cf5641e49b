#!/usr/bin/env bash
# Runs every test of both modules and counts what ran, what was skipped and why.
set -uo pipefail
go=$1 race=$2
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
flags=(-json -count=1)
if [ -n "$race" ]; then
	flags+=(-race)
	export CGO_ENABLED=1
else
	echo "make test: no C compiler found, so the race detector is off; install gcc to turn it on" >&2
	if [ -n "${CI:-}" ]; then
		echo "make test: CI requires the race detector: install gcc" >&2
		exit 1
	fi
fi
export TIGHTROPE_BIN="$root/bin"
# Packages that bring up labs go one after the other: two cores are few, and a
# starved probe proves nothing. The nested module compiles Kubernetes, so its
# tests share the build's flags (and so its cache) and run without the race detector.
# Packages that do one thing at a time run without the race detector too: it could
# find nothing there, and makes long searches ten times as long (arch_test.go holds this).
alone='/(rollout|verdict/(class|compare|cover|literal/random))$'
labs='/(clusters/lab|cmd/tightrope|rollout/operator|scenarios/e2e)$'
{
	"$go" list ./... | grep -vE "$labs|$alone" | xargs "$go" test "${flags[@]}"
	"$go" list ./... | grep -E "$alone" | CGO_ENABLED=0 xargs "$go" test -json -count=1
	CGO_ENABLED=0 "$go" test -json -count=1 -run '^TestDifferential$' ./verdict/literal # many more verdicts than under the race detector
	"$go" list ./... | grep -E "$labs" | xargs "$go" test -p 1 -timeout 30m "${flags[@]}"
	(cd clusters/labd && CGO_ENABLED=0 "$go" test -p 1 -json -count=1 -trimpath ./...)
	(cd tools/conformance && CGO_ENABLED=0 "$go" test -json -count=1 -trimpath ./...)
	(cd verdict/bench && CGO_ENABLED=0 "$go" test -json -count=1 -trimpath ./...)
	(cd tools && "$go" vet ./testsum >&2)
} | bin/testsum
