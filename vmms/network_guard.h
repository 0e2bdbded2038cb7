/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What guests may send into switches: guards against forged MAC addresses, DHCP servers and
 * routers, a limit to bandwidth, and the wall between private switches and the host.
 *
 * One table of nftables, "vmms_PID" of the bridge family, owned by this process: nobody else can
 * change or flush it, and the kernel removes it when the process ends, however it does.
 *
 * Return: 0; -EOPNOTSUPP: the kernel has no nftables for bridges, or refuses; -EINVAL: a name that
 * cannot be an interface's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/definition_network.h"

struct network_guard;

/* Makes the table. */
int network_guard_new(struct network_guard **ret_guard) MUST_CHECK;

/* Removes the table. */
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
