#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""ocf:vmms:VM, the agent by which Pacemaker has VMs: each action with each of its exit statuses, also while the
daemon is silent, hangs or is dead; and what vmms itself leaves to a cluster."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
from rig import (FAILED, NO_SERVICE, NO_SUCH_VM, OK, TIMEOUT, USAGE, VMCTL, WRONG_STATE, ServiceTest,  # noqa: E402
                 arguments, main, wait_until)

AGENT = arguments.source / "packaging/pacemaker/VM"
STAND_IN = pathlib.Path(__file__).resolve().with_name("stand_in_ssh.py")
PROGRAMS = "/usr/sbin:/usr/bin:/sbin:/bin"
UUID = "8a4f1f3e-51a5-4d5a-8a57-6d3c2b1a0f01"

SUCCESS, GENERIC, ARGS, UNIMPLEMENTED, PERM, INSTALLED, CONFIGURED, NOT_RUNNING = range(8)
DEGRADED = 190

RESOURCE = '<resources><primitive id="vm" class="ocf" provider="vmms" type="VM"/></resources>'


class Cluster(ServiceTest):
    vmms_arguments = ("--keep-guests",)

    def setUp(self):
        super().setUp()
        self.programs = self.folder / "programs"
        self.programs.mkdir()
        (self.programs / "vmctl").symlink_to(VMCTL)
        self.cib = self.folder / "cib.xml"
        empty = subprocess.run(["cibadmin", "--empty"], capture_output=True, text=True, check=True).stdout
        self.cib.write_text(empty.replace("<resources/>", RESOURCE))
        self.shared = self.folder / "shared.json"
        self.parameters = {"definition": str(self.shared), "service_timeout": "2",
                           "runtime_dir": str(self.folder / "run")}
        self.share()

    def share(self, **members):
        definition = {"name": "vm", "uuid": UUID, "disks": [], "network_adapters": [],
                      "boot": {"kernel": str(self.folder / "kernel"), "command_line": ""}}
        self.shared.write_text(json.dumps({**definition, **members}))

    def environment(self, address=None, interval=10, **more):
        return {"PATH": f"{self.programs}:{PROGRAMS}", "OCF_ROOT": "/usr/lib/ocf", "OCF_RESOURCE_INSTANCE": "vm",
                "OCF_RESOURCE_TYPE": "VM", "OCF_RESOURCE_PROVIDER": "vmms", "HA_RSCTMP": str(self.folder),
                "CIB_file": str(self.cib), "VMMS_BUS_ADDRESS": address or self.address,
                "OCF_RESKEY_CRM_meta_timeout": "20000",
                "OCF_RESKEY_CRM_meta_interval": str(interval * 1000),
                **{f"OCF_RESKEY_{name}": value for name, value in self.parameters.items()}, **more}

    def run_agent(self, action, **more):
        return subprocess.run([AGENT, action], env=self.environment(**more), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=TIMEOUT)

    def agent(self, action, expected=SUCCESS, says="", **more):
        process = self.run_agent(action, **more)
        self.assertEqual(process.returncode, expected, f"{action}: {process.stdout}{process.stderr}")
        self.assertIn(says, process.stderr)
        return process.stdout

    def monitor(self, expected, says="", level=0, **more):
        self.agent("monitor", expected, says, OCF_CHECK_LEVEL=str(level), **more)

    def start(self, **members):
        self.share(**members)
        self.agent("start")

    def worker(self):
        return self.show()["worker_pid"]

    def is_running(self, pid):
        with contextlib.suppress(OSError):
            return " Z " not in pathlib.Path(f"/proc/{pid}/stat").read_text()
        return False

    def hang_vmms(self):
        """It says nothing more, and its socket to the bus stays."""
        self.vmms.send_signal(signal.SIGSTOP)
        self.addCleanup(self.vmms.send_signal, signal.SIGCONT)

    def utilization(self):
        return {name: subprocess.run(
            ["crm_resource", "--resource", "vm", "--utilization", "--get-parameter", name],
            env=self.environment(), capture_output=True, text=True, check=True).stdout.strip()
            for name in ("cpu", "hv_memory")}


