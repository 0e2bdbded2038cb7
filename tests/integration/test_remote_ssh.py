#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vmctl --host with ssh and sshd themselves, with keys of the test's own.

In a network namespace of the test's own; exit status 77 where none may be made.
"""

import os
import pathlib
import pwd
import socket
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
import test_remote  # noqa: E402
from rig import NO_SERVICE, OK, TIMEOUT, ServiceTest, main, wait_until  # noqa: E402
from test_switch import in_own_network  # noqa: E402

AGENT = test_remote.AGENT
SSHD = pathlib.Path("/usr/sbin/sshd")


@unittest.skipUnless(SSHD.exists(), "no openssh-server")
class WithSsh(test_remote.RemoteTest):
    """The same with ssh and sshd themselves, on an address of this host."""

    host = f"{pwd.getpwuid(os.geteuid()).pw_name}@far.example"
    port = 22022

    def setUp(self):
        super().setUp()
        keys = self.folder / "keys"
        keys.mkdir(0o700)
        for name in "host", "user":
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
        (self.here / "ssh").unlink()
        (self.here / "ssh").write_text(f"#!/bin/sh\necho called >>{self.folder}/ssh.log\n"
                                       f"exec /usr/bin/ssh -F {keys}/config \"$@\"\n")
        (self.here / "ssh").chmod(0o755)
        known = (keys / "host.pub").read_text()
        (keys / "known").write_text(f"[127.0.0.1]:{self.port} {known}")
        (keys / "config").write_text(
            f"HostName 127.0.0.1\nPort {self.port}\nIdentityFile {keys}/user\nUserKnownHostsFile {keys}/known\n"
            "GlobalKnownHostsFile /dev/null\n")
        words = " ".join(f'"{name}={value}"' for name, value in self.stand_in["environment"].items()
                         if name != "HOME")
        (keys / "sshd").write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {keys}/host\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {keys}/user.pub\nStrictModes no\nPermitRootLogin yes\nSetEnv {words}\n")
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        self.sshd = subprocess.Popen([SSHD, "-D", "-e", "-f", keys / "sshd"], stderr=self.log,
                                     stdin=subprocess.DEVNULL)
        self.addCleanup(self.end_sshd)
        wait_until(self.sshd_listens, "sshd")

    def end_sshd(self):
        self.sshd.terminate()
        self.sshd.wait(TIMEOUT)

    def sshd_listens(self):
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


class WalkWithSsh(WithSsh, test_remote.Walk):
    """All commands, by one connection."""

    def setUp(self):
        super().setUp()
        with open(self.folder / "keys/config", "a", encoding="utf-8") as config:
            print(f"ControlMaster auto\nControlPath {self.folder}/keys/%n\nControlPersist yes", file=config)
        self.addCleanup(subprocess.run, [self.here / "ssh", "-O", "exit", "far.example"], check=True,
                        capture_output=True)

    def walk_ssh(self):
        """What the fake guest says makes no sense to ssh."""
        self.step("ssh", "someone@vm", "--", "uptime", status=255, err="ssh|Connection|banner")


class LeftWithSsh(WithSsh, test_remote.Left):
    pass


class TerminalWithSsh(WithSsh, test_remote.Terminal):
    def check_how_ssh_is_called(self, terminal):
        pass


class Keys(WithSsh):
    def test_unknown_host(self):
        """Is asked about; where nobody is to be asked, it is refused."""
        (self.folder / "keys/known").unlink()
        error = self.remote_refused(NO_SERVICE, "list", "--no-ask-password")
        self.assertIn("Host key verification failed", error)
        self.open_remote("list", "--names")
        self.expect(b"Are you sure you want to continue connecting")
        os.write(self.master, b"yes\n")
        self.assertEqual(self.end(), OK)
        self.assertIn("127.0.0.1", (self.folder / "keys/known").read_text())

    def test_nobody_listens(self):
        self.end_sshd()
        for words in ["list"], ["console", "vm"], ["exec", "vm"]:
            error = self.remote_refused(NO_SERVICE, *words, says="Connection refused")
            self.assertIn(f"vmctl: {self.host} cannot be reached by ssh", error)

    def test_bytes_are_bytes(self):
        self.create(append=f"agent={self.program(AGENT)}")
        self.ok("start", "vm")
        data = bytes(range(256)) * 40000
        self.assertEqual(self.remote_ok("exec", "vm", "--", "cat", stdin=data, binary=True), data)
        self.assertEqual(self.remote_ok("connect", "vm", "7", stdin=data, binary=True), data)
        self.remote_ok("dump", "vm", "core")
        self.assertEqual((self.here / "core").read_bytes(), self.remote_ok("dump", "vm", "-", binary=True))


class MigrationWithSsh(WithSsh):
    def test_moves(self):
        """sshd's socket becomes the worker's."""
        near = ServiceTest()
        near._outcome = None  # whose log is shown is this test's
        self.addCleanup(near.doCleanups)
        near.setUp()
        near.create()
        near.ok("start", "vm")
        said = near.ok("migrate", "vm", self.host, env={**os.environ, **self.environment})
        self.assertIn(f"VM 'vm' is on {self.host} now", said)
        self.assertEqual(near.ok("list", "--names"), "")
        self.assertEqual(self.show()["state"], "running")


if __name__ == "__main__":
    in_own_network()
    main()
