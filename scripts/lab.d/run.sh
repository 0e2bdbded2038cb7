# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# One command in the lab host: pack what it needs, restore (or boot) the machine, pass the
# streams through, clean up.

run_dir=
run_systemd=0
run_cold=0
run_memory=$machine_memory
run_timeout=900
run_label=lab
run_output=
run_keep=0
run_verbose=0
run_stdin=0
run_added=()
run_builds=()
run_started_at=
declare -A run_disposable=([root]=on [lab]=on)

run_create() {
	mkdir -p "$lab_dir/runs"
	run_dir=$(mktemp -d "$lab_dir/runs/$run_label.XXXXXX")
	trap run_cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

run_cleanup() {
	machine_stop
	[[ $run_keep -eq 1 ]] || rm -rf "$run_dir"
}

# The payload disk: a tar of the tree as git sees it, of the builds' programs, of added files, and
# of the command itself, named relative to the lab host's root.
run_pack() {
	mkdir -p "$run_dir/payload/run/lab" "$run_dir/payload/vmms-in"
	printf '%q ' "$@" >"$run_dir/payload/run/lab/command"
	[[ $run_stdin -eq 0 ]] || cat >"$run_dir/payload/run/lab/stdin"
	local build tar=(tar --create --file "$run_dir/payload.raw" --sparse --owner 0 --group 0)
	(cd "$tree_dir" && git ls-files -z --cached --others --exclude-standard | run_existing) |
		"${tar[@]}" -C "$tree_dir" --null --files-from - --transform 's,^,vmms/,'
	tar[1]=--append
	for build in "${run_builds[@]}"; do
		run_pack_build "$build"
	done
	if [[ ${#run_added[@]} -gt 0 ]]; then
		local file
		for file in "${run_added[@]}"; do
			"${tar[@]}" -C "$(dirname "$file")" --transform 's,^,vmms-in/,' "$(basename "$file")"
		done
	fi
	"${tar[@]}" -C "$run_dir/payload" .
	truncate -s "$machine_payload_size" "$run_dir/payload.raw"
}

# Leaves out names that git still lists but that are gone from the tree.
run_existing() {
	local name
	while IFS= read -r -d '' name; do
		[[ ! -e $name && ! -L $name ]] || printf '%s\0' "$name"
	done
}

run_pack_build() {
	local build=$1 part
	for part in bin tests; do
		[[ -d $build/$part ]] || continue
		"${tar[@]}" -C "$build" --exclude CMakeFiles --exclude '*.a' --exclude '*.o' \
			--transform "s,^,vmms/build/$(basename "$build")/," "$part"
	done
}

run_start() {
	local hvc=$1 snapshot=$snapshot_dir/plain
	[[ $run_systemd -eq 0 ]] || snapshot=$snapshot_dir/systemd
	local disk drives=()
	for disk in root lab; do
		if [[ $run_cold -eq 0 ]]; then
			drives+=(-drive "file=$snapshot/$disk.qcow2,format=qcow2,if=none,id=$disk,snapshot=on,cache=unsafe,discard=unmap")
		else
			drives+=(-drive "file=$host_dir/$disk.raw,format=raw,if=none,id=$disk,snapshot=${run_disposable[$disk]},cache=unsafe,discard=unmap")
		fi
	done
	[[ $run_cold -eq 1 ]] || drives+=(-incoming defer)
	machine_start "$run_dir" "$run_systemd" "$run_memory" "$hvc" "${drives[@]}"
	if [[ $run_cold -eq 0 ]]; then
		machine_monitor_begin
		machine_monitor migrate-incoming "\"uri\": \"file:$snapshot/state\""
	fi
}

# Says to the agent what is this lab's own, and lets it go.
run_release() {
	local seed output=0
	seed=$(od -An -N 64 -v -t x1 /dev/urandom | tr -d ' \n')
	[[ -z $run_output ]] || output=1
	printf 'run time=%s seed=%s name=%s output=%d\n' "$EPOCHREALTIME" "$seed" "${run_dir##*/}" "$output" \
		>&"$machine_control_in"
}

run_streams_start() {
	mkfifo "$run_dir/stdout" "$run_dir/stderr"
	: >"$run_dir/stdout.log" >"$run_dir/stderr.log"
	tee "$run_dir/stdout.log" <"$run_dir/stdout" &
	tee "$run_dir/stderr.log" <"$run_dir/stderr" >&2 &
}

# Waits until as much of both streams has passed as the agent sent.
run_streams_drain() {
	local stdout=$1 stderr=$2 tries
	for ((tries = 0; tries < 500; tries++)); do
		[[ $(stat -c %s "$run_dir/stdout.log") -lt $stdout || $(stat -c %s "$run_dir/stderr.log") -lt $stderr ]] || return 0
		sleep 0.02
	done
	say "warning: not all of the command's output came through"
}

run_failed() {
	{
		printf '\n--- last lines of the command ---\n'
		tail -q -n 20 "$run_dir/stdout.log" "$run_dir/stderr.log"
		printf '\n--- last lines of the lab host'\''s console ---\n'
		tail -q -n 30 "$run_dir/console" "$run_dir/qemu.log"
		printf -- '---\n'
	} >&2
	say "error: $*"
	exit 124
}

run_command() {
	run_started_at=$EPOCHREALTIME
	run_create
	run_pack "$@"
	run_execute
}

run_execute() {
	local status stdout stderr
	run_streams_start
	run_start null
	run_release
	while machine_receive $((run_timeout - SECONDS)); do
		case $machine_line in
		ready) ;;
		started) run_note "the command starts" ;;
		error*) run_failed "the lab's agent: ${machine_line#error }" ;;
		exit*)
			read -r _ status stdout stderr <<<"$machine_line"
			run_note "the command ended with $status"
			run_streams_drain "$stdout" "$stderr"
			run_fetch_output
			exit "$status"
			;;
		esac
	done
	machine_alive || run_failed "the lab host died"
	run_failed "no end after $run_timeout s"
}

run_fetch_output() {
	[[ -n $run_output ]] || return 0
	mkdir -p "$run_output"
	tar --extract --sparse --no-same-owner --file "$run_dir/output.raw" -C "$run_output"
}

run_note() {
	[[ $run_verbose -eq 0 ]] || say "$(awk -v a="$run_started_at" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }') s: $*"
}
