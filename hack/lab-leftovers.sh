#!/usr/bin/env bash
# Counts what labs left on this machine: processes, namespaces, mounts and
# directories. Prints the four counts; exits 1 when any is not zero.
#
# A lab's processes are known by their file systems, which are all of the source
# "tightrope-lab", or by running labd; its namespaces are those that such processes
# are in and that we are not in, and those that a mount keeps.
set -u
shopt -s nullglob
mark=tightrope-lab
declare -A namespaces
processes=0 mounts=0 directories=0
own=" "
for ns in /proc/self/ns/*; do own+="$(readlink "$ns") "; done

for proc in /proc/[0-9]*; do
	pid=${proc#/proc/}
	[ "$pid" = $$ ] && continue
	command=$(tr '\0' ' ' <"$proc/cmdline" 2>/dev/null) || continue
	case "$command" in
	labd\ * | */labd\ *) ;;
	*) grep -q " $mark " "$proc/mountinfo" 2>/dev/null || continue ;;
	esac
	case "$command" in *"/labd stamp "* | *"/labd kubectl "*) continue ;; esac
	processes=$((processes + 1))
	echo "process $pid: ${command:0:100}" >&2
	for ns in "$proc"/ns/*; do
		id=$(readlink "$ns") || continue
		case "$own" in *" $id "*) ;; *) namespaces[$id]=1 ;; esac
	done
done
while read -r line; do
	case "$line" in
	*" $mark "* | *"/tightrope-"[0-9]*"/"* | *"/tightrope/"*" nsfs "*)
		mounts=$((mounts + 1))
		echo "mount: $line" >&2
		;;
	esac
done </proc/self/mountinfo
for dir in "${TMPDIR:-/tmp}"/tightrope-[0-9]* /tmp/tightrope-[0-9]* "${XDG_RUNTIME_DIR:-/nowhere}"/tightrope /run/user/*/tightrope; do
	[ -e "$dir" ] || continue
	directories=$((directories + 1))
	echo "directory: $dir" >&2
done
echo "processes ${processes} namespaces ${#namespaces[@]} mounts ${mounts} directories ${directories}"
[ $((processes + ${#namespaces[@]} + mounts + directories)) -eq 0 ]
