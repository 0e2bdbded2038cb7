#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What vmctl says and does where the daemon does not answer, is gone, or is given odd words."""

import json
import os
import pathlib
import signal
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from rig import (FAILED, NO_SERVICE, NO_SUCH_VM, OK, TIMED_OUT, TIMEOUT, USAGE, ServiceTest, main,
                 wait_until)  # noqa: E402


class Hangs(ServiceTest):
    def test_a_stopped_daemon(self):
        """No command waits for long, and the doctor knows what it is."""
        self.create()
        os.kill(self.vmms.pid, signal.SIGSTOP)
        self.addCleanup(os.kill, self.vmms.pid, signal.SIGCONT)
        commands = ("list",), ("top", "--once"), ("start", "vm"), ("version",), ("doctor",)
        running = [self.vmctl_in_background(*words) for words in commands]
        answers = {}
        for words, process in zip(commands, running):
            out, err = process.communicate(timeout=TIMEOUT)
            answers[words[0]] = process.returncode, out, err
        for name in "list", "top", "start":
            self.assertEqual(answers[name][0], TIMED_OUT, answers[name])
            self.assertIn("vmms hangs", answers[name][2])
        self.assertEqual(answers["version"][0], OK)
        self.assertIn("vmms hangs", answers["version"][2])
        self.assertEqual(answers["doctor"][0], FAILED)
        self.assertIn("vmms hangs", answers["doctor"][1])
        self.assertIn("KILL vmms", answers["doctor"][1])
        os.kill(self.vmms.pid, signal.SIGCONT)
        self.assertEqual(self.show()["state"], "off")


    def test_a_daemon_that_stops_while_a_job_goes_on(self):
        self.create(append="slow-shutdown")
        self.ok("start", "vm")
        shutdown = self.vmctl_in_background("shutdown", "vm")
        wait_until(lambda: json.loads(self.ok("job", "list", "--json"))["jobs"], "the job")
        os.kill(self.vmms.pid, signal.SIGSTOP)
        self.addCleanup(os.kill, self.vmms.pid, signal.SIGCONT)
        err = shutdown.communicate(timeout=TIMEOUT)[1]
        os.kill(self.vmms.pid, signal.SIGCONT)
        self.assertEqual(shutdown.returncode, TIMED_OUT)
        self.assertIn("vmms hangs", err)
        self.ok("stop", "vm")

    def test_a_daemon_that_stops_in_the_middle_of_a_call(self):
        """Of a call that may last: the same is said, as soon as of any other."""
        self.create(append="mute-start")
        start = self.vmctl_in_background("start", "vm")
        self.wait_state("starting", "vm")
        os.kill(self.vmms.pid, signal.SIGSTOP)
        self.addCleanup(os.kill, self.vmms.pid, signal.SIGCONT)
        err = start.communicate(timeout=TIMEOUT)[1]
        os.kill(self.vmms.pid, signal.SIGCONT)
        self.assertEqual(start.returncode, TIMED_OUT)
        self.assertIn("vmms hangs", err)
        self.ok("stop", "vm")

    def test_a_daemon_that_dies_in_the_middle(self):
        """Of a call, and of a job."""
        self.create("slow", append="mute-start")
        self.create(append="slow-shutdown")
        self.ok("start", "vm")
        waiting = [self.vmctl_in_background("start", "slow"),
                   self.vmctl_in_background("shutdown", "vm")]
        self.wait_state("starting", "slow")
        wait_until(lambda: json.loads(self.ok("job", "list", "--json"))["jobs"], "the job")
        self.kill_vmms()
        for process in waiting:
            err = process.communicate(timeout=TIMEOUT)[1]
            self.assertEqual(process.returncode, NO_SERVICE, err)
            self.assertIn("vmms ended before it had answered", err)
            self.assertNotIn("in time", err)


class Words(ServiceTest):
    def test_many_names(self):
        result = self.vmctl("start", *(f"vm{i}" for i in range(1000)))
        self.assertEqual(result.status, NO_SUCH_VM)
        self.assertIn("vm999", result.err)

    def test_nothing_where_something_must_be(self):
        kernel = self.folder / "kernel"
        self.refused(USAGE, "create", "--name", "a", "--kernel", "", says="kernel")
        self.refused(USAGE, "create", "--name", "a", "--kernel", kernel, "--disk", "", says="path")
        self.refused(USAGE, "create", "--name", "a", "--kernel", kernel, "--initrd", "", says="initrd")
        self.create()
        self.refused(USAGE, "set", "vm", "uuid=00000000-0000-0000-0000-000000000000", says="zeros")
        self.refused(FAILED, "attach", "vm", "", says="no file ''")

    def test_what_is_no_text(self):
        self.create()
        for words in (("show", "v\udcff"), ("set", "vm", "notes=\udcc3("), ("switch", "add", "\udcff", "--type", "private"),
                      ("create", "--name", "a\udcff", "--kernel", self.folder / "kernel")):
            self.refused(USAGE, *words, says="UTF-8")

    def test_dynamic_memory_at_rest(self):
        self.create(memory={"size": 1 << 28, "dynamic": {"minimum": 1 << 28, "maximum": 1 << 30}})
        self.assertRegex(self.ok("show", "vm"), r"dynamic memory:\s+256M to 1G")


class Switches(ServiceTest):
    def test_one_that_a_definition_names(self):
        """Be the VM off, or on its way there."""
        folder = self.state / "switches"
        folder.mkdir(exist_ok=True)
        (folder / "lan.json").write_text(json.dumps(
            {"name": "lan", "type": "private", "uuid": str(uuid.uuid4())}))
        self.ok("reload")
        self.create(network_adapters=[{"switch": "lan"}])
        self.assertIn("VM 'vm' is connected", self.vmctl("switch", "remove", "lan").err)
        self.ok("net", "set", "vm", "nic0", "--switch", "none")
        self.ok("switch", "remove", "lan")


if __name__ == "__main__":
    main()
