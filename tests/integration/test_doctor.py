#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vmctl doctor: with the service, without it, without a bus; for root and for others."""

import json
import os
import pwd
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
from rig import (FAILED, FAKE_SYSTEMD, OK, TIMEOUT, VMCTL, Result, ServiceTest,  # noqa: E402
                 main, wait_until)

VERDICTS = {"ok", "warning", "fault", "unknown"}
OF_SERVICE = {"kvm", "guests", "rights", "passt", "image-server", "state-space", "runtime-space", "image-space"}
MEMBER = 1  # "daemon", which is in the group of its name
OTHER = 2  # "bin", which is in none


class DoctorTest(ServiceTest):
    def checks(self, result):
        """By name; the exit status says whether there is a fault among them."""
        checks = {check["name"]: check for check in json.loads(result.out)["checks"]}
        for check in checks.values():
            self.assertEqual(set(check), {"name", "verdict", "found", "mend"})
            self.assertIn(check["verdict"], VERDICTS)
            self.assertTrue(check["found"])
            if check["verdict"] in ("warning", "fault"):
                self.assertTrue(check["mend"], check)
        fault = any(check["verdict"] == "fault" for check in checks.values())
        self.assertEqual(result.status, FAILED if fault else OK)
        self.assertEqual(result.err, "")
        return checks

    def doctor(self, *words):
        return self.checks(self.vmctl("doctor", "--json", *words))

    def start_systemd(self, **states):
        """Where those units are installed, '_' for '-'."""
        files = (f"--unit-file={name.replace('_', '-')}.service={state}"
                 for name, state in states.items())
        process = subprocess.Popen([FAKE_SYSTEMD, "--address", self.address, *files],
                                   stdout=self.log, stderr=self.log)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_until(lambda: b"org.freedesktop.systemd1" in subprocess.run(
            ["busctl", "--address", self.address, "list", "--acquired"], capture_output=True,
            timeout=TIMEOUT, check=True).stdout, "systemd")
        return process


