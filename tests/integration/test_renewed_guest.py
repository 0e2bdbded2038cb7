#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest of our own writes to its disk while one worker after the other goes on with it.

On this machine's KVM; exit status 77 where there is none. What the guest reports and what is on its
disk afterwards is as tests/guest/run has it."""

import importlib.machinery
import importlib.util
import os
import re
import sys

sys.dont_write_bytecode = True
import rig  # noqa: E402
from rig import ServiceTest, main  # noqa: E402

RENEWALS = 5
DISK_SIZE = 64 << 20
GUESTS = rig.arguments.source / "tests/guest"


def guest_runner():
    sys.path.insert(0, str(GUESTS))
    loader = importlib.machinery.SourceFileLoader("run", str(GUESTS / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("run", loader))
    loader.exec_module(module)
    return module


class RenewedGuest(ServiceTest):
    vmms_arguments = ("--worker", rig.arguments.build / "bin/vmwp", "--hypervisor", "/dev/kvm")

    def lines(self):
        return self.console_log().replace("\r", "").splitlines()

    def try_engine(self, engine):
        run = guest_runner()
        image = self.folder / "image"
        image.write_bytes(run.pattern(DISK_SIZE, 1))
        self.create(memory={"size": "64M", "shared": True}, engine=engine,
                    boot={"kernel": str(rig.arguments.build / "guests/guest_storage.elf")},
                    services={"sockets": False},
                    disks=[{"path": str(image), "lun": 0, "format": "raw"}],
                    actions={"reboot": "stop", "triple_fault": "stop", "crash": "stop"})
        self.ok("start", "vm")
        renewed = 0
        while renewed < RENEWALS and self.show()["state"] == "running":
            renewed += self.vmctl("renew", "vm").status == rig.OK
        self.wait_state("off")
        problems = list(run.worker.check_report(self.lines()))
        self.assertEqual(problems, [], "\n".join(self.lines()))
        self.assertEqual(image.read_bytes(), run.pattern(DISK_SIZE, 2))
        log = self.ok("log", "vm")
        stood = [float(ms) for ms in re.findall(r"stood still for ([0-9.]+) ms", log)]
        print(engine, renewed, stood)
        self.assertEqual(renewed, RENEWALS, log)

    def test_user_space(self):
        self.try_engine("user-space")


if __name__ == "__main__":
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        sys.exit(77)
    main()
