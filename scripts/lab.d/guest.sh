# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# What the lab's guests are made of: stock kernels with small initramfs, and a root image.

guest_dir=$lab_dir/guest
guest_disk=$guest_dir/lab.raw

# The flavour that the root image's own kernel package is of.
guest_kernel=6.1-cloud

# What a stock guest finds its devices with: on the VMBus, and as a guest of the peer.
guest_modules=(
	hv_vmbus hv_storvsc hv_netvsc hv_utils hv_balloon sd_mod sr_mod vsock hv_sock
	virtio_pci virtio_mmio virtio_blk virtio_scsi virtio_net ext4
)

guest_boot_make() {
	local flavour
	rm -rf "${guest_dir:?}/boot"
	mkdir -p "$guest_dir/boot"
	for flavour in "${kernel_flavours[@]}"; do
		cp "$kernels_dir/$flavour/vmlinuz" "$guest_dir/boot/vmlinuz-$flavour"
		cp "$kernels_dir/$flavour/vmlinux" "$guest_dir/boot/vmlinux-$flavour"
		initramfs_make "$guest_dir/boot/initrd-$flavour" "$kernels_dir/$flavour" \
			"$parts_dir/guest/initramfs" "${guest_modules[@]}"
	done
}

# What tests use in it. busybox has the DHCP client and the web server.
guest_packages=(fio kexec-tools hyperv-daemons busybox-static iputils-ping iperf3 ethtool)

# A stock image, with what tests use in it, and with the small initramfs of its kernel for kexec.
guest_image_make() {
	local overlay=$guest_dir/overlay
	rm -rf "$overlay"
	mkdir -p "$overlay"/{boot,usr/sbin}
	cp "$parts_dir/guest/initramfs/bin/vmms-test-init" "$overlay/usr/sbin/"
	cp "$guest_dir/boot/vmlinuz-$guest_kernel" "$overlay/boot/vmlinuz"
	cp "$guest_dir/boot/initrd-$guest_kernel" "$overlay/boot/initrd"
	"$tree_dir/scripts/image" --force --output "$guest_dir/image" \
		--include "$(IFS=, && echo "${guest_packages[*]}")" --overlay "$overlay"
	rm -rf "$overlay"
}

# A stock guest of 32 bits, as Debian installs it. A machine that cannot run its programs cannot make it,
# and does without.
guest_i386_make() {
	rm -rf "${guest_dir:?}/i386"
	mkdir -p "$guest_dir/i386"
	"$kernels_dir/6.1-686/busybox" true 2>/dev/null || {
		say "no guest of 32 bits: this machine runs no programs of 32 bits"
		return 0
	}
	"$tree_dir/scripts/image" --force --output "$guest_dir/i386" --architecture i386 --kernel 686-pae \
		--include hyperv-daemons,wget
}

# A stock guest of the next release. Its own package of daemons leaves the one for file copy out, which is a
# program that goes with the driver in user space; the one of the backports has it.
guest_debian_13_make() {
	rm -rf "${guest_dir:?}/debian-13"
	"$tree_dir/scripts/image" --force --output "$guest_dir/debian-13" --suite trixie \
		--include hyperv-daemons --backports hyperv-daemons
}

# A stock guest of an older release, for its kernel: as it was released, since the mirrors' updates of it may
# have holes. When they have no more of it, there is none.
guest_debian_11_make() {
	rm -rf "${guest_dir:?}/debian-11"
	mkdir -p "$guest_dir/debian-11"
	debian_has bullseye || {
		say "no guest of Debian 11: the mirrors of this machine do not have that release any more"
		return 0
	}
	"$tree_dir/scripts/image" --force --output "$guest_dir/debian-11" --suite bullseye --architecture amd64 \
		--include hyperv-daemons,wget
}

# What administrators begin with: a guest of packages, by what vmctl quick-create has for that, and an
# image that cloud-init sets up, like those that Debian has for clouds. Both are reached by one key.
guest_quick_make() {
	local quick=$guest_dir/quick tree=$guest_dir/quick/tree
	rm -rf "$quick"
	mkdir -p "$quick"
	ssh-keygen -q -t ed25519 -N '' -C lab -f "$quick/key"
	"$tree_dir/packaging/libexec/guest-from-packages" "$quick/packages" quick 2G bookworm '' \
		"$quick/key.pub" >"$quick/told"
	debian_tree bookworm "$tree" "$(IFS=, && echo "${guest_cloud_packages[*]}")"
	guest_cloud_configure "$tree"
	rm -f "$quick/cloud.raw"
	truncate -s 2G "$quick/cloud.raw"
	sfdisk --quiet "$quick/cloud.raw" <<<$'label: gpt\nstart=2048'
	mke2fs -q -t ext4 -L root -E offset=1048576,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0 \
		-d "$tree" "$quick/cloud.raw" 2000M
	rm -rf "$tree"
}

guest_cloud_packages=(
	systemd-sysv systemd-resolved libpam-systemd dbus udev kmod login util-linux e2fsprogs iproute2
	initramfs-tools zstd linux-image-cloud-amd64 cloud-init cloud-guest-utils fdisk netplan.io
	openssh-server sudo
)

guest_cloud_configure() {
	echo 'LABEL=root / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 1' >"$1/etc/fstab"
	# Making another one takes its time where the processor is emulated.
	echo 'locale: C.UTF-8' >"$1/etc/cloud/cloud.cfg.d/10-locale.cfg"
	chroot "$1" systemctl --quiet enable systemd-networkd
	rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/hostname
	: >"$1/etc/machine-id"
	debian_mask_timers "$1"
}

# The lab host's second disk, mounted on /lab there, with room for scratch files. The host itself
# makes its file system; what the payload has for /lab becomes its contents.
guest_disk_make() {
	local contents=$guest_dir/disk name
	rm -rf "$contents" "$guest_disk"
	mkdir -p "$contents/lab"/{quick,i386,debian-11,debian-13}
	ln "$guest_dir"/boot/* "$contents/lab/"
	ln "$guest_dir/image/root.raw" "$contents/lab/"
	ln "$guest_dir/image/initrd.img" "$contents/lab/initrd-stock"
	ln "$guest_dir"/quick/{key,key.pub,told,cloud.raw} "$guest_dir"/quick/packages/* "$contents/lab/quick/"
	for name in i386 debian-11 debian-13; do
		[[ ! -e $guest_dir/$name/root.raw ]] ||
			ln "$guest_dir/$name"/{root.raw,vmlinuz,initrd.img} "$contents/lab/$name/"
	done
	truncate -s 16G "$guest_disk"
	run_cold=1
	run_label=disk
	run_timeout=300
	run_keeps_lab_disk=1
	run_create
	run_pack_command umount /lab
	run_payload --append -C "$contents" lab
	run_execute
	rm -rf "$contents"
}
