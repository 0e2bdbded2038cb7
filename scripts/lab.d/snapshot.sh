# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Snapshots of the booted lab host, waiting for its command: RAM and devices in a file "state", and
# the disks as overlays, which later runs lay overlays of their own upon.

snapshot_dir=$lab_dir/snapshot

# snapshot_make NAME SYSTEMD(0|1)
snapshot_make() {
	local name=$1 systemd=$2 run
	run=$(mktemp -d "$lab_dir/runs/XXXXXX")
	trap 'machine_stop' EXIT
	rm -rf "${snapshot_dir:?}/$name"
	mkdir -p "$snapshot_dir/$name"
	truncate -s "$machine_payload_size" "$run/payload.raw"
	snapshot_boot "$name" "$systemd" "$run"
	machine_receive 180 && [[ $machine_line == ready ]] || snapshot_failed "$run" "it did not boot"
	sleep 2
	machine_monitor_begin
	machine_monitor migrate "\"uri\": \"file:$snapshot_dir/$name/state\""
	snapshot_wait "$run"
	machine_monitor quit
	wait "$machine_pid" || snapshot_failed "$run" "QEMU failed"
	machine_pid=
	rm -rf "$run"
}

snapshot_overlay() {
	local backing=$1 format=$2 overlay=$3
	"${machine_image_tool[@]}" create -q -f qcow2 -b "$backing" -F "$format" "$overlay"
}

snapshot_boot() {
	local name=$1 systemd=$2 run=$3 disk drives=()
	for disk in root lab; do
		snapshot_overlay "$host_dir/$disk.raw" raw "$snapshot_dir/$name/$disk.qcow2"
		drives+=(-drive "file=$snapshot_dir/$name/$disk.qcow2,format=qcow2,if=none,id=$disk,cache=unsafe,discard=unmap")
	done
	: >"$run/stdout" >"$run/stderr"
	machine_start "$run" "$systemd" "$machine_memory" null "${drives[@]}"
}

snapshot_wait() {
	local run=$1 line
	while IFS= read -r -t 120 line; do
		case $line in
		*MIGRATION*completed*) return 0 ;;
		*MIGRATION*failed* | *'"error"'*) snapshot_failed "$run" "$line" ;;
		esac
	done <>"$run/monitor.out"
	snapshot_failed "$run" "saving took too long"
}

snapshot_failed() {
	tail -n 20 "$1/console" "$1/qemu.log" >&2
	die "no snapshot: $2"
}
