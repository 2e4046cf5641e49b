#!/usr/bin/env bash
# Fails on anything a reviewer should not have to say: binary files, formatting,
# vet, staticcheck, untidy modules, generated code that drifted.
set -euo pipefail
go=$1
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
hack/tracked-binaries.sh
unformatted=$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l)
if [ -n "$unformatted" ]; then
	printf 'gofmt needed:\n%s\n' "$unformatted" >&2
	exit 1
fi
"$go" vet ./...
bin/staticcheck ./...
# The command line also runs on systems that have no lab.
for platform in darwin/arm64 windows/amd64; do
	GOOS=${platform%/*} GOARCH=${platform#*/} CGO_ENABLED=0 "$go" build -o /dev/null ./cmd/tightrope
done
# The same flags as the build of labd, so that Kubernetes is compiled once.
(cd clusters/labd && export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -trimpath" && "$go" vet ./... && "$root/bin/staticcheck" ./...)
(cd tools/conformance && export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -trimpath" && "$go" vet ./... && "$root/bin/staticcheck" ./...)
(cd tools/render && "$go" vet ./... && "$root/bin/staticcheck" ./...)
(cd verdict/bench && "$go" vet ./... && "$root/bin/staticcheck" ./...)
(cd docs/example/labtest && "$go" vet ./... && "$root/bin/staticcheck" ./...)
for module in . clusters/labd tools tools/conformance tools/render verdict/bench docs/example/labtest; do
	(cd "$module" && "$go" mod tidy -diff) || {
		echo "$module: run 'go mod tidy' there" >&2
		exit 1
	}
done
if [ "$(grep -hE '^\sk8s.io/kubernetes v' clusters/labd/go.mod tools/conformance/go.mod | sort -u | wc -l)" != 1 ]; then
	echo "clusters/labd and tools/conformance must require the same k8s.io/kubernetes: the lab is judged by its own version's tests" >&2
	exit 1
fi
if ! git diff --quiet -- deploy/crds deploy/helm deploy/kustomize api; then
	git --no-pager diff --stat -- deploy/crds deploy/helm deploy/kustomize api >&2
	echo "generated code drifted: run 'make generate' and commit" >&2
	exit 1
fi
