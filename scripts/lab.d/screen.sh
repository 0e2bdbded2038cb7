# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# The driver of the synthetic screen, which the lab's kernels leave out with all of drivers/gpu, and what it
# depends on: in loading order in the file "modules". Rows that need it are given it by tests/lab/run.

screen_kernel=6.1-amd64
screen_dir=$guest_dir/screen
screen_module=hyperv_drm

screen_make() {
	local release tree=$screen_dir/tree apt file
	release=$(ls "$kernels_dir/$screen_kernel/lib/modules")
	rm -rf "$screen_dir"
	apt=$(mktemp -d)
	debian_apt bookworm "$apt" amd64
	debian_unpack "$apt" "$tree" "linux-image-$release"
	depmod -b "$tree" "$release"
	modprobe -d "$tree" -S "$release" --show-depends $screen_module | sed -n 's/^insmod \([^ ]*\).*/\1/p' |
		while read -r file; do
			cp "$file" "$screen_dir/"
			basename "$file"
		done >"$screen_dir/modules"
	rm -rf "$tree" "$apt"
}
