#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The dashboard and the alerts of packaging/monitoring, with Debian's Prometheus and a vmms that it scrapes."""

import json
import re
import shutil
import socket
import subprocess
import sys
import unittest
import urllib.error
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
from rig import TIMEOUT, ServiceTest, arguments, main, wait_until  # noqa: E402

if not shutil.which("prometheus"):
    print("prometheus is not installed (scripts/setup installs it)")
    sys.exit(77)

MONITORING = arguments.source / "packaging/monitoring"
ALERTS = MONITORING / "vmms-alerts.yml"
DASHBOARD = json.loads((MONITORING / "vmms-dashboard.json").read_text())

# What Grafana puts in place of its variables.
VARIABLES = {"$__rate_interval": "10s", "$instance": ".*", "$vm": ".*"}

CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: vmms
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Files(unittest.TestCase):
    def test_each_alert_fires_and_is_silent(self):
        text = (arguments.source / "tests/integration/alerts.test.yml").read_text()
        for name in re.findall(r"- alert: (\w+)", ALERTS.read_text()):
            self.assertIn(f'alertname="{name}"', text)
        result = subprocess.run(["promtool", "test", "rules", "/dev/stdin"], text=True, timeout=TIMEOUT,
                                input=text.replace("RULES", str(ALERTS)), capture_output=True)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_dashboard_is_in_order(self):
        panels = DASHBOARD["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken = set()
        for panel in panels:
            place = panel["gridPos"]
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])}
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells


class Scraped(ServiceTest):
    """A VM of the fake worker's that has everything there is to be counted."""

    def setUp(self):
        self.metrics_port, self.port, self.prometheus = free_port(), free_port(), None
        self.vmms_arguments = ("--metrics-port", str(self.metrics_port))
        super().setUp()
        self.create(memory={"size": "64M", "dynamic": {"maximum": "128M"}})
        self.ok("start", "vm")
        self.ok("meter", "enable", "vm")
        self.type("busy")
        self.start_prometheus()
        wait_until(lambda: self.query('count_over_time(vmms_vm_exits_total{reason="io-port"}[1m]) >= 4'),
                   "Prometheus to have scraped it some times")

    def start_prometheus(self):
        configuration = self.folder / "prometheus.yml"
        configuration.write_text(CONFIGURATION.format(rules=ALERTS, port=self.metrics_port))
        self.prometheus = subprocess.Popen(
            ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={self.folder}/tsdb",
             f"--web.listen-address=127.0.0.1:{self.port}"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.addCleanup(self.stop_prometheus)

    def stop_prometheus(self):
        self.prometheus.kill()
        self.prometheus.wait(TIMEOUT)

    def query(self, expression):
        """The series that it gives."""
        query = urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/query?{query}",
                                        timeout=TIMEOUT) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it has just begun
                return []
            self.fail(f"{expression}: {error.read().decode()}")
        except OSError:
            self.assertIsNone(self.prometheus.poll(), "Prometheus has ended")
            return []

    def test_every_expression_gives_a_series(self):
        for panel in DASHBOARD["panels"]:
            for target in panel["targets"]:
                expression = target["expr"]
                for variable, value in VARIABLES.items():
                    expression = expression.replace(variable, value)
                wait_until(lambda: self.query(expression), f"{panel['title']}: {expression}")
        rules = subprocess.run(["promtool", "check", "rules", "--lint=all", ALERTS], capture_output=True,
                               text=True, timeout=TIMEOUT)
        self.assertEqual(rules.returncode, 0, rules.stdout + rules.stderr)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/rules", timeout=TIMEOUT) as answer:
            alerts = json.load(answer)["data"]["groups"][0]["rules"]
        for alert in alerts:
            # Without what it is compared with, an alert's expression gives what it looks at.
            watched = re.sub(r" (>|==) [0-9.]+$", "", alert["query"]).replace("[5m]", "[10s]")
            self.assertNotEqual(watched, alert["query"])
            wait_until(lambda: self.query(watched), f"{alert['name']}: {watched}")

    def test_alerts_of_a_guest_and_of_a_host(self):
        firing = 'ALERTS{alertname="%s"}'
        self.assertEqual(self.query(firing % "VmmsVMHeartbeatLost"), [])
        self.type("heartbeat-lost")
        wait_until(lambda: self.query(firing % "VmmsVMHeartbeatLost"), "the heartbeat's alert")
        self.type("abort")
        self.wait_state("crashed")
        wait_until(lambda: self.query(firing % "VmmsVMCrashed"), "the crash's alert")
        self.stop_vmms()
        wait_until(lambda: self.query(firing % "VmmsDown"), "the service's alert")


main()
