# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# The lab tests itself: statuses, streams, files, time-outs, identity, and stock kernels as guests of
# the peer. Each test is a function; it returns false, having said why, when it fails.

selftest_list=(
	locks status streams files standard_input time_out host_crash side_by_side systemd reboot cold
	guest_6_1_cloud guest_6_12_cloud guest_6_1_amd64 guest_6_1_686 guest_root
)
selftest_dir=

selftest() {
	local name failures=0 start
	selftest_dir=$(mktemp -d)
	trap 'rm -rf "$selftest_dir"' EXIT
	for name in "${@:-${selftest_list[@]}}"; do
		[[ " ${selftest_list[*]} " == *" $name "* ]] || wrong_usage "there is no test $name: ${selftest_list[*]}"
		start=$SECONDS
		if "selftest_$name" >"$selftest_dir/log" 2>&1; then
			printf 'ok    %-18s %3d s\n' "$name" $((SECONDS - start))
		else
			printf 'FAIL  %-18s %3d s\n' "$name" $((SECONDS - start))
			sed 's/^/      /' "$selftest_dir/log"
			failures=$((failures + 1))
		fi
	done
	[[ $failures -eq 0 ]]
}

lab() { "$tree_dir/scripts/lab" "$@"; }

# expect WHAT ACTUAL WANTED : WANTED is a pattern.
expect() {
	# shellcheck disable=SC2053 # it is a pattern
	[[ $2 == $3 ]] || { echo "$1: '$2', not '$3'" && return 1; }
}

# expect_status WANTED OPTION-OR-COMMAND... : runs it in the lab.
expect_status() {
	local status=0
	lab run "${@:2}" || status=$?
	expect "status of ${*:2}" "$status" "$1"
}

# Who only reads the images lets others make them as soon as they are open. Who makes them runs the lab
# too, and yet lets nobody in before the end. In a subshell, since the lock ends with its process.
selftest_locks() (
	lab_dir=$selftest_dir
	set +e
	lab_lock shared
	expect "exclusive beside shared" "$(selftest_lock --exclusive)" no &&
		expect "shared beside shared" "$(selftest_lock --shared)" yes || exit
	lab_unlock
	expect "exclusive after unlocking" "$(selftest_lock --exclusive)" yes || exit
	lab_lock exclusive
	lab_unlock
	expect "shared beside exclusive" "$(selftest_lock --shared)" no
)

selftest_lock() {
	flock --nonblock "$1" "$selftest_dir" true && echo yes || echo no
}

selftest_status() {
	expect_status 0 -- true &&
		expect_status 3 -- sh -c 'exit 3' &&
		expect_status 137 -- sh -c 'kill -9 $$' &&
		expect_status 127 -- no-such-command &&
		expect_status 0 -- sh -c 'sleep 1000 &' &&
		expect_status 2 --no-such-option
}

selftest_streams() {
	head -c 4M /dev/urandom >"$selftest_dir/noise"
	lab run --add "$selftest_dir/noise" -- sh -c 'cat /vmms-in/noise; tac /vmms-in/noise >&2' \
		>"$selftest_dir/out" 2>"$selftest_dir/err" || return
	cmp "$selftest_dir/noise" "$selftest_dir/out" && tac "$selftest_dir/noise" | cmp - "$selftest_dir/err"
}

selftest_files() {
	lab run --output "$selftest_dir/files" -- \
		sh -c 'cp scripts/lab /vmms-out/ && truncate -s 1G /vmms-out/sparse && id -u' | grep -qx 0 &&
		cmp "$tree_dir/scripts/lab" "$selftest_dir/files/lab" &&
		expect "size" "$(stat -c %s "$selftest_dir/files/sparse")" $((1 << 30))
}

selftest_standard_input() {
	expect "what came" "$(echo a line | lab run --stdin -- cat)" "a line" &&
		expect "without --stdin" "$(echo a line | lab run -- cat)" ""
}

selftest_time_out() {
	local log=$selftest_dir/time-out
	expect_status 124 --timeout 5 --output "$selftest_dir/part" -- \
		sh -c 'echo this is the last line; touch /vmms-out/file; sleep 1000' >"$log" 2>&1 &&
		expect "files" "$(ls "$selftest_dir/part")" file &&
		grep -q 'last lines of the command' "$log" &&
		expect "how often the line came" "$(grep -c 'this is the last line' "$log")" 2 &&
		expect_status 124 --timeout 5 -- sh -c 'trap "" TERM; while :; do sleep 1; done'
}

