#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Statistics on the bus, and metrics over HTTP: what they hold, and who asks badly."""

import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.append("/usr/lib/python3/dist-packages")  # Debian's, whichever interpreter this is
from rig import TIMEOUT, VMMS, ServiceTest, main, wait_until  # noqa: E402

try:
    from prometheus_client.openmetrics import parser
except ImportError:
    print("python3-prometheus-client is not installed (scripts/setup installs it)")
    sys.exit(77)


class MetricsTest(ServiceTest):
    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(TIMEOUT)
        client.connect(str(self.folder / "run/metrics.socket"))
        return client

    def exchange(self, request, client=None):
        """Sends bytes; returns status line, head and body of the answer, read to its end."""
        with client or self.connect() as stream:
            stream.sendall(request)
            answer = b""
            while chunk := stream.recv(65536):
                answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        line, *fields = head.decode().split("\r\n")
        fields = dict(field.lower().split(": ", 1) for field in fields)
        self.assertEqual(int(fields["content-length"]), len(body))
        self.assertEqual(fields["connection"], "close")
        return line, fields, body.decode()

    def status(self, request):
        return int(self.exchange(request)[0].split()[1])

    def metrics(self):
        """Families by name, from the answer, which has to be OpenMetrics to the letter."""
        line, fields, body = self.exchange(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(line, "HTTP/1.1 200 OK")
        self.assertTrue(fields["content-type"].startswith("application/openmetrics-text"))
        families = list(parser.text_string_to_metric_families(body))
        names = [family.name for family in families]
        self.assertEqual(len(names), len(set(names)))
        return {family.name: family for family in families}

    def value(self, families, family, suffix="", **labels):
        found = [sample.value for sample in families[family].samples
                 if sample.name == family + suffix and sample.labels == labels]
        self.assertEqual(len(found), 1, f"{family}{suffix} {labels}")
        return found[0]

    def statistics(self, name="vm"):
        vm = self.call("/org/vmms1/vm/" + self.show(name)["uuid"].replace("-", "_"), "VM")
        self.assertIn(vm, self.call("/org/vmms1", "Manager")["vms"] if "time" not in vm else [vm])
        return vm

    def call(self, path, interface):
        result = subprocess.run(
            ["dbus-send", f"--bus={self.address}", "--print-reply=literal", "--dest=org.vmms1",
             path, f"org.vmms1.{interface}.GetStatistics"],
            capture_output=True, text=True, check=True, timeout=TIMEOUT)
        return json.loads(result.stdout)


class Metrics(MetricsTest):
    def test_no_vms(self):
        families = self.metrics()
        self.assertIn("vmms_vm_state", families)
        self.assertTrue(all(not family.samples for family in families.values()))

    def test_a_vm(self):
        self.create(processors={"count": 3}, memory={"size": "64M"})
        families = self.metrics()
        self.assertEqual(self.value(families, "vmms_vm_state", vm="vm", vmms_vm_state="off"), 1)
        self.assertEqual(families["vmms_vm_exits"].samples, [])
        self.ok("start", "vm")
        families = self.metrics()
        self.assertEqual(self.value(families, "vmms_vm_state", vm="vm", vmms_vm_state="off"), 0)
        self.assertEqual(self.value(families, "vmms_vm_state", vm="vm", vmms_vm_state="running"),
                         1)
        self.assertEqual(sum(sample.value for sample in families["vmms_vm_state"].samples), 1)
        self.assertEqual(self.value(families, "vmms_vm_processors", vm="vm"), 3)
        self.assertEqual(self.value(families, "vmms_vm_memory_bytes", vm="vm"), 64 << 20)
        self.assertGreater(self.value(families, "vmms_vm_resident_bytes", vm="vm"), 4096)
        self.assertEqual(self.value(families, "vmms_vm_heartbeat", vm="vm"), 1)
        for mode in "guest", "host", "steal":
            self.assertGreaterEqual(
                self.value(families, "vmms_vm_cpu_seconds", "_total", vm="vm", mode=mode), 0)
        for family, labels in (("exits", {"reason": "io-port"}), ("vmbus_interrupts", {}),
                               ("disk_operations", {"operation": "read"}),
                               ("disk_bytes", {"operation": "write"}),
                               ("network_frames", {"direction": "sent"}),
                               ("network_bytes", {"direction": "received"})):
            self.assertEqual(self.value(families, f"vmms_vm_{family}", "_total", vm="vm",
                                        **labels), 1000, family)
        self.assertEqual(
            self.value(families, "vmms_vm_exits", "_total", vm="vm", reason="mmio"), 0)
        latency = "vmms_vm_disk_latency_seconds"
        for bound, count in (("1.6e-05", 0), ("3.2e-05", 1000), ("+Inf", 1000)):
            self.assertEqual(self.value(families, latency, "_bucket", vm="vm", operation="read",
                                        le=bound), count)
        self.assertEqual(self.value(families, latency, "_sum", vm="vm", operation="read"), 1e-6)
        again = self.metrics()
        self.assertEqual(self.value(again, "vmms_vm_vmbus_interrupts", "_total", vm="vm"), 2000)
        self.type("heartbeat-lost")
        self.wait_said("no heartbeat")
        self.assertEqual(self.value(self.metrics(), "vmms_vm_heartbeat", vm="vm"), 0)
        self.ok("stop", "vm")
        self.assertEqual(self.metrics()["vmms_vm_exits"].samples, [])

    def test_guest(self):
        self.create()
        self.ok("start", "vm")
        self.type("guest")
        wait_until(lambda: self.show()["guest"]["host_name"], "the guest to tell of itself")
        labels = self.metrics()["vmms_vm"].samples[0].labels
        self.assertEqual(labels["guest_host_name"], "guest.example.org")
        self.assertEqual(labels["guest_os"], r"Debian GNU/Linux 12 (6.1.0 \x1b[31m)")
        self.assertEqual(labels["uuid"], self.show()["uuid"])

    def test_several_vms(self):
        for name in "a", "b", "c":
            self.create(name)
        self.ok("start", "a", "c")
        families = self.metrics()
        self.assertEqual([sample.labels["vm"] for sample in
                          families["vmms_vm_vmbus_interrupts"].samples], ["a", "c"])

    def test_private(self):
        mode = os.stat(self.folder / "run/metrics.socket").st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(mode & 0o777, 0o600)
        self.kill_vmms()
        self.start_vmms()
        self.metrics()
        self.stop_vmms()
        self.assertFalse((self.folder / "run/metrics.socket").exists())


class Statistics(MetricsTest):
    def test_off_and_on(self):
        self.create()
        self.assertEqual(self.statistics().keys(),
                         {"name", "uuid", "state", "processors", "memory"})
        self.ok("start", "vm")
        before, after = self.statistics(), self.statistics()
        self.assertEqual(before["exits"]["io-port"] + 1000, after["exits"]["io-port"])
        self.assertGreater(after["time"], before["time"])
        self.assertEqual(after["disk"]["read_latency"], [0] * 5 + [2000] + [0] * 18)
        self.assertEqual(after["disk"]["write_latency"], [0] * 24)
        self.assertEqual(after["cpu"].keys(), {"guest_us", "host_us", "steal_us"})
        self.ok("stop", "vm")
        self.assertNotIn("exits", self.statistics())

    def test_mute_worker_holds_up_nobody_for_long(self):
        self.create("mute", append="mute-statistics")
        self.create()
        self.ok("start", "mute", "vm")
        vms = {vm["name"]: vm for vm in self.call("/org/vmms1", "Manager")["vms"]}
        self.assertNotIn("exits", vms["mute"])
        self.assertIn("exits", vms["vm"])
        self.assertEqual([sample.labels["vm"] for sample in
                          self.metrics()["vmms_vm_vmbus_interrupts"].samples], ["vm"])

    def test_stopped_worker(self):
        self.create()
        self.ok("start", "vm")
        pid = self.show()["worker_pid"]
        os.kill(pid, signal.SIGSTOP)
        self.assertNotIn("exits", self.statistics())
        os.kill(pid, signal.SIGCONT)
        self.assertIn("exits", self.statistics())

    def test_worker_ends_meanwhile(self):
        self.create(append="mute-statistics")
        self.ok("start", "vm")
        with self.connect() as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            os.kill(self.show()["worker_pid"], signal.SIGKILL)
            self.assertTrue(client.recv(64).startswith(b"HTTP/1.1 200 OK"))
        self.wait_state("crashed")

    def test_hostile_worker(self):
        self.create(append="hostile-statistics")
        self.ok("start", "vm")
        self.assertNotIn("exits", self.statistics())
        self.assertIn("answer to 'statistics' makes no sense: exits.", self.ok("log", "vm"))
        self.metrics()

    def test_service_ends_meanwhile(self):
        self.create(append="mute-statistics")
        self.ok("start", "vm")
        with self.connect() as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            self.kill_vmms()
            self.start_vmms()
        self.metrics()


class Requests(MetricsTest):
    GOOD = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def test_statuses(self):
        for status, request in (
                (200, self.GOOD),
                (200, b"GET /metrics?x=y HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"),
                (200, b"GET /metrics HTTP/1.0\r\n\r\n"),
                (400, b"GET /metrics HTTP/1.1\r\n\r\n"),
                (404, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
                (404, b"GET /metrics/../metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
                (404, b"GET http://x/metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
                (405, b"POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
                (405, b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
                (414, b"GET /" + b"x" * 300 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
                (431, b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 5000),
                (505, b"GET /metrics HTTP/2.0\r\nHost: x\r\n\r\n"),
                (400, b"\r\n\r\n"), (400, b"\0\r\n\r\n"), (400, b"GET\r\n\r\n")):
            self.assertEqual(self.status(request), status, request)

    def test_byte_by_byte(self):
        with self.connect() as client:
            for i in range(len(self.GOOD)):
                client.sendall(self.GOOD[i:i + 1])
            self.assertTrue(client.recv(64).startswith(b"HTTP/1.1 200 OK"))

    def test_pipelined(self):
        self.assertEqual(self.exchange(self.GOOD * 50)[0], "HTTP/1.1 200 OK")

    def test_clients_that_say_nothing(self):
        """They wait for each other, and go when their time is over."""
        silent = [self.connect() for _ in range(8)]
        with self.connect() as late:
            late.sendall(self.GOOD)
            silent[0].close()
            self.assertTrue(late.recv(64).startswith(b"HTTP/1.1 200 OK"))
        for client in silent[1:]:
            self.assertEqual(client.recv(1), b"")
            client.close()

    def test_client_that_does_not_read(self):
        for i in range(60):
            self.create(f"vm{i}")
        slow = [self.connect() for _ in range(4)]
        for client in slow:
            client.sendall(self.GOOD)
        self.metrics()
        for client in slow:
            client.close()
        self.metrics()

    def test_random_requests(self):
        seed = 20240607
        generator = random.Random(seed)
        parts = [b"GET", b" ", b"/metrics", b"HTTP/1.1", b"\r\n", b"\r", b"\n", b"Host: x", b":",
                 b"\0", b"\xff", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"\r\n\r\n"]
        for i in range(300):
            request = b"".join(generator.choices(parts, k=generator.randrange(1, 20)))
            with self.connect() as client:
                client.sendall(request)
                client.shutdown(socket.SHUT_WR)
                answer = client.recv(64)
                self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 "), (seed, i))
        self.metrics()


class Port(MetricsTest):
    def start_vmms(self, *extra, wait=True):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        super().start_vmms("--metrics-port", str(self.port), *extra, wait=wait)

    def ask(self, host):
        client = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)
        return self.exchange(b"GET /metrics HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", client)[0]

    def test_loopback(self):
        for host in b"localhost", b"127.0.0.1:%d" % self.port, b"[::1]":
            self.assertEqual(self.ask(host), "HTTP/1.1 200 OK")
        for host in b"evil.example", b"localhost.evil.example", b"", b"127.0.0.10":
            self.assertEqual(self.ask(host), "HTTP/1.1 403 Forbidden")

    def test_nowhere_else(self):
        """Every address on which it listens is the loopback's."""
        for table in "tcp", "tcp6":
            with open(f"/proc/net/{table}", encoding="ascii") as lines:
                for line in list(lines)[1:]:
                    address, port = line.split()[1].split(":")
                    if int(port, 16) == self.port and line.split()[3] == "0A":
                        self.assertIn(address, ("0100007F", "0" * 24 + "01000000"))

    def test_usage(self):
        for text in "0", "65536", "x", "-1", "127.0.0.1:9000":
            refused = subprocess.run([VMMS, "--metrics-port", text], capture_output=True,
                                     text=True, timeout=TIMEOUT, check=False)
            self.assertEqual(refused.returncode, 2)
            self.assertIn("--metrics-port", refused.stderr)


if __name__ == "__main__":
    main()
