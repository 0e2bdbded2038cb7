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

# What make_step is told of one: its place, and what remembers how it was made.
kernels_made=("${kernel_flavours[@]/#/$kernels_dir/}")
kernels_made=("${kernels_made[@]/%/.made}")
host_kernels_made=("${host_kernels[@]/#/$kernels_dir/}")
host_kernels_made=("${host_kernels_made[@]/%/.made}")

# The flavour that kernel_make makes.
kernel_flavour=

# Beside vmlinuz and the modules each tree gets the unpacked kernel, an ELF file with a PVH entry,
# and a busybox of its architecture for an initramfs.
kernel_make() {
	local tree=$kernels_dir/$kernel_flavour suite=${kernel_suite[$kernel_flavour]} apt
	local package=${kernel_package[$kernel_flavour]} busybox=busybox-static architectures=(amd64)
	[[ $package != *:i386 ]] || { busybox+=:i386 && architectures+=(i386); }
	apt=$(mktemp -d)
	rm -rf "$tree"
	debian_apt bookworm "$apt/bookworm" "${architectures[@]}"
	[[ $suite == bookworm ]] || debian_apt "$suite" "$apt/$suite" amd64
	debian_kernel "$apt/$suite" "$tree" "$package"
	vmlinux_extract "$tree/vmlinuz" >"$tree/vmlinux"
	debian_unpack "$apt/bookworm" "$tree/busybox-tree" "$busybox"
	mv "$tree/busybox-tree/bin/busybox" "$tree/busybox"
	rm -rf "$tree/busybox-tree" "$apt"
}
