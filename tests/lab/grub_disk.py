# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the beginning and the end of a disk that boots by GRUB. usage: grub_disk.py DIRECTORY [KERNEL INITRD]

What lies between DIRECTORY/head.raw and DIRECTORY/tail.raw is one partition, for a root file system of
2 GiB with the label root; whoever has that file system puts the three together. The GPT has a place for
GRUB's core as a BIOS loads it, and an EFI system partition, which is where GRUB is as UEFI loads it, and its
menu. The menu boots the given kernel, or else the one that is in the root file system's /boot.
"""

import os
import pathlib
import struct
import subprocess
import sys
import tempfile

SECTOR = 512
MIB = 1 << 20
CORE_AT, ESP_AT, ROOT_AT = MIB, 2 * MIB, 40 * MIB
ROOT_SIZE = 2048 * MIB
SIZE = ROOT_AT + ROOT_SIZE + MIB

GRUB = pathlib.Path("/usr/lib/grub/i386-pc")
MODULES = ("part_gpt fat ext2 normal linux serial terminal search search_label test echo reboot halt "
           "configfile regexp").split()

TABLE = f"""label: gpt
start={CORE_AT // SECTOR}, size={MIB // SECTOR}, type=21686148-6449-6E6F-744E-656564454649
start={ESP_AT // SECTOR}, size={(ROOT_AT - ESP_AT) // SECTOR}, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
start={ROOT_AT // SECTOR}, size={ROOT_SIZE // SECTOR}, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4
"""

EARLY = """serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
set prefix=(hd0,gpt2)/grub
configfile $prefix/grub.cfg
"""

MENU = """set timeout=2
if [ $grub_platform = efi ]; then
	terminal_output serial console
fi
menuentry "Linux" {
	search --no-floppy --set=root --label root
	if [ -e $prefix/vmlinuz ]; then
		set boot=$prefix
	else
		set boot=/boot
	fi
	linux $boot/vmlinuz* console=ttyS0 root=LABEL=root ro panic=-1 nokaslr mitigations=off
	initrd $boot/initrd*
}
"""


# Where boot.img has the sector of the core, and a jump that leaves out the BIOS's number of the disk: with
# two NOPs in its place that is checked. Where the core's first sector has what to load of the rest.
BOOT_CORE, BOOT_CHECK, BOOT_CODE = 0x5c, 0x66, 440
CORE_REST = SECTOR - 12


def put_loader(disk, core):
    boot = bytearray((GRUB / "boot.img").read_bytes()[:BOOT_CODE])
    struct.pack_into("<Q", boot, BOOT_CORE, CORE_AT // SECTOR)
    boot[BOOT_CHECK:BOOT_CHECK + 2] = b"\x90\x90"
    core = bytearray(core + bytes(-len(core) % SECTOR))
    if len(core) > MIB:
        sys.exit("grub_disk.py: GRUB's core is larger than its partition")
    struct.pack_into("<QH", core, CORE_REST, CORE_AT // SECTOR + 1, len(core) // SECTOR - 1)
    disk.seek(0)
    disk.write(boot)
    disk.seek(CORE_AT)
    disk.write(core)


def make_core(scratch, platform, *modules):
    (scratch / "early.cfg").write_text(EARLY)
    path = scratch / f"core-{platform}"
    subprocess.run(["grub-mkimage", "-O", platform, "-o", path, "-p", "(hd0,gpt2)/grub",
                    "-c", scratch / "early.cfg", *modules, *MODULES], check=True)
    return path


def put_menu(path, scratch, kernel):
    (scratch / "grub.cfg").write_text(MENU)
    image = f"{path}@@{ESP_AT}"
    sectors = (ROOT_AT - ESP_AT) // SECTOR
    subprocess.run(["mformat", "-i", image, "-T", str(sectors), "-h", "16", "-s", "63", "-v", "EFI", "::"],
                   check=True)
    subprocess.run(["mmd", "-i", image, "::/grub", "::/EFI", "::/EFI/BOOT"], check=True)
    files = [(scratch / "grub.cfg", "grub/grub.cfg"), *zip(kernel, ("grub/vmlinuz", "grub/initrd")),
             (make_core(scratch, "x86_64-efi"), "EFI/BOOT/BOOTX64.EFI")]
    for source, name in files:
        subprocess.run(["mcopy", "-i", image, source, f"::/{name}"], check=True)


def main():
    if len(sys.argv) not in (2, 4) or sys.argv[1] == "--help":
        sys.exit(__doc__)
    target = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as directory:
        scratch = pathlib.Path(directory)
        path = scratch / "disk.raw"
        path.touch()
        os.truncate(path, SIZE)
        subprocess.run(["sfdisk", "--quiet", path], input=TABLE, text=True, check=True)
        with path.open("r+b") as disk:
            put_loader(disk, make_core(scratch, "i386-pc", "biosdisk").read_bytes())
        put_menu(path, scratch, sys.argv[2:])
        with path.open("rb") as disk:
            (target / "head.raw").write_bytes(disk.read(ROOT_AT))
            disk.seek(ROOT_AT + ROOT_SIZE)
            (target / "tail.raw").write_bytes(disk.read())


main()
