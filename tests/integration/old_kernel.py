# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a program as on a Linux before 6.16, which does not know SO_PASSRIGHTS."""

import ctypes
import errno
import os
import struct
import sys

SETSOCKOPT, GETSOCKOPT, SO_PASSRIGHTS = 54, 55, 83
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
LOAD, EQUALS, RETURN = 0x20, 0x15, 0x06
NR, OPTION = 0, 32  # in struct seccomp_data: the number, and the low half of the third argument
ALLOW, ERRNO = 0x7fff0000, 0x00050000


def forget_passrights():
    """For this process, and all that it starts."""
    code = [(LOAD, 0, 0, NR), (EQUALS, 1, 0, SETSOCKOPT), (EQUALS, 0, 3, GETSOCKOPT),
            (LOAD, 0, 0, OPTION), (EQUALS, 0, 1, SO_PASSRIGHTS),
            (RETURN, 0, 0, ERRNO | errno.ENOPROTOOPT), (RETURN, 0, 0, ALLOW)]
    instructions = ctypes.create_string_buffer(
        b"".join(struct.pack("<HBBI", *instruction) for instruction in code))
    program = ctypes.create_string_buffer(
        struct.pack("<HxxxxxxQ", len(code), ctypes.addressof(instructions)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no system call can be taken away")


if __name__ == "__main__":
    forget_passrights()
    os.execv(sys.argv[1], sys.argv[1:])
