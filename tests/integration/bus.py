# SPDX-License-Identifier: LGPL-2.1-or-later
"""A connection to a message bus, by the D-Bus specification's message protocol.

No library of Debian's Python sends what a hostile client would, nor leaves calls without an answer
for as long as one likes. Values are Python's own: a variant is a pair of signature and value, a
dictionary a list of pairs, a descriptor a number. Descriptors that come are the receiver's to
close.
"""

import array
import os
import select
import socket
import struct
import time

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
(PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SENDER, SIGNATURE,
 FDS) = range(1, 10)
FIXED = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d",
         "h": "I"}
ALIGNMENT = {"s": 4, "o": 4, "g": 1, "v": 1, "a": 4, "(": 8, "{": 8,
             **{code: struct.calcsize(format) for code, format in FIXED.items()}}


def split(signature):
    """The complete types of a signature."""
    types, start, depth = [], 0, 0
    for i, code in enumerate(signature):
        depth += (code in "({") - (code in ")}")
        if depth == 0 and code != "a":
            types.append(signature[start:i + 1])
            start = i + 1
    return types


class Writer:
    def __init__(self):
        self.data, self.fds = bytearray(), []

    def align(self, size):
        self.data += bytes(-len(self.data) % size)

    def string(self, text, format):
        encoded = text.encode()
        self.data += struct.pack(format, len(encoded)) + encoded + b"\0"

    def array(self, type, values):
        self.align(4)
        place = len(self.data)
        self.data += bytes(4)
        self.align(ALIGNMENT[type[0]])
        start = len(self.data)
        for value in values:
            self.value(type, value)
        struct.pack_into("<I", self.data, place, len(self.data) - start)

    def value(self, type, value):
        code = type[0]
        if code in FIXED:
            if code == "h":
                self.fds.append(value)
                value = len(self.fds) - 1
            self.align(ALIGNMENT[code])
            self.data += struct.pack("<" + FIXED[code], value)
        elif code in "so":
            self.align(4)
            self.string(value, "<I")
        elif code == "g":
            self.string(value, "<B")
        elif code == "v":
            self.string(value[0], "<B")
            self.value(*value)
        elif code == "a":
            self.array(type[1:], value)
        else:
            self.align(8)
            self.values(type[1:-1], value)

    def values(self, signature, values):
        for type, value in zip(split(signature), values, strict=True):
            self.value(type, value)


class Reader:
    def __init__(self, data, fds=()):
        self.data, self.fds, self.position = data, fds, 0

    def align(self, size):
        self.position += -self.position % size

    def fixed(self, code):
        self.align(ALIGNMENT[code])
        value, = struct.unpack_from("<" + FIXED[code], self.data, self.position)
        self.position += ALIGNMENT[code]
        return value

    def string(self, length):
        text = self.data[self.position:self.position + length].decode()
        self.position += length + 1
        return text

    def array(self, type):
        size = self.fixed("u")
        self.align(ALIGNMENT[type[0]])
        end, values = self.position + size, []
        while self.position < end:
            values.append(self.value(type))
        return values

    def value(self, type):
        code = type[0]
        if code == "h":
            return self.fds[self.fixed("h")]
        if code in FIXED:
            return self.fixed(code)
        if code in "so":
            return self.string(self.fixed("u"))
        if code == "g":
            return self.string(self.fixed("y"))
        if code == "v":
            signature = self.string(self.fixed("y"))
            return signature, self.value(signature)
        if code == "a":
            return self.array(type[1:])
        self.align(8)
        return self.values(type[1:-1])

    def values(self, signature):
        return tuple(self.value(type) for type in split(signature))


class Refused(Exception):
    """An error that came as an answer."""

    def __init__(self, name, text):
        super().__init__(f"{name}: {text}")
        self.name = name


class Reply:
    """An answer: its values, or the name of its error; and the descriptors that came with it."""

    def __init__(self, kind, fields, body, fds):
        self.error = fields.get(ERROR_NAME) if kind == ERROR else None
        self.values = Reader(body, fds).values(fields.get(SIGNATURE, ""))
        self.fds = fds

    def close(self):
        for fd in self.fds:
            os.close(fd)

    def take(self):
        if self.error:
            self.close()
            raise Refused(self.error, self.values[0] if self.values else "")
        return self.values


