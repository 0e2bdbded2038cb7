# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nodes of a cluster on one machine: Corosync, Pacemaker, vmms with real workers, and sshd, each node in namespaces
of its own (cluster_node.sh). They share the file systems, so that folders are what storage is between hosts, and
locks of files are seen by all. Fencing kills a node's first process, and with it all others.

Whoever uses this is in network and mount namespaces of its own (enter_namespaces())."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree

from rig import BUS_CONFIGURATION, OPEN_POLICY, arguments, wait_until

HERE = pathlib.Path(__file__).resolve().parent
COROSYNC = """totem {{
	version: 2
	cluster_name: lab
	transport: udpu
	token: {token}
}}
quorum {{
	provider: corosync_votequorum
}}
system {{
	sched_rr: no
}}
logging {{
	to_stderr: yes
	to_syslog: no
}}
nodelist {{
{nodes}}}
"""
NODE = """	node {{
		name: {name}
		nodeid: {number}
		ring0_addr: {address}
	}}
"""

# dc-deadtime: how long nodes that start at once wait for others before they choose who leads.
CIB = """<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0">
<configuration><crm_config><cluster_property_set id="options">
<nvpair id="dc-deadtime" name="dc-deadtime" value="5s"/>
<nvpair id="stonith-enabled" name="stonith-enabled" value="true"/>
</cluster_property_set></crm_config><nodes/><resources>
<primitive id="fencing" class="stonith" type="fence_lab"><instance_attributes id="fencing-parameters">
<nvpair id="fencing-hosts" name="pcmk_host_list" value="{hosts}"/></instance_attributes></primitive>
</resources><constraints/></configuration><status/></cib>
"""

# Asks whoever runs the test to kill a node, as a power switch would be asked.
FENCE = """#!/bin/sh
action=reboot node=
while IFS='=' read -r key value; do
	case $key in action) action=$value ;; nodename | plug | port) node=$value ;; esac
done
case $action in
metadata) cat <<END
<?xml version="1.0"?>
<resource-agent name="fence_lab" shortdesc="kills a node of the test">
<parameters><parameter name="plug" unique="0" required="0"><content type="string"/></parameter></parameters>
<actions><action name="on"/><action name="off"/><action name="reboot"/><action name="status"/><action name="list"/>
<action name="monitor"/><action name="metadata"/></actions>
</resource-agent>
END
;;
off | reboot)
	touch "{folder}/fence/$node.asked"
	until [ -e "{folder}/fence/$node.done" ]; do sleep 0.1; done
;;
esac
"""
TIMEOUT = 120  # seconds; nothing here ought to take that long


def enter_namespaces():
    """Again, where networks and mounts are this process's own. Exits with 77 where that cannot be."""
    if os.environ.get("CLUSTER_NODES"):
        return
    if os.geteuid() != 0 or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        sys.exit(77)
    os.environ["CLUSTER_NODES"] = "1"
    os.execvp("unshare", ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, *sys.argv])


def run(*words, **more):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, timeout=TIMEOUT,
                          **more).stdout


class Node:
    def __init__(self, nodes, number):
        self.nodes, self.number = nodes, number
        self.name = f"node{number}"
        self.address = f"10.111.0.{number}"
        self.process = self.pid = None

    def start(self):
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
             HERE / "cluster_node.sh", self.name, self.address, self.nodes.folder, arguments.build, arguments.source],
            stdin=subprocess.DEVNULL, stdout=self.nodes.log, stderr=self.nodes.log)
        (self.nodes.folder / "fence" / f"{self.name}.done").unlink(missing_ok=True)
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        self.pid = int(wait_until(lambda: pathlib.Path(children).read_text().split(), "the node's first process")[0])
        # The kernel takes its time to remove what was a dead node's.
        subprocess.run(["ip", "link", "delete", f"v{self.number}"], capture_output=True)
        run("ip", "link", "add", f"v{self.number}", "type", "veth", "peer", "name", "eth0", "netns", self.pid)
        run("ip", "link", "set", f"v{self.number}", "master", "br0", "up")

    def is_up(self):
        return self.process is not None and self.process.poll() is None

    def cut(self):
        """The network ends at its plug."""
        run("ip", "link", "set", f"v{self.number}", "down")

    def kill(self):
        """All of it, at once."""
        if self.is_up():
            os.kill(self.pid, signal.SIGKILL)
            self.process.wait(TIMEOUT)

    def words(self, *words):
        return ["nsenter", "--target", str(self.pid), "--mount", "--uts", "--ipc", "--net", "--pid",
                *(str(word) for word in words)]

    def run(self, *words, **more):
        return run(*self.words(*words), **more)

    def try_run(self, *words):
        return subprocess.run(self.words(*words), capture_output=True, text=True, timeout=TIMEOUT)


