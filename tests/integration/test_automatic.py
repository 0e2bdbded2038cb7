#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the host does with VMs by itself: starting, stopping, and starting again."""

import os
import re
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
from rig import TIMEOUT, WRONG_STATE, ServiceTest, main, wait_until  # noqa: E402

START = {"action": "start"}


class Automatic(ServiceTest):
    def states(self):
        return {vm["name"]: vm["state"] for vm in self.list()["vms"]}

    def reboot(self):
        """As if the host had started again, for a daemon that is not there."""
        (self.folder / "run/running/boot.json").write_text('{"boot_id": "another"}')

    def kill_vmms(self):
        self.vmms.kill()
        self.vmms.wait(60)

    def log_text(self):
        return (self.folder / "log").read_text(errors="replace")

    def wait_log(self, text):
        wait_until(lambda: text in self.log_text(), f"the log to say '{text}'")


class Start(Automatic):
    def setUp(self):
        super().setUp()
        self.create("wanted", automatic_start=START)
        self.create("other")
        self.stop_vmms()

    def test_when_the_host_has_started(self):
        self.reboot()
        self.start_vmms()
        self.wait_state("running", "wanted")
        self.assertEqual(self.states()["other"], "off")

    def test_not_when_the_daemon_alone_has(self):
        self.start_vmms()
        self.wait_log("stopping")
        self.assertEqual(self.states(), {"wanted": "off", "other": "off"})
        self.assertNotIn("automatic start", self.log_text())

    def test_again_what_the_end_of_the_daemon_stopped(self):
        self.start_vmms()
        self.ok("start", "wanted", "other")
        for end in self.stop_vmms, self.kill_vmms:
            end()
            self.start_vmms()
            self.wait_state("running", "wanted")
            self.assertEqual(self.states()["other"], "off")

    def test_not_what_somebody_has_stopped(self):
        self.reboot()
        self.start_vmms()
        self.wait_state("running", "wanted")
        self.ok("stop", "wanted")
        for end in self.stop_vmms, self.kill_vmms:
            end()
            self.start_vmms()
            self.assertEqual(self.states()["wanted"], "off")

    def test_one_that_cannot_start_stops_no_other(self):
        self.start_vmms()
        self.create("broken", boot={"kernel": "/nonexistent"},
                    automatic_start={**START, "order": 1})
        self.create("dying", append="die-in-configure", automatic_start={**START, "order": 2})
        self.stop_vmms()
        self.reboot()
        self.start_vmms()
        self.wait_state("running", "wanted")
        self.assertEqual((self.states()["broken"], self.states()["dying"]), ("off", "off"))
        self.assertIn("automatic start: cannot open", self.log_text())
        self.stop_vmms()
        self.start_vmms()
        self.wait_state("running", "wanted")
        self.assertIn("automatic start of 1 VM\n", self.log_text())

    def test_order(self):
        self.start_vmms()
        orders = {"c": 1, "b": 50, "a": 100, "z": 0}
        for name, order in orders.items():
            self.create(name, automatic_start={**START, "order": order})
        self.stop_vmms()
        self.reboot()
        self.start_vmms()
        self.wait_state("running", "wanted")
        started = re.findall(r"VM (\S+): running", self.log_text())
        self.assertEqual(started, ["z", "c", "b", "a", "wanted"])

    def test_delay(self):
        self.start_vmms()
        self.create("later", automatic_start={**START, "order": 101, "delay": 3600})
        self.create("last", automatic_start={**START, "order": 102})
        self.stop_vmms()
        self.reboot()
        self.start_vmms()
        self.wait_state("running", "wanted")
        self.assertEqual((self.states()["later"], self.states()["last"]), ("off", "off"))
        # Those that wait do so for the next daemon, too, unless they have been deleted.
        self.ok("delete", "later")
        self.stop_vmms()
        self.start_vmms()
        self.wait_state("running", "last")

    def test_one_that_was_started_while_it_waited(self):
        self.start_vmms()
        self.create("later", automatic_start={**START, "order": 101, "delay": 1})
        self.stop_vmms()
        self.reboot()
        self.start_vmms()
        self.wait_state("running", "wanted")
        self.ok("start", "later")
        pid = self.show("later")["worker_pid"]
        self.stop_vmms()
        self.assertEqual(self.log_text().count("VM later: running"), 1)
        self.assertTrue(pid)


