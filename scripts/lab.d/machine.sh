# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# The emulated machine. The one that makes a snapshot and those that are restored from it
# must be the very same, so all of them begin here.
#
# One processor: with two, multi-threaded TCG misdelivers interrupts that VMRUN injects.
#
# Even with one, an interrupt can get lost: QEMU's VMRUN and #VMEXIT change the word that says that
# interrupts are pending without the lock that its timers and devices take. The machine then sleeps
# on with its timer's interrupt in the APIC's IRR, until another interrupt has it look. So it is
# nudged twice a second.
#
# Its time stamp counter is the machine's own clock. On a busy machine the host's watchdog finds it
# unstable all the same, by comparing it with a slower one in the middle of which it was preempted; a
# snapshot of that keeps time by HPET, and runs guests at half their speed. So it is told not to look.
#
# No shared directory: a machine with a 9p device cannot be saved. Files pass through raw disks.

machine_memory=3072 # MiB, of the snapshots
machine_kernel=$host_kernel
machine_payload_size=4G
machine_output_size=4G

# Of the machine that is running: QEMU's process, the descriptors of its fifos, the agent's last line.
machine_pid=
machine_control_in=
machine_control_out=
machine_monitor_in=
machine_line=
machine_listens=0 # the agent reads lines and leaves alone those that say nothing to it

# machine_start DIRECTORY SYSTEMD(0|1) MEMORY CONSOLE QEMU-OPTION...
#
# DIRECTORY holds payload.raw, and fifos "stdout" and "stderr", with readers. QEMU-OPTIONs give the
# drives "root" and "lab". CONSOLE is the character device (QEMU's -chardev) of the host's hvc0.
machine_start() {
	local directory=$1 systemd=$2 memory=$3 console=$4 append disk
	shift 4
	mkfifo "$directory"/{control,monitor}.{in,out}
	# Open both ways, so that neither opening nor writing waits for a QEMU that may have died.
	exec {machine_control_in}<>"$directory/control.in" {machine_control_out}<>"$directory/control.out"
	exec {machine_monitor_in}<>"$directory/monitor.in"
	truncate -s "$machine_output_size" "$directory/output.raw"
	append="console=ttyS0 quiet panic=-1 mitigations=off nokaslr audit=0 nmi_watchdog=0 tsc=reliable"
	[[ $systemd -eq 0 ]] || append+=" lab.init=/lib/systemd/systemd systemd.getty_auto=no"
	# shellcheck disable=SC2054 # the commas are QEMU's
	local options=(
		-accel tcg,thread=multi,tb-size=512 -cpu max -smp 1 -m "$memory" -M q35
		-nodefaults -no-user-config -display none -no-reboot
		-kernel "$kernels_dir/$machine_kernel/vmlinuz" -initrd "$host_dir/initrd-$machine_kernel" -append "$append"
		-device virtio-rng-pci -device virtio-serial-pci -serial "file:$directory/console"
		-chardev "pipe,id=monitor,path=$directory/monitor" -mon chardev=monitor,mode=control
		-chardev "pipe,id=control,path=$directory/control"
		-device virtserialport,chardev=control,name=lab.control
		-chardev "file,id=stdout,path=$directory/stdout"
		-device virtserialport,chardev=stdout,name=lab.stdout
		-chardev "file,id=stderr,path=$directory/stderr"
		-device virtserialport,chardev=stderr,name=lab.stderr
		-chardev "$console,id=hvc" -device virtconsole,chardev=hvc
		-drive "file=$directory/payload.raw,format=raw,if=none,id=payload,readonly=on"
		-drive "file=$directory/output.raw,format=raw,if=none,id=output,cache=unsafe,discard=unmap"
	)
	for disk in root lab payload output; do
		options+=(-device "virtio-blk-pci,drive=$disk")
	done
	# QEMU puts the overlays of its snapshot=on drives into $TMPDIR, unlinked at once. Standard input
	# is given by name, else the shell would put /dev/null there.
	TMPDIR=$directory "${emulator[@]}" "${options[@]}" "$@" <&0 2>"$directory/qemu.log" &
	machine_pid=$!
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

machine_nudge() {
	[[ $machine_listens -eq 0 ]] || printf '\n' >&"$machine_control_in"
}

# machine_monitor COMMAND [ARGUMENTS] : gives a QMP command. The answers are in monitor.out.
machine_monitor() {
	printf '{"execute": "%s", "arguments": {%s}}\n' "$1" "${2-}" >&"$machine_monitor_in"
}

# Opens the monitor and chooses the form of saved states: files in which each page has its own
# place, so that pages that were never written take neither room nor time.
machine_monitor_begin() {
	machine_monitor qmp_capabilities
	machine_monitor migrate-set-capabilities '"capabilities": [
		{"capability": "mapped-ram", "state": true}, {"capability": "events", "state": true}]'
}

# machine_receive SECONDS : the agent's next line, in $machine_line; fails if the machine has died or
# the time is up.
machine_receive() {
	local deadline=$((SECONDS + $1)) piece
	machine_line=
	# A busy machine may time out in the middle of a line; then `piece` is its beginning.
	until IFS= read -r -t 0.5 piece <&"$machine_control_out"; do
		machine_line+=$piece
		machine_nudge
		machine_alive && [[ $SECONDS -lt $deadline ]] || return 1
	done
	machine_line+=$piece
}
