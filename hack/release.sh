#!/usr/bin/env bash
# Builds what people download, and packs it into dist/, without Docker: see docs/install.md.
#
#   hack/release.sh GO lab    everything; the lab takes a long time for an architecture that is built the first time
#   hack/release.sh GO cli    the command line for every platform, and the images
#
# VERSION     what it is called; the default is the tag of this commit, or a name that is made of the commit
# PLATFORMS   as linux/amd64,darwin/arm64; the default is all
# REGISTRY    registry and prefix that the command line names images in when it is told none; the default is none
# RELEASE_URL folder that the files will be downloaded from; the default is that of the project's release
set -euo pipefail
go=$1 what=$2
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

# name is the tag of this commit, or the version that Go gives a commit without one.
name() {
	git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null ||
		TZ=UTC git log -1 --date=format-local:%Y%m%d%H%M%S --abbrev=12 --format=v0.0.0-%cd-%h
}
dirty=
if [ -n "$(git status --porcelain)" ]; then dirty=-dirty; fi
version=${VERSION:-$(name)$dirty}
revision=$(git rev-parse HEAD)$dirty
platforms=${PLATFORMS:-darwin/amd64,darwin/arm64,linux/amd64,linux/arm64,windows/amd64}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

# The same source gives the same bytes with the same Go, wherever it is built.
export CGO_ENABLED=0 GOAMD64=v1 GOARM64=v8.0 GOFLAGS='-trimpath -buildvcs=false' GOEXPERIMENT=
out=bin/release module=github.com/tightrope-dev/tightrope
rm -rf "$out"
mkdir -p "$out"
"$go" build -o "$out/release" ./cmd/release

# The images first: the command line knows their digests. They are for both architectures.
for arch in amd64 arm64; do
	GOOS=linux GOARCH=$arch "$go" build -ldflags '-s -w' -o "$out/linux_$arch/" ./cmd/agent ./cmd/controller ./cmd/standin ./cmd/twin
done
digests=$("$out/release" images "$out/images" --binaries "$out" --version "$version" --revision "$revision")

ldflags="-s -w -X $module/clusters/lab.Stamp=$version -X main.commit=$revision -X main.defaultRegistry=${REGISTRY:-} -X $module/deploy/images.Released=$digests"
labs=
for platform in ${platforms//,/ }; do
	os=${platform%/*} arch=${platform#*/}
	echo "release: tightrope for $platform" >&2
	GOOS=$os GOARCH=$arch "$go" build -ldflags "$ldflags" -o "$out/${os}_$arch/" ./cmd/tightrope
	if [ "$what" = lab ] && [ "$os" = linux ]; then
		echo "release: the lab for $platform" >&2
		GOOS=$os GOARCH=$arch make --no-print-directory labd GO="$go" STAMP="$version" OUT="$out/${os}_$arch"
		labs+=,$arch
	fi
done
exec "$out/release" archives dist --binaries "$out" --image-layout "$out/images" --version "$version" \
	--platforms "$platforms" --lab "${labs#,}" --document LICENSE --document README.md \
	--modules "$("$go" env GOMODCACHE)" --go-licence "$("$go" env GOROOT)/LICENSE" --url "${RELEASE_URL:-}"
