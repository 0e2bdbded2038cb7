#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who is served: root, by the shipped bus policy and by vmms itself; on a bus of their own, users.

Exit status 77 without root, who alone can be somebody else.
"""

import os
import subprocess
import sys

sys.dont_write_bytecode = True
from rig import (FAKE_WORKER, NOT_PERMITTED, OK, TIMEOUT, VMMS, ServiceTest,  # noqa: E402
                 arguments, as_user, main, wait_until)

NOBODY = 65534
SOMEBODY = 1

# What Debian's system bus has before it comes to the policies of services.
SYSTEM_POLICY = """<policy context="default">
<allow user="*"/><deny own="*"/><deny send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true" send_type="method_return"/>
<allow send_requested_reply="true" send_type="error"/>
<allow receive_type="method_call"/><allow receive_type="method_return"/>
<allow receive_type="error"/><allow receive_type="signal"/>
<allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
</policy>
<include>{policy}</include>"""


class AccessTest(ServiceTest):
    def assert_refused(self, uid):
        self.create()
        before = self.list()
        for words in (["list"], ["show", "vm"], ["start", "vm"], ["delete", "vm"], ["host"],
                      ["console", "vm", "--log"], ["screenshot", "vm"], ["reload"],
                      ["create", "--name", "x", "--kernel", "/dev/null"]):
            result = self.vmctl_as(uid, *words)
            self.assertEqual(result.status, NOT_PERMITTED, f"{words}: {result.out}{result.err}")
            self.assertIn("as root", result.err)
            self.assertNotIn("vm ", result.out)
        self.assertEqual(self.list(), before)


class ShippedPolicy(AccessTest):
    policy = SYSTEM_POLICY.format(policy=arguments.source / "packaging/dbus/org.vmms1.conf")

    def test_root_is_served(self):
        self.create()
        self.ok("start", "vm")
        self.ok("stop", "vm")

    def test_another_user_is_refused(self):
        self.assert_refused(NOBODY)

    def test_the_name_is_not_for_another_user(self):
        self.stop_vmms()
        home = self.folder / "nobody"
        home.mkdir()
        os.chown(home, NOBODY, NOBODY)
        vmms = subprocess.run(
            as_user(NOBODY, self.program(VMMS), "--address", self.address,
                    "--state-dir", home, "--runtime-dir", home),
            capture_output=True, text=True, timeout=TIMEOUT)
        self.assertEqual(vmms.returncode, 1)
        self.assertIn("does not let this user own org.vmms1", vmms.stderr)
        self.start_vmms()


class OwnCheck(AccessTest):
    """The same where the bus would let everybody through."""

    def test_another_user_is_refused(self):
        self.assert_refused(NOBODY)
        self.assertIn("a call was refused: user 'nobody'", (self.folder / "log").read_text())


class UnprivilegedDaemon(AccessTest):
    """A user's vmms serves that user, and root."""

    def start_vmms(self, *extra, wait=True):
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        os.chown(home, NOBODY, NOBODY)
        self.vmms = subprocess.Popen(
            as_user(NOBODY, self.program(VMMS), "--address", self.address,
                    "--state-dir", home / "state", "--runtime-dir", home / "run", "--worker",
                    self.program(FAKE_WORKER), "--hypervisor", "/dev/null"),
            stdout=self.log, stderr=self.log)
        wait_until(lambda: self.vmctl("list").status == OK, "vmms")

    def test_who_is_served(self):
        kernel = str(self.folder / "kernel")
        os.chmod(kernel, 0o644)
        self.assertEqual(self.vmctl_as(NOBODY, "create", "--name", "vm", "--kernel",
                                       kernel).status, OK)
        self.assertEqual(self.vmctl_as(NOBODY, "start", "vm").status, OK)
        self.assertEqual(self.vmctl("stop", "vm").status, OK)
        result = self.vmctl_as(SOMEBODY, "list")
        self.assertEqual(result.status, NOT_PERMITTED)
        self.assertIn("uid 1 ", result.err)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root, to be somebody else")
        sys.exit(77)
    main()
