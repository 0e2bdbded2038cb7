# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# The kernels of the lab: one of them runs the lab host, all of them run as its guests.

kernels_dir=$lab_dir/kernels

# Each flavour with the suite and the metapackage that its kernel comes from. The 32-bit kernel with PAE
# comes with a guest of its own, and TCG's SVM is not quite up to either: docs/lab.md.
kernel_flavours=(6.1-amd64 6.1-cloud 6.12-cloud 6.1-686)
declare -A kernel_suite=([6.1-amd64]=bookworm [6.1-cloud]=bookworm [6.12-cloud]=trixie [6.1-686]=bookworm)
declare -A kernel_package=(
	[6.1-amd64]=linux-image-amd64
	[6.1-cloud]=linux-image-cloud-amd64
	[6.12-cloud]=linux-image-cloud-amd64
	[6.1-686]=linux-image-686:i386
)
# Of the lab host: the one that its snapshots run, and others that it can be booted with.
host_kernel=6.1-amd64
host_kernels=("$host_kernel" 6.12-cloud)

kernels_make() {
	local flavour apt
	apt=$(mktemp -d)
	rm -rf "$kernels_dir"
	debian_apt bookworm "$apt/bookworm" amd64 i386
	debian_apt trixie "$apt/trixie" amd64
	for flavour in "${kernel_flavours[@]}"; do
		kernel_make "$flavour" "$apt"
	done
	rm -rf "$apt"
}

# Beside vmlinuz and the modules each tree gets the unpacked kernel, an ELF file with a PVH entry,
# and a busybox of its architecture for an initramfs.
kernel_make() {
	local flavour=$1 apt=$2 tree=$kernels_dir/$1 busybox=busybox-static
	[[ ${kernel_package[$flavour]} != *:i386 ]] || busybox+=:i386
	debian_kernel "$apt/${kernel_suite[$flavour]}" "$tree" "${kernel_package[$flavour]}"
	vmlinux_extract "$tree/vmlinuz" >"$tree/vmlinux"
	debian_unpack "$apt/bookworm" "$tree/busybox-tree" "$busybox"
	mv "$tree/busybox-tree/bin/busybox" "$tree/busybox"
	rm -rf "$tree/busybox-tree"
}
