#!/usr/bin/env bash
# Counts what labs left on this machine: processes, namespaces, mounts and
# directories. Prints the four counts; exits 1 when any is not zero.
#
#   hack/lab-leftovers.sh                     of every lab
#   hack/lab-leftovers.sh user:[4026532277]   processes and namespaces of one lab,
#                                             known by its user namespace
#   hack/lab-leftovers.sh user:[…] 123456     the same, of processes that started by
#                                             then, in clock ticks since boot: the kernel
#                                             gives the number of a namespace that has
#                                             ended to the next one, maybe of another lab
#
# A lab's processes are known by their file systems, which are of the source
# "tightrope-lab", or by running labd; its namespaces are those that such processes
# are in and that we are not in. Directories are looked for where TMPDIR and
# XDG_RUNTIME_DIR point.
set -u
shopt -s nullglob
mark=tightrope-lab
only=${1:-} until=${2:-}
declare -A namespaces=() of=()
processes=0 mounts=0 directories=0
# One look at all namespaces: a program for each link of each process would take
# ten seconds on a busy machine.
while read -r dir ns; do
	of[${dir#/proc/}]+=" $ns"
done < <(find /proc/[0-9]*/ns -maxdepth 1 -type l -printf '%H %l\n' 2>/dev/null | sed 's|/ns | |')
own="${of[$$]:-} "

# is_lab PROC COMMAND
is_lab() {
	if [ -n "$only" ]; then
		[[ "${of[${1#/proc/}]:-} " == *" $only "* ]] || return 1
		[ -z "$until" ] && return
		local stat
		{ read -r stat <"$1/stat"; } 2>/dev/null || return 1
		read -ra stat <<<"${stat##*) }" # the name in front may have spaces
		[ "${stat[19]}" -le "$until" ]
		return
	fi
	local program=${2%% *} part=${2#* }
	case "${program##*/} ${part%% *}" in
	"labd protocol" | "labd stamp" | "labd kubectl" | "hyperkube kubectl") return 1 ;;
	"labd "* | "hyperkube "*) return 0 ;;
	esac
	grep -q " $mark " "$1/mountinfo" 2>/dev/null
}

for proc in /proc/[0-9]*; do
	pid=${proc#/proc/}
	[ "$pid" = $$ ] && continue
	{ mapfile -d '' -t argv <"$proc/cmdline"; } 2>/dev/null || continue
	command="${argv[*]}"
	is_lab "$proc" "$command" || continue
	processes=$((processes + 1))
	echo "process $pid: ${command:0:100}" >&2
	read -ra ids <<<"${of[$pid]:-}" # their brackets are no patterns
	for id in "${ids[@]}"; do
		case "$own" in *" $id "*) ;; *) namespaces[$id]=1 ;; esac
	done
done
while read -r line; do
	case "$line" in *" $mark "*)
		mounts=$((mounts + 1))
		echo "mount: $line" >&2
		;;
	esac
done </proc/self/mountinfo
for dir in "${TMPDIR:-/tmp}"/tightrope-[0-9]* "${XDG_RUNTIME_DIR:-/nowhere}"/tightrope; do
	[ -e "$dir" ] || continue
	directories=$((directories + 1))
	echo "directory: $dir" >&2
done
echo "processes ${processes} namespaces ${#namespaces[@]} mounts ${mounts} directories ${directories}"
[ $((processes + ${#namespaces[@]} + mounts + directories)) -eq 0 ]
