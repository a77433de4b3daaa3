#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Who may include whom (docs/design.md, "Folders"). A line is a folder and the folders whose headers
# it may include; every folder may include its own. Headers in <> are the system's.
set -euo pipefail
cd "$(dirname "$0")/.."

rules='
include/shared   :
include/millrace :
bpf              : include/shared vmlinux
user/wire        : include/shared
user/frame       : include/shared
user/tcp         : include/shared user/wire user/frame
user/tlv         : include/millrace
user/port        : include/shared user/frame user/wire
user/attach      : include/shared
user/lane        : include/shared include/millrace user/tcp user/tlv user/port user/frame user/wire user/attach
user/api         : include/shared include/millrace user/attach user/tlv user/lane user/port user/frame
user/tls         : include/millrace
user/apps        : include/millrace
user/worker      : include/shared include/millrace user/lane user/apps user/port user/frame
user/nft         :
user/daemon      : include/shared user/port user/frame user/nft
user/cli         : include/shared user/wire user/nft
'

# Where does a quoted include of a file in folder $1 lead to?
folder_of() {
	local from=$1 header=$2

	if [ -f "$from/$header" ]; then
		dirname "$from/$header"
	elif [ -f "include/$header" ]; then
		dirname "include/$header"
	elif [ -f "$header" ]; then
		dirname "$header"
	elif [ -f "vmlinux/x86_64/$header" ]; then
		echo vmlinux
	else
		echo "unknown"
	fi
}

bad=0
while IFS=: read -r folder allowed; do
	folder=${folder// /}
	[ -n "$folder" ] || continue
	while IFS=: read -r file header; do
		[ -n "$header" ] || continue
		to=$(folder_of "$folder" "$header")
		case " $folder $allowed " in
		*" $to "*) ;;
		*)
			echo "$file: includes $header, but $folder may not include ${to/unknown/a file that is not there}" >&2
			bad=1
			;;
		esac
	done < <(grep -rhoHE '^#include "[^"]+"' "$folder" --include='*.[ch]' | sed 's/#include "\(.*\)"/\1/')
done <<<"$rules"

# Pure folders: no clock, no I/O, no allocation.
if grep -rnE '\b(malloc|calloc|realloc|free|clock_gettime|time|read|write|send|recv|printf|fprintf)\(' \
	user/wire user/tcp user/tlv --include='*.c' | grep -vE '^\S+:\s*(\*|//)|/\*'; then
	echo "the pure folders wire, tcp and tlv have no clock, no I/O and no allocation" >&2
	bad=1
fi
exit $bad
