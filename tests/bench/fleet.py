#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How far a cluster carries: CIBs of so many nodes and VMs, on which crm_simulate says what Pacemaker would do, and how
long its scheduler takes for that. docs/fleet.md has what came out.

usage: fleet.py [--nodes N] [--vms N] [--failures N] [--probes]

Nodes beyond 16 are pacemaker-remote's, as Corosync is not for more. VMs have sizes of 2 to 16 GiB, a third each high,
medium and low priority, and every tenth is to be apart from the one before. All run; then so many nodes fail at once.
Printed as JSON: seconds of CPU time of the scheduler while all is well and after the failure, and what it would do then.
"""

import argparse
import hashlib
import json
import pathlib
import re
import resource
import subprocess
import sys
import tempfile

CORE = 16           # nodes with Corosync
MEMORY = 1 << 20    # MiB of a node that VMs may have
SIZES = [2048, 4096, 8192, 16384]


def pairs(kind, owner, values):
    inside = "".join(f'<nvpair id="{owner}-{name}" name="{name}" value="{value}"/>' for name, value in values.items())
    return f'<{kind} id="{owner}-{kind}">{inside}</{kind}>'


def node(number, core):
    if number < core:
        return (f'<node id="{number + 1}" uname="n{number}">'
                + pairs("utilization", f"n{number}", {"cpu": 256, "hv_memory": MEMORY}) + "</node>")
    return (f'<node id="n{number}" uname="n{number}" type="remote">'
            + pairs("utilization", f"n{number}", {"cpu": 256, "hv_memory": MEMORY}) + "</node>")


def remote(number):
    return (f'<primitive id="n{number}" class="ocf" provider="pacemaker" type="remote"><operations>'
            f'<op id="n{number}-monitor" name="monitor" interval="30s"/></operations></primitive>')


def vm(number, nodes):
    name = f"v{number}"
    return (f'<primitive id="{name}" class="ocf" provider="vmms" type="VM">'
            + pairs("instance_attributes", name + "-p", {"definition": f"/srv/vms/{name}.json"})
            + pairs("meta_attributes", name, {"allow-migrate": "true", "priority": 1000 * (number % 3 + 1),
                                              "resource-stickiness": 100})
            + pairs("utilization", name, {"cpu": 2, "hv_memory": SIZES[number // nodes % len(SIZES)]})
            + f'<operations><op id="{name}-monitor" name="monitor" interval="10s" timeout="30s"/></operations></primitive>')


def apart(number):
    return f'<rsc_colocation id="v{number}-apart" rsc="v{number}" with-rsc="v{number - 1}" score="-5000"/>'


MAGIC = "1:1:0:f8615163-df3e-46c5-913f-f2d2f965ed0e"


def operation(name, action, interval, code):
    """By the digest the scheduler knows that the parameters are what they were."""
    parameters = f'definition="/srv/vms/{name}.json"' if name.startswith("v") else ""
    timeout = {"v": 'CRM_meta_timeout="30000"', "n": 'CRM_meta_timeout="20000"'}[name[0]] if interval else ""
    words = "".join(f" {word}" for word in (timeout, parameters) if word)
    digest = hashlib.md5(f" <parameters{words}/>\n".encode()).hexdigest()
    return (f'<lrm_rsc_op id="{name}_{action}_{interval}" operation_key="{name}_{action}_{interval}" operation="{action}" '
            f'crm_feature_set="3.16.1" transition-key="{MAGIC}" transition-magic="0:{code};{MAGIC}" call-id="9" '
            f'rc-code="{code}" op-status="0" interval="{interval}" op-digest="{digest}"/>')


def history(name, kind, provider, runs, interval):
    """What a node remembers of a resource: that it was started and is watched there; or that a probe found none."""
    operations = (operation(name, "start", 0, 0) + operation(name, "monitor", interval, 0) if runs
                  else operation(name, "monitor", 0, 7))
    return (f'<lrm_resource id="{name}" type="{kind}" class="ocf" provider="{provider}">{operations}</lrm_resource>')


def state(number, options, failed):
    core = min(options.nodes, CORE)
    known = "".join(history(f"v{i}", "VM", "vmms", i % options.nodes == number, 10000) for i in range(options.vms)
                    if options.probes or i % options.nodes == number)
    if number < core:
        known += "".join(history(f"n{i}", "remote", "pacemaker", i % core == number, 30000)
                         for i in range(core, options.nodes) if options.probes or i % core == number)
        alive = 'in_ccm="false" crmd="offline" join="down"' if failed else 'in_ccm="true" crmd="online" join="member"'
        return (f'<node_state id="{number + 1}" uname="n{number}" {alive} expected="{"down" if failed else "member"}">'
                f'<lrm id="{number + 1}"><lrm_resources>{known}</lrm_resources></lrm></node_state>')
    return (f'<node_state id="n{number}" uname="n{number}" remote_node="true" in_ccm="true">'
            f'<lrm id="n{number}"><lrm_resources>{known}</lrm_resources></lrm></node_state>')


def make(options, failures):
    nodes, vms = options.nodes, options.vms
    core = min(nodes, CORE)
    settings = {"stonith-enabled": "false", "placement-strategy": "balanced", "no-quorum-policy": "ignore",
                "enable-startup-probes": "true" if options.probes else "false"}
    return ('<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0" '
            'have-quorum="1" dc-uuid="1">'
            "<configuration><crm_config>" + pairs("cluster_property_set", "options", settings) + "</crm_config><nodes>"
            + "".join(node(i, core) for i in range(nodes)) + "</nodes><resources>"
            + "".join(remote(i) for i in range(core, nodes)) + "".join(vm(i, nodes) for i in range(vms)) + "</resources><constraints>"
            + "".join(apart(i) for i in range(10, vms, 10)) + "</constraints></configuration><status>"
            + "".join(state(i, options, 1 <= i <= failures) for i in range(nodes)) + "</status></cib>")


def schedule(cib):
    """What the cluster would do, by kind, and the CPU time that it took to think of. None: longer than ten minutes."""
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        process = subprocess.run(["crm_simulate", "--run", "--xml-file", cib], capture_output=True, text=True, timeout=600)
    except subprocess.TimeoutExpired:
        return None, {}
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = round(end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime, 2)
    if process.returncode != 0 or "Transition Summary:" not in process.stdout:
        sys.exit(process.stdout[-500:] + process.stderr[-500:])
    actions = {}
    for word in re.findall(r"^  \* (\w+) ", process.stdout.split("Transition Summary:")[1], re.M):
        actions[word.lower()] = actions.get(word.lower(), 0) + 1
    return seconds, actions


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=16)
    parser.add_argument("--vms", type=int, default=500)
    parser.add_argument("--failures", type=int, default=1)
    parser.add_argument("--probes", action="store_true", help="each node has looked for each VM, as Pacemaker has them do")
    options = parser.parse_args()
    report = {"nodes": options.nodes, "vms": options.vms, "failures": options.failures, "probes": options.probes}
    with tempfile.TemporaryDirectory() as folder:
        cib = pathlib.Path(folder) / "cib.xml"
        for name, failures in ("well", 0), ("failed", options.failures):
            cib.write_text(make(options, failures))
            report["cib_bytes"] = cib.stat().st_size
            report[name + "_s"], report[name] = schedule(cib)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
