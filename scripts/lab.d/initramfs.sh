# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# A busybox initramfs with a chosen list of modules, and a kernel's vmlinux.

# initramfs_make OUTPUT KERNEL-TREE FILES MODULE... : the directory FILES, which has an
# "init", is its root. The modules and what they depend on are stored uncompressed, since busybox
# loads no compressed ones; /modules lists them in loading order.
initramfs_make() {
	local output=$1 kernel=$2 files=$3 release root module file name
	shift 3
	release=$(ls "$kernel/lib/modules")
	root=$(mktemp -d)
	chmod 755 "$root"
	mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,dev,proc,sys,run,tmp,root,etc,lib/modules}
	cp "$kernel/busybox" "$root/bin/busybox"
	cp -r "$files/." "$root/"
	: >"$root/modules"
	for module in "$@"; do
		modprobe -d "$kernel" -S "$release" --show-depends "$module" |
			sed -n 's/^insmod \([^ ]*\).*/\1/p'
	done | awk '!seen[$0]++' | while read -r file; do
		name=$(basename "${file%%.ko*}")
		initramfs_module "$file" >"$root/lib/modules/$name.ko"
		echo "$name" >>"$root/modules"
	done
	mknod "$root/dev/console" c 5 1
	mknod "$root/dev/null" c 1 3
	(cd "$root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) | gzip -1 >"$output"
	rm -rf "$root"
}

initramfs_module() {
	case $1 in
	*.xz) xz -dc "$1" ;;
	*.zst) zstd -qdc "$1" ;;
	*.gz) gzip -dc "$1" ;;
	*) cat "$1" ;;
	esac
}

# vmlinux_extract BZIMAGE : the ELF kernel packed in it (Documentation/arch/x86/boot.rst,
# payload_offset and payload_length), on standard output.
vmlinux_extract() {
	local image=$1 setup_sectors offset length
	setup_sectors=$(od -An -j $((0x1f1)) -N 1 -t u1 "$image")
	offset=$(od -An -j $((0x248)) -N 4 -t u4 "$image")
	length=$(od -An -j $((0x24c)) -N 4 -t u4 "$image")
	offset=$(((setup_sectors + 1) * 512 + offset))
	# The payload ends with its unpacked size, which no unpacker takes: leave those 4 bytes out.
	dd if="$image" bs=64K iflag=skip_bytes,count_bytes skip="$offset" count=$((length - 4)) status=none |
		vmlinux_unpack "$(od -An -j "$offset" -N 4 -t x1 "$image")"
}

vmlinux_unpack() {
	case ${1// /} in
	fd377a58) xz -dc ;;
	28b52ffd) zstd -qdc ;;
	02214c18) lz4 -qdc ;;
	1f8b*) gzip -dc ;;
	*) die "vmlinux: compression '$1' is not known" ;;
	esac
}
