#!/usr/bin/env bash
# Builds Kubernetes' own end-to-end tests and agnhost, unmodified, from the module
# of the version that the lab runs, and judges the lab by them. Further arguments
# go to the runner: see `bin/conformance/conformance -h`.
#
#   hack/lab-conformance.sh go '-s -w …' [-group netpol] [-focus REGEXP] [-listed]
set -euo pipefail
go=$1 ldflags=$2
shift 2
root=$(cd "$(dirname "$0")/.." && pwd)
out=$root/bin/conformance
mkdir -p "$out"
cd "$root/tools/conformance"
# The flags of the lab's server, so that what both are made of is compiled once.
export CGO_ENABLED=0
programs=(. ./toolbox github.com/onsi/ginkgo/v2/ginkgo k8s.io/kubernetes/test/images/agnhost)
tests=k8s.io/kubernetes/test/e2e
stale=$("$go" list -trimpath -deps -test -f '{{if .Stale}}x{{end}}' "${programs[@]}" "$tests" 2>/dev/null | grep -c x || true)
if [ "$stale" -gt 200 ]; then
	echo "conformance: compiling Kubernetes' tests once: $stale packages (some minutes on two cores)" >&2
fi
"$go" build -trimpath -ldflags "$ldflags" -o "$out/" "${programs[@]}"
"$go" test -c -trimpath -ldflags "$ldflags" -o "$out/e2e.test" "$tests"
# The tests' images, as folders: what they run of agnhost's files, the toolbox stands in for.
rm -rf "$out/images"
"$out/toolbox" "$out/images/agnhost/bin"
"$out/toolbox" "$out/images/tools/bin"
cp "$out/agnhost" "$out/images/agnhost/agnhost"
exec "$out/conformance" -bin "$root/bin" -report "$root/reports/conformance" "$@"
