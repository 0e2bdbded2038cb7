# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Making the lab host: its emulator, kernels and root image.

emulator_dir=$lab_dir/qemu
kernels_dir=$lab_dir/kernels
host_dir=$lab_dir/host

# The flavours, each with the suite and the package that name its kernel.
kernel_flavours=(6.1-amd64 6.1-cloud 6.12-cloud)
declare -A kernel_source=(
	[6.1-amd64]='bookworm linux-image-amd64'
	[6.1-cloud]='bookworm linux-image-cloud-amd64'
	[6.12-cloud]='trixie linux-image-cloud-amd64'
)
host_kernel=6.1-amd64

host_packages=(
	systemd systemd-sysv udev dbus kmod iproute2 procps psmisc util-linux less file
	python3 busybox-static cpio strace linux-perf fio e2fsprogs xfsprogs dmsetup nftables
	libjson-c5 liburing2 libsystemd0 libseccomp2 libnl-3-200 libnl-route-3-200
	libcmocka0 libasan8 libubsan1
)

emulator_make() {
	debian_tree trixie "$emulator_dir" qemu-system-x86,qemu-utils
}

kernels_make() {
	local flavour
	for flavour in "${kernel_flavours[@]}"; do
		kernel_make "$flavour"
	done
}

kernel_make() {
	local flavour=$1 tree=$kernels_dir/$1
	# shellcheck disable=SC2086 # two words: suite and package
	debian_fetch_kernel ${kernel_source[$flavour]% *} "$tree" "${kernel_source[$flavour]#* }"
	cp "$tree"/boot/vmlinuz-* "$tree/vmlinuz"
	vmlinux_extract "$tree/vmlinuz" >"$tree/vmlinux"
}

host_make() {
	local tree=$host_dir/tree
	mkdir -p "$host_dir"
	debian_tree bookworm "$tree" "$(IFS=, && echo "${host_packages[*]}")"
	host_configure "$tree"
	host_add_modules "$tree"
	host_add_peer "$tree"
	rm -f "$host_dir/root.raw"
	truncate -s 6G "$host_dir/root.raw"
	mke2fs -q -t ext4 -E lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0 -d "$tree" "$host_dir/root.raw"
	cp "$tree/bin/busybox" "$host_dir/busybox"
	initramfs_make "$host_dir/initrd" "$kernels_dir/$host_kernel" "$host_dir/busybox" \
		"$parts_dir/host/initramfs" virtio_pci virtio_blk virtio_console virtio_rng ext4
	rm -rf "$tree"
}

host_configure() {
	local tree=$1
	cp -r "$parts_dir/host/root/." "$tree/"
	mkdir -p "$tree"/{vmms,vmms-in,vmms-out,lab}
	ln -s lab/scratch "$tree/scratch"
	: >"$tree/etc/machine-id"
	echo lab >"$tree/etc/hostname"
}

host_add_modules() {
	local tree=$1 release
	release=$(ls "$kernels_dir/$host_kernel/lib/modules")
	mkdir -p "$tree/usr/lib/modules"
	cp -a "$kernels_dir/$host_kernel/lib/modules/$release" "$tree/usr/lib/modules/"
	# Hardware that no lab has, and half of the tree's size.
	(cd "$tree/usr/lib/modules/$release/kernel" &&
		rm -rf sound drivers/{gpu,media,net/wireless,net/ethernet,infiniband,staging,iio,usb,isdn,hid,mfd,hwmon,platform})
	depmod -b "$tree" "$release"
}

# The emulator again, inside the host: there it is the peer that benchmarks compare with.
host_add_peer() {
	local tree=$1 peer=$1/opt/qemu
	mkdir -p "$peer"/usr/{bin,lib,share} "$peer/lib64"
	cp -a "$emulator_dir"/usr/bin/qemu-system-x86_64 "$peer/usr/bin/"
	cp -a "$emulator_dir"/usr/lib/x86_64-linux-gnu "$peer/usr/lib/"
	cp -a "$emulator_dir"/usr/share/{qemu,seabios} "$peer/usr/share/"
	cp -L "$emulator_dir"/lib64/ld-linux-x86-64.so.2 "$peer/lib64/"
}
