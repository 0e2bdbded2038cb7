# SPDX-License-Identifier: LGPL-2.1-or-later
"""The test families of libiscsi's iscsi-test-cu, and what its output says.

Failures that stay are in the table of docs/scsi.md, which says why.
"""

import pathlib
import re

TABLE = pathlib.Path(__file__).resolve().parents[2] / "docs/scsi.md"

# Those of one SCSI disk. MultipathIO, iSCSI and LINUX are about others, or the same again.
FAMILIES = ("CompareAndWrite", "ExtendedCopy", "GetLBAStatus", "Inquiry", "Mandatory", "ModeSense6", "NoMedia",
            "OrWrite", "Prefetch10", "Prefetch16", "PreventAllow", "PrinReadKeys", "PrinServiceactionRange",
            "PrinReportCapabilities", "ProutRegister", "ProutReserve", "ProutClear", "ProutPreempt", "Read6",
            "Read10", "Read12", "Read16", "ReadCapacity10", "ReadCapacity16", "ReadDefectData10",
            "ReadDefectData12", "ReadOnly", "ReceiveCopyResults", "ReportSupportedOpcodes", "Reserve6",
            "Sanitize", "StartStopUnit", "TestUnitReady", "Unmap", "Verify10", "Verify12", "Verify16", "Write10",
            "Write12", "Write16", "WriteAtomic16", "WriteSame10", "WriteSame16", "WriteVerify10",
            "WriteVerify12", "WriteVerify16")


def explained(place):
    """The tests that are known to fail in a place ("target", "guest"), by the table of docs/scsi.md."""
    names = set()
    for name, where in re.findall(r"^\| `([A-Za-z0-9.]+)` \| ([a-z, ]+) \|", TABLE.read_text(), re.M):
        if place in where.split(", "):
            names.add(name)
    return names


def failures(family, output):
    """The tests of a family that failed, by the output of iscsi-test-cu -n. None: it did not come to its end."""
    if not re.search(r"^Run Summary:", output, re.M):
        return None
    return {f"{family}.{name}" for name in re.findall(r"^Suite \w+, Test (\S+) had failures:", output, re.M)}


def judge(family, output, place):
    """What is wrong with a family's run, as lines; none if all is as the table has it."""
    failed = failures(family, output)
    if failed is None:
        return [f"{family}: iscsi-test-cu did not come to its end"]
    known = {name for name in explained(place) if name.split(".")[0] == family}
    return ([f"{name} fails, which docs/scsi.md does not explain" for name in sorted(failed - known)] +
            [f"{name} does not fail, as docs/scsi.md says that it does" for name in sorted(known - failed)])
