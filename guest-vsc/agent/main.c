/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmms-guest-agent: runs programs in a guest for the user of the host who has the VM.
 *
 * Started by systemd, once for each connection, which is its standard input. Whoever is at the
 * other end is as good as root here: it has to be the host. A user of the guest's reaches the port
 * as well, by the CID of the guest itself, and is refused. Where it is no Hyper-V socket, but a
 * pair of sockets, it is of whoever has started us.
 */
#include "guest-vsc/agent/session.h"

#include <linux/vm_sockets.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_trusted(int fd)
{
	union {
		struct sockaddr address;
		struct sockaddr_vm vm;
		struct sockaddr_storage storage;
	} peer;
	socklen_t size = sizeof(peer);

	if (getpeername(fd, &peer.address, &size) < 0)
		return false;
	if (peer.address.sa_family == AF_VSOCK)
		return size >= sizeof(peer.vm) && peer.vm.svm_cid == VMADDR_CID_HOST;
	return peer.address.sa_family == AF_UNIX;
}

int main(int argc, char *argv[])
{
	if (argc > 1) {
		fprintf(stderr, "usage: %s, with a connection as standard input\n", argv[0]);
		return 2;
	}
	if (!is_trusted(STDIN_FILENO)) {
		session_refuse(STDIN_FILENO, "the agent of the guest serves the host alone");
		return 1;
	}
	return session_run(STDIN_FILENO);
}
