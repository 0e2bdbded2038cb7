# SPDX-License-Identifier: LGPL-2.1-or-later
"""A worker with a test guest in it, told what to do over its control socket as by the daemon
(common/control.h), and what a test guest's report has to look like (tests/guest/report.h)."""

import array
import itertools
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

SKIPPED = 77
LAST_LINES = 30
TIMEOUT = 60  # seconds, for whatever ought to happen at once
MESSAGE_MAX = 256 * 1024


def is_possible():
    """Says why, if not."""
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        return True
    print("skipped: /dev/kvm is not there, or not for us to use")
    return False


def check_report(lines, boots=1):
    """Yields what is wrong."""
    yield from (line for line in lines if line.startswith("FAIL "))
    done = [match for match in (re.fullmatch(r"DONE passed=(\d+) failed=(\d+)", line)
                                for line in lines) if match]
    if len(done) != boots:
        yield "the report has no end"
    elif any(int(match[1]) == 0 for match in done):
        yield "nothing was checked"


def show(lines, problems):
    """Prints the end of a report and the problems. Return: the exit status."""
    shown = lines if problems else [line for line in lines if not line.startswith("PASS ")]
    print(*shown[-LAST_LINES:], sep="\n")
    print(*(f"FAILED: {problem}" for problem in problems), sep="\n")
    return 1 if problems else 0


class Failure(Exception):
    """What the test was after did not happen."""


def need(good, what, *details):
    if not good:
        raise Failure(" ".join([what, *map(str, details)]))


class Refusal(Exception):
    """A request's error: its code is the text."""

    def __init__(self, code, message):
        super().__init__(code)
        self.message = message


class Worker:
    """A running worker; `events` are (name, data) in the order they came, `lines` the guest's."""

    def __init__(self, program, definition, descriptors=()):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.serial, serial = socket.socketpair()
        self.control, self.ids = ours, itertools.count(1)
        self.events, self.replies, self.lines = [], {}, []
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen([program, "--control-fd", str(theirs.fileno())],
                                        stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        theirs.close()
        self.reader = threading.Thread(target=self._read_serial, daemon=True)
        self.reader.start()
        with open("/dev/kvm", "r+b", buffering=0) as kvm, \
                open(definition["boot"]["kernel"], "rb") as kernel, serial:
            files = {"kvm": kvm, "kernel": kernel, "serial": serial, **dict(descriptors)}
            self.request("descriptors", fds=[file.fileno() for file in files.values()],
                         names=list(files))
        self.request("configure", definition=definition)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.control.close()
        self.reader.join(TIMEOUT)
        self.serial.close()

    def _read_serial(self):
        with self.serial.makefile("r", errors="backslashreplace", newline="\n") as lines:
            for line in lines:
                self.lines.append(line.rstrip("\r\n"))

    def _receive(self, deadline, what):
        self.control.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            message = self.control.recv(MESSAGE_MAX)
        except TimeoutError as timeout:
            raise Failure(f"in vain: {what}") from timeout
        if not message:
            raise Failure("the worker closed the control socket")
        message = json.loads(message)
        if "event" in message:
            self.events.append((message["event"], message.get("data", {})))
        else:
            self.replies[message["id"]] = message

    def ask(self, method, fds=(), **arguments):
        """Sends a request. Return: what answer() wants."""
        number = next(self.ids)
        body = json.dumps({"id": number, "method": method, "arguments": arguments}).encode()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.control.settimeout(TIMEOUT)
        self.control.sendmsg([body], rights)
        return number

    def answer(self, number, what):
        """The result of a request; raises Refusal."""
        deadline = time.monotonic() + TIMEOUT
        while number not in self.replies:
            self._receive(deadline, what)
        reply = self.replies.pop(number)
        if "error" in reply:
            raise Refusal(reply["error"]["code"], reply["error"]["message"])
        return reply.get("result", {})

    def request(self, method, fds=(), **arguments):
        """Both."""
        return self.answer(self.ask(method, fds, **arguments), method)

    def refusal(self, method, **arguments):
        """The code of the error that has to come."""
        try:
            self.request(method, **arguments)
        except Refusal as refusal:
            return str(refusal)
        return "none"

    def wait(self, event, **expected):
        """The data of the first event of that name that has these values. It is taken out of
        `events`; others stay."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            for i, (name, data) in enumerate(self.events):
                if name == event and expected.items() <= data.items():
                    del self.events[i]
                    return data
            if time.monotonic() > deadline:
                raise Failure(f"in vain: {event} with {expected}")
            self._receive(deadline, f"{event} with {expected}")

    def until(self, what, function):
        """What `function` returns once that is true."""
        deadline = time.monotonic() + TIMEOUT
        while not (result := function()):
            if time.monotonic() > deadline:
                raise Failure(f"in vain: {what}")
            time.sleep(0.02)
        return result

    def end(self):
        """Waits for the worker, whose VM has stopped. Return: its exit status."""
        status = self.process.wait(TIMEOUT)
        self.reader.join(TIMEOUT)
        return status


def run_test(kinds, descriptors=(), **members):
    """What a test is that has arguments WORKER GUEST [KIND]: kinds has (function, boots) by name,
    "current" without; the guest gets KIND=1, and ends well in the end when it is asked to.
    descriptors: files by name, beside those that every worker needs. members: of the definition.
    Return: the exit status."""
    program, guest, kind = sys.argv[1], pathlib.Path(sys.argv[2]), [*sys.argv[3:], "current"][0]
    function, boots = kinds[kind]
    if not is_possible():
        return SKIPPED
    definition = {
        "version": 1,
        "name": guest.stem.replace("_", "-"),
        "memory": {"size": "64M"},
        "boot": {"kernel": str(guest.resolve()), "command_line": f"{kind}=1"},
        "actions": {"reboot": "restart", "triple_fault": "stop", "crash": "stop"},
        **members,
    }
    problems = []
    with Worker(program, definition, descriptors) as vm:
        try:
            vm.request("start")
            function(vm)
            vm.request("shutdown")
            vm.wait("state", state="stopped", reason="guest-shutdown")
            status = vm.end()
            need(status == 0, "the worker ended with status", status)
        except (Failure, Refusal, OSError, subprocess.TimeoutExpired) as failure:
            problems.append(f"{type(failure).__name__}: {failure}")
    problems += check_report(vm.lines, boots)
    return show(vm.lines, problems)
