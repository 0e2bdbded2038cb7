#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# clang-tidy (.clang-tidy) finds nothing in the sources of the programs that were changed: since the
# branch left the main one, or in the last commits of that. usage: tidy.sh ROOT BUILD [--all]
set -u
build=$2 all=${3:-}
cd "$1" || exit 1
commits=20 most=100 # a minute or so; --all looks at the rest

tidy=$(command -v clang-tidy-14 || command -v clang-tidy) || {
	echo "tidy: no clang-tidy; scripts/setup installs it"
	exit 1
}

# From where on files count as changed; nothing where there is no history, as of a tarball.
find_base() {
	local main base
	for main in origin/main main; do
		base=$(git merge-base HEAD "$main" 2>/dev/null) &&
			[ "$base" != "$(git rev-parse HEAD)" ] && echo "$base" && return
	done
	git rev-list --first-parent -n $((commits + 1)) HEAD 2>/dev/null | tail -1
}

list_sources() {
	local base
	base=$([ "$all" ] || find_base)
	if [ "$base" ]; then
		git diff --name-only --diff-filter=d "$base" -- '*.c'
	else
		find common vid hvshim vsp vmwp vmms -name '*.c'
	fi | grep -E '^(common|vid|hvshim|vsp|vmwp|vmms)/' | sort
}

mapfile -t sources < <(list_sources)
left_out=0
if [ ! "$all" ] && [ ${#sources[@]} -gt $most ]; then
	left_out=$((${#sources[@]} - most))
	sources=("${sources[@]:0:$most}")
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The compilers' own warnings are the build's business, and gcc has some that clang does not know.
[ ${#sources[@]} = 0 ] || printf '%s\0' "${sources[@]}" |
	xargs -0 -P "$(nproc)" -n 4 "$tidy" -p "$build" --quiet \
		--extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-error >"$log" 2>&1 || {
	grep -vE '^[0-9]+ (warnings?|errors?)( and [0-9]+ errors?)? generated' "$log"
	echo "tidy: findings in the files above"
	exit 1
}
echo "tidy: ${#sources[@]} files are clean, $left_out left for 'scripts/test --full'"