class Life(Cluster):
    def test_it_runs_and_does_not(self):
        self.monitor(NOT_RUNNING)
        self.monitor(NOT_RUNNING, interval=0)
        self.agent("stop")
        self.agent("start")
        self.assertEqual(self.show()["state"], "running")
        self.assertTrue(self.show()["definition"]["cluster"])
        pid = self.worker()
        self.monitor(SUCCESS)
        self.agent("start")
        self.assertEqual(self.worker(), pid)
        self.agent("stop")
        self.assertEqual(self.show()["state"], "off")
        self.monitor(NOT_RUNNING)
        self.agent("stop")

    def test_starts_what_the_shared_definition_says_then(self):
        self.start(notes="one")
        self.agent("stop")
        self.ok("set", "vm", "notes=by hand", "processors.count=7")
        self.share(notes="two")
        self.agent("start")
        definition = self.show()["definition"]
        self.assertEqual((definition["notes"], definition["processors"]["count"]), ("two", 1))

    def test_a_vm_that_the_node_has(self):
        del self.parameters["definition"]
        self.agent("start", INSTALLED, "no VM 'vm'")
        self.create()
        self.agent("start")
        self.assertTrue(self.show()["cluster"])
        self.agent("stop")

    def test_definitions_that_no_node_can_use(self):
        for action in "start", "validate-all":
            self.shared.write_text("{")
            self.agent(action, CONFIGURED, "is no definition of a VM 'vm'")
            self.share(name="other")
            self.agent(action, CONFIGURED, "is no definition of a VM 'vm'")
            self.share(uuid=None)
            self.agent(action, CONFIGURED, "no uuid")
            self.share(network_adapters=[{"switch": "none"}])
            self.agent(action, CONFIGURED, "MAC")
            self.shared.unlink()
            self.agent(action, INSTALLED, "cannot be read on this node")
            self.share()
        self.agent("validate-all")
        self.assertEqual(self.list()["vms"], [])

    def test_what_cannot_be_started(self):
        self.share(boot={"kernel": "/none", "command_line": ""})
        self.agent("start", GENERIC, "cannot be started")
        self.monitor(NOT_RUNNING)
        self.share(boot={"kernel": str(self.folder / "kernel"), "command_line": "refuse-start"})
        self.agent("start", GENERIC, "cannot be started")

    def test_parameters(self):
        for name, value in ("offline", "sleep"), ("service_timeout", "soon"), ("service_timeout", "0"):
            self.parameters[name], before = value, self.parameters.get(name, "shutdown")
            self.agent("validate-all", CONFIGURED, name)
            self.agent("start", CONFIGURED, name)
            self.parameters[name] = before
        self.agent("fly", UNIMPLEMENTED)

    def test_programs_that_are_missing(self):
        (self.programs / "vmctl").unlink()
        self.monitor(INSTALLED, "vmctl is not installed")
        self.agent("start", INSTALLED)
        self.agent("stop")
        (self.folder / "run/workers/x.json").write_text("{}")
        self.agent("stop", GENERIC)

    def test_meta_data(self):
        text = self.agent("meta-data")
        subprocess.run(["xmllint", "--noout", "-"], input=text, text=True, check=True)
        for action in ("start", "stop", "monitor", "migrate_to", "migrate_from", "reload-agent", "validate-all"):
            self.assertIn(f'<action name="{action}" ', text)
        for depth in 0, 10, 20:
            self.assertIn(f'depth="{depth}"', text)

    def test_ocf_tester(self):
        """All that Debian's looks at, but that its DTD is of OCF 1.0: no "reloadable", no "reload-agent"."""
        process = subprocess.run(
            ["ocf-tester", "-n", "vm", *(word for name, value in self.parameters.items()
                                         for word in ("-o", f"{name}={value}")), AGENT],
            env=self.environment(), capture_output=True, text=True, timeout=TIMEOUT)
        failures = [line for line in process.stdout.splitlines() if line.startswith("* rc=")]
        self.assertEqual(failures, ["* rc=4: Your agent produces meta-data which does not conform to ra-api-1.dtd"],
                         process.stdout + process.stderr)
        self.assertIn("failed 1 tests", process.stdout + process.stderr)


