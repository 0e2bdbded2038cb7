# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# The lab host: a Debian 12 with the stock kernel, and what the project's programs and tests need.

host_dir=$lab_dir/host

host_packages=(
	systemd systemd-sysv systemd-container polkitd udev dbus kmod iproute2 procps psmisc util-linux
	less file openssh-client genisoimage
	python3 busybox-static cpio strace linux-perf fio e2fsprogs xfsprogs dmsetup nftables
	libjson-c5 liburing2 libsystemd0 libseccomp2 libnl-3-200 libnftables1
	libcmocka0 libasan8 libubsan1
	passt apparmor iputils-ping iperf3 ethtool tcpdump qemu-utils qemu-system-common seabios
)

host_make() {
	local tree=$host_dir/tree
	debian_tree bookworm "$tree" "$(IFS=, && echo "${host_packages[*]}")"
	host_configure "$tree"
	mkdir -p "$tree/usr/lib/modules"
	local kernel
	for kernel in "${host_kernels[@]}"; do
		cp -a "$kernels_dir/$kernel"/lib/modules/* "$tree/usr/lib/modules/"
		initramfs_make "$host_dir/initrd-$kernel" "$kernels_dir/$kernel" "$parts_dir/host/initramfs" \
			virtio_pci virtio_blk virtio_console virtio_rng ext4
	done
	# The emulator once more, in there the peer that benchmarks compare with.
	emulator_copy "$tree/opt/qemu"
	debian_ext4 "$tree" "$host_dir/root.raw" 6G host
	rm -rf "$tree"
}

host_configure() {
	local tree=$1
	cp -r "$parts_dir/host/root/." "$tree/"
	mkdir -p "$tree"/{vmms,vmms-in,vmms-out,lab}
	ln -s lab/scratch "$tree/scratch"
	: >"$tree/etc/machine-id"
	echo lab >"$tree/etc/hostname"
	debian_mask_timers "$tree"
}
