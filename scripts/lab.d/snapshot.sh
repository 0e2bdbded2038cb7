# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# Snapshots of the booted lab host, taken while its agent waits for a command: RAM and devices in a
# file "state", and the disks as overlays, upon which each restored machine has overlays of its own.

snapshot_dir=$lab_dir/snapshot

snapshot_plain_make() { snapshot_make plain 0; }
snapshot_systemd_make() { snapshot_make systemd 1; }

# snapshot_make NAME SYSTEMD(0|1)
snapshot_make() {
	local name=$1 systemd=$2
	run_label=snapshot
	run_create
	rm -rf "${snapshot_dir:?}/$name"
	mkdir -p "$snapshot_dir/$name"
	snapshot_boot "$name" "$systemd"
	machine_receive 240 || snapshot_failed "the host did not boot"
	[[ $machine_line == ready ]] || snapshot_failed "the agent said: $machine_line"
	# Let it come to rest.
	sleep 3
	snapshot_save "$snapshot_dir/$name/state"
	machine_monitor quit
	wait "$machine_pid" || snapshot_failed "QEMU failed at its end"
	chmod a+r "$snapshot_dir/$name/state"
	machine_pid=
}

snapshot_boot() {
	local name=$1 systemd=$2 drives=() disk overlay
	for disk in root lab; do
		overlay=$snapshot_dir/$name/$disk.qcow2
		"${emulator_image_tool[@]}" create -q -f qcow2 -F raw -b "$(snapshot_base "$disk")" "$overlay"
		drives+=(-drive "file=$overlay,format=qcow2,if=none,id=$disk,cache=unsafe,discard=unmap")
	done
	truncate -s "$machine_payload_size" "$run_dir/payload.raw"
	touch "$run_dir/stdout" "$run_dir/stderr"
	machine_start "$run_dir" "$systemd" "$machine_memory" null "${drives[@]}"
}

snapshot_base() {
	case $1 in
	root) echo "$host_dir/root.raw" ;;
	lab) echo "$guest_disk" ;;
	esac
}

snapshot_save() {
	local line
	machine_monitor_begin
	machine_monitor migrate "\"uri\": \"file:$1\""
	while IFS= read -r -t 120 line; do
		case $line in
		*MIGRATION*completed*) return 0 ;;
		*MIGRATION*failed* | *'"error"'*) snapshot_failed "$line" ;;
		esac
	done <>"$run_dir/monitor.out"
	snapshot_failed "saving took too long"
}

snapshot_failed() {
	tail -n 30 "$run_dir/console" "$run_dir/qemu.log" >&2
	die "no snapshot: $1"
}
