#!/usr/bin/env bash
# Counts what labs left on this machine: processes, namespaces, mounts and
# directories. Prints the four counts; exits 1 when any is not zero.
#
#   hack/lab-leftovers.sh                     of every lab
#   hack/lab-leftovers.sh user:[4026532277]   processes and namespaces of one lab,
#                                             known by its user namespace
#
# A lab's processes are known by their file systems, which are of the source
# "tightrope-lab", or by running labd; its namespaces are those that such processes
# are in and that we are not in. Directories are looked for where TMPDIR and
# XDG_RUNTIME_DIR point.
set -u
shopt -s nullglob
mark=tightrope-lab
only=${1:-}
declare -A namespaces=()
processes=0 mounts=0 directories=0
own=" "
for ns in /proc/self/ns/*; do own+="$(readlink "$ns") "; done

# is_lab PROC COMMAND
is_lab() {
	if [ -n "$only" ]; then
		[ "$(readlink "$1/ns/user" 2>/dev/null)" = "$only" ]
		return
	fi
	local program=${2%% *} part=${2#* }
	case "${program##*/} ${part%% *}" in
	"labd stamp" | "labd kubectl" | "hyperkube kubectl") return 1 ;;
	"labd "* | "hyperkube "*) return 0 ;;
	esac
	grep -q " $mark " "$1/mountinfo" 2>/dev/null
}

for proc in /proc/[0-9]*; do
	pid=${proc#/proc/}
	[ "$pid" = $$ ] && continue
	command=$({ tr '\0' ' ' <"$proc/cmdline"; } 2>/dev/null) || continue
	is_lab "$proc" "$command" || continue
	processes=$((processes + 1))
	echo "process $pid: ${command:0:100}" >&2
	for ns in "$proc"/ns/*; do
		id=$(readlink "$ns" 2>/dev/null) || continue
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
