/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tells when interfaces of the host have come, gone or changed, by rtnetlink's notifications.
 *
 * What has changed is not read from them: some may be lost, and who is told looks for itself. They
 * come in bursts, with every start of a VM, so that nobody is told of each; and who renames new
 * interfaces, or begins to manage them, has had time for that.
 */
#include "vmms/network/network_monitor.h"

#include "common/base/log.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#define DELAY (500 * UINT64_C(1000)) /* microseconds */

struct network_monitor {
	sd_event *loop;
	struct nl_sock *socket;
	sd_event_source *readable, *timer;
	void (*changed)(void *data);
	void *data;
};

static int monitor_due(sd_event_source *source, uint64_t usec, void *data)
{
	struct network_monitor *monitor = data;

	monitor->timer = sd_event_source_disable_unref(monitor->timer);
	monitor->changed(monitor->data);
	return 0;
}

void network_monitor_again(struct network_monitor *monitor)
{
	if (!monitor->timer &&
	    sd_event_add_time_relative(monitor->loop, &monitor->timer, CLOCK_MONOTONIC, DELAY, 0,
				       monitor_due, monitor) < 0)
		log_error("out of memory");
}

/* Ports of bridges are told of in the bridge's own family, too. */
static int monitor_take_message(struct nl_msg *message, void *data)
{
	const struct ifinfomsg *info = nlmsg_data(nlmsg_hdr(message));

	if (nlmsg_datalen(nlmsg_hdr(message)) >= (int)sizeof(*info) &&
	    info->ifi_family != AF_BRIDGE)
		network_monitor_again(data);
	return NL_OK;
}

static int readable(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct network_monitor *monitor = data;

	/* An error: more than the socket could hold, which is a change, too. */
	if (nl_recvmsgs_default(monitor->socket) < 0)
		network_monitor_again(monitor);
	return 0;
}

static int monitor_open_socket(struct network_monitor *monitor)
{
	int r;

	monitor->socket = nl_socket_alloc();
	if (!monitor->socket)
		return -ENOMEM;
	nl_socket_disable_seq_check(monitor->socket);
	r = nl_socket_modify_cb(monitor->socket, NL_CB_VALID, NL_CB_CUSTOM, monitor_take_message,
				monitor);
	if (r == 0)
		r = nl_connect(monitor->socket, NETLINK_ROUTE);
	if (r == 0)
		r = nl_socket_add_membership(monitor->socket, RTNLGRP_LINK);
	if (r == 0)
		r = nl_socket_set_nonblocking(monitor->socket);
	if (r < 0)
		return r == -NLE_NOMEM ? -ENOMEM : -EPROTONOSUPPORT;
	return sd_event_add_io(monitor->loop, &monitor->readable, nl_socket_get_fd(monitor->socket),
			       EPOLLIN, readable, monitor);
}

int network_monitor_new(sd_event *loop, void (*changed)(void *data), void *data,
			struct network_monitor **ret_monitor)
{
	CLEANUP(network_monitor_freep)
	struct network_monitor *monitor = calloc(1, sizeof(*monitor));
	int r;

	if (!monitor)
		return -ENOMEM;
	monitor->loop = sd_event_ref(loop);
	monitor->changed = changed;
	monitor->data = data;
	r = monitor_open_socket(monitor);
	if (r < 0)
		return r;
	network_monitor_again(monitor);
	*ret_monitor = TAKE_PTR(monitor);
	return 0;
}

void network_monitor_free(struct network_monitor *monitor)
{
	if (!monitor)
		return;
	sd_event_source_disable_unref(monitor->timer);
	sd_event_source_disable_unref(monitor->readable);
	if (monitor->socket)
		nl_socket_free(monitor->socket);
	sd_event_unref(monitor->loop);
	free(monitor);
}
