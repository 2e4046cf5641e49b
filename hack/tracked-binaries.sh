#!/usr/bin/env bash
# Fails when git tracks a program, a library, or another large binary file: it stays
# in every clone forever, and no reviewer can read it. Pictures and fonts of the
# documentation are allowed.
set -euo pipefail
cd "$(dirname "$0")/.."
media='^docs/.*\.(png|jpe?g|gif|webp|ico|mp4|webm|woff2)$'
large=1048576

# candidates prints the tracked files that git takes for binary, and the large ones:
# git looks for a NUL in the first 8,000 bytes only. Against the empty tree every
# file is new, and a binary one has no count of lines.
candidates() {
	git diff --cached --numstat --no-renames --no-ext-diff --no-textconv -z "$(git hash-object -t tree /dev/null)" |
		sed -zn 's/^-\t-\t//p'
	git ls-files -z | xargs -0 sh -c 'find "$@" -maxdepth 0 -type f -size +'"$large"'c -print0 2>/dev/null || true' find
}

# kind prints what a file is, or nothing where it may stay.
kind() {
	case $(head -c 8 "$1" | od -An -tx1 | tr -d ' \n') in
	7f454c46*) echo "an ELF program or library" ;;
	feedface* | feedfacf* | cefaedfe* | cffaedfe* | cafebabe*) echo "a Mach-O program or library" ;;
	4d5a*) echo "a Windows program or library" ;;
	213c617263683e0a) echo "an ar archive" ;;
	*)
		if [ "$(stat -c %s "$1")" -gt $large ] && ! cmp -s "$1" <(tr -d '\0' <"$1"); then
			echo "a binary file of more than 1 MiB"
		fi
		;;
	esac
}

found=0
while IFS= read -rd '' file; do
	[[ $file =~ $media || ! -f $file ]] && continue
	what=$(kind "$file")
	[ -n "$what" ] || continue
	found=1
	echo "$file is tracked, and is $what: run \"git rm --cached '$file'\" and name it in .gitignore (builds go to bin/)" >&2
done < <(candidates | sort -zu)
exit $found
