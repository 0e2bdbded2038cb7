#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stands for ssh(1) and the sshd of another host: the command runs here, as somebody who has logged in.

$STAND_IN is a JSON file: where words of the command line are logged ("log"), the user's shell ("shell"),
home ("home"), environment ("environment"), who that is ("launcher"); how long it takes to get there
("delay"), and whether anybody does ("unreachable"). Bytes are passed and descriptors are not: sshd has
sockets for standard input and output, and copies. When ssh ends, those are closed, and no more happens.
"""

import fcntl
import getopt
import json
import os
import pty
import socket
import subprocess
import sys
import termios
import threading
import time
import tty


def refuse(text):
    print(f"ssh: {text}", file=sys.stderr)
    sys.exit(255)


def read_words(words):
    """Options, host and command, as ssh reads them."""
    options, rest = getopt.getopt(words, "xTte:o:p:")
    if not rest or rest[0].startswith("-"):
        refuse("no host")
    if words[-len(rest) - 1] != "--":
        refuse("what stands behind the host may be an option")
    return options, rest[0], " ".join(rest[1:])


def to_guest(options, host, command):
    """ssh to a guest, by the command that connects: prints what comes, and what was asked for."""
    proxy = [value for _, value in options if value.startswith("ProxyCommand=")][0]
    subprocess.run(["/bin/sh", "-c", "exec " + proxy.split("=", 1)[1]], stdin=subprocess.DEVNULL, check=False)
    print(f"guest of {host}: {command}")
    sys.exit(42)


def pass_bytes(source, to, ended=lambda: None):
    """From one descriptor to another, until that ends, or nobody reads there any more."""
    try:
        while data := os.read(source, 65536):
            while data:
                data = data[os.write(to, data):]
    except OSError:  # also of a pseudo-terminal without processes
        pass
    ended()


def pass_input(to, ended):
    threading.Thread(target=pass_bytes, args=(0, to, ended), daemon=True).start()


def without_terminal(words, stand_in):
    ours, theirs = socket.socketpair()
    child = subprocess.Popen(words, stdin=theirs, stdout=theirs, cwd=stand_in["home"],
                             env=stand_in["environment"], start_new_session=True)
    theirs.close()
    pass_input(ours.fileno(), lambda: ours.shutdown(socket.SHUT_WR))
    pass_bytes(ours.fileno(), 1)
    return child.wait()


def with_terminal(words, stand_in):
    size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(stand_in["home"])
        os.execvpe(words[0], words, stand_in["environment"])
    fcntl.ioctl(master, termios.TIOCSWINSZ, size)
    saved = termios.tcgetattr(0)
    tty.setraw(0)
    pass_input(master, lambda: None)
    pass_bytes(master, 1)
    termios.tcsetattr(0, termios.TCSANOW, saved)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main():
    with open(os.environ["STAND_IN"], encoding="utf-8") as file:
        stand_in = json.load(file)
    with open(stand_in["log"], "a", encoding="utf-8") as log:
        print(json.dumps(sys.argv[1:]), file=log)
    options, host, command = read_words(sys.argv[1:])
    if ("-o", "CheckHostIP=no") in options:
        to_guest(options, host, command)
    time.sleep(stand_in.get("delay", 0))
    if "unreachable" in stand_in:
        refuse(f"connect to host {host} port 22: Connection refused")
    words = [*stand_in.get("launcher", []), stand_in.get("shell", "/bin/sh"), "-c", command]
    run = with_terminal if ("-t", "") in options else without_terminal
    status = run(words, stand_in)
    sys.stdout.flush()
    os._exit(status)  # whatever the other thread still waits for


if __name__ == "__main__":
    main()
