#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The checks of CI besides the tests. Without arguments all of them; or the names of some:
#   includes format spelling shell conformance static compilers
# format-fix rewrites the sources in the house's format.
set -euo pipefail
cd "$(dirname "$0")/.."

c_files() {
	find include user bench tests bpf examples -name '*.[ch]'
}

check_includes() {
	scripts/check-includes.sh
}

check_format() {
	c_files | xargs clang-format --dry-run -Werror
}

check_format-fix() {
	c_files | xargs clang-format -i
}

check_spelling() {
	codespell --skip './build,./.git,./vmlinux,./tests/fuzz/corpus,./tests/fuzz/crashes' --ignore-words-list 'fo,ue,ser,nd,fpr,isn,ede,ot,ect,inflight' .
}

check_shell() {
	find . -path ./build -prune -o -name '*.sh' -print0 | xargs -0 shellcheck .ci/run share/completions/*
}

check_static() {
	cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr --enable=warning,portability,performance \
		--suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches -D__linux__ \
		-D'SEC(x)=' -D'LIBBPF_OPTS(type,name,...)=struct type name' \
		-Iinclude -I. user bench
}

# The checklists in docs/ name places and tests: do they exist?
check_conformance() {
	scripts/check-conformance.py
}

# Both compilers, everything from scratch, warnings are errors.
check_compilers() {
	local compiler

	for compiler in gcc clang; do
		make --no-print-directory -j"$(nproc)" B="build/check-$compiler" CC="$compiler" all >/dev/null
		rm -rf "build/check-$compiler"
	done
}

[ $# -gt 0 ] || set -- includes format spelling shell conformance static compilers
for name in "$@"; do
	"check_$name"
	echo "check: $name ok"
done
