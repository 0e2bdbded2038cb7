# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# The emulated machine: one set of devices for the run that makes the snapshot and for those that
# are restored from it, since QEMU restores only into the very same machine.
#
# One processor: with two, multi-threaded TCG misdelivers interrupts that VMRUN injects.
# No 9p share: a machine that has one cannot be saved. Files pass through two raw disks.

machine_memory=3072
machine_payload_size=2G
machine_output_size=4G
machine_pid= machine_line=
machine_control_in= machine_control_out= machine_monitor_in=

# Debian 13's programs run on whatever this machine is through their own loader.
machine_loader=(
	env QEMU_MODULE_DIR="$emulator_dir/usr/lib/x86_64-linux-gnu/qemu"
	"$emulator_dir/lib64/ld-linux-x86-64.so.2" --library-path "$emulator_dir/usr/lib/x86_64-linux-gnu"
)
machine_image_tool=("${machine_loader[@]}" "$emulator_dir/usr/bin/qemu-img")
machine_emulator=(
	"${machine_loader[@]}" "$emulator_dir/usr/bin/qemu-system-x86_64"
	-L "$emulator_dir/usr/share/qemu" -L "$emulator_dir/usr/share/seabios"
)

# machine_start RUN-DIRECTORY SYSTEMD(0|1) MEMORY CONSOLE-CHARDEV [QEMU-OPTION...]
#
# RUN-DIRECTORY holds payload.raw; QEMU-OPTIONs give the drives "root" and "lab". Afterwards
# $machine_pid is QEMU's process and the $machine_control_* and $machine_monitor_in are open.
# The command's streams are in the fifos stdout and stderr, which want a reader first.
machine_start() {
	local run=$1 systemd=$2 memory=$3 hvc=$4 port append
	shift 4
	mkfifo "$run"/{control.in,control.out,monitor.in,monitor.out}
	truncate -s "$machine_output_size" "$run/output.raw"
	# Open both ways, so that neither opening nor writing waits for QEMU, which may have died.
	exec {machine_control_in}<>"$run/control.in" {machine_control_out}<>"$run/control.out"
	exec {machine_monitor_in}<>"$run/monitor.in"
	append="console=ttyS0 quiet panic=-1 mitigations=off nokaslr audit=0 apparmor=0 nmi_watchdog=0"
	[[ $systemd -eq 0 ]] || append+=" lab.init=/lib/systemd/systemd"
	local arguments=(
		-accel tcg,thread=multi,tb-size=512 -cpu max -smp 1 -m "$memory" -M q35
		-nodefaults -no-user-config -display none -no-reboot
		-kernel "$kernels_dir/$host_kernel/vmlinuz" -initrd "$host_dir/initrd" -append "$append"
		-device virtio-rng-pci -device virtio-serial-pci,id=ports
		-serial "file:$run/console"
		-chardev "pipe,id=monitor,path=$run/monitor" -mon chardev=monitor,mode=control
		-chardev "pipe,id=control,path=$run/control"
		-device virtserialport,chardev=control,name=lab.control
		-chardev "file,id=stdout,path=$run/stdout" -device virtserialport,chardev=stdout,name=lab.stdout
		-chardev "file,id=stderr,path=$run/stderr" -device virtserialport,chardev=stderr,name=lab.stderr
		-chardev "$hvc,id=hvc" -device virtconsole,chardev=hvc
		-drive "file=$run/payload.raw,format=raw,if=none,id=payload,readonly=on"
		-drive "file=$run/output.raw,format=raw,if=none,id=output,cache=unsafe"
	)
	local disk
	for disk in root lab payload output; do
		arguments+=(-device "virtio-blk-pci,drive=$disk")
	done
	# QEMU puts the overlays of its snapshot=on drives here, already unlinked.
	TMPDIR=$run "${machine_emulator[@]}" "${arguments[@]}" "$@" 2>"$run/qemu.log" &
	machine_pid=$!
}

# machine_monitor COMMAND [ARGUMENTS] : gives a QMP command. The answers are in monitor.out.
machine_monitor() {
	printf '{"execute": "%s", "arguments": {%s}}\n' "$1" "${2-}" >&"$machine_monitor_in"
}

# Saved states are files in which each page has its own place: pages never written take no room
# and no time.
machine_monitor_begin() {
	machine_monitor qmp_capabilities
	machine_monitor migrate-set-capabilities \
		'"capabilities": [{"capability": "mapped-ram", "state": true}, {"capability": "events", "state": true}]'
}

# machine_receive SECONDS : one line of the agent's into $machine_line; false when the machine
# has died or the time is up.
machine_receive() {
	local deadline=$((SECONDS + $1))
	until IFS= read -r -t 0.5 machine_line <&"$machine_control_out"; do
		machine_alive && [[ $SECONDS -lt $deadline ]] || return 1
	done
}

machine_alive() {
	kill -0 "$machine_pid" 2>/dev/null
}

machine_stop() {
	[[ -n $machine_pid ]] || return 0
	kill "$machine_pid" 2>/dev/null || true
	wait "$machine_pid" 2>/dev/null || true
	machine_pid=
}