class Doctor(DoctorTest):
    def test_with_the_service(self):
        checks = self.doctor()
        self.assertLessEqual(OF_SERVICE | {"bus", "service", "clock", "modules"}, set(checks))
        for name in "bus", "service", "kvm", "state-space", "runtime-space", "guests":
            self.assertIn(checks[name]["verdict"], ("ok", "warning"), name)
        self.assertIn("/dev/null can be opened", checks["kvm"]["found"])
        self.assertEqual(checks["image-space"]["found"], "no VM has an image that could grow")
        self.assertEqual(checks["hugetlb"]["verdict"], "ok")

    def test_for_people(self):
        out = self.vmctl("doctor").out
        checks = self.doctor()
        for name, check in checks.items():
            self.assertRegex(out, rf"(?m)^{name} +{check['verdict']} ")
            self.assertIn(check["found"], out)
            if check["mend"]:
                self.assertIn(f"mend:  {check['mend']}\n", out)
        faults = sum(check["verdict"] == "fault" for check in checks.values())
        self.assertIn(f"faults: {faults}", out)

    def test_without_the_service(self):
        self.stop_vmms()
        checks = self.doctor()
        self.assertEqual(checks["bus"]["verdict"], "ok")
        self.assertEqual(checks["service"]["verdict"], "fault")
        self.assertIn("systemctl enable --now vmms", checks["service"]["mend"])
        # What can be seen without it.
        self.assertLessEqual({"kvm", "io-uring", "huge-pages", "cgroup"}, set(checks))
        self.assertFalse({"rights", "state-space"} & set(checks))

    def test_without_a_bus(self):
        result = Result(subprocess.run(
            [VMCTL, "--address", f"unix:path={self.folder}/none", "doctor", "--json"],
            capture_output=True, text=True, timeout=TIMEOUT))
        checks = self.checks(result)
        self.assertEqual(result.status, FAILED)
        self.assertEqual(checks["bus"]["verdict"], "fault")
        self.assertEqual(checks["service"]["verdict"], "fault")
        self.assertIn("kvm", checks)
        self.assertNotIn("polkit", checks)

    def test_a_worker_that_cannot_probe(self):
        self.stop_vmms()
        worker = self.folder / "no-worker"
        worker.write_text("#!/bin/sh\nexit 3\n")
        worker.chmod(0o755)
        self.start_vmms("--worker", worker)
        check = self.doctor()["guests"]
        self.assertEqual(check["verdict"], "fault")
        self.assertIn("gave no report", check["found"])

    def test_no_hypervisor_and_no_passt(self):
        self.stop_vmms()
        self.start_vmms("--hypervisor", self.folder / "no-kvm", "--passt", self.folder / "no-passt")
        checks = self.doctor()
        self.assertEqual(checks["kvm"]["verdict"], "fault")
        self.assertIn("there is no KVM", checks["kvm"]["found"])
        self.assertEqual(checks["passt"]["verdict"], "warning")
        self.assertEqual(checks["passt"]["mend"], "apt install passt")

    def test_what_vms_ask_for(self):
        self.create("huge", memory={"size": "1TiB", "pages": "hugetlb"})
        self.create("large", disks=[self.disk("large.raw", 1 << 43), {"type": "dvd", "lun": 5}])
        checks = self.doctor()
        self.assertIn(checks["hugetlb"]["verdict"], ("warning", "fault"))
        self.assertEqual(checks["image-space"]["verdict"], "warning", checks["image-space"])
        self.assertIn("8.0 TiB", checks["image-space"]["found"])
        self.assertIn(str(self.folder), checks["image-space"]["found"])
        self.ok("start", "large")  # it runs all the same
        self.assertEqual(self.doctor()["image-space"]["verdict"], "warning")
        self.ok("stop", "large")
        self.ok("delete", "large")
        self.assertEqual(self.doctor()["image-space"]["verdict"], "ok")

    def test_images_that_are_not_there(self):
        self.create("lost", disks=[{"path": str(self.folder / "nowhere.raw")}])
        self.assertEqual(self.doctor()["image-space"]["verdict"], "unknown")

    def test_units(self):
        self.assertEqual(self.doctor()["unit"]["verdict"], "unknown")
        systemd = self.start_systemd(vmms="enabled", vmms_guests="masked")
        checks = self.doctor()
        self.assertEqual(checks["machined"]["verdict"], "ok")
        self.assertEqual(checks["unit"]["verdict"], "ok")
        self.assertEqual(checks["guests-unit"]["verdict"], "fault")
        self.assertEqual(checks["guests-unit"]["mend"], "systemctl unmask vmms-guests.service")
        systemd.kill()
        systemd.wait()
        self.start_systemd(vmms="disabled")
        checks = self.doctor()
        self.assertEqual(checks["unit"]["mend"], "systemctl enable --now vmms.service")
        self.assertIn("knows no vmms-guests.service", checks["guests-unit"]["found"])

    def test_who_asks_and_goes(self):
        for _ in range(3):
            caller = self.vmctl_in_background("doctor")
            caller.kill()
            caller.communicate()
        self.doctor()

    def test_the_service_ends_meanwhile(self):
        worker = self.folder / "slow-worker"
        worker.write_text(f"#!/bin/sh\ntouch {self.folder}/probed\nexec sleep 600\n")
        worker.chmod(0o755)
        self.stop_vmms()
        self.start_vmms("--worker", worker)
        caller = self.vmctl_in_background("doctor")
        wait_until((self.folder / "probed").exists, "the probe")
        self.stop_vmms()
        self.assertEqual((caller.wait(TIMEOUT), caller.communicate()[1]), (FAILED, ""))


@unittest.skipUnless(os.geteuid() == 0, "needs root, to be somebody else")
class Others(DoctorTest):
    vmms_arguments = ("--group", "daemon")

    def doctor_as(self, uid):
        return self.checks(self.vmctl_as(uid, "doctor", "--json"))

    def test_a_member(self):
        self.create("large", disks=[self.disk("large.raw", 1 << 43)])
        checks = self.doctor_as(MEMBER)
        self.assertIn("is in group 'daemon'", checks["group"]["found"])
        self.assertEqual(checks["service"]["verdict"], "ok")
        # Of the images of others nothing is told.
        self.assertEqual(checks["image-space"]["found"], "no VM has an image that could grow")

    def test_images_are_looked_at_as_their_owner(self):
        secret = self.folder / "secret"
        secret.mkdir()
        disk = self.disk("secret/large.raw", 1 << 43)
        secret.chmod(0o700)
        self.create("own", disks=[disk], owner=pwd.getpwuid(MEMBER).pw_name)
        self.assertEqual(self.doctor_as(MEMBER)["image-space"]["verdict"], "unknown")
        secret.chmod(0o755)
        self.assertEqual(self.doctor_as(MEMBER)["image-space"]["verdict"], "warning")

    def test_somebody_else(self):
        checks = self.doctor_as(OTHER)
        self.assertEqual(checks["service"]["verdict"], "unknown")
        self.assertEqual(checks["service"]["mend"], "sudo vmctl doctor")
        self.assertIn("kvm", checks)
        self.assertNotIn("rights", checks)


if __name__ == "__main__":
    main()
