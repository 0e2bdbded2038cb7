#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The process that carries a VM between hosts, with a stranger at the other end, a key that is another, and none."""

import contextlib
import fcntl
import os
import pathlib
import socket
import subprocess
import sys
import threading
import unittest

sys.dont_write_bytecode = True
from rig import TIMEOUT, arguments, main  # noqa: E402

CARRIER = arguments.build / "bin/move-carrier"
LARGE = os.urandom(1 << 20) * 8


def listening():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    listener.setblocking(False)
    return listener


def connecting(address):
    client = socket.socket()
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        client.connect(address)
    return client


class Carried:
    """A carrier, with the ends that its daemon and its worker have."""

    def __init__(self, test, mode, network, key, seconds=TIMEOUT):
        reader, self.daemon = os.pipe()
        self.worker, theirs = socket.socketpair()
        os.write(self.daemon, key)

        def place():
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 50) for fd in (reader, theirs.fileno(), network.fileno())]
            for number, fd in enumerate(high, 3):
                os.dup2(fd, number)
            os.closerange(6, 256)

        self.process = subprocess.Popen([CARRIER, mode, str(seconds)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, close_fds=False,
                                        preexec_fn=place)
        os.close(reader)
        theirs.close()
        network.close()
        self.worker.settimeout(TIMEOUT)
        test.addCleanup(self.end)

    def end(self):
        self.process.kill()
        self.process.communicate()
        self.worker.close()
        self.forget()

    def forget(self):
        """The daemon ends."""
        if self.daemon >= 0:
            os.close(self.daemon)
        self.daemon = -1

    def line(self):
        return self.process.stdout.readline().strip()

    def status(self):
        """Its exit status, and what it said last."""
        said = self.process.communicate(timeout=TIMEOUT)[0]
        return self.process.returncode, said.strip().splitlines()[-1:] or [""]

    def receive(self, size):
        data = b""
        while len(data) < size:
            part = self.worker.recv(size - len(data))
            if not part:
                break
            data += part
        return data


class Carrier(unittest.TestCase):
    def setUp(self):
        self.key = os.urandom(32)
        listener = listening()
        self.address = listener.getsockname()
        self.target = Carried(self, "listen", listener, self.key)

    def source(self, key=None):
        return Carried(self, "connect", connecting(self.address), key or self.key)

    def meet(self):
        source = self.source()
        self.assertEqual((source.line(), self.target.line()), ("connected", "connected"))
        return source

    def test_both_ways(self):
        source = self.meet()
        sender = threading.Thread(target=source.worker.sendall, args=(LARGE,))
        sender.start()
        self.assertEqual(self.target.line(), "begun")
        self.assertEqual(self.target.receive(len(LARGE)), LARGE)
        sender.join()
        self.target.worker.sendall(b"answer")
        self.assertEqual(source.receive(6), b"answer")
        source.worker.close()
        self.assertEqual(self.target.receive(1), b"")
        self.target.worker.close()
        self.assertEqual([one.process.wait(TIMEOUT) for one in (source, self.target)], [0, 0])

    def test_last_words_arrive(self):
        """What was written before the end is read at the other side, though that has sent more."""
        source = self.meet()
        with contextlib.suppress(OSError):
            source.worker.settimeout(0.2)
            source.worker.sendall(LARGE)
        self.assertEqual(self.target.line(), "begun")
        self.target.worker.sendall(b"refused")
        self.target.worker.close()
        source.worker.settimeout(TIMEOUT)
        self.assertEqual(source.receive(7), b"refused")
        self.assertEqual(source.receive(1), b"")

    def test_another_key(self):
        stranger = self.source(os.urandom(32))
        self.assertEqual(stranger.status(), (1, ["the other side does not have the key of this move"]))
        self.meet()

    def test_strangers(self):
        """Whoever has no key is in nobody's way, and those who say nothing are not waited for."""
        silent = [socket.create_connection(self.address) for _ in range(20)]
        rude = [socket.create_connection(self.address) for _ in range(3)]
        for one in silent + rude:
            self.addCleanup(one.close)
        for one, text in zip(rude, (b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff" + os.urandom(65535), b"\0" * 9999)):
            with contextlib.suppress(OSError):
                one.sendall(text)
        self.meet()

    def test_once(self):
        """Whoever comes later, with the same key, finds nobody."""
        self.meet()
        self.assertEqual(self.source().status()[0], 1)

    def between(self, change):
        """A source, and what leads from it to the target: change() gets the bytes and gives others."""
        middle = listening()
        middle.setblocking(True)
        source = Carried(self, "connect", connecting(middle.getsockname()), self.key)
        ends = middle.accept()[0], socket.create_connection(self.address)
        middle.close()

        def pass_on(reader, writer):
            with contextlib.suppress(OSError):
                while data := reader.recv(65536):
                    writer.sendall(change(data))
                writer.shutdown(socket.SHUT_WR)

        threads = [threading.Thread(target=pass_on, args=pair) for pair in (ends, ends[::-1])]

        def end():
            for one in ends:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
            for one in ends:
                one.close()

        self.addCleanup(end)
        for thread in threads:
            thread.start()
        return source, end

    def test_nothing_is_read_in_clear(self):
        """Between the two there are the bytes of neither."""
        seen = []
        source, cut = self.between(lambda data: seen.append(data) or data)
        text = b"the memory of a guest" * 100
        source.worker.sendall(text)
        self.assertEqual(self.target.receive(len(text)), text)
        self.assertGreater(sum(map(len, seen)), len(text))
        self.assertNotIn(b"memory", b"".join(seen))
        cut()
        self.assertEqual(self.target.receive(1), b"")
        self.assertEqual(source.status()[0], 1)

    def test_a_byte_is_changed(self):
        """What comes is what was sent, or the end. The messages of the handshake are shorter."""
        source, _ = self.between(lambda data: data if len(data) < 1000 else data[:500] + b"?" + data[501:])
        source.worker.sendall(b"x" * 10000)
        self.assertEqual(self.target.receive(1), b"")
        self.assertEqual(self.target.status()[0], 1)

    def test_daemon_ends_before(self):
        self.target.forget()
        self.assertEqual(self.target.process.wait(TIMEOUT), 1)

    def test_daemon_ends_while_it_waits(self):
        source = self.meet()
        self.target.forget()
        self.assertEqual(self.target.process.wait(TIMEOUT), 1)
        self.assertEqual(source.receive(1), b"")

    def test_daemon_ends_after(self):
        """Then the workers have it alone."""
        source = self.meet()
        source.worker.sendall(b"first")
        self.assertEqual(self.target.receive(5), b"first")
        source.forget()
        self.target.forget()
        source.worker.sendall(b"second")
        self.assertEqual(self.target.receive(6), b"second")

    def test_time_limit(self):
        listener = listening()
        target = Carried(self, "listen", listener, self.key, seconds=1)
        self.assertEqual(target.status(), (1, ["the other side did not come in time"]))

    def test_nobody_listens(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = free.getsockname()
        source = Carried(self, "connect", connecting(address), self.key)
        self.assertEqual(source.status(), (1, ["Connection refused"]))

    def test_killed(self):
        source = self.meet()
        source.worker.sendall(b"first")
        self.assertEqual(self.target.receive(5), b"first")
        source.process.kill()
        self.assertEqual(self.target.receive(1), b"")
        self.assertEqual(source.receive(1), b"")
        self.assertEqual(self.target.status()[0], 1)

    def test_it_is_shut_in(self):
        """A list of system calls, nobody's rights, no files, and no network but what it was given."""
        self.meet()
        folder = pathlib.Path(f"/proc/{self.target.process.pid}")

        def status(name):
            lines = (folder / "status").read_text().splitlines()
            return next(line.split()[1] for line in lines if line.startswith(name + ":"))

        self.assertEqual((status("Seccomp"), status("NoNewPrivs"), int(status("CapEff"), 16)), ("2", "1", 0))
        if os.geteuid() == 0:
            self.assertEqual(list((folder / "root").iterdir()), [])
            self.assertNotEqual(os.readlink(folder / "ns/net"), os.readlink("/proc/self/ns/net"))

    def test_usage(self):
        for words in ((), ("listen",), ("listen", "0"), ("listen", "3601"), ("sleep", "1")):
            result = subprocess.run([CARRIER, *words], capture_output=True, check=False, timeout=TIMEOUT)
            self.assertEqual(result.returncode, 2, words)


if __name__ == "__main__":
    main()
