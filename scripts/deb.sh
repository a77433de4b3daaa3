#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Build the Debian package into build/deb/, from a copy of this tree, and have lintian judge it.
# With MR_PREBUILT=build the programs that stand there are packed as they are: to try the package out.
# Ends with: deb: ok package=FILE bytes=N lintian_errors=0 lintian_warnings=N
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
	echo "deb: $*" >&2
	exit 1
}

out=build/deb${MR_PREBUILT:+-trial}
export MR_PREBUILT=${MR_PREBUILT:+$(realpath "$MR_PREBUILT")}
version=$(dpkg-parsechangelog -S Version)
copy=$out/millrace-$version
log=$out/build.log

rm -rf "$out"
mkdir -p "$copy"
tar --exclude=./build --exclude=./.git --exclude='__pycache__' -cf - . | tar -C "$copy" -xf -
# The libraries of the build stand in one list, for every way to build.
libraries=$(sed -n '/# build:/,/# run:/p' scripts/install-deps.sh |
	grep -oE '(^|[[:space:]])(lib[^[:space:]]+-dev|zlib1g-dev)' | sort -u | paste -s -d, | tr -d '[:space:]')
sed "s/@LIBRARIES@/${libraries//,/, }/" debian/control.in >"$copy/debian/control"
(cd "$copy" && dpkg-buildpackage -b -us -uc) >"$log" 2>&1 || {
	tail -n 30 "$log" >&2
	fail "dpkg-buildpackage failed; all of it: $log"
}
rm -rf "$copy"
lintian --allow-root --fail-on error "$out"/*.changes >"$out/lintian.log" 2>&1 || {
	cat "$out/lintian.log" >&2
	fail "lintian finds errors"
}
cat "$out/lintian.log"
package=$(ls "$out"/millrace_*.deb)
echo "deb: ok package=$package bytes=$(stat -c %s "$package") lintian_errors=0" \
	"lintian_warnings=$(grep -c '^W: ' "$out/lintian.log" || true)"
