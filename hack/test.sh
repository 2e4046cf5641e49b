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
# One package of tests at a time on the lab: two cores are few. The nested module
# compiles Kubernetes, so its tests share the build's flags (and so its cache) and
# run without the race detector.
{
	"$go" test "${flags[@]}" ./...
	(cd tools && "$go" vet ./... >&2)
	(cd clusters/labd && CGO_ENABLED=0 "$go" test -json -count=1 -trimpath ./...)
} | bin/testsum