class Stop(Cluster):
    def test_by_the_guest(self):
        self.start()
        self.agent("stop")
        self.assertIn("the guest shut down", self.show()["reason"])

    def test_a_guest_that_does_not(self):
        self.start(boot={"kernel": str(self.folder / "kernel"), "command_line": "slow-shutdown"})
        self.agent("stop", OCF_RESKEY_CRM_meta_timeout="4000")
        self.assertEqual(self.show()["state"], "off")

    def test_saved(self):
        self.parameters["offline"] = "save"
        self.start()
        self.agent("stop")
        self.assertEqual(self.show()["state"], "saved")
        self.monitor(NOT_RUNNING)
        self.agent("start")
        self.agent("stop")

    def test_one_that_cannot_be_saved(self):
        self.parameters["offline"] = "save"
        self.start(boot={"kernel": str(self.folder / "kernel"), "command_line": "refuse-save"})
        self.agent("stop")
        self.assertEqual(self.show()["state"], "off")

    def test_turned_off(self):
        self.parameters["offline"] = "turn-off"
        self.start()
        self.agent("stop")
        self.assertNotIn("the guest shut down", self.show()["reason"])

    def test_paused(self):
        self.start()
        self.ok("pause", "vm")
        self.agent("stop")
        self.assertEqual(self.show()["state"], "off")

    def test_a_broken_shared_definition_is_in_nobodys_way(self):
        self.start()
        self.shared.write_text("{")
        self.monitor(SUCCESS)
        self.agent("stop")
        self.monitor(NOT_RUNNING)
        self.shared.unlink()
        self.agent("stop")

    def lose_definition(self, text):
        """The daemon starts anew, and knows nothing of the VM, which runs on."""
        self.start()
        pid = self.worker()
        self.stop_vmms()
        file = self.state / "vms/vm.json"
        if text is None:
            file.unlink()
        else:
            file.write_text(text)
        self.start_vmms()
        self.assertEqual(self.list()["vms"], [])
        return pid

    def test_a_node_that_has_lost_the_definition(self):
        for text in None, "{":
            pid = self.lose_definition(text)
            self.monitor(SUCCESS)
            self.monitor(SUCCESS, interval=0)
            self.agent("stop")
            self.assertFalse(self.is_running(pid))
            self.monitor(NOT_RUNNING)
            self.agent("start")
            self.agent("stop")


class Failure(Cluster):
    def test_crashed(self):
        self.start()
        os.kill(self.worker(), signal.SIGKILL)
        self.wait_state("crashed")
        self.monitor(GENERIC, "crashed")
        self.agent("stop")
        # Nothing of it is left: another node may have it by now.
        self.monitor(NOT_RUNNING, interval=0)
        self.agent("start")
        self.monitor(SUCCESS)

    def test_a_worker_that_fails_is_not_started_again_here(self):
        self.start(actions={"worker_failure": "restart"})
        os.kill(self.worker(), signal.SIGKILL)
        self.assertNotIn("to be started again", self.wait_state("crashed")["reason"])

    def test_kept(self):
        self.start(actions={"crash": "keep", "crash_grace": 0})
        self.type("keep")
        self.wait_state("kept")
        self.monitor(GENERIC, "kept")
        self.monitor(GENERIC, "kept", interval=0)
        self.agent("start", GENERIC)
        self.agent("stop")
        self.monitor(NOT_RUNNING)

    def test_paused_is_no_failure(self):
        self.start()
        self.ok("pause", "vm")
        self.monitor(DEGRADED, "paused")
        self.agent("start")
        self.assertEqual(self.show()["state"], "paused")

    def test_heartbeat(self):
        self.start()
        self.monitor(SUCCESS, level=10)
        self.type("no-heartbeat")
        wait_until(lambda: self.show()["heartbeat"] == "lost", "the heartbeat to be lost")
        self.monitor(SUCCESS)
        self.monitor(GENERIC, "heartbeat", level=10)
        self.monitor(GENERIC, "heartbeat", level=20)

    def test_status_key(self):
        self.parameters["status_key"] = "NoSuchKey"
        self.start()
        self.monitor(SUCCESS, level=10)
        self.monitor(GENERIC, "NoSuchKey", level=20)
        self.parameters["status_key"] = "color"
        self.monitor(SUCCESS, level=20)
        self.parameters["status_value"] = "red"
        self.monitor(GENERIC, "color is 'blue", level=20)
        del self.parameters["status_key"]
        self.monitor(SUCCESS, level=20)


