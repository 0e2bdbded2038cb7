# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# One command in a lab host of its own: pack what it needs, restore or boot the machine, pass the
# command's streams through, bring back its status and its files.

# What the options say.
run_systemd=0
run_reboots=0
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
run_disks=()

run_interactive=0
run_keeps_lab_disk=0
run_dir=
run_started=
run_stdout_pid=
run_stderr_pid=
run_seed=
# Bytes of the streams that came before the host's last boot.
run_stdout_before=0
run_stderr_before=0

# Status of a run that had no end in time, or whose host died; timeout(1) has the same.
run_status_failed=124
# How long the host has to come up, and a machine may be busy.
run_start_limit=300
# How long a command has after SIGTERM, and for packing its output, when its time is up.
run_grace=20

# ---- a directory of its own ----

run_create() {
	run_started=$EPOCHREALTIME
	mkdir -p "$lab_dir/runs"
	run_sweep
	run_dir=$(mktemp -d "$lab_dir/runs/$run_label-XXXXXX")
	# Held by this process and by QEMU, for as long as either lives.
	exec {run_lock}<"$run_dir"
	flock "$run_lock"
	trap run_cleanup EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

run_cleanup() {
	machine_stop
	if [[ $run_keep -eq 1 ]]; then
		touch "$run_dir/kept"
		say "kept: $run_dir"
	else
		rm -rf "$run_dir"
	fi
}

# Removes what killed runs left behind: directories that are no longer new and whose lock nobody
# holds. Kept ones stay.
run_sweep() {
	local directory
	find "$lab_dir/runs" -mindepth 1 -maxdepth 1 -type d -mmin +1 | while IFS= read -r directory; do
		[[ -O $directory && ! -e $directory/kept ]] || continue
		if flock --nonblock "$directory" true; then
			rm -rf "$directory"
		fi
	done
	return 0
}

# ---- the payload: a tar of what the command sees, named from the lab host's root ----

# run_payload TAR-OPTION... : adds files to the payload.
run_payload() {
	tar --file "$run_dir/payload.raw" --sparse --owner 0 --group 0 "$@"
}

run_pack() {
	run_pack_command "$@"
	run_pack_tree
	local build file
	for build in "${run_builds[@]}"; do
		run_pack_build "$build"
	done
	for file in "${run_added[@]}"; do
		run_payload --append -C "$(dirname "$file")" --transform 's,^,vmms-in/,' "$(basename "$file")"
	done
}

run_pack_command() {
	mkdir -p "$run_dir/payload/run/lab" "$run_dir/payload/vmms-in" "$run_dir/payload/vmms"
	printf '%q ' "$@" >"$run_dir/payload/run/lab/command"
	[[ $run_stdin -eq 0 ]] || cat >"$run_dir/payload/run/lab/stdin"
	run_payload --create -C "$run_dir/payload" run vmms vmms-in
}

# The tree as git sees it, with what is new and not ignored, without what has gone.
run_pack_tree() {
	local name
	git -C "$tree_dir" -c safe.directory='*' ls-files -z --cached --others --exclude-standard |
		while IFS= read -r -d '' name; do
			[[ ! -e $tree_dir/$name && ! -L $tree_dir/$name ]] || printf '%s\0' "$name"
		done |
		run_payload --append -C "$tree_dir" --null --files-from - --transform 's,^,vmms/,S'
}

run_pack_build() {
	local build=$1 part
	for part in bin tests guests; do
		[[ -d $build/$part ]] || continue
		run_payload --append -C "$build" --exclude CMakeFiles --exclude '*.a' --exclude '*.o' \
			--transform "s,^,vmms/build/$(basename "$build")/,S" "$part"
	done
}

# ---- the machine ----

run_start() {
	local snapshot=$snapshot_dir/plain drives=() disk
	[[ $run_systemd -eq 0 ]] || snapshot=$snapshot_dir/systemd
	for disk in root lab; do
		drives+=(-drive "$(run_drive "$disk" "$snapshot"),if=none,id=$disk,cache=unsafe,discard=unmap")
	done
	for disk in "${!run_disks[@]}"; do
		drives+=(-drive "file=${run_disks[$disk]},format=raw,snapshot=on,if=none,id=disk$disk,cache=unsafe"
			-device "virtio-blk-pci,drive=disk$disk")
	done
	[[ $run_cold -eq 1 ]] || drives+=(-incoming defer)
	truncate -s "$machine_payload_size" "$run_dir/payload.raw"
	if [[ $run_interactive -eq 1 ]]; then
		machine_start "$run_dir" "$run_systemd" "$run_memory" stdio,signal=off "${drives[@]}"
	else
		machine_start "$run_dir" "$run_systemd" "$run_memory" null "${drives[@]}" </dev/null
	fi
	[[ $run_cold -eq 1 && $run_reboots -eq 0 ]] || machine_monitor_begin
	[[ $run_reboots -eq 0 ]] || machine_monitor set-action '"reboot": "reset"'
	[[ $run_cold -eq 1 ]] || machine_monitor migrate-incoming "\"uri\": \"file:$snapshot/state\""
}

run_drive() {
	local disk=$1 snapshot=$2 disposable=on
	if [[ $disk == lab && $run_cold -eq 1 && $run_keeps_lab_disk -eq 0 && ! -e $guest_disk.made ]]; then
		# No guests' images: the host finds an empty disk, and makes itself room for scratch files.
		truncate -s 16G "$run_dir/lab.raw"
		echo "file=$run_dir/lab.raw,format=raw"
		return
	fi
	[[ $disk != lab || $run_keeps_lab_disk -eq 0 ]] || disposable=off
	if [[ $run_cold -eq 0 ]]; then
		echo "file=$snapshot/$disk.qcow2,format=qcow2,snapshot=on"
	else
		echo "file=$(snapshot_base "$disk"),format=raw,snapshot=$disposable"
	fi
}

# Tells the agent what is this machine's own, and lets it go.
run_release() {
	[[ -n $run_seed ]] || run_seed=$(od -An -N 64 -v -t x1 /dev/urandom | tr -d ' \n')
	printf 'run time=%s seed=%s name=%s output=%d\n' \
		"$EPOCHREALTIME" "$run_seed" "${run_dir##*/}" "$([[ -z $run_output ]] && echo 0 || echo 1)" \
		>&"$machine_control_in"
}

# ---- the command's streams ----

run_streams_start() {
	mkfifo "$run_dir/stdout" "$run_dir/stderr"
	touch "$run_dir/stdout.log" "$run_dir/stderr.log"
	tee "$run_dir/stdout.log" <"$run_dir/stdout" &
	run_stdout_pid=$!
	tee "$run_dir/stderr.log" <"$run_dir/stderr" >&2 &
	run_stderr_pid=$!
}

# run_streams_drain STDOUT STDERR : waits until as many bytes of both have passed as the agent sent,
# or nobody reads them any more.
run_streams_drain() {
	local tries
	for ((tries = 0; tries < 1500; tries++)); do
		if run_stream_passed stdout "$run_stdout_pid" "$1" && run_stream_passed stderr "$run_stderr_pid" "$2"; then
			return 0
		fi
		sleep 0.02
	done
	say "warning: not all of the command's output has come through"
}

run_stream_passed() {
	! kill -0 "$2" 2>/dev/null || [[ $(stat -c %s "$run_dir/$1.log") -ge $3 ]]
}

# ---- from beginning to end ----

run_command() {
	run_create
	run_pack "$@"
	run_note "packed $(($(stat -c %s "$run_dir/payload.raw") >> 20)) MiB for it"
	run_execute
}

# Runs what is packed; does not return unless the status is 0.
run_execute() {
	local status=0
	run_streams_start
	run_start
	run_release
	run_wait "$run_start_limit" started || run_broken "the command did not start within $run_start_limit s"
	machine_listens=1
	run_note "the command starts"
	lab_unlock # all images are open or read now
	if ! run_wait_for_exit "$run_timeout"; then
		machine_alive && printf 'stop\n' >&"$machine_control_in"
		run_wait "$run_grace" exit || run_broken "no end after $run_timeout s, nor when told to"
		run_finish
		run_failed "no end after $run_timeout s"
	fi
	run_finish
	[[ $status -eq 0 ]] || exit "$status"
}

# run_wait SECONDS WORD... : until the agent sends a line that begins with one of the WORDs, in
# $machine_line.
run_wait() {
	local deadline=$((SECONDS + $1)) word
	shift
	while machine_receive $((deadline - SECONDS)); do
		for word in "$@"; do
			[[ $machine_line != "$word"* ]] || return 0
		done
		[[ $machine_line != error* ]] || run_failed "the lab's agent: ${machine_line#error }"
	done
	return 1
}

# run_wait_for_exit SECONDS : the command's end; a host that has rebooted is told again what to do.
run_wait_for_exit() {
	local deadline=$((SECONDS + $1))
	while run_wait $((deadline - SECONDS)) exit ready; do
		[[ $machine_line == ready ]] || return 0
		run_note "the host has rebooted"
		machine_listens=0
		run_stdout_before=$(stat -c %s "$run_dir/stdout.log")
		run_stderr_before=$(stat -c %s "$run_dir/stderr.log")
		run_release
		run_wait $((deadline - SECONDS)) started || return 1
		machine_listens=1
	done
	return 1
}

# The end of the command, which the agent's last line tells of; sets the caller's $status.
run_finish() {
	local stdout stderr
	read -r _ status stdout stderr <<<"$machine_line"
	run_streams_drain $((run_stdout_before + stdout)) $((run_stderr_before + stderr))
	run_fetch_output || run_failed "the output did not come through"
	run_note "the command ended with $status"
}

run_fetch_output() {
	[[ -n $run_output ]] || return 0
	mkdir -p "$run_output"
	tar --extract --sparse --no-same-owner --file "$run_dir/output.raw" -C "$run_output"
}

# run_broken TEXT : says TEXT, or that the host died, if that is why.
run_broken() {
	local status=0
	machine_alive || {
		wait "$machine_pid" || status=$?
		run_failed "the lab host died; QEMU's exit status was $status"
	}
	run_failed "$*"
}

run_failed() {
	{
		printf '\n---- the last lines of the command ----\n'
		tail -q -n 20 "$run_dir/stdout.log" "$run_dir/stderr.log"
		printf '\n---- the last lines of the lab host'\''s console ----\n'
		tail -n 60 "$run_dir/console" | tr -d '\r'
		head -n 5 "$run_dir/qemu.log"
		printf -- '----\n'
	} >&2
	say "error: $*"
	exit $run_status_failed
}

run_note() {
	[[ $run_verbose -eq 1 ]] || return 0
	say "$(((${EPOCHREALTIME/./} - ${run_started/./}) / 1000)) ms: $*"
}
