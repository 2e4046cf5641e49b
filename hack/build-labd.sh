#!/usr/bin/env bash
# Builds labd and hyperkube, into bin or another folder. The first build compiles Kubernetes, which takes minutes, so
# it says how far it is; later builds only link.
set -euo pipefail
go=$1 ldflags=$2 out=${3:-bin}
root=$(cd "$(dirname "$0")/.." && pwd)
out=$(mkdir -p "$root/$out" && cd "$root/$out" && pwd)
cd "$root/clusters/labd"
export CGO_ENABLED=0
total=$("$go" list -deps . ./hyperkube | wc -l)
stale=$("$go" list -trimpath -deps -f '{{if .Stale}}x{{end}}' . ./hyperkube | grep -c x || true)
if [ "$stale" -gt 200 ]; then
	echo "labd: compiling Kubernetes once: $stale of $total packages (some minutes on two cores)" >&2
fi
done=0
"$go" build -v -trimpath -ldflags "$ldflags" -o "$out/" . ./hyperkube 2> >(
	while read -r line; do
		case $line in
		*" "* | "#"*) echo "$line" >&2 ;; # an error, not a package path
		*)
			done=$((done + 1))
			if [ $((done % 100)) -eq 0 ]; then echo "labd: $done of $stale packages" >&2; fi
			;;
		esac
	done
)
