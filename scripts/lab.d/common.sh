# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# Messages, paths and the test of what is stale, shared by scripts/lab and scripts/image.
#
# Sourced with `set -euo pipefail` in force. All that the lab makes lives below $lab_dir.

export LC_ALL=C.UTF-8

tree_dir=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
parts_dir=$tree_dir/scripts/lab.d
lab_dir=${VMMS_LAB_DIR:-$tree_dir/build/lab}

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
	say "error: $*"
	exit 1
}

# step TITLE COMMAND... : runs COMMAND with its output in a log, tells how it gets on, and shows
# the log's end if it fails. COMMAND may be a function, and errexit holds inside it.
step() {
	local title=$1 log start=$SECONDS told=0 pid
	shift
	mkdir -p "$lab_dir/log"
	log=$lab_dir/log/${title//[^a-zA-Z0-9.]/-}.log
	say "$title ..."
	"$@" </dev/null >"$log" 2>&1 &
	pid=$!
	while kill -0 $pid 2>/dev/null; do
		sleep 0.2
		if [[ $((SECONDS - start - told)) -ge 15 ]]; then
			told=$((SECONDS - start))
			say "$title ... $told s: $(tail -n 1 "$log" | tr -d '\r' | cut -c 1-90)"
		fi
	done
	if ! wait $pid; then
		tail -n 25 "$log" >&2
		die "$title failed; the whole log is $log"
	fi
	say "$title: done in $((SECONDS - start)) s"
}

# make_step TITLE TARGET FUNCTION INPUT... : makes TARGET by FUNCTION as a step, unless it was made
# from just these INPUTs, files and directories. "TARGET.made" remembers, and may be an input itself.
# What $make_breaks names is removed before anything is made that it depends on.
make_force=0
make_breaks=()

make_step() {
	local title=$1 target=$2 function=$3 hash
	shift 3
	hash=$(inputs_hash "$@")
	if [[ $make_force -eq 0 && -e $target && -e $target.made && $(<"$target.made") == "$hash" ]]; then
		say "$title: up to date"
		return
	fi
	rm -f "$target.made" "${make_breaks[@]}"
	mkdir -p "$(dirname "$target")"
	step "$title" "$function"
	echo "$hash" >"$target.made"
}

inputs_hash() {
	find "$@" -type f -printf '%m %p\n' -exec sha256sum {} + | sort | sed "s,$tree_dir,," | sha256sum | cut -d ' ' -f 1
}

# need_commands COMMAND=PACKAGE... : installs the packages of the commands that are missing.
need_commands() {
	local pair missing=()
	for pair in "$@"; do
		PATH=$PATH:/usr/sbin:/sbin type -P "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
	done
	[[ ${#missing[@]} -gt 0 ]] || return 0
	say "installing ${missing[*]} with apt ..."
	mkdir -p "$lab_dir/log"
	DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" \
		>"$lab_dir/log/apt.log" 2>&1 || {
		tail -n 5 "$lab_dir/log/apt.log" >&2
		die "apt could not install ${missing[*]}: run 'apt-get update' and try again"
	}
}

# need_root ARGUMENT... : begins again as root, with these arguments, unless root it is already.
need_root() {
	[[ $EUID -ne 0 ]] || return 0
	type -P sudo >/dev/null || die "this needs root: become root, or install sudo"
	exec sudo -- "$0" "$@"
}
