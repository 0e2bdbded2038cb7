# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Messages, paths and the staleness test, shared by scripts/lab and scripts/image.
#
# Sourced with `set -euo pipefail` in force.  Everything the lab makes lives below
# $lab_dir; nothing else of the tree or the machine is written to.

tree_dir=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
parts_dir=$tree_dir/scripts/lab.d
lab_dir=${VMMS_LAB_DIR:-$tree_dir/build/lab}

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
	say "error: $*"
	exit 1
}

# step TITLE COMMAND... : runs COMMAND with its output in a log, says how long it took,
# and shows the log's end if it fails.
step() {
	local title=$1 log start
	shift
	mkdir -p "$lab_dir/log"
	log=$lab_dir/log/${title//[^a-zA-Z0-9.]/-}.log
	start=$SECONDS
	say "$title ..."
	# A subshell of its own, so that errexit holds inside the function.
	( set -euo pipefail; "$@" ) </dev/null >"$log" 2>&1 &
	if wait $!; then
		say "$title: done in $((SECONDS - start)) s"
	else
		tail -n 25 "$log" >&2
		die "$title failed; the whole log is $log"
	fi
}

# stale TARGET FILE... : true when TARGET was not made from FILEs as they are now.
# `made TARGET FILE...` records that it was.
inputs_hash() {
	local file
	for file in "$@"; do
		printf '%s ' "$(stat -c %a "$file")"
		sha256sum <"$file"
	done | sha256sum | cut -d ' ' -f 1
}

stale() {
	local target=$1
	shift
	[[ ! -e $target || ! -e $target.made || $(<"$target.made") != "$(inputs_hash "$@")" ]]
}

made() {
	local target=$1
	shift
	inputs_hash "$@" >"$target.made"
}

# need_commands COMMAND=PACKAGE... : installs the packages of the commands that are missing.
need_commands() {
	local pair missing=()
	for pair in "$@"; do
		[[ -n $(PATH=$PATH:/usr/sbin:/sbin type -P "${pair%%=*}") ]] || missing+=("${pair#*=}")
	done
	[[ ${#missing[@]} -eq 0 ]] && return
	say "installing ${missing[*]} with apt"
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >&2 ||
		die "apt could not install ${missing[*]}: run 'apt-get update' and try again"
}

need_root() {
	[[ $EUID -eq 0 ]] || exec sudo -- "$0" "$@"
}