class Bus:
    def __init__(self, path, destination):
        self.destination, self.serial, self.replies = destination, 0, {}
        self.received, self.fds = bytearray(), []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.authenticate()
        self.call("/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello",
                  destination="org.freedesktop.DBus")

    def close(self):
        self.socket.close()
        for fd in self.fds:
            os.close(fd)

    def authenticate(self):
        identity = str(os.getuid()).encode().hex().encode()
        for line, answer in (b"\0AUTH EXTERNAL " + identity, b"OK"), (b"NEGOTIATE_UNIX_FD",
                                                                       b"AGREE_UNIX_FD"):
            self.socket.sendall(line + b"\r\n")
            if not self.socket.recv(4096).startswith(answer):
                raise OSError(f"the message bus refuses {line}")
        self.socket.sendall(b"BEGIN\r\n")

    # ---- Sending ----

    def send(self, path, interface, member, signature="", values=(), destination=None):
        """Sends a call. Return: its serial, by which its answer is asked for."""
        body = Writer()
        body.values(signature, values)
        fields = [(PATH, ("o", path)), (MEMBER, ("s", member)),
                  (DESTINATION, ("s", destination or self.destination))]
        if interface:
            fields.append((INTERFACE, ("s", interface)))
        if signature:
            fields.append((SIGNATURE, ("g", signature)))
        if body.fds:
            fields.append((FDS, ("u", len(body.fds))))
        return self.send_message(CALL, fields, body)

    def send_error(self, serial, destination, name):
        """The answer to somebody's call."""
        self.send_message(ERROR, [(REPLY_SERIAL, ("u", serial)), (DESTINATION, ("s", destination)),
                                  (ERROR_NAME, ("s", name))], Writer())

    def send_message(self, kind, fields, body):
        self.serial += 1
        header = Writer()
        header.values("yyyyuua(yv)", (ord("l"), kind, 0, 1, len(body.data), self.serial, fields))
        header.align(8)
        self.send_all(bytes(header.data + body.data), body.fds)
        return self.serial

    def send_all(self, data, fds):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self.socket.sendmsg([data], rights)
        self.socket.sendall(data[sent:])

    # ---- Receiving ----

    def receive(self):
        data, ancillary, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_SPACE(64 * 4),
                                                    socket.MSG_CMSG_CLOEXEC)
        if not data:
            raise OSError("the message bus has hung up")
        self.received += data
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds = array.array("i")
                fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
                self.fds += fds

    def take_message(self):
        """Return: whether there was a whole one."""
        if len(self.received) < 16:
            return False
        kind, size = self.received[1], struct.unpack_from("<I", self.received, 4)[0]
        header_size = 16 + struct.unpack_from("<I", self.received, 12)[0]
        header_size += -header_size % 8
        if len(self.received) < header_size + size:
            return False
        header = Reader(bytes(self.received[:header_size])).values("yyyyuua(yv)")
        body = bytes(self.received[header_size:header_size + size])
        del self.received[:header_size + size]
        fields = {code: value for code, (_, value) in header[6]}
        count = fields.get(FDS, 0)
        fds, self.fds = self.fds[:count], self.fds[count:]
        if kind in (RETURN, ERROR):
            self.replies[fields[REPLY_SERIAL]] = Reply(kind, fields, body, fds)
        elif kind == CALL:
            self.take_call(header[5], fields)
        elif kind == SIGNAL:
            self.take_signal(fields, Reader(body, fds).values(fields.get(SIGNATURE, "")))
        return True

    def take_call(self, serial, fields):
        """What a service does with a call; others get none."""

    def take_signal(self, fields, values):
        """What somebody does who listens."""

    def reply(self, serial, timeout):
        """The answer to that call, or None if there is none in time. Given once."""
        end = time.monotonic() + timeout
        while True:
            while self.take_message():
                pass
            if serial in self.replies:
                return self.replies.pop(serial)
            left = end - time.monotonic()
            if not select.select([self.socket], [], [], max(left, 0))[0]:
                return None
            self.receive()

    def call(self, path, interface, member, signature="", values=(), timeout=60, destination=None):
        """What the call returns. Raises Refused, or TimeoutError."""
        serial = self.send(path, interface, member, signature, values, destination)
        reply = self.reply(serial, timeout)
        if reply is None:
            raise TimeoutError(f"{path} does not answer {member} within {timeout} s")
        return reply.take()
