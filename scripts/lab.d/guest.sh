# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What stock guests are made of: kernels with small initramfs for tests, and a root image.

guest_dir=$lab_dir/guest

# The flavour that the root image's own packages are of.
guest_kernel=6.1-cloud

# What a stock guest finds its disks with: on the synthetic bus, and as a guest of the peer.
guest_modules=(
	hv_vmbus hv_storvsc hv_utils hv_balloon sd_mod sr_mod
	virtio_pci virtio_mmio virtio_blk virtio_scsi ext4
)

# guest_initramfs FLAVOUR OUTPUT
guest_initramfs() {
	initramfs_make "$2" "$kernels_dir/$1" "$host_dir/busybox" "$parts_dir/guest/initramfs" \
		"${guest_modules[@]}"
}

guest_make() {
	local flavour
	rm -rf "$guest_dir"
	mkdir -p "$guest_dir"
	for flavour in "${kernel_flavours[@]}"; do
		cp "$kernels_dir/$flavour/vmlinuz" "$guest_dir/vmlinuz-$flavour"
		cp "$kernels_dir/$flavour/vmlinux" "$guest_dir/vmlinux-$flavour"
		guest_initramfs "$flavour" "$guest_dir/initrd-$flavour"
	done
	guest_image
	guest_disk
}

# The root image: a stock one, with what tests use in it, and with the small initramfs of its own
# kernel for a kexec.
guest_image() {
	local image=$guest_dir/image overlay=$guest_dir/overlay
	mkdir -p "$overlay"/{boot,usr/sbin}
	cp "$parts_dir/guest/initramfs/bin/vmms-test-init" "$overlay/usr/sbin/"
	cp "$guest_dir/vmlinuz-$guest_kernel" "$overlay/boot/vmlinuz"
	cp "$guest_dir/initrd-$guest_kernel" "$overlay/boot/initrd"
	"$tree_dir/scripts/image" --output "$image" --include fio,kexec-tools --overlay "$overlay"
	ln "$image/root.raw" "$guest_dir/root.raw"
	ln "$image/initrd.img" "$guest_dir/initrd-stock"
	rm -rf "$overlay"
}

# The lab host's second disk, mounted on /lab there: the host itself makes the file system, the
# payload is its contents.
guest_disk() {
	rm -f "$host_dir/lab.raw"
	truncate -s 16G "$host_dir/lab.raw"
	run_cold=1
	run_label=make-disk
	run_timeout=300
	run_disposable[lab]=off
	run_create
	mkdir -p "$run_dir/payload/run/lab" "$run_dir/payload/vmms"
	echo 'umount /lab' >"$run_dir/payload/run/lab/command"
	tar --create --file "$run_dir/payload.raw" --sparse --owner 0 --group 0 \
		-C "$guest_dir" --exclude image --transform 's,^\./,lab/,' . \
		-C "$run_dir/payload" --transform 's,^payload/,,' run vmms
	truncate -s "$machine_payload_size" "$run_dir/payload.raw"
	run_execute
}
