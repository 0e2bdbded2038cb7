# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hyper-V sockets of stock guests, by their own hv_sock, and the agent of the package vmms-guest."""

import hashlib
import os
import socket
import subprocess
import threading

from harness import BIN, SCRATCH, Daemon, Guest, check, check_data

SIZE = 8 << 20
TIMEOUT = 120  # seconds; a lab host is emulated

# AF_VSOCK without a program that knows it: "echo PORT" sends back what comes, "count PORT" says how much
# came when all has, "connect CID PORT" is a client between standard input and output.
VSOCK = r"""
cat >/run/vsock.pl <<'END'
use Socket;
sub place { pack("SSLLx4", 40, 0, $_[1], $_[0]) }
sub pass { my ($from, $to) = @_; my $n = 0;
	while (my $size = sysread($from, my $bytes, 65536)) {
		$n += $size;
		for (my $done = 0; $to && $done < $size;) {
			my $written = syswrite($to, $bytes, $size - $done, $done);
			defined $written or exit 1;
			$done += $written;
		}
	}
	return $n }
my ($mode, @numbers) = @ARGV;
socket(S, 40, SOCK_STREAM, 0) or die "socket: $!";
if ($mode eq "connect") {
	connect(S, place(@numbers)) or die "connect: $!";
	if (!fork()) { pass(\*STDIN, \*S); shutdown(S, 1); exit }
	pass(\*S, \*STDOUT);
	exit }
bind(S, place(0xffffffff, @numbers)) or die "bind: $!";
listen(S, 16) or die "listen: $!";
$SIG{CHLD} = "IGNORE";
while (accept(C, S)) {
	if (fork()) { close(C); next }
	if ($mode eq "echo") { pass(\*C, \*C) } else { syswrite(C, pass(\*C) . "\n") }
	shutdown(C, 1);
	exit }
END
vsock() { perl /run/vsock.pl "$@"; }
"""

LISTEN = VSOCK + """
for words in "echo 5000" "count 5001"; do vsock $words </dev/null >/dev/null 2>&1 & done
"""

# As systemd's socket unit of the package starts it: with a connection as standard input.
AGENT = """
head -c %d "$(lun 1)" >/run/agent && chmod +x /run/agent
systemd-socket-activate --accept --inetd --listen=vsock::1021 /run/agent >/dev/null 2>&1 &
"""


def path_of(daemon, port=None):
    suffix = "" if port is None else f"_{port}"
    folder = daemon.show("guest")["socket_folder"]
    return f"{folder}/vsock{suffix}"


def dial(daemon, port):
    """A connection to a port of the guest, or None where nobody takes it."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(TIMEOUT)
    client.connect(path_of(daemon))
    client.sendall(f"CONNECT {port}\n".encode())
    line = b""
    while not line.endswith(b"\n"):
        byte = client.recv(1)
        if not byte:
            client.close()
            return None
        line += byte
    check(line.startswith(b"OK "), f"{line}")
    return client


def read_all(stream):
    received = bytearray()
    while chunk := stream.recv(1 << 16):
        received += chunk
    return bytes(received)


def sockets(daemon, combination):
    """Connections both ways, with data that are compared, and an end of each direction by itself."""
    guest = Guest(daemon, **combination).boot()
    guest.run(LISTEN)
    Daemon.wait_until(lambda: dial(daemon, 5001) is not None, TIMEOUT, "port 5001")
    content = os.urandom(SIZE)
    # There and back at once; the guest ends after us.
    with dial(daemon, 5000) as stream:
        sender = threading.Thread(
            target=lambda: (stream.sendall(content), stream.shutdown(socket.SHUT_WR)))
        sender.start()
        received = read_all(stream)
        sender.join()
    check_data(received == content, f"{len(received)} bytes of {SIZE} came back, or others")
    # What the guest says after our end.
    with dial(daemon, 5001) as stream:
        stream.sendall(content)
        stream.shutdown(socket.SHUT_WR)
        check(read_all(stream).split() == [str(SIZE).encode()], "not all has come")
    check(dial(daemon, 5999) is None, "somebody is on a port where nobody listens")
    guest_connects(daemon, guest)
    # Sockets come and go; none is left in the guest.
    for _ in range(50):
        with dial(daemon, 5000) as stream:
            stream.sendall(b"x")
            check(stream.recv(1) == b"x", "no answer")
    guest.run("for i in $(seq 60); do [ $(ls -d /sys/bus/vmbus/devices/*facb* 2>/dev/null | wc -l)"
              " = 0 ] && exit; sleep 1; done; ls /sys/bus/vmbus/devices; exit 1", timeout=120)
    faults = guest.run("dmesg --color=never | grep -E 'BUG|WARNING|Call Trace' || true")
    check(not faults, faults)


def guest_connects(daemon, guest):
    content = os.urandom(SIZE)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(TIMEOUT)
        listener.bind(path_of(daemon, 7000))
        listener.listen()
        answers = []

        def serve():
            connection, _ = listener.accept()
            with connection:
                answers.append(read_all(connection))
                connection.sendall(content)

        server = threading.Thread(target=serve)
        server.start()
        said = guest.run("head -c 300000 /dev/zero | perl /run/vsock.pl connect 2 7000 | sha256sum",
                         timeout=300)
        server.join()
    check_data(answers == [bytes(300000)], "the host has not got what the guest sent")
    check_data(said.split()[0] == hashlib.sha256(content).hexdigest(), "the guest has got others")
    refused = guest.run("perl /run/vsock.pl connect 2 7001 </dev/null && echo connected || echo none")
    check("none" in refused, refused)


def agent(daemon, combination):
    """vmctl exec; and a user inside the guest, whom the agent refuses."""
    program = (BIN / "vmms-guest-agent").read_bytes()
    path = SCRATCH / "agent.raw"
    path.write_bytes(program + bytes(-len(program) % 4096))
    guest = Guest(daemon, **combination, disks=[
        {"controller": 0, "lun": 1, "path": str(path), "format": "raw"}]).boot()
    guest.run(AGENT % len(program))

    def run(*words, **more):
        return subprocess.run([BIN / "vmctl", "--address", daemon.address, "exec", "guest", "--",
                               *words], capture_output=True, timeout=TIMEOUT, **more)

    Daemon.wait_until(lambda: run("true").returncode == 0, TIMEOUT, "the agent")
    result = run("sh", "-c", "uname -s; id -u; echo wrong >&2; exit 7")
    check((result.returncode, result.stdout, result.stderr) == (7, b"Linux\n0\n", b"wrong\n"),
          f"{result}")
    content = os.urandom(1 << 20)
    result = run("cat", input=content)
    check_data(result.stdout == content, f"{len(result.stdout)} bytes came back, or others")
    check(run("sh", "-c", "kill -TERM $$").returncode == 128 + 15, "not killed by a signal")
    # By the loopback of AF_VSOCK, where the kernel has it: CID 1.
    said = guest.run(VSOCK + "modprobe vsock_loopback 2>/dev/null || exit 0;"
                     " timeout 20 perl /run/vsock.pl connect 1 1021 </dev/null | tr -d '\\0'; echo")
    check(not said or "the host alone" in said, said)


ALL = [sockets, agent]
