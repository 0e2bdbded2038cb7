# SPDX-License-Identifier: LGPL-2.1-or-later
"""vmctl on a pseudo-terminal."""

import os
import pty
import select

from rig import VMCTL, ServiceTest, wait_until


class TerminalTest(ServiceTest):
    output = b""

    def open(self, *words):
        self.open_program(VMCTL, "--address", self.address, *words)

    def open_program(self, *words, **environment):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.execvpe(words[0], [str(word) for word in words], {**os.environ, **environment})
        self.addCleanup(os.close, self.master)

    def expect(self, text):
        def found():
            ready, _, _ = select.select([self.master], [], [], 0.1)
            if ready:
                self.output += os.read(self.master, 65536)
            return text in self.output
        wait_until(found, f"{text!r} in {self.output!r}")

    def end(self):
        """Until the process has ended; its exit status."""
        try:
            while chunk := os.read(self.master, 65536):
                self.output += chunk
        except OSError:
            pass  # how a pseudo-terminal says that nobody has it open
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
