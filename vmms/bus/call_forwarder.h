/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The process that serves org.vmms1.Files: calls that take or return descriptors.
 *
 * Anybody may attach any descriptor to a message, of a file system too whose owner never answers
 * when it is closed. So such messages come to this process alone, which has no lock and nothing
 * else of the daemon's. It passes on each call over a private bus, whose daemon decides as about
 * any other call, and instead of descriptors one end of a socket (AF_UNIX, SOCK_SEQPACKET), from
 * which whoever the daemon starts for that receives them, one with each message of one byte.
 *
 * It closes nothing that came from the bus: after a message with descriptors it tells the daemon
 * who sent that, and the daemon starts another that takes its name. When its calls are answered it
 * says so, and the daemon, which has closed its ends of the sockets by then, kills it. If it cannot
 * end, because closing one of those files waits, nothing else waits for it. If too many processes of
 * one user's calls hang like that, it is not killed but goes on, with the files open.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/bus/dbus.h"

#define CALL_FORWARDER_PROCESS "vmms-files" /* what ps(1) calls it */

/* Which bus, and our end of the private one. */
struct call_forwarder_config {
	const struct dbus_settings *settings;
	int daemon;
	int ready; /* closed when it has its name, or is at its end */
};

/* What it says (vmms/base/helper.h): one byte, and what follows it. */
#define CALL_FORWARDER_SPENT 's' /* another is to take its name; the sender's on the bus */
#define CALL_FORWARDER_DONE  'd' /* another has its name, and its calls are answered */

#define CALL_FORWARDER_NAME_MAX 255 /* bytes, of D-Bus */

/* Runs as a helper process; data: its configuration. */
void call_forwarder_run(int socket, void *data);