class Stop(Automatic):
    def test_turned_off(self):
        self.create("asked")
        self.create("cut", automatic_stop={"action": "turn-off"})
        self.ok("start", "asked", "cut")
        self.stop_vmms()
        self.assertIn("VM asked: off: the guest shut down", self.log_text())
        self.assertIn("VM cut: off: turned off", self.log_text())

    def test_a_limit_of_its_own(self):
        self.stop_vmms()
        self.start_vmms("--shutdown-timeout", "3600")
        self.create(append="slow-shutdown", automatic_stop={"action": "shut-down", "timeout": 1})
        self.ok("start", "vm")
        self.stop_vmms()
        self.assertIn("turned off, since it could not be shut down", self.log_text())

    def test_the_service_manager_is_told_how_long_it_takes(self):
        self.create(automatic_stop={"action": "shut-down", "timeout": 1000})
        self.ok("start", "vm")
        self.stop_vmms()
        self.assertIn("stopping: at most 1040 seconds", self.log_text())

    def call(self, method):
        return subprocess.run(
            ["dbus-send", f"--bus={self.address}", "--print-reply=literal", "--dest=org.vmms1",
             "--reply-timeout=60000", "/org/vmms1", f"org.vmms1.Manager.{method}"],
            capture_output=True, text=True, timeout=TIMEOUT)

    def call_in_background(self, method):
        return subprocess.Popen(
            ["dbus-send", f"--bus={self.address}", "--print-reply=literal", "--dest=org.vmms1",
             "--reply-timeout=60000", "/org/vmms1", f"org.vmms1.Manager.{method}"])

    def test_all_are_stopped_and_started_again(self):
        self.create("wanted", automatic_start=START)
        self.create("other", automatic_stop={"action": "turn-off"})
        self.create("idle", automatic_start=START)
        self.ok("start", "wanted", "other")
        for _ in range(2):  # the second time there is nothing to stop
            self.assertEqual(self.call("StopGuests").returncode, 0)
        self.assertEqual(self.states(), {"wanted": "off", "other": "off", "idle": "off"})
        self.assertIn("VM wanted: off: the guest shut down", self.log_text())
        self.assertIn("VM other: off: turned off", self.log_text())
        self.refused(WRONG_STATE, "start", "other", says="systemctl start vmms-guests")
        self.refused(WRONG_STATE, "create", "--name", "x", "--kernel", self.folder / "kernel",
                     says="systemctl start vmms-guests")
        for _ in range(2):
            self.assertEqual(self.call("StartGuests").returncode, 0)
        self.wait_state("running", "wanted")
        self.assertEqual(self.states(), {"wanted": "running", "other": "off", "idle": "off"})
        self.ok("start", "other")

    def test_all_who_ask_for_a_stop_learn_of_its_end(self):
        self.create(append="slow-shutdown", automatic_stop={"action": "shut-down", "timeout": 3})
        self.ok("start", "vm")
        calls = [self.call_in_background("StopGuests") for _ in range(3)]
        self.wait_state("stopping")
        self.assertIn("still being stopped", self.call("StartGuests").stderr)
        self.assertEqual([call.wait(TIMEOUT) for call in calls], [0, 0, 0])
        self.assertEqual(self.states(), {"vm": "off"})
        self.assertIn("turned off, since it could not be shut down", self.log_text())

    def test_a_daemon_that_ends_after_a_stop(self):
        self.stop_vmms()
        self.start_vmms("--keep-guests")
        self.create(automatic_start=START)
        self.ok("start", "vm")
        self.assertEqual(self.call("StopGuests").returncode, 0)
        self.stop_vmms()
        # The next one goes on as after a host's start.
        self.start_vmms()
        self.wait_state("running")


class Failure(Automatic):
    def kill_worker(self):
        pid = self.show()["worker_pid"]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.show()["worker_pid"] != pid, "the worker to be gone")

    def test_started_again(self):
        self.create(actions={"worker_failure": "restart"})
        self.ok("start", "vm")
        self.kill_worker()
        self.wait_log("to be started again in 1 s; the worker was killed by signal 9")
        self.wait_state("running")
        self.kill_worker()
        self.wait_log("to be started again in 2 s")
        self.wait_state("running")

    def test_not_without_being_asked_for(self):
        self.create()
        self.ok("start", "vm")
        self.kill_worker()
        self.wait_state("crashed", reason="the worker was killed")

    def test_not_after_an_orderly_end(self):
        self.create(actions={"worker_failure": "restart"})
        self.ok("start", "vm")
        self.ok("stop", "vm")
        self.assertNotIn("started again", self.log_text())

    def test_turning_it_off_ends_that(self):
        self.create(actions={"worker_failure": "restart"})
        self.ok("start", "vm")
        self.kill_worker()
        self.ok("stop", "vm")
        self.wait_state("off", reason="turned off")

    def test_one_that_cannot_be_started_again(self):
        disk = self.disk("disk")
        self.create(disks=[disk], actions={"worker_failure": "restart"})
        self.ok("start", "vm")
        os.unlink(disk["path"])
        self.kill_worker()
        wait_until(lambda: "it cannot be started again: " in self.show()["reason"], "the refusal")
        self.assertEqual(self.show()["state"], "crashed")


if __name__ == "__main__":
    main()
