#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What takes its time: followed, left alone, waited for and cancelled."""

import json
import os
import pty
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
from rig import (FAILED, NO_SUCH_VM, OK, TIMED_OUT, USAGE, VMCTL, WRONG_STATE,  # noqa: E402
                 ServiceTest, main, wait_until)


class Jobs(ServiceTest):
    # Guests that are left running are not waited for.
    vmms_arguments = ("--shutdown-timeout", "0")

    def start(self, name="vm", append=""):
        self.create(name, append=append)
        self.ok("start", name)

    def jobs(self):
        return {job["job"]: (job["kind"], job["vm"], job["state"])
                for job in json.loads(self.ok("job", "list", "--json"))["jobs"]}

    def wait_job(self, job, state):
        wait_until(lambda: self.jobs()[int(job)][2] == state, f"job {job} to be {state}")

    def file(self):
        path = self.folder / "file"
        path.write_text("hello")
        return path

    def test_left_alone_and_waited_for(self):
        self.start(append="slow-shutdown")
        job = self.ok("shutdown", "vm", "--no-wait").strip()
        self.wait_state("stopping")
        self.assertEqual(self.jobs(), {int(job): ("shutdown", "vm", "running")})
        self.assertRegex(self.ok("job", "list"),
                         rf"JOB +KIND +VM +STATE\n{job} +shutdown +vm +running\n")
        waiting = self.vmctl_in_background("job", "wait", job)
        self.type("shutdown")
        waiting.communicate(timeout=60)
        self.assertEqual(waiting.returncode, OK)
        self.assertEqual(self.jobs()[int(job)][2], "done")
        self.ok("job", "wait", job)
        self.ok("delete", "vm")
        self.assertEqual(self.jobs()[int(job)], ("shutdown", "vm", "done"))

    def test_all_guests_are_asked_at_once(self):
        self.start("a", append="slow-shutdown")
        self.start("b", append="slow-shutdown")
        self.start("c", append="no-shutdown")
        shutdown = self.vmctl_in_background("shutdown", "a", "nobody", "b", "c")
        self.wait_state("stopping", "a")
        self.wait_state("stopping", "b")
        self.type("shutdown", name="b")
        self.type("shutdown", name="a")
        out, error = shutdown.communicate(timeout=60)
        self.assertEqual(shutdown.returncode, NO_SUCH_VM)
        self.assertIn("hv_utils", error)
        self.assertEqual(len(self.jobs()), 3)

    def test_a_job_that_fails(self):
        self.start(append="slow-shutdown")
        job = self.ok("shutdown", "vm", "--timeout", "1", "--no-wait").strip()
        self.wait_job(job, "failed")
        self.refused(TIMED_OUT, "job", "wait", job, says="still runs")

    def test_a_shutdown_is_cancelled(self):
        self.start(append="slow-shutdown")
        shutdown = self.vmctl_in_background("shutdown", "vm")
        self.wait_state("stopping")
        self.ok("job", "cancel", str(*self.jobs()))
        out, error = shutdown.communicate(timeout=60)
        self.assertEqual(shutdown.returncode, FAILED)
        self.assertIn("cancelled", error)
        self.assertEqual(self.show()["state"], "running")
        # The guest may still do it, and there may be another one.
        self.ok("pause", "vm")
        self.ok("resume", "vm")
        job = self.ok("shutdown", "vm", "--no-wait").strip()
        self.type("shutdown")
        self.ok("job", "wait", job)

    def test_a_copy_is_cancelled(self):
        self.start(append="slow-copy")
        job = self.ok("copy", self.file(), "vm:/x", "--no-wait").strip()
        self.refused(WRONG_STATE, "copy", self.file(), "vm:/y", says=f"job {job}")
        self.ok("job", "cancel", job)
        self.refused(FAILED, "job", "wait", job, says="cancelled")
        self.assertEqual(self.jobs()[int(job)][2], "cancelled")
        self.refused(WRONG_STATE, "job", "cancel", job, says="ended already")

    def test_an_interrupt_cancels_a_copy(self):
        self.start(append="slow-copy")
        copy = self.vmctl_in_background("copy", str(self.file()), "vm:/x")
        wait_until(lambda: (1 in self.jobs()), "the job")
        self.wait_said("has /x")

        def interrupted():
            copy.send_signal(signal.SIGINT)
            return self.jobs()[1][2] == "cancelled"
        wait_until(interrupted, "the end of the copy")
        copy.communicate(timeout=60)
        self.assertNotEqual(copy.returncode, OK)

    def test_progress_on_a_terminal(self):
        self.start(append="slow-copy")
        ours, its = pty.openpty()
        copy = subprocess.Popen([VMCTL, "--address", self.address, "copy", self.file(), "vm:/x"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=its)
        os.close(its)
        os.set_blocking(ours, False)
        self.seen = b""

        def saw(text):
            try:
                self.seen += os.read(ours, 4096)
            except OSError:
                pass
            return text in self.seen
        # Whichever comes first: the bytes by a signal, or the time.
        wait_until(lambda: saw(b"\rvm: "), "progress")
        self.ok("job", "cancel", "1")
        wait_until(lambda: saw(b"has been cancelled"), "the error")
        self.assertEqual(copy.wait(60), FAILED)
        copy.stdout.close()
        os.close(ours)

    def test_as_json(self):
        self.start()
        text = self.ok("backup", "freeze", "vm", "--no-wait", "--json")
        job, = json.loads(text)["jobs"]
        self.assertEqual(job, {"job": 1, "vm": "vm", "path": "/org/vmms1/job/1"})
        self.ok("job", "wait", "1")
        self.assertEqual(self.show()["guest"]["file_systems"], "frozen")
        self.refused(WRONG_STATE, "job", "cancel", "1")

    def test_what_is_no_job(self):
        for command in "wait", "cancel":
            self.refused(NO_SUCH_VM, "job", command, "7", says="no job 7")
            for word in "x", "-1", "4294967296", "":
                self.refused(USAGE, "job", command, word)
            self.refused(USAGE, "job", command)
        self.assertEqual(self.jobs(), {})


if __name__ == "__main__":
    main()
