#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Viewers of a screen: what the fake worker draws (tests/fake/fake_worker_screen.c) is what they see."""

import os
import socket
import sys

sys.dont_write_bytecode = True
from bus import Bus, Refused  # noqa: E402
from rig import FAILED, USAGE, WRONG_STATE, ServiceTest, arguments, main  # noqa: E402

sys.path.insert(0, str(arguments.source / "tests/lab"))
import rfb  # noqa: E402

FILES = "org.vmms1.Files"


class Screen(ServiceTest):
    def setUp(self):
        super().setUp()
        self.create(video={}, keyboard=True)
        self.ok("start", "vm")
        self.path = "/org/vmms1/vm/" + self.show()["uuid"].replace("-", "_")

    def open(self, *encodings, method="OpenScreen"):
        bus = Bus(self.folder / "bus", FILES)
        self.addCleanup(bus.close)
        fd, = bus.call(self.path, FILES, method, "", [])
        viewer = rfb.Viewer(socket.socket(fileno=fd), *encodings)
        self.addCleanup(viewer.close)
        return viewer

    @staticmethod
    def pattern(width, height):
        return [[x << 8 | y for x in range(width)] for y in range(height)]

    def test_pictures(self):
        """By each encoding, to several at once; and the log says who came."""
        viewers = [self.open(encoding) for encoding in (rfb.RAW, rfb.ZRLE)]
        for viewer in viewers:
            self.assertEqual(viewer.name, "vm")
            self.assertIn((viewer.width, viewer.height), ((640, 480), (320, 200)))
        late = self.open(rfb.ZRLE, rfb.EXTENDED_SIZE)
        late.wait(lambda: late.pixels == self.pattern(320, 200))
        for viewer in viewers:
            viewer.wait(lambda: [row[:320] for row in viewer.pixels[:200]] == self.pattern(320, 200))
        self.assertEqual(self.ok("log", "vm").count("root opens the screen"), 3)

    def test_keys_and_sizes(self):
        """Keys reach the guest; a screen that becomes another one reaches the viewers."""
        viewer = self.open(rfb.ZRLE, rfb.DESKTOP_SIZE, rfb.EXTENDED_KEY)
        viewer.wait(lambda: viewer.pixels == self.pattern(320, 200))
        viewer.wait(lambda: viewer.takes_keys)
        viewer.type(ord("a"))
        viewer.scan_code(0xd0, True)
        viewer.wait(lambda: viewer.pixels[0][:3] == [0x80001e, 0x80021e, 0x800450])
        viewer.point(5, 5, 4)
        viewer.wait(lambda: viewer.pixels[0][3] == 0x400002)
        viewer.key(0xff1b, True)
        viewer.wait(lambda: viewer.sizes and viewer.sizes[-1] == (160, 100))
        viewer.wait(lambda: viewer.pixels[1:] == self.pattern(160, 100)[1:])

    def test_what_was_held_down_goes_up(self):
        viewer, other = self.open(rfb.RAW, rfb.DESKTOP_SIZE), self.open(rfb.RAW, rfb.DESKTOP_SIZE)
        other.wait(lambda: other.pixels == self.pattern(320, 200))
        viewer.key(ord("b"), True)
        viewer.point(1, 1, 1)
        viewer.close()
        other.wait(lambda: other.pixels[0][:4] == [0x800030, 0x400001, 0x800230, 0x400000])

    def test_who_only_looks(self):
        """Neither keys nor the mouse; others see nothing of it."""
        watcher, viewer = self.open(rfb.RAW, rfb.DESKTOP_SIZE, method="WatchScreen"), self.open(rfb.RAW, rfb.DESKTOP_SIZE)
        watcher.wait(lambda: watcher.pixels == self.pattern(320, 200))
        watcher.type(ord("x"))
        watcher.point(2, 2, 1)
        # It has been read when the fence comes back.
        watcher.fence(b"read")
        while watcher.message() != 248:
            pass
        viewer.type(ord("y"))
        watcher.wait(lambda: watcher.pixels[0][:2] == [0x800015, 0x800215])
        self.assertIn("root opens the screen, to look at it", self.ok("log", "vm"))

    def test_fences_and_continuous_updates(self):
        viewer = self.open(rfb.ZRLE, rfb.DESKTOP_SIZE, rfb.FENCE, rfb.CONTINUOUS)
        while not (viewer.fences and viewer.ended):
            viewer.message()
        viewer.wait(lambda: viewer.pixels == self.pattern(320, 200))
        viewer.continuous(True)
        viewer.type(ord("a"))
        while viewer.pixels[0][:2] != [0x80001e, 0x80021e]:
            viewer.message()
        viewer.fence(b"payload", 0x80000007)
        while viewer.fences[-1] != (7, b"payload"):
            viewer.message()
        ended = viewer.ended
        viewer.continuous(False)
        while viewer.ended == ended:
            viewer.message()

    def test_another_size(self):
        """Another size is refused as long as the guest's driver has its list."""
        viewer = self.open(rfb.ZRLE, rfb.EXTENDED_SIZE)
        viewer.wait(lambda: viewer.pixels == self.pattern(320, 200))
        viewer.resize_guest(1024, 768)
        viewer.wait(lambda: viewer.sizes[-1] == (1, 1, 320, 200))

    def test_one_that_does_not_read(self):
        """It holds up nobody, and neither does one that floods."""
        silent, flood = self.open(rfb.RAW, rfb.DESKTOP_SIZE), self.open(rfb.RAW, rfb.DESKTOP_SIZE, rfb.FENCE)
        viewer = self.open(rfb.ZRLE, rfb.DESKTOP_SIZE)
        flood.socket.setblocking(False)
        for _ in range(20):
            silent.request(incremental=False)
            try:
                while True:
                    flood.fence(b"x" * 64)
            except BlockingIOError:
                pass
            viewer.type(ord("a"))
            viewer.update(incremental=False)
        viewer.wait(lambda: viewer.pixels[0][:40] == [0x80001e, 0x80021e] * 20)

    def test_the_end(self):
        """Viewers end with the VM, and come again at its next start; there are none without a screen."""
        viewer = self.open(rfb.ZRLE, rfb.DESKTOP_SIZE)
        self.ok("stop", "vm")
        with self.assertRaises((EOFError, ConnectionError)):
            while True:
                viewer.update()
        with self.assertRaises(Refused) as refused:
            self.open()
        self.assertIn("does not run", str(refused.exception))
        self.ok("start", "vm")
        viewer = self.open(rfb.ZRLE, rfb.DESKTOP_SIZE)
        viewer.wait(lambda: viewer.pixels == self.pattern(320, 200))
        self.create("blind")
        self.ok("start", "blind")
        self.path = "/org/vmms1/vm/" + self.show("blind")["uuid"].replace("-", "_")
        with self.assertRaises(Refused) as refused:
            self.open()
        self.assertIn("has no screen", str(refused.exception))

    # vmctl view

    def viewer_program(self, name, text):
        folder = self.folder / "viewers"
        folder.mkdir(exist_ok=True)
        file = folder / name
        file.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(arguments.source / 'tests/lab')!r})\n"
                        f"import rfb\n{text}")
        file.chmod(0o755)
        return {**os.environ, "PATH": str(folder)}

    def test_vmctl_runs_a_viewer(self):
        """It gets a socket of its user's, and ends vmctl with itself."""
        environment = self.viewer_program("remote-viewer", """
path = sys.argv[1].removeprefix("vnc+unix://")
for _ in range(2):
    viewer = rfb.connect(path, rfb.ZRLE, rfb.DESKTOP_SIZE)
    viewer.wait(lambda: viewer.pixels[1][1] == 0x101)
    viewer.type(ord("a"))
    viewer.wait(lambda: 0x80001e in viewer.pixels[0])
    viewer.close()
import os
print(oct(os.stat(path).st_mode & 0o777), os.path.basename(path))
sys.exit(3)
""")
        result = self.vmctl("view", "vm", env=environment)
        self.assertEqual((result.status, result.out, result.err), (FAILED, "0o600 vm\n", ""))
        self.viewer_program("xtigervncviewer", "rfb.connect(sys.argv[1])\n")
        self.assertEqual(self.ok("view", "vm", env=environment), "")
        self.refused(FAILED, "view", "vm", env={**os.environ, "PATH": "/nonexistent"}, says="tigervnc-viewer")
        self.ok("stop", "vm")
        self.refused(WRONG_STATE, "view", "vm", env=environment, says="does not run")

    def test_vmctl_lends_a_socket(self):
        path = self.folder / "socket"
        process = self.vmctl_in_background("view", "vm", "--socket", str(path), "--read-only")
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.assertIn(str(path), process.stdout.readline())
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        for _ in range(2):
            viewer = rfb.connect(path, rfb.ZRLE, rfb.DESKTOP_SIZE)
            viewer.wait(lambda: viewer.pixels == self.pattern(320, 200))
            viewer.close()
        process.terminate()
        process.wait()
        self.assertFalse(path.exists())
        path.write_text("")
        self.refused(USAGE, "view", "vm", "--socket", path, says="in use")
        self.assertIn("RFB 003.008\n", self.ok("view", "vm", "--socket=-", stdin="no viewer\n  "))

    def test_another_daemon(self):
        """Its viewers come anew; those of the one before have gone with it."""
        viewer = self.open(rfb.ZRLE, rfb.DESKTOP_SIZE)
        viewer.wait(lambda: viewer.pixels == self.pattern(320, 200))
        self.kill_vmms()
        with self.assertRaises((EOFError, ConnectionError)):
            while True:
                viewer.update()
        self.start_vmms()
        self.wait_state("running")
        viewer = self.open(rfb.ZRLE, rfb.DESKTOP_SIZE)
        viewer.wait(lambda: viewer.pixels == self.pattern(320, 200))


if __name__ == "__main__":
    main()