class Silence(Cluster):
    """The daemon is silent: what its workers have written down is true."""

    def test_no_daemon(self):
        self.monitor(NOT_RUNNING)
        self.start()
        pid = self.worker()
        self.kill_vmms()
        for level in 0, 10, 20:
            self.monitor(SUCCESS, level=level)
        self.monitor(SUCCESS, interval=0)
        self.agent("start")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.is_running(pid), "the worker's end")
        self.monitor(GENERIC, "crashed")
        self.monitor(NOT_RUNNING, interval=0)
        self.agent("stop")

    def test_a_daemon_that_hangs(self):
        self.start()
        self.hang_vmms()
        self.monitor(SUCCESS)
        self.monitor(SUCCESS, interval=0)

    def test_stop_without_a_daemon(self):
        self.start()
        pid = self.worker()
        self.kill_vmms()
        self.agent("stop")
        self.assertFalse(self.is_running(pid))
        self.start_vmms()
        self.assertIn(self.show()["state"], ("off", "crashed"))
        self.agent("start")

    def test_stop_of_what_a_daemon_that_hangs_has(self):
        self.start()
        pid = self.worker()
        self.hang_vmms()
        self.agent("stop")
        self.assertFalse(self.is_running(pid))
        self.vmms.send_signal(signal.SIGCONT)
        wait_until(lambda: self.show()["state"] in ("off", "crashed"), "the daemon to notice")

    def test_start_waits_for_the_daemon(self):
        self.kill_vmms()
        process = subprocess.Popen([AGENT, "start"], env=self.environment(), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertIn("waiting for vmms", process.stdout.readline())
        self.start_vmms()
        process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, SUCCESS)
        self.assertEqual(self.show()["state"], "running")

    def test_another_process_of_its_number_is_not_its_worker(self):
        self.start()
        pid = self.worker()
        self.kill_vmms()
        record = next((self.folder / "run/workers").glob("*.json"))
        tree = json.loads(record.read_text())
        self.assertEqual(tree["pid"], pid)
        os.kill(pid, signal.SIGKILL)
        record.write_text(json.dumps({**tree, "pid": self.bus.pid}))
        self.monitor(GENERIC, "crashed")
        self.agent("stop")
        self.assertIsNone(self.bus.poll())

    def test_records_that_make_no_sense(self):
        self.start()
        pid = self.worker()
        self.kill_vmms()
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        next((self.folder / "run/workers").glob("*.json")).write_text("{")
        self.monitor(GENERIC, "cannot be read")
        self.monitor(GENERIC, "cannot be read", interval=0)
        self.agent("start", GENERIC)


class Utilization(Cluster):
    def epoch(self):
        return int(self.cib.read_text().split('epoch="')[1].split('"')[0])

    def test_set_once_and_when_it_changes(self):
        self.start(processors={"count": 3}, memory={"size": "256M"})
        self.assertEqual(self.utilization(), {"cpu": "3", "hv_memory": "256"})
        before = self.cib.read_bytes()
        for _ in range(2):
            self.monitor(SUCCESS)
            self.agent("start")
            self.agent("reload-agent")
        self.assertEqual(self.cib.read_bytes(), before)
        self.agent("stop")
        self.share(memory={"size": "1G", "dynamic": {"minimum": "128M", "maximum": "2G"}})
        self.agent("start")
        self.assertEqual(self.utilization(), {"cpu": "1", "hv_memory": "128"})
        self.ok("set", "vm", "memory.dynamic.minimum=256M")
        self.monitor(SUCCESS)
        self.assertEqual(self.utilization(), {"cpu": "1", "hv_memory": "256"})

    def test_not_wanted(self):
        self.parameters["utilization"] = "no"
        before = self.cib.read_bytes()
        self.start()
        self.monitor(SUCCESS)
        self.assertEqual(self.cib.read_bytes(), before)

    def test_a_cib_that_is_not_there(self):
        self.cib.unlink()
        self.start()
        self.monitor(SUCCESS)

    def test_reload_agent(self):
        self.agent("reload-agent", NOT_RUNNING)


