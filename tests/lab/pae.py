# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a guest with PAE needs of the lab's KVM.

TCG, which emulates the lab host's processor, marks the four entries of a PAE guest's topmost table as
accessed whenever it goes by them. No processor does that, the bit is reserved there, and KVM takes a
table that has it for a broken one. The lab's KVM is loaded once more, with the one instruction changed
that has the mask of reserved bits in it: the accessed bit is none of them then.
"""

import os
import subprocess

from harness import SCRATCH, check

SIGNED = b"~Module signature appended~\n"
# or $0x1e6, %rcx and or $0x1c6, %rcx, in load_pdptrs().
RESERVED, RESERVED_BUT_ACCESSED = bytes.fromhex("4881c9e6010000"), bytes.fromhex("4881c9c6010000")


def have_kvm_take_accessed_tables():
    """Nothing, on a host whose processor is real."""
    if "VMMS_LAB" not in os.environ:
        return
    path = subprocess.run(["modinfo", "--field=filename", "kvm"], check=True, capture_output=True,
                          text=True).stdout.strip()
    with open(path, "rb") as file:
        module = file.read().removesuffix(SIGNED)
    check(module.count(RESERVED) == 1, f"load_pdptrs() is another one in {path}: look into {__file__}")
    changed = SCRATCH / "kvm.ko"
    changed.write_bytes(module.replace(RESERVED, RESERVED_BUT_ACCESSED))
    subprocess.run(["rmmod", "kvm_amd", "kvm"], check=True)
    subprocess.run(["insmod", changed], check=True)
    subprocess.run(["modprobe", "kvm_amd"], check=True)
