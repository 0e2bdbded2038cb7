# SPDX-License-Identifier: LGPL-2.1-or-later
"""A file system whose server works until it is to be hostile: then it never answers some requests.

FUSE, spoken by a thread of the test's. Whoever closes a file of it, or ends with one open, asks for
FLUSH in that process; and whoever closes the last descriptor of a file that has been written to
waits for WRITE, if the server keeps pages for later (`writeback`). A request that is not answered
holds its process up for good, in a state in which even SIGKILL does nothing, until hang_up().
"""

import ctypes
import os
import stat
import struct
import threading

libc = ctypes.CDLL(None, use_errno=True)

LOOKUP, GETATTR, SETATTR, OPEN, READ, WRITE, STATFS, RELEASE, FLUSH, INIT = (
    1, 3, 4, 14, 15, 16, 17, 18, 25, 26)
UNANSWERED = {2, 36, 42}  # FORGET, INTERRUPT, BATCH_FORGET
ENOENT, ENOSYS = 2, 38
WRITEBACK_CACHE = 1 << 16
ROOT = 1


class HostileFileSystem:
    """files: what is in them, by name. is_victim: whether a process is to be held up."""

    def __init__(self, mountpoint, files, is_victim, silent=(FLUSH,), writeback=False):
        self.names = list(files)
        self.contents = [bytearray(content) for content in files.values()]
        self.is_victim, self.silent, self.writeback = is_victim, set(silent), writeback
        self.held_up = set()  # processes whose requests are not answered
        self.mountpoint = mountpoint
        self.device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = (f"fd={self.device},rootmode=40000,user_id={os.getuid()},"
                   f"group_id={os.getgid()},allow_other")
        if libc.mount(b"hostile", bytes(mountpoint), b"fuse", 0, options.encode()) != 0:
            error = ctypes.get_errno()
            os.close(self.device)
            raise OSError(error, os.strerror(error))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def hang_up(self):
        """Whoever waits gets an error."""
        if self.device < 0:
            return
        libc.umount2(bytes(self.mountpoint), 1 | 2)  # MNT_FORCE: requests are ended; MNT_DETACH
        self.thread.join()
        os.close(self.device)
        self.device = -1

    def path(self, name):
        return self.mountpoint / name

    # ---- Requests ----

    def serve(self):
        while True:
            try:
                request = os.read(self.device, 1 << 20)
            except InterruptedError:
                continue
            except OSError:
                return  # ENODEV: it was unmounted
            _, opcode, unique, node, _, _, pid, _, _ = struct.unpack_from("<IIQQIIIHH", request)
            if opcode in UNANSWERED:
                continue
            if opcode in self.silent and self.is_victim(pid):
                self.held_up.add(pid)
                continue
            error, body = self.answer(opcode, node, request[40:])
            try:
                os.write(self.device, struct.pack("<IiQ", 16 + len(body), -error, unique) + body)
            except OSError:
                pass  # nobody waits for it any more

    def answer(self, opcode, node, body):
        if opcode == INIT:
            flags = WRITEBACK_CACHE if self.writeback else 0
            return 0, struct.pack("<IIIIHHIIHHI28x", 7, 31, 1 << 16, flags, 12, 9, 1 << 16, 1, 0, 0,
                                  0)
        if opcode == LOOKUP:
            name = body.rstrip(b"\0").decode()
            if name not in self.names:
                return ENOENT, b""
            node = ROOT + 1 + self.names.index(name)
            seconds = 0 if LOOKUP in self.silent else 3600  # else it is asked for once
            return (0, struct.pack("<QQQQII", node, 0, seconds, seconds, 0, 0) +
                    self.attributes(node))
        if opcode in (GETATTR, SETATTR):
            return 0, struct.pack("<QII", 3600, 0, 0) + self.attributes(node)
        if opcode == STATFS:
            return 0, struct.pack("<QQQQQIII28x", 1 << 20, 1 << 19, 1 << 19, 9, 9, 4096, 255, 4096)
        if opcode == OPEN:
            return 0, struct.pack("<QII", 0, 0, 0)
        if opcode == READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            return 0, bytes(self.contents[node - ROOT - 1][offset:offset + size])
        if opcode == WRITE:
            _, offset, size = struct.unpack_from("<QQI", body)
            self.contents[node - ROOT - 1][offset:offset + size] = body[40:40 + size]
            return 0, struct.pack("<II", size, 0)
        return (0, b"") if opcode in (FLUSH, RELEASE) else (ENOSYS, b"")

    def attributes(self, node):
        size = 0 if node == ROOT else len(self.contents[node - ROOT - 1])
        mode = stat.S_IFDIR | 0o755 if node == ROOT else stat.S_IFREG | 0o644
        return struct.pack("<QQQQQQIIIIIIIIII", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1,
                           os.getuid(), os.getgid(), 0, 4096, 0)


def runs(pid, programs):
    """The process is of one of those programs, or ends and cannot be told from one."""
    try:
        return os.readlink(f"/proc/{pid}/exe") in {str(program) for program in programs}
    except OSError:
        return True