class Nodes:
    def __init__(self, count, token=4000):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="vmms-cluster-"))
        self.folder.chmod(0o755)
        self.log = open(self.folder / "nodes.log", "wb")
        self.nodes = [Node(self, number) for number in range(1, count + 1)]
        self.fenced = []
        self.leader = None  # who is asked, where it matters
        self.ended = threading.Event()
        self.write_files(token)
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "br0", "type", "bridge")
        run("ip", "link", "set", "br0", "up")
        for node in self.nodes:
            node.start()
        self.fencer = threading.Thread(target=self.fence)
        self.fencer.start()

    def write_files(self, token):
        nodes = "".join(NODE.format(name=node.name, number=node.number, address=node.address) for node in self.nodes)
        (self.folder / "corosync.conf").write_text(COROSYNC.format(token=token, nodes=nodes))
        (self.folder / "hosts").write_text("127.0.0.1 localhost\n" + "".join(
            f"{node.address} {node.name}\n" for node in self.nodes))
        (self.folder / "bus.conf").write_text(BUS_CONFIGURATION.format(
            path="/run/dbus/system_bus_socket", policy=OPEN_POLICY))
        for name in "key", "host_key":
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name)
        (self.folder / "sshd_config").write_text(
            f"HostKey {self.folder}/host_key\nAuthorizedKeysFile {self.folder}/key.pub\nStrictModes no\n"
            "PermitRootLogin yes\nUsePAM no\nPidFile none\n")
        (self.folder / "cib.xml").write_text(CIB.format(hosts=" ".join(node.name for node in self.nodes)))
        (self.folder / "fence").mkdir()
        (self.folder / "fence_lab").write_text(FENCE.format(folder=self.folder))
        (self.folder / "fence_lab").chmod(0o755)

    def fence(self):
        while not self.ended.wait(0.05):
            for asked in (self.folder / "fence").glob("*.asked"):
                node = self[asked.stem]
                node.kill()
                self.fenced.append(node.name)
                asked.unlink()
                asked.with_suffix(".done").touch()

    def __getitem__(self, name):
        return next(node for node in self.nodes if node.name == name)

    def up(self):
        return [node for node in self.nodes if node.is_up()]

    def any(self):
        return self.leader if self.leader and self.leader.is_up() else self.up()[0]

    def cib(self, scope):
        return self.any().run("cibadmin", "--query", "--scope", scope)

    def status(self):
        """{resource: nodes where it is active}, of crm_mon; {} before there is a cluster."""
        answer = self.any().try_run("crm_mon", "--one-shot", "--output-as", "xml")
        if answer.returncode != 0:
            return {}
        tree = ElementTree.fromstring(answer.stdout)
        return {resource.get("id"): [node.get("name") for node in resource.findall("node")
                                     if resource.get("role") == "Started"]
                for resource in tree.iter("resource")}

    def where(self, resource):
        nodes = self.status().get(resource, [])
        return nodes[0] if len(nodes) == 1 else None

    def await_members(self):
        def are_online():
            answer = self.any().try_run("crm_mon", "--one-shot", "--output-as", "xml")
            if answer.returncode != 0:
                return False
            tree = ElementTree.fromstring(answer.stdout)
            online = [node for node in tree.findall("nodes/node") if node.get("online") == "true"]
            return len(online) == len(self.nodes)
        wait_until(are_online, "all nodes to be members", TIMEOUT)

    def option(self, name, value):
        self.any().run("crm_attribute", "--type", "crm_config", "--name", name, "--update", value)

    def failures(self):
        """Keys of operations that have failed, such as web_start_0."""
        tree = ElementTree.fromstring(self.any().run("crm_mon", "--one-shot", "--output-as", "xml"))
        return [failure.get("op_key") for failure in tree.iter("failure")]

    def idle(self):
        """The cluster has nothing left to do."""
        self.any().run("crm_resource", "--wait", "--timeout", str(TIMEOUT))

    def end(self, keep=False):
        self.ended.set()
        self.fencer.join()
        for node in self.nodes:
            node.kill()
        self.log.close()
        if keep:
            print(f"what the nodes have logged is in {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder)


class Writers:
    """Which processes have an image open, looked at again and again: the storage's own view of who runs a VM."""

    def __init__(self, images):
        self.images = {(os.stat(path).st_dev, os.stat(path).st_ino): name for name, path in images.items()}
        self.seen = {name: [] for name in images}  # (time, pids), when it changes
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def look(self):
        found = {name: set() for name in self.seen}
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "comm").read_text().strip() != "vmwp":
                    continue
                for entry in (process / "fd").iterdir():
                    with contextlib.suppress(OSError):
                        status = os.stat(entry)
                        name = self.images.get((status.st_dev, status.st_ino))
                        if name:
                            found[name].add(int(process.name))
        return found

    def watch(self):
        while not self.ended.wait(0.02):
            for name, pids in self.look().items():
                if not self.seen[name] or self.seen[name][-1][1] != pids:
                    self.seen[name].append((time.monotonic(), pids))

    def end(self):
        self.ended.set()
        self.thread.join()

    def most(self, name, since):
        """How many had it at once, from then on."""
        changes = self.seen[name]
        ends = [when for when, _ in changes[1:]] + [time.monotonic()]
        return max(len(pids) for (_, pids), end in zip(changes, ends) if end >= since)
