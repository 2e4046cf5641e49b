#!/usr/bin/env bash
# Runs tests, and counts what ran, what was skipped and why, and what took long.
#
#   hack/test.sh GO CC           the main module and the lab's module: make test
#   hack/test.sh GO CC nested    every other module of the repository: part of make test-all
#
# CC is a C compiler, or empty: then the race detector is off.
set -uo pipefail
go=$1 race=$2 what=${3:-main}
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
broken=$(mktemp)
trap 'rm -f "$broken"' EXIT
# make check vets, so go test need not: with a cold cache it would vet all of Kubernetes.
flags=(-json -count=1 -vet=off)
raced=("${flags[@]}")
if [ -n "$race" ]; then
	raced+=(-race)
else
	echo "make test: no C compiler found, so the race detector is off; install gcc to turn it on" >&2
	if [ -n "${CI:-}" ]; then
		echo "make test: CI requires the race detector: install gcc" >&2
		exit 1
	fi
fi
export TIGHTROPE_BIN="$root/bin"

# step runs a command in a folder. What goes wrong outside of tests has no event.
step() {
	local folder=$1
	shift
	(cd "$folder" && exec "$@") || echo "in $folder: $* exited with $?" >>"$broken"
}

# packages of the main module whose path matches, or with -v does not.
packages() { "$go" list ./... | grep -E "$@"; }

# Packages that do one thing at a time run without the race detector: it could
# find nothing there, and makes long searches ten times as long (arch_test.go holds this).
alone='/(deploy/release|rollout|verdict/(class|compare|cover|explain|lint|literal/random))$'
# Packages that bring up labs mostly wait, so two go at a time. More would starve
# probes on a machine with two cores, and a starved probe proves nothing.
labs='/(clusters/lab|cmd/tightrope|rollout/operator|scenarios/e2e)$'

main() {
	CGO_ENABLED=${race:+1} step . "$go" test "${raced[@]}" $(packages -v "$labs|$alone")
	CGO_ENABLED=0 step . "$go" test "${flags[@]}" $(packages "$alone")
	CGO_ENABLED=0 step . "$go" test "${flags[@]}" -run '^TestDifferential$' ./verdict/literal # many more verdicts than under the race detector
	CGO_ENABLED=0 step . "$go" test "${flags[@]}" -run '^TestRecordedRuns$' ./rollout/operator                # all recordings; one of each under it
	CGO_ENABLED=${race:+1} step . "$go" test -p 2 -timeout 45m "${raced[@]}" $(packages "$labs")
	# This module compiles Kubernetes, so its tests share the flags of make labd, and so its cache.
	CGO_ENABLED=0 step clusters/labd "$go" test -p 1 -timeout 30m "${flags[@]}" -trimpath ./...
}

nested() {
	local module
	for module in $(git ls-files '*/go.mod' | grep -v '^clusters/labd/'); do
		CGO_ENABLED=0 step "${module%/go.mod}" "$go" test -timeout 30m "${flags[@]}" -trimpath ./...
	done
}

case $what in
main) log=reports/test.log ;;
nested) log=reports/test-nested.log ;;
*) echo "hack/test.sh: main or nested, not $what" >&2 && exit 2 ;;
esac
"$what" | bin/testsum -log $log
status=$?
[ $status -ne 0 ] || [ ! -s "$broken" ] || status=1
cat "$broken" >&2
exit $status
