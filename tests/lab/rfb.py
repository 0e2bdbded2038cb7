# SPDX-License-Identifier: LGPL-2.1-or-later
"""A viewer that speaks RFB 3.8 over a socket, for tests: it keeps the picture, pixel for pixel."""

import socket
import struct
import time
import zlib

RAW, COPY, ZRLE = 0, 1, 16
DESKTOP_SIZE, CURSOR, EXTENDED_KEY, EXTENDED_SIZE = -223, -239, -258, -308
FENCE, CONTINUOUS, ALPHA_CURSOR = -312, -313, -314
TIMEOUT = 60  # seconds


class Viewer:
    """pixels: a list of rows, each a list of 0xRRGGBB."""

    def __init__(self, connection, *encodings):
        self.socket = connection
        self.socket.settimeout(TIMEOUT)
        self.inflate = zlib.decompressobj()
        self.sizes, self.fences, self.cursor, self.ended, self.takes_keys = [], [], None, 0, False
        assert self.read(12) == b"RFB 003.008\n"
        self.send(b"RFB 003.008\n")
        assert self.read(self.read(1)[0]) == b"\1"
        self.send(b"\1")
        assert self.read(4) == bytes(4)
        self.send(b"\1")
        width, height = self.unpack(">HH")
        # 32 bits, 24 of them used, little-endian, true colour.
        assert self.unpack(">BBBBHHHBBB3x") == (32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
        self.name = self.read(self.unpack(">I")[0]).decode()
        self.resize(width, height)
        self.send(struct.pack(">BxH", 2, len(encodings)) + b"".join(struct.pack(">i", e) for e in encodings))

    def close(self):
        self.socket.close()

    def resize(self, width, height):
        self.width, self.height = width, height
        self.pixels = [[0] * width for _ in range(height)]

    # Bytes.

    def send(self, data):
        self.socket.sendall(data)

    def read(self, size):
        parts = []
        while size > 0:
            parts.append(self.socket.recv(min(size, 1 << 20)))
            if not parts[-1]:
                raise EOFError("the connection has ended")
            size -= len(parts[-1])
        return b"".join(parts)

    def unpack(self, form):
        return struct.unpack(form, self.read(struct.calcsize(form)))

    # What it says.

    def request(self, incremental=True):
        self.send(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def key(self, keysym, down):
        self.send(struct.pack(">BBxxI", 4, down, keysym))

    def scan_code(self, code, down, keysym=0):
        self.send(struct.pack(">BBHII", 255, 0, down, keysym, code))

    def type(self, *keysyms):
        for keysym in keysyms:
            self.key(keysym, True)
            self.key(keysym, False)

    def point(self, x, y, buttons=0):
        self.send(struct.pack(">BBHH", 5, buttons, x, y))

    def fence(self, payload, flags=0x80000001):
        self.send(struct.pack(">BxxxIB", 248, flags, len(payload)) + payload)

    def continuous(self, enable):
        self.send(struct.pack(">BBHHHH", 150, enable, 0, 0, self.width, self.height))

    def resize_guest(self, width, height):
        self.send(struct.pack(">BxHHBx", 251, width, height, 1) + struct.pack(">IHHHHI", 1, 0, 0, width, height, 0))

    # What it is told.

    def message(self):
        """Takes one; its type."""
        kind = self.read(1)[0]
        if kind == 0:
            _, count = self.unpack(">BH")
            for _ in range(count):
                self.rectangle(*self.unpack(">HHHHi"))
        elif kind == 150:
            self.ended += 1
        elif kind == 248:
            flags, size = self.unpack(">3xIB")
            self.fences.append((flags, self.read(size)))
        else:
            raise AssertionError(f"a message {kind}")
        return kind

    def update(self, incremental=True):
        """Asks for an update, and takes it."""
        self.request(incremental)
        while self.message() != 0:
            pass

    def wait(self, condition, timeout=TIMEOUT):
        """Asks for updates until the condition is true."""
        deadline = time.monotonic() + timeout
        while not condition():
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            self.update()
        self.socket.settimeout(TIMEOUT)

    def rectangle(self, x, y, width, height, encoding):
        if encoding == RAW:
            row = struct.Struct(f"<{width}I")
            self.put(x, y, width, [pixel & 0xffffff for line in range(height) for pixel in
                                   row.unpack(self.read(row.size))])
        elif encoding == ZRLE:
            self.zrle(x, y, width, height)
        elif encoding == DESKTOP_SIZE:
            self.sizes.append((width, height))
            self.resize(width, height)
        elif encoding == EXTENDED_SIZE:
            self.read(16 * self.unpack(">B3x")[0])
            self.sizes.append((x, y, width, height))
            if y == 0 and (width, height) != (self.width, self.height):
                self.resize(width, height)
        elif encoding == EXTENDED_KEY:
            self.takes_keys = True
        elif encoding == CURSOR:
            self.cursor = width, height, x, y, self.read(width * height * 4 + (width + 7) // 8 * height)
        elif encoding == ALPHA_CURSOR:
            self.cursor = width, height, x, y, self.read(4 + width * height * 4)
        else:
            raise AssertionError(f"an encoding {encoding}")

    def put(self, x, y, width, pixels):
        for line in range(len(pixels) // width if width else 0):
            self.pixels[y + line][x:x + width] = pixels[line * width:(line + 1) * width]

    # ZRLE.

    def zrle(self, x, y, width, height):
        stream = Tiles(self.inflate.decompress(self.read(self.unpack(">I")[0])))
        for top in range(0, height, 64):
            for left in range(0, width, 64):
                size = min(64, width - left), min(64, height - top)
                self.put(x + left, y + top, size[0], stream.tile(*size))
        assert stream.at == len(stream.data), "there is more than tiles"


class Tiles:
    def __init__(self, data):
        self.data, self.at = data, 0

    def byte(self):
        self.at += 1
        return self.data[self.at - 1]

    def pixel(self):
        self.at += 3
        return int.from_bytes(self.data[self.at - 3:self.at], "little")

    def length(self):
        total = 1
        while True:
            byte = self.byte()
            total += byte
            if byte != 255:
                return total

    def tile(self, width, height):
        kind, count, pixels = self.byte(), width * height, []
        if kind == 0:
            return [self.pixel() for _ in range(count)]
        if kind == 1:
            return [self.pixel()] * count
        if kind <= 16:
            return self.packed([self.pixel() for _ in range(kind)], width, height)
        assert kind == 128 or kind >= 130, kind
        palette = [self.pixel() for _ in range(kind - 128)]
        while len(pixels) < count:
            if not palette:
                pixels += [self.pixel()] * self.length()
                continue
            index = self.byte()
            pixels += [palette[index & 127]] * (self.length() if index & 128 else 1)
        assert len(pixels) == count
        return pixels

    def packed(self, palette, width, height):
        bits = 1 if len(palette) == 2 else 2 if len(palette) <= 4 else 4
        pixels = []
        for _ in range(height):
            row = int.from_bytes(self.data[self.at:self.at + (width * bits + 7) // 8], "big")
            size = (width * bits + 7) // 8
            self.at += size
            pixels += [palette[row >> (size * 8 - bits * (x + 1)) & (1 << bits) - 1] for x in range(width)]
        return pixels


def connect(path, *encodings):
    """A viewer at a Unix socket."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(TIMEOUT)
    connection.connect(str(path))
    return Viewer(connection, *encodings)
