#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What `make install` and `make uninstall` do, from one list. The build stands in build/ (or $B).
#
#   scripts/install.sh install	copy everything below $DESTDIR$PREFIX
#   scripts/install.sh uninstall	remove just those files, and the directories that are empty then
#
# DESTDIR (none), PREFIX (/usr/local), LIBDIR, SYSCONFDIR (/etc), SYSTEMD_DIR, SYSUSERS_DIR: as usual.
# A configuration in SYSCONFDIR is the operator's own: it is neither made nor removed.
set -euo pipefail
cd "$(dirname "$0")/.."

B=${B:-build}
DESTDIR=${DESTDIR:-}
PREFIX=${PREFIX:-/usr/local}
LIBDIR=${LIBDIR:-$PREFIX/lib}
SYSCONFDIR=${SYSCONFDIR:-/etc}
SYSTEMD_DIR=${SYSTEMD_DIR:-$PREFIX/lib/systemd/system}
SYSUSERS_DIR=${SYSUSERS_DIR:-$PREFIX/lib/sysusers.d}
doc=$PREFIX/share/doc/millrace
verb=${1:-}

# put MODE SOURCE TARGET-DIRECTORY [NAME]: a SOURCE that is not there (a pattern that matches
# nothing) is none of this version.
put() {
	local target=$DESTDIR$3/${4:-${2##*/}}

	[ -f "$2" ] || return 0
	case $verb in
	install) install -D -m "$1" "$2" "$target" ;;
	uninstall) rm -f "$target" ;;
	esac
}

# The unit knows where the daemon lies and where its configuration is.
put_unit() {
	local name=${1##*/} made

	made=$(mktemp)
	sed -e "s|@SBINDIR@|$PREFIX/sbin|g" -e "s|@SYSCONFDIR@|$SYSCONFDIR|g" "$1" >"$made"
	put 0644 "$made" "$SYSTEMD_DIR" "${name%.in}"
	rm -f "$made"
}

# put_link NAME TARGET: a name of the shared library beside it
put_link() {
	case $verb in
	install) ln -sf "$2" "$DESTDIR$LIBDIR/$1" ;;
	uninstall) rm -f "$DESTDIR$LIBDIR/$1" ;;
	esac
}

# What programs are built with, and against.
library() {
	local file made

	for file in "$B"/libmillrace.so.*.*; do
		[ -f "$file" ] || continue
		put 0644 "$file" "$LIBDIR"
		put_link libmillrace.so.1 "${file##*/}"
		put_link libmillrace.so libmillrace.so.1
		made=$(mktemp)
		sed -e "s|@PREFIX@|$PREFIX|g" -e "s|@LIBDIR@|$LIBDIR|g" \
			-e "s|@VERSION@|${file##*.so.}|g" share/pkgconfig/millrace.pc.in >"$made"
		put 0644 "$made" "$LIBDIR/pkgconfig" millrace.pc
		rm -f "$made"
	done
	put 0644 "$B/libmillrace.a" "$LIBDIR"
	for file in include/millrace/*.h; do
		put 0644 "$file" "$PREFIX/include/millrace"
	done
}

everything() {
	local file folder

	library

	put 0755 "$B/millraced" "$PREFIX/sbin"
	put 0755 "$B/millrace" "$PREFIX/bin"
	put 0755 "$B/millrace-worker" "$PREFIX/libexec/millrace"
	for file in "$B"/*.bpf.o; do
		put 0644 "$file" "$PREFIX/lib/millrace"
	done
	for file in docs/*.[1-8] "$B"/man/*.[1-8]; do
		put 0644 "$file" "$PREFIX/share/man/man${file##*.}"
	done
	for file in share/completions/*; do
		put 0644 "$file" "$PREFIX/share/bash-completion/completions"
	done
	for file in share/systemd/*.in; do
		put_unit "$file"
	done
	for file in share/sysusers.d/*.conf; do
		put 0644 "$file" "$SYSUSERS_DIR"
	done
	for file in share/examples/* examples/*.[ch]; do
		put 0644 "$file" "$doc/examples"
	done
	for folder in wireshark grafana; do
		for file in share/"$folder"/*; do
			put 0644 "$file" "$PREFIX/share/millrace/$folder"
		done
	done
	for file in README.md LICENSE docs/*.md; do
		put 0644 "$file" "$doc"
	done
}

case $verb in
install)
	[ -x "$B/millraced" ] || { echo "install: $B/millraced is not there; run: make" >&2; exit 1; }
	everything
	[ -n "$DESTDIR" ] || ldconfig || echo "install: ldconfig failed: run it as root, so that programs find libmillrace" >&2
	;;
uninstall)
	everything
	for folder in "$doc/examples" "$doc" "$PREFIX/share/millrace/wireshark" \
		"$PREFIX/share/millrace/grafana" "$PREFIX/share/millrace" "$PREFIX/lib/millrace" \
		"$PREFIX/libexec/millrace" "$PREFIX/include/millrace"; do
		rmdir "$DESTDIR$folder" 2>/dev/null || true
	done
	;;
*)
	echo "usage: scripts/install.sh install | uninstall" >&2
	exit 2
	;;
esac
