# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMs outlive the daemon: it is killed, or told to leave them, and the next one finds them."""

import json
import os
import signal

from rig import OK, WRONG_STATE, Console, ServiceTest, main, wait_until


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Survival(ServiceTest):
    def start(self, *arguments, **members):
        self.create(*arguments, **members)
        self.ok("start", arguments[0] if arguments else "vm")

    def restart(self):
        self.kill_vmms()
        self.start_vmms()

    def record(self):
        return next((self.folder / "run/workers").glob("*.json"))

    def wait_adopted(self, name="vm"):
        self.wait_said("guest: adopted", name)
        wait_until(lambda: self.show(name)["heartbeat"] == "ok", "the heartbeat")

    def test_a_vm_outlives_a_killed_daemon(self):
        self.start()
        before = self.show()
        for _ in range(2):
            self.restart()
            self.wait_adopted()
        after = self.show()
        for key in "state", "worker_pid", "engine", "vmbus_version", "started_at":
            self.assertEqual(after[key], before[key], key)
        self.type("reboot")
        wait_until(lambda: self.show()["resets"] == 1, "the reset")
        self.ok("shutdown", "vm")
        self.assertEqual(self.show()["state"], "off")
        self.assertEqual(list((self.folder / "run/workers").iterdir()), [])
        self.ok("start", "vm")
        self.assertEqual(self.show()["state"], "running")

    def test_guests_are_kept_when_it_is_told_so(self):
        self.stop_vmms()
        self.start_vmms("--keep-guests")
        self.start()
        pid = self.show()["worker_pid"]
        self.stop_vmms()
        self.assertTrue(is_running(pid))
        self.start_vmms()
        self.wait_adopted()
        self.assertEqual(self.show()["worker_pid"], pid)
        self.stop_vmms()
        self.assertFalse(is_running(pid))

    def test_guests_are_shut_down_by_an_interrupt(self):
        self.stop_vmms()
        self.start_vmms("--keep-guests")
        self.start()
        pid = self.show()["worker_pid"]
        self.vmms.send_signal(signal.SIGINT)
        self.assertEqual(self.vmms.wait(60), 0)
        self.vmms = None
        self.assertFalse(is_running(pid))

    def test_what_shuts_guests_down_goes_on(self):
        """systemd stops what is about to end by itself."""
        self.stop_vmms()
        self.start_vmms("--keep-guests")
        self.start(append="slow-shutdown")
        pid = self.show()["worker_pid"]
        self.vmms.send_signal(signal.SIGINT)
        self.wait_state("stopping")
        self.vmms.terminate()
        self.wait_state("stopping")
        self.vmms.send_signal(signal.SIGINT)
        self.assertEqual(self.vmms.wait(60), 0)
        self.vmms = None
        self.assertFalse(is_running(pid))

    def test_many(self):
        names = [f"vm{i}" for i in range(20)]
        for name in names:
            self.start(name)
        self.restart()
        for name in names:
            self.wait_adopted(name)
        self.ok("stop", "vm7")
        self.assertEqual([vm["state"] for vm in self.list()["vms"]].count("running"), 19)

    def test_what_is_pending_still_is(self):
        self.start()
        self.ok("set", "vm", "memory.size=256M", "notes=new")
        before = self.show()
        self.assertEqual(before["pending"], ["memory.size"])
        self.restart()
        self.assertEqual(self.show()["pending"], ["memory.size"])
        self.assertEqual(self.show()["definition"], before["definition"])
        self.ok("stop", "vm")
        self.assertEqual(self.show()["pending"], [])

    def test_disks_that_came_are_there(self):
        self.start()
        self.ok("attach", "vm", self.disk("more.raw")["path"])
        self.restart()
        self.wait_adopted()
        self.assertEqual(len(self.show()["definition"]["disks"]), 1)
        self.ok("detach", "vm", "--lun", "0")

    def test_a_disk_that_was_leaving_is_gone(self):
        """The worker has given it away, and the daemon that asked for that is dead."""
        self.start(append="slow-detach", disks=[self.disk("a"), self.disk("b", lun=1)])
        self.ok("set", "vm", "memory.size=256M")
        leaving = self.vmctl_in_background("detach", "vm", "--lun", "0")
        self.wait_said('"lun":0')
        self.kill_vmms()
        leaving.communicate(timeout=60)
        self.start_vmms()
        self.wait_adopted()
        for _ in range(2):
            info = self.show()
            self.assertEqual([disk["lun"] for disk in info["definition"]["disks"]], [1])
            self.assertEqual(info["pending"], ["memory.size"])
            self.ok("stop", "vm")
            self.ok("start", "vm")
            self.assertEqual(self.show()["pending"], [])
            self.ok("set", "vm", "memory.size=512M")

    def test_a_disk_that_the_worker_refused_is_not_there(self):
        self.start(append="refuse-disks")
        self.refused(WRONG_STATE, "attach", "vm", self.disk("a")["path"])
        self.restart()
        self.wait_adopted()
        self.assertEqual(self.show()["definition"]["disks"], [])

    def test_what_its_file_has_got_meanwhile_is_taken(self):
        self.start()
        self.kill_vmms()
        file = self.state / "vms/vm.json"
        tree = json.loads(file.read_text())
        file.write_text(json.dumps({**tree, "notes": "new", "memory": {"size": "1G"}}))
        self.start_vmms()
        wait_until(lambda: self.show()["definition"]["notes"] == "new", "the notes")
        self.assertEqual(self.show()["pending"], ["memory.size"])

    def test_a_paused_vm_is_found_paused(self):
        self.start()
        self.ok("pause", "vm")
        self.restart()
        self.wait_state("paused")
        self.ok("resume", "vm")
        self.assertEqual(self.show()["state"], "running")

    def test_a_console_goes_on(self):
        """Over a kill and a start of the daemon; what was shown is not shown again."""
        self.create()
        self.ok("start", "vm")
        console = Console(self)
        console.expect(b"guest: begin")
        console.type("one\n")
        console.expect(b"guest: heard one\r\n")
        for word in "two", "three":
            self.kill_vmms()
            self.start_vmms()
            # Until the session has its new stream, what is typed is dropped.
            wait_until(lambda: self.typed(console, word), "the console to be heard again")
        self.ok("stop", "vm")
        self.ok("delete", "vm")
        self.assertEqual(console.wait(), OK)
        self.assertEqual(console.output.count(b"guest: begin"), 1, console.output)
        self.assertEqual(console.output.count(b"guest: heard one\r\n"), 1, console.output)

    def typed(self, console, word):
        console.type(word + "\n")
        console.read()
        return f"guest: heard {word}\r\n".encode() in console.output

    def test_the_console_of_an_adopted_vm_works(self):
        self.start()
        self.restart()
        self.wait_adopted()
        console = Console(self)
        console.type("talk\n")
        console.expect(b"line 02999 of what nobody may want")
        console.close()

    def test_an_end_that_nobody_saw_is_known(self):
        self.start()
        pid = self.show()["worker_pid"]
        self.kill_vmms()
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_running(pid), "the worker to end")
        self.start_vmms()
        self.wait_state("off", reason="turned off: left in a queue")
        self.ok("start", "vm")

    def test_a_death_that_nobody_saw_is_no_end(self):
        self.start()
        pid = self.show()["worker_pid"]
        self.kill_vmms()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_running(pid), "the worker to end")
        self.start_vmms()
        self.wait_state("crashed", reason="how is not known")
        self.ok("start", "vm")

    def test_the_end_of_an_adopted_worker_is_seen(self):
        self.start()
        self.restart()
        self.wait_adopted()
        os.kill(self.show()["worker_pid"], signal.SIGKILL)
        self.wait_state("crashed", reason="how is not known")

    def test_last_words_of_an_adopted_worker_are_heard(self):
        self.start()
        self.restart()
        self.wait_adopted()
        console = Console(self)
        console.type("exit\n")
        self.wait_state("crashed", reason="fake worker: something is wrong")
        console.close()

    def test_a_worker_that_will_not_be_adopted_is_killed(self):
        self.start(append="refuse-adopt")
        pid = self.show()["worker_pid"]
        self.restart()
        self.wait_state("crashed")
        self.assertFalse(is_running(pid))

    def test_a_vm_that_was_being_started_is_off(self):
        self.create(append="mute-configure")
        starting = self.vmctl_in_background("start", "vm")
        wait_until(lambda: any((self.folder / "run/workers").glob("*.json")), "the worker's record")
        self.kill_vmms()
        starting.communicate(timeout=60)
        self.start_vmms()
        self.wait_state("off", reason="while the VM was being started")

    def test_the_process_is_told_from_another_of_its_number(self):
        self.start()
        pid = self.show()["worker_pid"]
        self.kill_vmms()
        os.kill(pid, signal.SIGKILL)
        record = self.record()
        record.write_text(record.read_text().replace(f'"pid":{pid}', f'"pid":{os.getpid()}'))
        self.start_vmms()
        self.wait_state("crashed")

    def test_a_record_that_makes_no_sense_stops_nobody(self):
        self.start()
        pid = self.show()["worker_pid"]
        self.kill_vmms()
        self.record().write_text('{"version": 1, "pid": "x"}')
        self.start_vmms()
        self.wait_state("off")
        self.assertIn("cannot be read", (self.folder / "log").read_text())
        os.kill(pid, signal.SIGKILL)

    def test_a_record_of_another_vm_is_none(self):
        self.start()
        pid = self.show()["worker_pid"]
        self.kill_vmms()
        record = json.loads(self.record().read_text())
        record["definition"]["uuid"] = "0f8fad5b-d9cb-469f-a165-70867728950e"
        self.record().write_text(json.dumps(record))
        self.start_vmms()
        self.wait_state("off")
        self.assertIn("cannot be read", (self.folder / "log").read_text())
        os.kill(pid, signal.SIGKILL)

    def test_a_worker_without_a_definition_is_told_of(self):
        self.start()
        pid = self.show()["worker_pid"]
        self.kill_vmms()
        (self.state / "vms/vm.json").rename(self.folder / "kept.json")
        self.start_vmms()
        self.assertIn("no definition", (self.folder / "log").read_text())
        self.assertTrue(is_running(pid))
        (self.folder / "kept.json").rename(self.state / "vms/vm.json")
        self.ok("reload")
        self.wait_adopted()
        self.assertEqual(self.show()["worker_pid"], pid)


if __name__ == "__main__":
    main()