selftest_host_crash() {
	local log=$selftest_dir/crash
	expect_status 124 --timeout 60 -- sh -c 'echo c >/proc/sysrq-trigger' >"$log" 2>&1 &&
		grep -q 'Kernel panic' "$log"
}

selftest_side_by_side() {
	local name now identity='hostname; cat /etc/machine-id /proc/sys/kernel/random/uuid; date +%s; sleep 2'
	for name in one two; do
		lab run --label "$name" -- sh -c "$identity" >"$selftest_dir/$name" &
	done
	wait
	now=$(date +%s)
	cat "$selftest_dir/one" "$selftest_dir/two"
	expect "different names, identities and random numbers" \
		"$(cat "$selftest_dir"/{one,two} | sed -n '1,3p;5,7p' | sort -u | wc -l)" 6 || return
	for name in one two; do
		[[ $((now - $(sed -n 4p "$selftest_dir/$name"))) -le 60 ]] || { echo "its clock is wrong" && return 1; }
	done
}

selftest_systemd() {
	expect "process 1 and its state" \
		"$(lab run --systemd -- sh -c 'cat /proc/1/comm; systemctl is-system-running; busctl list | grep -c org.freedesktop.DBus')" \
		$'systemd\nrunning\n1'
}

selftest_reboot() {
	# shellcheck disable=SC2016 # it is the lab's shell that expands it
	local command='cat /etc/machine-id; [ ! -e /scratch/again ] || exit 7
		touch /scratch/again; systemctl reboot; sleep 300'
	lab run --systemd --reboots -- sh -c "$command" >"$selftest_dir/out"
	expect "status after the reboot" $? 7 &&
		expect "machines and commands" "$(sort "$selftest_dir/out" | uniq -c | awk '{print $1}')" 2
}

selftest_cold() {
	expect "process 1" "$(lab run --cold -- cat /proc/1/comm)" lab-init
}

# selftest_guest KERNEL VPS APPEND SCRIPT [INITRD-OPTION] : boots a guest of the peer and shows its
# console.
selftest_guest() {
	local script
	script=$(base64 -w 0 <<<"$4")
	lab run --timeout 300 --stdin -- bash -s <<-END
		cp --reflink=always /lab/root.raw /scratch/root.raw
		exec qemu-system-x86_64 -M pc -accel kvm -smp $2 -m 512 -nodefaults -display none -no-reboot \
			-cpu host,hv-relaxed,hv-vapic,hv-time,hv-vpindex,hv-synic,hv-stimer,hv-frequencies,hv-runtime \
			-drive file=/scratch/root.raw,format=raw,if=virtio,aio=io_uring,cache=none -serial stdio \
			-kernel /lab/vmlinuz-$1 ${5--initrd /lab/initrd-$1} \
			-append "console=ttyS0 quiet panic=-1 mitigations=off $3 vmms.script=$script" </dev/null
	END
}

# selftest_guest_says KERNEL VPS APPEND SCRIPT PATTERN [INITRD-OPTION]
selftest_guest_says() {
	local console
	console=$(selftest_guest "${@:1:4}" "${@:6}" | tr -d '\r')
	expect "the guest's console" "$console" "*$5*"
}

# shellcheck disable=SC2016 # the guest expands these
{
	selftest_guest_6_1_cloud() { selftest_guest_says 6.1-cloud 1 '' 'uname -r; exit 3' $'6.1.*-cloud-amd64\nvmms-test: exit 3'; }
	selftest_guest_6_12_cloud() { selftest_guest_says 6.12-cloud 2 '' 'uname -r; nproc' $'6.12.*-cloud-amd64\n2\nvmms-test: exit 0'; }
	selftest_guest_6_1_amd64() { selftest_guest_says 6.1-amd64 1 '' 'uname -r' $'6.1.*-amd64\nvmms-test: exit 0'; }
	# Without an initramfs, since it cannot go to user mode under QEMU here.
	selftest_guest_6_1_686() { selftest_guest_says 6.1-686 1 '' '' '*Kernel panic - not syncing: VFS: Unable to mount root fs' ''; }
	selftest_guest_root() {
		selftest_guest_says 6.1-cloud 1 'root=/dev/vda ro' \
			'mount -o remount,rw / && echo text >/root/file && findmnt -no SOURCE / && type fio kexec' \
			$'/dev/vda\n*fio*kexec*vmms-test: exit 0'
	}
}
