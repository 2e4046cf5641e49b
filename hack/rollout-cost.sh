#!/usr/bin/env bash
# What a rollout costs a node: brings up a lab, holds zero-trust-ai-platform in its
# observe stage, and measures for SECONDS what agents, controller, DNS and the rest
# of the lab use. Prints a table. Usage: hack/rollout-cost.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-20}
name=rollout-cost
work=$(mktemp -d)
scenario=$work/observed.yaml
trap 'bin/tightrope lab down --name $name >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
# The library's scenario with an observe stage that lasts longer than the measurement.
sed 's/^\(\s*\)- {name: observe, mode: Observe, minDuration: [^}]*}/\1- {name: observe, mode: Observe, minDuration: 10m}/' \
	scenarios/library/zero-trust-ai-platform.yaml >"$scenario"
grep -q 'minDuration: 10m' "$scenario" || { echo "rollout-cost: the library's observe stage reads otherwise now" >&2; exit 1; }

images=()
for image in controller agent twin standin; do images+=(--image "tightrope.dev/$image=bin/$image"); done
bin/tightrope lab up --name $name "${images[@]}" >/dev/null
kubectl() { bin/tightrope lab kubectl --name $name -- "$@"; }
bin/tightrope run "$scenario" --cluster current --kubeconfig "$(bin/tightrope lab kubeconfig --name $name)" --report "$work/report" >"$work/run.log" 2>&1 &
until kubectl get policyrolloutruns -A -o jsonpath='{.items[*].status.phase}' 2>/dev/null | grep -q Observe; do
	kill -0 $! 2>/dev/null || { cat "$work/run.log" >&2; exit 1; }
	sleep 0.5
done
sleep 5 # the first seconds of a stage are its busiest, and not what a long one costs

# Processor time so far, in ticks, of all processes whose command is the pattern.
ticks() { cat /proc/[0-9]*/stat 2>/dev/null | awk -v want="$1" '{name=$0; sub(/^[0-9]+ \(/,"",name); sub(/\).*/,"",name); rest=$0; sub(/^.*\) /,"",rest); split(rest,f," "); if (name ~ want) sum+=f[12]+f[13]} END {print sum+0}'; }
logs() { kubectl get pods -A -l tightrope.dev/role=probe -o jsonpath='{range .items[*]}{.metadata.namespace}/{.metadata.name}{"\n"}{end}'; }
said() { # bytes and attempts in the last seconds, over all agents
	while read -r pod; do kubectl logs -n "${pod%/*}" "${pod#*/}" --since="${seconds}s"; done < <(logs)
}
declare -A before
parts=('^agent$' '^controller$' '^coredns$' '^standin$' '^hyperkube$' '^twin$')
for p in "${parts[@]}"; do before[$p]=$(ticks "$p"); done
sleep "$seconds"
hz=$(getconf CLK_TCK)
printf '%-14s %s\n' process 'of one core, %'
sum=0
for p in "${parts[@]}"; do
	percent=$(( ( $(ticks "$p") - before[$p] ) * 100 / hz / seconds ))
	printf '%-14s %d\n' "${p//[\^$]/}" "$percent"
	case $p in *agent*|*controller*|*coredns*) sum=$((sum + percent));; esac
done
printf '%-14s %d   (bar: under 50)\n' 'of these three' "$sum"
said >"$work/lines"
agents=$(logs | wc -l)
attempts=$(grep -o '"ended":{[^}]*}' "$work/lines" | grep -o ':[0-9]*' | tr -d : | awk '{s+=$1} END {print s+0}')
bytes=$(wc -c <"$work/lines")
echo "$agents probe pods; $((attempts / seconds)) attempts a second; $((bytes / seconds / agents)) bytes of lines a second and agent"
kubectl -n tightrope-system logs deploy/tightrope-controller | grep -E 'msg=preflight|INFO preflight' | sed 's/^.*preflight/preflight/'
