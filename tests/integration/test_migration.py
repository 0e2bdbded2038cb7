#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vmctl migrate: VMs move between two services on this host, to one of which a stand-in for ssh leads.

The workers send a line of text for a VM; what real ones send is for tests/guest/run_move."""

import json
import os
import pathlib
import pty
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
from rig import (FAILED, NO_SERVICE, NO_SUCH_VM, OK, TIMEOUT, USAGE, VMCTL, WRONG_STATE, ServiceTest,  # noqa: E402
                 main, wait_until)

STAND_IN = pathlib.Path(__file__).resolve().with_name("stand_in_ssh.py")
HOST = "admin@far.example"
PROGRAMS = "/usr/sbin:/usr/bin:/sbin:/bin"


class Migration(ServiceTest):
    def setUp(self):
        super().setUp()
        self.other = ServiceTest()
        self.other._outcome = None  # whose log is shown is this test's
        self.addCleanup(self.other.doCleanups)
        self.other.setUp()
        self.far = self.folder / "far"
        self.far.mkdir()
        self.near = self.folder / "near"
        self.near.mkdir()
        (self.near / "ssh").symlink_to(STAND_IN)
        (self.far / "vmctl").symlink_to(VMCTL)
        self.stand_in = {"log": str(self.folder / "ssh.log"), "home": str(self.far),
                         "environment": {"PATH": f"{self.far}:{PROGRAMS}", "HOME": str(self.far),
                                         "SSH_CONNECTION": "127.0.0.1 40000 127.0.0.1 22",
                                         "VMMS_BUS_ADDRESS": self.other.address}}
        self.change_stand_in()
        environment = {"PATH": f"{self.near}:{PROGRAMS}", "STAND_IN": str(self.folder / "stand-in")}
        before = {name: os.environ[name] for name in environment if name in os.environ}
        os.environ.update(environment)
        self.addCleanup(os.environ.update, before)

    def change_stand_in(self, **members):
        self.stand_in.update(members)
        (self.folder / "stand-in").write_text(json.dumps(self.stand_in))

    def begin(self, **members):
        self.create(**members)
        self.ok("start", "vm")

    def there(self):
        return json.loads(self.other.ok("export", "vm", "--definition"))

    def names(self, service):
        return service.ok("list", "--names").split()

    def check_stays(self, state="running"):
        self.assertEqual(self.show()["state"], state)
        wait_until(lambda: self.names(self.other) == [], "the VM's end there")

    def replace_far_vmctl(self, *lines):
        """What answers there."""
        (self.far / "vmctl").unlink()
        (self.far / "vmctl").write_text("\n".join(["#!/bin/sh", *lines, ""]))
        (self.far / "vmctl").chmod(0o755)

    # ---- It moves ----

    def test_moves(self):
        self.begin(disks=[self.disk("a", lun=0)], notes="of the first host")
        before = json.loads(self.ok("export", "vm", "--definition"))
        said = self.ok("migrate", "vm", HOST)
        self.assertRegex(said, rf"\AVM 'vm' is on {HOST} now; its guest stood for \d+\.\d ms\n\Z")
        self.assertEqual(self.names(self), [])
        self.assertEqual(self.other.show()["state"], "running")
        self.assertEqual(self.there(), before)
        self.assertIn("created", self.other.ok("log", "vm"))
        self.other.wait_said("guest: received")

    def test_as_json(self):
        self.begin()
        result = json.loads(self.ok("--json", "migrate", "vm", HOST))
        self.assertEqual((result["vm"], result["host"]), ("vm", HOST))
        self.assertGreater(result["blackout"], 0)

    # ---- What is in the way ----

    def test_all_findings_at_once(self):
        """Nothing is moved, and nothing is made there."""
        self.begin(network_adapters=[{"name": "nic0", "switch": "none"}])
        self.other.create()
        result = self.vmctl("migrate", "vm", HOST, "--to-switch", "none=lan")
        self.assertEqual(result.status, FAILED)
        self.assertIn(f"vmctl: VM 'vm' cannot be moved to {HOST}:\n", result.err)
        self.assertIn("  there is a VM of the name 'vm' already", result.err)
        self.assertIn("  there is no virtual switch 'lan'; 'vmctl switch add' makes one", result.err)
        self.assertEqual(self.show()["state"], "running")
        self.assertEqual(self.other.show()["state"], "off")
        found = self.vmctl("--json", "migrate", "vm", HOST, "--check", "--to-switch", "none=lan")
        self.assertEqual(found.status, FAILED)
        self.assertEqual(len(json.loads(found.out)["findings"]), 2)

    def test_check_alone(self):
        self.begin()
        self.assertIn("nothing is known that keeps VM 'vm' from", self.ok("migrate", "vm", HOST, "--check"))
        self.check_stays()

    def test_the_same_uuid(self):
        self.begin()
        definition = json.loads(self.ok("export", "vm", "--definition"))
        (self.folder / "twin.json").write_text(json.dumps({**definition, "name": "twin"}))
        self.other.ok("create", "--from", self.folder / "twin.json")
        self.refused(FAILED, "migrate", "vm", HOST, says="there is a VM of the uuid '")

    def test_switches_of_the_other_host(self):
        """Adapters get the switches that are told, by the names here; others keep theirs."""
        self.begin(network_adapters=[{"name": name, "switch": "none"} for name in ("nic0", "nic1")])
        heard = self.folder / "heard"
        self.replace_far_vmctl("read -r line", f"""printf '%s' "$line" >{heard}""",
                               """echo '{"protocol":2,"findings":[]}'""")
        for option, switch in ("none=lan", "lan"), ("non=lan", "none"), ("none=a=b", "a=b"):
            self.ok("migrate", "vm", HOST, "--check", "--to-switch", option)
            definition = json.loads(heard.read_text())["definition"]
            self.assertEqual([adapter["switch"] for adapter in definition["network_adapters"]], [switch] * 2)

    def test_the_same_mac(self):
        adapters = [{"name": "nic0", "switch": "none", "mac": "00:15:5d:00:00:01"}]
        self.begin(network_adapters=adapters)
        self.other.create("neighbour", network_adapters=adapters)
        for words in (), ("--check",):
            self.refused(FAILED, "migrate", "vm", HOST, *words,
                         says="VM 'neighbour' has the MAC address 00:15:5d:00:00:01")
        self.assertEqual(self.names(self.other), ["neighbour"])

    def test_what_that_host_cannot_do(self):
        """It has one engine, and 64 virtual processors at most; here nobody looks."""
        self.begin(engine="in-kernel", processors={"count": 65})
        error = self.refused(FAILED, "migrate", "vm", HOST, "--check", says="no engine 'in-kernel'")
        self.assertIn("64 virtual processors at most, and this one has 65", error)

    def test_changes_that_wait(self):
        self.begin()
        self.ok("set", "vm", "memory.size=1G")
        self.refused(FAILED, "migrate", "vm", HOST, says="changes of its definition wait")
        self.check_stays()

    def test_disks(self):
        """Another host does not see what this one keeps in its memory, nor can it use what is not raw."""
        disk = self.disk("a", lun=0)
        (self.folder / "b.raw").write_bytes(bytes(1 << 20))
        buffered = {"path": str(self.folder / "b.raw"), "lun": 1, "cache": "buffered"}
        self.begin(disks=[disk, buffered])
        self.ok("migrate", "vm", HOST, "--check")  # one host, one memory
        self.replace_far_vmctl("read line", """echo '{"protocol":2,"boot_id":"another","findings":[]}'""")
        error = self.refused(FAILED, "migrate", "vm", HOST, says="b.raw' has the cache mode 'buffered'")
        self.assertEqual(len(error.splitlines()), 2, error)

    def test_disks_that_are_not_raw(self):
        self.ok("disk", "create", self.folder / "c.vhdx", "1M")
        self.begin(disks=[{"path": str(self.folder / "c.vhdx"), "format": "vhdx", "lun": 0}])
        self.refused(FAILED, "migrate", "vm", HOST, says="c.vhdx' is not raw")
        self.check_stays()

    # ---- It does not ----

    def test_usage(self):
        self.begin()
        self.refused(USAGE, "migrate", "vm", "-oProxyCommand=x", says="there is no option '-oProxyCommand=x'")
        self.refused(USAGE, "migrate", "vm", "a b", says="'a b' is not [USER@]HOST")
        self.refused(USAGE, "migrate", "vm", HOST, "--to-switch", "lan", says="--to-switch takes HERE=THERE")
        self.refused(USAGE, "migrate", "vm", HOST, "--timeout", "x", says="--timeout")
        self.refused(USAGE, "migrate", "vm", says="the host is missing")
        self.refused(NO_SUCH_VM, "migrate", "nobody", HOST)
        self.refused(USAGE, "receive", stdin="x\n", says="no request of a 'vmctl migrate'")
        self.refused(USAGE, "receive", stdin='{"protocol": 2, "definition": []}\n', says="no request")
        self.check_stays()

    def test_one_that_is_off(self):
        self.create()
        self.refused(WRONG_STATE, "migrate", "vm", HOST, says="only one that runs is moved; 'vmctl export'")

    def test_one_that_is_paused(self):
        """Which is said before anything is made there, and by a look alone."""
        self.begin()
        self.ok("pause", "vm")
        for words in ("migrate", "vm", HOST), ("migrate", "vm", HOST, "--check"):
            self.refused(WRONG_STATE, *words, says="VM 'vm' is paused, and only one that runs is moved; resume it")
        self.refused(WRONG_STATE, "drain", "--to", HOST, "--dry-run", says="not moved: 'vm'")
        self.assertEqual(self.names(self.other), [])

    def test_unreachable(self):
        self.begin()
        self.change_stand_in(unreachable=True)
        self.refused(NO_SERVICE, "migrate", "vm", HOST, says="Connection refused")
        self.check_stays()

    def test_no_vmms_there(self):
        self.begin()
        self.other.stop_vmms()
        self.refused(NO_SERVICE, "migrate", "vm", HOST, says="vmms does not run on that bus")
        self.assertEqual(self.show()["state"], "running")

    def test_what_vmms_there_refuses(self):
        """As another finding, once the VM is to be made."""
        self.begin()
        self.other.stop_vmms()
        self.other.start_vmms()
        self.other.ok("reload")
        (self.other.state / "vms").chmod(0o500)
        (self.other.state / "vms/vm.json").mkdir()
        self.refused(FAILED, "migrate", "vm", HOST, says="cannot be moved")
        self.assertEqual(self.names(self.other), [])
        self.assertEqual(self.show()["state"], "running")

    def test_the_start_fails_there(self):
        """The VM that was made there goes again, and the one here runs on."""
        self.begin()
        self.other.stop_vmms()
        self.other.start_vmms("--hypervisor", "/nowhere")
        self.refused(FAILED, "migrate", "vm", HOST, "--bandwidth", "7", "--max-downtime", "50", "--force",
                     says="/nowhere")
        self.check_stays()
        self.wait_said("guest: sent, bandwidth 7340032, downtime 50, force 1")

    def test_time_limit(self):
        self.begin(append="slow-send")
        self.refused(FAILED, "migrate", "vm", HOST, "--timeout", "1", says="cancelled")
        self.check_stays()

    def migrate_in_background(self):
        process = self.vmctl_in_background("migrate", "vm", HOST)
        self.addCleanup(process.communicate)
        self.wait_said("guest: sent")
        wait_until(lambda: self.names(self.other) == ["vm"], "the VM there")
        return process

    def test_interrupt_cancels(self):
        self.begin(append="slow-send")
        process = self.migrate_in_background()
        process.send_signal(signal.SIGINT)
        self.assertIn("cancelled", process.communicate(timeout=TIMEOUT)[1])
        self.assertEqual(process.returncode, FAILED)
        self.check_stays()

    def test_job_cancels(self):
        self.begin(append="slow-send")
        process = self.migrate_in_background()
        job = json.loads(self.ok("--json", "job", "list"))["jobs"][0]
        self.assertEqual((job["kind"], job["vm"]), ("move", "vm"))
        self.ok("job", "cancel", job["job"])
        self.assertIn("cancelled", process.communicate(timeout=TIMEOUT)[1])
        self.check_stays()

    def test_vmctl_is_killed(self):
        """The daemons go on without it."""
        self.begin(append="slow-send")
        process = self.migrate_in_background()
        process.kill()
        process.wait(TIMEOUT)
        self.assertEqual(self.names(self.other), ["vm"])
        self.assertEqual(self.job_states(), {"vm": "running"})
        self.ok("job", "cancel", self.job_of("vm"))
        self.check_stays()

    # ---- As many at a time as the settings say ----

    def job_states(self):
        return {job["vm"]: job["state"] for job in json.loads(self.ok("--json", "job", "list"))["jobs"]}

    def job_of(self, name):
        return next(job["job"] for job in json.loads(self.ok("--json", "job", "list"))["jobs"] if job["vm"] == name)

    def migrate_one_after_another(self, **appends):
        """Names of VMs, and what their workers are told. Returns their vmctl."""
        processes = {}
        for name, append in appends.items():
            self.create(name, append=append)
            self.ok("start", name)
            processes[name] = self.vmctl_in_background("migrate", name, HOST)
            self.addCleanup(processes[name].communicate)
            self.addCleanup(processes[name].kill)
            wait_until(lambda: self.job_states().get(name, "running") != "running" or
                       "guest: sent" in self.console_log(name), f"the job of {name}")
        return processes

    def test_turns(self):
        """Two at a time; the end of one is the turn of whoever has waited for longest."""
        processes = self.migrate_one_after_another(a="slow-send", b="slow-send", c="slow-send", d="", e="")
        self.assertEqual(self.job_states(), {"a": "running", "b": "running", "c": "waiting", "d": "waiting",
                                             "e": "waiting"})
        self.assertNotIn("guest: sent", self.console_log("c"))
        self.ok("job", "cancel", self.job_of("a"))
        wait_until(lambda: self.job_states()["c"] == "running", "the turn of c")
        self.assertEqual(self.job_states()["d"], "waiting")
        self.ok("job", "cancel", self.job_of("b"))
        for name in "d", "e":
            self.assertEqual(processes[name].communicate(timeout=TIMEOUT)[1], "")
            self.assertEqual(processes[name].returncode, OK)
        self.ok("job", "cancel", self.job_of("c"))
        wait_until(lambda: self.names(self.other) == ["d", "e"], "the VMs there")
        self.assertEqual(self.names(self), ["a", "b", "c"])

    def test_cancelled_while_it_waits(self):
        self.stop_vmms()
        self.start_vmms("--moves", "1")
        processes = self.migrate_one_after_another(a="slow-send", b="", c="")
        self.refused(WRONG_STATE, "save", "b", says="busy with another operation")
        processes["b"].send_signal(signal.SIGINT)
        self.assertIn("cancelled (the move of VM 'b' had not begun)", processes["b"].communicate(timeout=TIMEOUT)[1])
        self.assertEqual(processes["b"].returncode, FAILED)
        self.assertEqual(self.show("b")["state"], "running")
        self.assertEqual(self.job_states(), {"a": "running", "b": "cancelled", "c": "waiting"})
        wait_until(lambda: self.names(self.other) == ["a", "c"], "the end of b there")
        self.ok("stop", "c")
        self.assertEqual(self.job_states()["c"], "failed")
        self.ok("job", "cancel", self.job_of("a"))
        wait_until(lambda: self.names(self.other) == [], "the end of all there")

    def test_waiting_is_shown(self):
        self.stop_vmms()
        self.start_vmms("--moves", "1")
        self.migrate_one_after_another(a="slow-send")
        self.create("b")
        self.ok("start", "b")
        ours, its = pty.openpty()
        self.addCleanup(os.close, ours)
        process = subprocess.Popen([VMCTL, "--address", self.address, "migrate", "b", HOST], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=its, text=True)
        os.close(its)
        seen = b""
        while b"\rb: waits for its turn" not in seen:
            seen += os.read(ours, 4096)
        self.ok("job", "cancel", self.job_of("a"))
        self.assertIn("VM 'b' is on", process.communicate(timeout=TIMEOUT)[0])

    def test_stopped_while_it_waits(self):
        """As its definition says: it is not moving yet."""
        self.stop_vmms()
        self.start_vmms("--moves", "1")
        processes = self.migrate_one_after_another(a="slow-send", b="")
        self.stop_vmms()
        self.assertIn("and it is being stopped", processes["b"].communicate(timeout=TIMEOUT)[1])
        self.start_vmms()
        self.assertIn("the guest shut down", self.ok("log", "b"))
        self.assertNotIn("could not be shut down", self.ok("log", "b"))

    # ---- All of them ----

    def test_drain(self):
        """What can be moved is, and what cannot be is named, with why."""
        for name, state in (("a", "running"), ("b", "off"), ("c", "running"), ("d", "running")):
            self.create(name)
            if state == "running":
                self.ok("start", name)
        self.other.create("c")
        dry = self.vmctl("drain", "--to", HOST, "--dry-run")
        self.assertEqual(dry.status, FAILED)
        self.assertEqual(dry.out, f"VM 'a' can be moved to {HOST}\nVM 'd' can be moved to {HOST}\n")
        self.assertIn(f"VM 'c' cannot be moved to {HOST}:\n  there is a VM of the name 'c' already", dry.err)
        self.assertEqual(self.names(self.other), ["c"])
        result = self.vmctl("--json", "drain", "--to", HOST)
        self.assertEqual(result.status, FAILED)
        said = json.loads(result.out)
        self.assertEqual([(move["vm"], move["host"]) for move in said["moves"]], [("a", HOST), ("d", HOST)])
        self.assertGreater(said["moves"][0]["blackout"], 0)
        self.assertEqual([(vm["vm"], vm["hosts"][0]["host"]) for vm in said["stay"]], [("c", HOST)])
        self.assertIn("already", said["stay"][0]["hosts"][0]["findings"][0])
        self.assertEqual(self.names(self), ["b", "c"])
        again = self.vmctl("drain", "--to", HOST)
        self.assertEqual(again.status, FAILED)
        self.assertTrue(again.err.endswith("\nvmctl: not moved: 'c'\n"), again.err)
        self.ok("stop", "c")
        self.assertEqual(self.ok("drain", "--to", HOST), "")

    def test_drain_to_several(self):
        """In turn; whoever has something against a VM is passed over."""
        for name in "a", "b", "c":
            self.create(name)
            self.ok("start", name)
        self.assertEqual(self.ok("drain", "--dry-run", "--to", "one", "--to", "two"), "".join(
            f"VM '{name}' can be moved to {host}\n" for name, host in (("a", "one"), ("b", "two"), ("c", "one"))))
        self.ok("drain", "--to", "one", "--to", "two")
        self.assertEqual(self.names(self.other), ["a", "b", "c"])

    def test_drain_to_nobody(self):
        self.begin()
        self.refused(USAGE, "drain", says="--to HOST is missing")
        self.refused(USAGE, "drain", "--to", "a b", says="'a b' is not [USER@]HOST")
        self.refused(USAGE, "drain", "--to", HOST, "--timeout", "x", says="--timeout")
        self.create("w")
        self.ok("start", "w")
        self.change_stand_in(unreachable=True)
        error = self.refused(FAILED, "drain", "--to", HOST, says="not moved: 'vm', 'w'")
        self.assertEqual(error.count("Connection refused"), 1, error)
        self.check_stays()

    def test_interrupt_ends_a_drain(self):
        for name, append in ("a", "slow-send"), ("b", ""):
            self.create(name, append=append)
            self.ok("start", name)
        process = self.vmctl_in_background("drain", "--to", HOST)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.wait_said("guest: sent", "a")
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=TIMEOUT)[1]
        self.assertIn("cancelled", error)
        self.assertTrue(error.endswith("vmctl: not moved: 'a', 'b'\n"), error)
        self.assertEqual(process.returncode, FAILED)
        self.assertEqual(self.names(self), ["a", "b"])

    def test_time_limit_of_each(self):
        for name, append in ("a", "slow-send"), ("b", ""):
            self.create(name, append=append)
            self.ok("start", name)
        self.refused(FAILED, "drain", "--to", HOST, "--timeout", "1", says="not moved: 'a'\n")
        self.assertEqual(self.names(self), ["a"])
        self.assertEqual(self.names(self.other), ["b"])

    # ---- Nobody knows ----

    def lose(self):
        """The other side is not heard of any more."""
        self.begin(append="unknown-send")
        answer = """echo '{"protocol":2,"findings":[]}'"""
        self.replace_far_vmctl("read line", answer, "read line", answer, "read line", "exit 1")
        self.refused(FAILED, "migrate", "vm", HOST, "--ssh")
        self.wait_state("paused", reason="migrate vm --settle there")
        self.assertIn("--settle", self.ok("list"))

    def test_it_is_here(self):
        self.lose()
        self.refused(USAGE, "migrate", "vm", "--settle", "nowhere")
        self.refused(USAGE, "migrate", "vm", HOST, "--settle", "here")
        self.ok("migrate", "vm", "--settle", "here")
        self.assertEqual(self.show()["state"], "running")
        self.refused(WRONG_STATE, "migrate", "vm", "--settle", "there", says="nothing to settle")

    def test_it_is_there(self):
        self.lose()
        self.ok("migrate", "vm", "--settle", "there")
        self.assertEqual(self.names(self), [])

    # ---- A hostile vmctl there ----

    def test_answers_that_are_none(self):
        self.begin()
        for answer in ("x", "{}", '{"protocol":1,"findings":[]}', "[]", '{"protocol":2'):
            self.replace_far_vmctl("read line", f"echo '{answer}'")
            self.refused(FAILED, "migrate", "vm", HOST, says="gives no answer of this version")
        self.replace_far_vmctl("read line", "exec cat /dev/zero")
        self.refused(FAILED, "migrate", "vm", HOST, says="gives no answer of this version")
        self.replace_far_vmctl("read line", """echo '{"protocol":2}'""")
        self.refused(FAILED, "migrate", "vm", HOST, says="does not say whether it can take it")
        self.replace_far_vmctl("read line", r"""printf '{"protocol":2,"findings":["\\u001b[2J", 7, {}]}\n'""")
        error = self.refused(FAILED, "migrate", "vm", HOST, says="cannot be moved")
        self.assertNotIn("\x1b", error)
        self.assertEqual(self.show()["state"], "running")


class BySsh(Migration):
    """The same, where bytes go through ssh, and vmctl stays."""

    @staticmethod
    def with_ssh(words):
        place = next((i for i, word in enumerate(words) if word in ("migrate", "drain")), None)
        if place is None or "--settle" in words or "--ssh" in words:
            return words
        return (*words[:place + 1], "--ssh", *words[place + 1:])

    def vmctl(self, *words, **options):
        return super().vmctl(*self.with_ssh(words), **options)

    def vmctl_in_background(self, *words, **options):
        return super().vmctl_in_background(*self.with_ssh(words), **options)

    def test_vmctl_is_killed(self):
        """With it ends ssh, and with that the connection."""
        self.begin(append="slow-send")
        process = self.migrate_in_background()
        process.kill()
        wait_until(lambda: self.names(self.other) == [], "the VM's end there")
        self.ok("job", "cancel", self.job_of("vm"))
        self.assertEqual(self.show()["state"], "running")

    def test_the_answer_is_lost(self):
        """The other side says that it has the VM: what stands here is turned off, and deleted."""
        self.begin(append="unknown-send")
        result = self.vmctl("migrate", "vm", HOST)
        self.assertEqual(result.status, OK, result.err)
        self.assertIn(f"{HOST} has the VM, though", result.err)
        self.assertEqual(self.names(self), [])
        self.assertEqual(self.other.show()["state"], "running")


if __name__ == "__main__":
    main()
