/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What guests may send into switches: guards against forged MAC addresses, DHCP servers and
 * routers, a limit to bandwidth, and the barrier between private switches and the host.
 *
 * They are in two tables of nftables, of the bridge family. "vmms_PID" is owned by this process: nobody
 * else can change it, or flush it along with a firewall of their own, and the kernel removes it when
 * the process ends. "vmms_kept_HASH" (a hash of the state directory) has no owner: its rules hold while
 * guests run without a daemon, until the next daemon has found them.
 *
 * Beside each there is one of the family "netdev", for what the bridge does not show to rules of
 * its own, and one of the family "inet", for the host's loopback: guests of user-mode networks
 * reach it by their passt(1), which runs as the worker's user.
 *
 * Return: 0; -EOPNOTSUPP: the kernel has no nftables for bridges, or refuses; -EINVAL: a name that
 * cannot be an interface's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/definition/definition.h"

#include <stdbool.h>
#include <sys/types.h>

struct network_guard;

/*
 * Makes the tables, or takes over the one that an earlier daemon of that state directory has left.
 */
int network_guard_new(const char *directory, struct network_guard **ret_guard) MUST_CHECK;

/* Whether there is one that has been left. */
bool network_guard_is_left(const char *directory);

/* Forgets ports whose interfaces have gone while there was no daemon. */
void network_guard_sweep(struct network_guard *guard);

/* Removes the tables; the kept one stays while there are ports in it, as of guests that run on. */
void network_guard_free(struct network_guard *guard);
DEFINE_CLEANUP(struct network_guard *, network_guard_free)

/*
 * Frames that come in through this port of a bridge are as the adapter has it from now on: its MAC
 * address, guards and egress limit. private: and the host neither hears them nor is heard. In one
 * step, also when it replaces what was there before.
 */
int network_guard_set(struct network_guard *guard, const char *port,
		      const struct definition_adapter *adapter, bool private) MUST_CHECK;

/* The port is free again, or gone. */
void network_guard_forget(struct network_guard *guard, const char *port);

/*
 * Whether what processes of this user send to the host's loopback is refused, but for what belongs
 * to a connection that was made to them.
 */
int network_guard_close_loopback(struct network_guard *guard, uid_t user, bool closed) MUST_CHECK;
