# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# QEMU of Debian 13, unpacked beside the machine's own packages. Debian 12's hangs now and then
# when it emulates a host of virtual machines.

emulator_dir=$lab_dir/qemu

# Its programs run on whatever this machine is through their own loader. They end with whoever
# started them, even if that was killed.
emulator_loader=(
	setpriv --pdeathsig KILL env "QEMU_MODULE_DIR=$emulator_dir/usr/lib/x86_64-linux-gnu/qemu"
	"$emulator_dir/lib64/ld-linux-x86-64.so.2" --library-path "$emulator_dir/usr/lib/x86_64-linux-gnu"
)
emulator=(
	"${emulator_loader[@]}" "$emulator_dir/usr/bin/qemu-system-x86_64"
	-L "$emulator_dir/usr/share/qemu" -L "$emulator_dir/usr/share/seabios"
)
emulator_image_tool=("${emulator_loader[@]}" "$emulator_dir/usr/bin/qemu-img")

emulator_make() {
	debian_tree trixie "$emulator_dir" qemu-system-x86,qemu-utils
}

# emulator_copy DIRECTORY : what of the tree running QEMU takes.
emulator_copy() {
	local to=$1
	mkdir -p "$to"/usr/{bin,lib,share} "$to/lib64"
	cp -a "$emulator_dir/usr/bin/qemu-system-x86_64" "$to/usr/bin/"
	cp -a "$emulator_dir/usr/lib/x86_64-linux-gnu" "$to/usr/lib/"
	cp -a "$emulator_dir"/usr/share/{qemu,seabios} "$to/usr/share/"
	cp -L "$emulator_dir/lib64/ld-linux-x86-64.so.2" "$to/lib64/"
}
