/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the host's network (vmms/network/network_*.c) share: one exchange over rtnetlink.
 */
#pragma once

#include "vmms/network/network_link.h"

#include <netlink/msg.h>
#include <netlink/netlink.h>

struct network {
	struct nl_sock *socket;
};

/* A message of a dump or an answer. Return: 0: go on; else the end of the exchange with that. */
typedef int (*network_message_fn)(void *data, struct nlmsghdr *header);

/* A new request; NULL without memory. header: the family's own, of that size. */
struct nl_msg *network_request(int type, int flags, const void *header, size_t size) MUST_CHECK;

/*
 * Sends a request, which is freed, and takes its answers to the end. message: NULL if failed to
 * make. found: NULL where there is nothing but a confirmation. Return: 0; what `found` returned;
 * -errno of the kernel.
 */
int network_exchange(struct network *network, struct nl_msg *message, network_message_fn found,
		     void *data) MUST_CHECK;
