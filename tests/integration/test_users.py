#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A user database that does not answer holds up those alone whose users it is asked for.

Exit status 77 without root, whose daemon alone has users.
"""

import json
import os
import pwd
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
from rig import FAILED, OK, TIMEOUT, ServiceTest, arguments, as_user, children, main, wait_until  # noqa: E402
from test_access import SYSTEM_POLICY  # noqa: E402

MEMBER = pwd.getpwuid(1)  # "daemon", which is in the group of its name
OTHER = pwd.getpwuid(2)


class UsersTest(ServiceTest):
    policy = SYSTEM_POLICY.format(policy=arguments.source / "packaging/dbus/org.vmms1.conf")
    vmms_arguments = ("--group", "daemon")

    def setUp(self):
        super().setUp()
        (self.folder / "kernel").chmod(0o644)

    @property
    def slow(self):
        folder = self.folder / "slow"
        folder.mkdir(exist_ok=True)
        return folder

    def start_vmms(self, *extra, wait=True):
        options = os.environ.get("ASAN_OPTIONS", "")
        self.vmms_environment = {"LD_PRELOAD": str(arguments.build / "tests/slow_users.so"),
                                 "SLOW_USERS": str(self.slow),
                                 "ASAN_OPTIONS": f"{options}:verify_asan_link_order=0"}
        super().start_vmms(*extra, wait=wait)

    def hold(self, who):
        (self.slow / str(who)).touch()

    def release(self, who):
        (self.slow / str(who)).unlink()

    def processes(self):
        """Those that ask the database, among others."""
        return children(self.vmms.pid)

    def begin(self, *command):
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def list_as(self, user):
        return self.begin(*as_user(user.pw_uid, self.program(arguments.build / "bin/vmctl"), "--address",
                                   self.address, "list", "--json"))

    def create_from(self, **members):
        path = self.folder / "definition"
        path.write_text(json.dumps({"name": "own", "network_adapters": [],
                                    "boot": {"kernel": str(self.folder / "kernel")}, **members}))
        return self.begin(arguments.build / "bin/vmctl", "--address", self.address, "create", "--from", path)

    def wait_asked(self, count=1):
        wait_until(lambda: len(self.processes()) == count, "the database to be asked")


class Users(UsersTest):
    def test_who_calls(self):
        self.hold(MEMBER.pw_uid)
        caller = self.list_as(MEMBER)
        self.wait_asked()
        self.ok("list")
        self.assertIsNone(caller.poll())
        self.release(MEMBER.pw_uid)
        out, err = caller.communicate(timeout=TIMEOUT)
        self.assertEqual((caller.returncode, json.loads(out)["vms"]), (OK, []), err)

    def test_who_calls_too_often(self):
        """Nobody fills the daemon with calls, and one process asks for all of them."""
        self.hold(OTHER.pw_uid)
        callers = [self.begin(*as_user(OTHER.pw_uid, "busctl", "--address", self.address, "call",
                                       "--timeout=60", "org.vmms1", "/org/vmms1", "org.vmms1.Manager",
                                       "Reload")) for _ in range(17)]

        def refused():
            return [caller for caller in callers if caller.poll() is not None]
        wait_until(refused, "one to be refused")
        self.assertIn("too many calls", refused()[0].communicate(timeout=TIMEOUT)[1])
        self.assertEqual(len(refused()), 1)
        self.assertEqual(len(self.processes()), 1)
        self.ok("list")
        self.release(OTHER.pw_uid)
        for caller in callers:
            self.assertEqual(caller.wait(TIMEOUT), 1)

    def test_who_has_gone_meanwhile(self):
        self.hold(MEMBER.pw_uid)
        caller = self.list_as(MEMBER)
        self.wait_asked()
        caller.kill()
        caller.wait(TIMEOUT)
        self.release(MEMBER.pw_uid)
        self.assertEqual(self.list_as(MEMBER).wait(TIMEOUT), OK, "the answer was nobody's any more")

    def test_a_database_that_fails(self):
        self.hold(MEMBER.pw_uid)
        caller = self.list_as(MEMBER)
        self.wait_asked()
        os.kill(int(self.processes()[0]), signal.SIGKILL)
        err = caller.communicate(timeout=TIMEOUT)[1]
        self.assertIn(f"uid {MEMBER.pw_uid} cannot be looked up", err)
        self.release(MEMBER.pw_uid)
        self.assertEqual(self.list_as(MEMBER).wait(TIMEOUT), OK, "it is asked again")

    def test_an_owner_that_is_given(self):
        self.hold(MEMBER.pw_name)
        creator = self.create_from(owner=MEMBER.pw_name)
        self.wait_asked()
        self.assertEqual(self.list()["vms"], [])
        self.release(MEMBER.pw_name)
        self.assertEqual(creator.communicate(timeout=TIMEOUT)[1], "")
        self.assertEqual(self.show("own")["owner"], MEMBER.pw_name)
        self.refused(FAILED, "set", "own", "owner=nosuchuser", says="is no user of this host")
        self.hold(OTHER.pw_name)
        changer = self.begin(arguments.build / "bin/vmctl", "--address", self.address, "set", "own",
                             f"owner={OTHER.pw_name}")
        self.wait_asked()
        self.assertEqual(self.show("own")["owner"], MEMBER.pw_name)
        self.release(OTHER.pw_name)
        self.assertEqual(changer.wait(TIMEOUT), OK)
        self.assertEqual(self.show("own")["owner"], OTHER.pw_name)

    def test_a_start(self):
        self.create(owner=MEMBER.pw_name)
        self.hold(MEMBER.pw_name)
        starter = self.vmctl_in_background("start", "vm")
        self.wait_state("starting")
        self.ok("list")
        self.ok("stop", "vm")
        self.wait_state("off")
        self.assertIn("was turned off before it had started",
                      starter.communicate(timeout=TIMEOUT)[1])
        starter = self.vmctl_in_background("start", "vm")
        self.wait_state("starting")
        self.release(MEMBER.pw_name)
        self.assertEqual(starter.communicate(timeout=TIMEOUT), ("VM 'vm' started\n", ""))
        self.wait_state("running")

    def test_the_daemon_starts_without_it(self):
        self.create(owner=MEMBER.pw_name)
        self.stop_vmms()
        self.hold(MEMBER.pw_name)
        self.start_vmms()
        self.assertEqual(self.show()["owner"], MEMBER.pw_name)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("SKIP: users other than one's own are root's to be")
        sys.exit(77)
    main()
