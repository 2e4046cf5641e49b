#!/usr/bin/env bash
# Brings labs up and down again and again, kills some of them with SIGKILL at a
# random moment, and counts after each what was left.
#
#   hack/lab-cycles.sh [UPS [KILLS [NODES]]]     default: 200 50 2
#
# A killed one may be the starter that holds the lab, the warden, process 1 or the
# supervisor: whatever runs by then, one in turn. Every lab is in a folder of this
# run, so labs of others do not count. Exits 1 when anything was left.
set -uo pipefail
ups=${1:-200} kills=${2:-50} nodes=${3:-2}
root=$(cd "$(dirname "$0")/.." && pwd)
tightrope=${TIGHTROPE_BIN:-$root/bin}/tightrope
TMPDIR=$(mktemp -d /tmp/cyc-XXXXXX) # short: a Unix socket's path must fit
export TMPDIR
unset XDG_RUNTIME_DIR
log=$TMPDIR/log
started=0 failed=0 dirty=0 slowest=0
declare -A when=() # how many kills hit which process
trap 'rm -rf "$TMPDIR"' EXIT

# family prints the process and all its descendants.
family() {
	local pid
	echo "$1"
	for pid in $(cat /proc/"$1"/task/*/children 2>/dev/null); do family "$pid"; done
}

# role is what a process of a lab is: up (the warden), init, supervise, apiserver, …
role() { { tr '\0' '\n' <"/proc/$1/cmdline"; } 2>/dev/null | sed -n 2p; }

# ticks is the time since boot as /proc/PID/stat counts it.
ticks() {
	local up
	read -r up _ </proc/uptime
	echo "${up/./}" # in hundredths, which is what every Linux counts there
}

# settled waits for the end of every process that this run's labs have: the kernel
# ends those of a namespace one after the other, and tells nobody.
settled() {
	local tries ns=$1 until=$2
	for tries in $(seq 200); do
		if ! pgrep -f "(labd|hyperkube).*$TMPDIR" >/dev/null && "$root/hack/lab-leftovers.sh" "${ns:-user:[0]}" "$until" 2>/dev/null | grep -q "^processes 0 "; then return 0; fi
		sleep 0.05
	done
	return 1
}

# user_namespace of the lab among the processes, if process 1 runs yet.
user_namespace() {
	local pid
	for pid in "$@"; do
		if [ "$(role "$pid")" = init ]; then readlink "/proc/$pid/ns/user" 2>/dev/null; return; fi
	done
}

# check counts what is left of a lab, whose user namespace is known or empty, and
# whose end began at a time.
check() {
	settled "$2" "$3"
	"$tightrope" lab status >/dev/null 2>&1 # what lab commands begin with: it sweeps a killed warden's folder
	if ! TMPDIR=$TMPDIR "$root/hack/lab-leftovers.sh" "${2:-user:[0]}" "$3" >"$log" 2>&1 || pgrep -af "(labd|hyperkube).*$TMPDIR" >>"$log"; then
		dirty=$((dirty + 1))
		echo "cycle $1 left something:" >&2
		cat "$log" >&2
	fi
}

for i in $(seq "$ups"); do
	begin=$(date +%s%N)
	if "$tightrope" lab up --nodes "$nodes" >"$log" 2>&1; then
		took=$((($(date +%s%N) - begin) / 1000000))
		[ $took -gt $slowest ] && slowest=$took
		started=$((started + 1))
	else
		failed=$((failed + 1))
		echo "cycle $i did not come up:" >&2
		cat "$log" >&2
	fi
	ns=$(user_namespace $(pgrep -f "(labd|hyperkube).*$TMPDIR"))
	end=$(ticks)
	"$tightrope" lab down >"$log" 2>&1 || [ ! -e "$TMPDIR/tightrope-$(id -u)" ] || cat "$log" >&2
	check "up $i" "$ns" "$end"
done

for i in $(seq "$kills"); do
	"$tightrope" lab up --foreground --nodes "$nodes" >"$log" 2>&1 &
	starter=$!
	sleep "$(printf '%d.%03d' $((RANDOM % 8)) $((RANDOM % 1000)))" # the random moment, not a wait
	mapfile -t alive < <(family $starter)
	ns=$(user_namespace "${alive[@]}")
	victims=()
	for pid in "${alive[@]}"; do
		case $(role "$pid") in lab | up | init | supervise) victims+=("$pid") ;; esac
	done
	if [ ${#victims[@]} -eq 0 ]; then
		failed=$((failed + 1))
		echo "kill $i: the lab had ended by itself:" >&2
		cat "$log" >&2
		wait $starter
		check "kill $i (nothing)" "$ns" "$(ticks)"
		continue
	fi
	victim=${victims[$((i % ${#victims[@]}))]}
	hit=$(role "$victim")
	[ "$hit" = lab ] && hit=starter
	when[$hit]=$((${when[$hit]:-0} + 1))
	end=$(ticks)
	kill -9 "$victim"
	wait $starter 2>/dev/null
	check "kill $i ($hit)" "$ns" "$end"
done

printf 'up and down %d of %d (slowest up %d ms), killed %d:' "$started" "$ups" "$slowest" "$kills"
for hit in "${!when[@]}"; do printf ' %s %d' "$hit" "${when[$hit]}"; done
printf '; cycles that left something %d\n' "$dirty"
[ $((dirty + failed)) -eq 0 ]
