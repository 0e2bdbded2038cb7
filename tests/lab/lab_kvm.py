# SPDX-License-Identifier: LGPL-2.1-or-later
"""What some guests need of the lab's KVM: one of its modules is loaded once more, with one instruction changed.

PAE: TCG, which emulates the lab host's processor, marks the four entries of a PAE guest's topmost table as
accessed whenever it goes by them. No processor does that, the bit is reserved there, and KVM takes a
table that has it for a broken one. With the change it is not among the reserved bits of KVM's mask.

CR8: where a guest writes to CR8 while KVM waits for it to take interrupts, TCG has the lock of its devices
asserted, which it does not hold, and ends, with all of the host. UEFI does that in each handler of an
interrupt. With the change KVM has such writes come to it, always.
"""

import os
import subprocess

from harness import SCRATCH, check

SIGNED = b"~Module signature appended~\n"
# or $0x1e6, %rcx and or $0x1c6, %rcx, in load_pdptrs().
RESERVED, RESERVED_BUT_ACCESSED = bytes.fromhex("4881c9e6010000"), bytes.fromhex("4881c9c6010000")
# btrq $24, (%rax) and btsq $24, (%rax), and what follows in svm_update_cr8_intercept().
CR8_LET_GO, CR8_INTERCEPTED = (bytes.fromhex(bit + "4889dfe8000000004439e5")
                               for bit in ("480fba3018", "480fba2818"))


def load_changed(name, unload, before, after):
    path = subprocess.run(["modinfo", "--field=filename", name], check=True, capture_output=True,
                          text=True).stdout.strip()
    with open(path, "rb") as file:
        module = file.read().removesuffix(SIGNED)
    check(module.count(before) == 1, f"{name} is another one in {path}: look into {__file__}")
    changed = SCRATCH / f"{name}.ko"
    changed.write_bytes(module.replace(before, after))
    subprocess.run(["rmmod", *unload], check=True)
    subprocess.run(["insmod", changed], check=True)
    subprocess.run(["modprobe", "kvm_amd"], check=True)


def have_kvm_take_accessed_tables():
    """Nothing, on a host whose processor is real."""
    if "VMMS_LAB" in os.environ:
        load_changed("kvm", ["kvm_amd", "kvm"], RESERVED, RESERVED_BUT_ACCESSED)


def have_kvm_intercept_cr8():
    """Likewise."""
    if "VMMS_LAB" in os.environ:
        load_changed("kvm_amd", ["kvm_amd"], CR8_LET_GO, CR8_INTERCEPTED)