class Move(Cluster):
    def setUp(self):
        super().setUp()
        self.other = ServiceTest()
        self.other._outcome = None  # whose log is shown is this test's
        self.addCleanup(self.other.doCleanups)
        self.other.setUp()
        (self.programs / "ssh").symlink_to(STAND_IN)
        # Whose bus is meant stands on its command line.
        (self.programs / "vmctl").unlink()
        (self.programs / "vmctl").write_text(f'''#!/bin/sh
[ "$1" != --host ] || set -- --address {self.other.address} "$@"
exec {VMCTL} "$@"
''')
        (self.programs / "vmctl").chmod(0o755)
        far = self.folder / "far"
        far.mkdir()
        (far / "vmctl").symlink_to(VMCTL)
        self.stand_in = self.folder / "stand-in"
        self.stand_in.write_text(json.dumps(
            {"log": str(self.folder / "ssh.log"), "home": str(far),
             "environment": {"PATH": f"{far}:{PROGRAMS}", "HOME": str(far),
                             "VMMS_BUS_ADDRESS": self.other.address}}))

    def environment(self, *words, **more):
        return super().environment(*words, **{
            "STAND_IN": str(self.folder / "stand-in"), "OCF_RESKEY_CRM_meta_migrate_source": "near",
            "OCF_RESKEY_CRM_meta_migrate_target": "far", **more})

    def there(self, action, expected=SUCCESS, says=""):
        self.agent(action, expected, says, address=self.other.address,
                   OCF_RESKEY_runtime_dir=str(self.other.folder / "run"))

    def test_goes_and_comes(self):
        self.parameters.update(migration_suffix="-fast", migration_bandwidth="100", migration_downtime="500")
        self.start()
        self.agent("migrate_to")
        self.assertIn('"root@far-fast"', (self.folder / "ssh.log").read_text())
        self.monitor(NOT_RUNNING)
        self.agent("stop")
        self.there("migrate_from")
        self.there("monitor")
        self.assertTrue(self.other.show()["cluster"])
        self.there("stop")

    def test_what_an_earlier_run_left_there_is_in_nobodys_way(self):
        self.there("start")
        self.there("stop")
        self.start()
        self.agent("migrate_to")
        self.there("migrate_from")

    def test_one_that_runs_there_stays(self):
        self.there("start")
        self.start()
        self.agent("migrate_to", GENERIC, "there is a VM of the name")
        self.monitor(SUCCESS)
        self.assertEqual(self.other.show()["state"], "running")

    def test_one_that_is_not_the_clusters_stays(self):
        self.other.create(uuid=UUID)
        self.start()
        self.agent("migrate_to", GENERIC)
        self.monitor(SUCCESS)
        self.assertEqual(self.other.show()["state"], "off")

    def test_it_cannot(self):
        self.agent("migrate_to", NOT_RUNNING)
        self.there("migrate_from", GENERIC, "has not come")
        self.start()
        self.agent("migrate_to", ARGS, OCF_RESKEY_CRM_meta_migrate_target="")
        self.stand_in.write_text(json.dumps({**json.loads(self.stand_in.read_text()), "unreachable": True}))
        self.agent("migrate_to", GENERIC, "cannot be moved to root@far")
        self.monitor(SUCCESS)


class LeftToTheCluster(Cluster):
    def call(self, method):
        subprocess.run(["dbus-send", f"--bus={self.address}", "--print-reply=literal", "--dest=org.vmms1",
                        "--reply-timeout=60000", "/org/vmms1", f"org.vmms1.Manager.{method}"],
                       capture_output=True, text=True, timeout=TIMEOUT, check=True)

    def test_the_hosts_end_and_start(self):
        self.start(automatic_start={"action": "start"})
        self.create("own")
        self.ok("start", "own")
        self.call("StopGuests")
        self.assertEqual((self.show("own")["state"], self.show()["state"]), ("off", "running"))
        # The cluster may stop it, and start it, while others are not to be started.
        self.agent("stop")
        self.assertNotEqual(self.vmctl("start", "own").status, OK)
        self.agent("start")
        self.agent("stop")
        self.call("StartGuests")
        self.assertEqual(self.show()["state"], "off")

    def test_the_hosts_start(self):
        self.share(automatic_start={"action": "start"}, cluster=True)
        self.ok("create", "--from", self.shared)
        self.create("own", automatic_start={"action": "start"})
        self.stop_vmms()
        (self.folder / "run/running/boot.json").unlink()
        self.start_vmms("--debug")
        self.wait_state("running", "own")
        self.assertEqual(self.show()["state"], "off")

    def test_an_end_with_the_guests_takes_all(self):
        self.stop_vmms()
        self.vmms_arguments = ()
        self.start_vmms()
        self.start()
        pid = self.worker()
        self.stop_vmms()
        self.assertFalse(self.is_running(pid))

    def test_vmctl_tells(self):
        self.create()
        self.assertNotIn("cluster", self.ok("show", "vm"))
        self.ok("set", "vm", "cluster=true")
        self.assertTrue(self.show()["cluster"])
        self.assertRegex(self.ok("show", "vm"), "cluster: +starts and stops it")
        self.assertIn("(cluster)", self.ok("list"))
        for words in ("start",), ("save",), ("start",), ("shutdown",), ("start",), ("stop",):
            result = self.vmctl(*words, "vm")
            self.assertEqual(result.status, OK)
            self.assertIn("VM 'vm' is a cluster's", result.err)
        self.ok("set", "vm", "cluster=false")
        self.ok("start", "vm")


class Placement(Cluster):
    """What 'vmctl cluster' writes, and what Pacemaker makes of it (crm_simulate), without a cluster."""
    nodes = ["node1", "node2", "node3"]

    def setUp(self):
        super().setUp()
        self.cib.write_text(subprocess.run(["cibadmin", "--empty"], capture_output=True, text=True, check=True).stdout)
        os.environ["CIB_file"] = str(self.cib)
        self.addCleanup(os.environ.pop, "CIB_file")
        for name, value in ("stonith-enabled", "false"), ("no-quorum-policy", "ignore"):
            subprocess.run(["crm_attribute", "--type", "crm_config", "--name", name, "--update", value], check=True)

    def add(self, name, *options):
        self.ok("cluster", "add", name, "--definition", self.shared, *options)

    def simulate(self, *events):
        """Lets those happen, and the cluster act on it. Returns {resource: its node}."""
        said = subprocess.run(["crm_simulate", "--simulate", "--xml-file", self.cib, "--save-output", self.cib, *events],
                              capture_output=True, text=True, check=True).stdout
        return dict(re.findall(r"^ +\* (\S+)\s+\(ocf:vmms:VM\):\s+Started (\S+)",
                               said.split("Revised Cluster Status")[1], re.M))

    def boot(self):
        return self.simulate(*(f"--node-up={node}" for node in self.nodes))

    def test_a_node_dies(self):
        for name in "a", "b", "c":
            self.add(name)
        before = self.boot()
        self.assertEqual(sorted(before.values()), self.nodes)
        after = self.simulate(f"--node-down={before['a']}")
        self.assertNotEqual(after["a"], before["a"])
        self.assertEqual((after["b"], after["c"]), (before["b"], before["c"]))

    def test_drain(self):
        self.add("a", "--prefer", "node2", "--prefer", "node3")
        self.assertEqual(self.boot(), {"a": "node2"})
        subprocess.run(["crm_attribute", "--node", "node2", "--name", "standby", "--update", "on"], check=True)
        said = subprocess.run(["crm_simulate", "--simulate", "--xml-file", self.cib], capture_output=True, text=True,
                              check=True).stdout
        self.assertRegex(said, r"Migrate +a +\( +node2 -> node3 +\)")

    def test_hosts(self):
        self.add("a", "--hosts", "node2", "--hosts", "node3")
        self.assertIn(self.boot()["a"], ("node2", "node3"))
        self.simulate("--node-down=node2")
        self.assertEqual(self.simulate("--node-down=node3"), {})

    def test_together_and_apart(self):
        self.add("a")
        self.add("b", "--together-with", "a")
        self.add("c", "--apart-from", "a")
        placed = self.boot()
        self.assertEqual(placed["a"], placed["b"])
        self.assertNotEqual(placed["a"], placed["c"])
        # Rather beside each other than not at all.
        self.simulate("--node-down=node1")
        self.assertEqual(set(self.simulate("--node-down=node2").values()), {"node3"})

    def test_priority(self):
        subprocess.run(["crm_attribute", "--type", "crm_config", "--name", "placement-strategy", "--update",
                        "balanced"], check=True)
        self.boot()
        for node in self.nodes:
            subprocess.run(["crm_attribute", "--node", node, "--utilization", "--name", "hv_memory", "--update", "100"],
                           check=True)
        for name, priority in ("a", "low"), ("b", "medium"), ("c", "high"):
            self.add(name, "--priority", priority)
            subprocess.run(["crm_resource", "--resource", name, "--utilization", "--set-parameter", "hv_memory",
                            "--parameter-value", "80"], check=True)
        self.assertEqual(len(self.simulate()), 3)
        self.assertEqual(set(self.simulate("--node-down=node1")), {"b", "c"})
        self.assertEqual(set(self.simulate("--node-down=node2")), {"c"})

    def test_priority_none(self):
        self.add("a", "--priority", "none", "--prefer", "node1")
        self.assertEqual(self.boot(), {"a": "node1"})
        self.assertEqual(self.simulate("--node-down=node1"), {})
        self.assertEqual(self.simulate("--node-up=node1"), {"a": "node1"})

    def test_restarts(self):
        self.add("a", "--restarts", "2", "--prefer", "node1")
        text = self.cib.read_text()
        self.assertIn('name="migration-threshold" value="2"', text)
        self.assertIn('name="failure-timeout" value="1h"', text)

    def test_dry_run(self):
        before = self.cib.read_bytes()
        said = self.ok("cluster", "add", "a", "--definition", "/srv/a.json", "--dry-run", "--apart-from", "b")
        self.assertTrue(said.startswith("cibadmin --modify --allow-create --scope configuration --xml-text '<conf"), said)
        self.assertEqual(self.cib.read_bytes(), before)
        # What is printed does it.
        self.add("b")
        subprocess.run(said, shell=True, check=True)
        self.assertEqual(set(self.boot()), {"a", "b"})
        said = self.ok("cluster", "remove", "a", "--dry-run")
        self.assertEqual([line.split()[0] for line in said.splitlines()],
                         ["crm_attribute", "cibadmin", "cibadmin", "crm_resource", "crm_resource", "crm_attribute"])

    def test_remove(self):
        self.add("b")
        self.add("a", "--apart-from", "b", "--hosts", "node1")
        self.ok("cluster", "remove", "b")
        text = self.cib.read_text()
        self.assertNotIn('"b"', text)
        self.assertIn('id="a-hosts"', text)
        self.assertNotIn("stop-orphan-resources", text)
        self.refused(NO_SUCH_VM, "cluster", "remove", "b", says="the cluster has no 'b'")

    def test_names_that_begin_with_no_letter(self):
        self.add("9a")
        self.assertIn('id="vm-9a"', self.cib.read_text())
        self.assertIn('name="vm" value="9a"', self.cib.read_text())
        self.ok("cluster", "remove", "9a")

    def test_the_definition_is_shared(self):
        self.create("own", notes="mine")
        path = self.folder / "own.json"
        self.ok("cluster", "add", "own", "--definition", path)
        self.assertEqual(json.loads(path.read_text())["notes"], "mine")
        self.refused(NO_SUCH_VM, "cluster", "add", "none", "--definition", self.folder / "none.json")
        self.assertNotIn('"none"', self.cib.read_text())

    def test_the_fleet_of_the_documentation(self):
        """A node of five fails, with a fifth of the VMs: these are started, and no other is touched."""
        said = subprocess.run([sys.executable, arguments.source / "tests/bench/fleet.py", "--nodes", "5", "--vms", "50",
                               "--probes"], capture_output=True, text=True, check=True).stdout
        self.assertEqual((json.loads(said)["well"], json.loads(said)["failed"]), ({}, {"start": 10}))

    def test_refused(self):
        self.add("a")
        self.refused(WRONG_STATE, "cluster", "add", "a", "--definition", self.shared, says="has 'a' already")
        for words in (["b"], ["b", "--definition", "relative"], ["b", "--definition", '/a"b'],
                      ["b", "--definition", "/x", "--priority", "top"], ["b", "--definition", "/x", "--hosts", "a'b"],
                      ["b", "--definition", "/x", "--restarts", "-1"], ["-b", "--definition", "/x"],
                      ["b", "--definition", "/x", "--priority", "none", "--hosts", "node1"]):
            self.refused(USAGE, "cluster", "add", *words)
        # One that nobody knows to be apart from.
        self.refused(FAILED, "cluster", "add", "b", "--definition", self.shared, "--apart-from", "none")
        self.assertNotIn('"b"', self.cib.read_text())
        self.refused(NO_SERVICE, "undrain", says="no node of a cluster")
        self.refused(USAGE, "drain", says="no node of a cluster")


if __name__ == "__main__":
    main()
