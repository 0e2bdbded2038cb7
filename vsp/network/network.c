/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network adapter as the worker sees it. */
#include "vsp/network/network.h"

#include "vsp/network/netvsp.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(NETWORK_MAC_SIZE == RNDIS_MAC_SIZE, "one address");
_Static_assert(NETWORK_NAME_MAX == RNDIS_NAME_MAX - 1, "without the NUL");

int network_adapter_new(struct vmbus *bus, const struct network_options *options,
			struct network_adapter **ret_adapter)
{
	struct network_adapter *adapter;
	int r;

	if (options->channel_max < 1 || options->channel_max > NET_QUEUE_MAX)
		return -EINVAL;
	adapter = calloc(1, sizeof(*adapter));
	if (!adapter)
		return -ENOMEM;
	adapter->bus = bus;
	adapter->loop = vmbus_loop(bus);
	adapter->options = *options;
	adapter->options.name = NULL;
	adapter->state = NETVSP_CLOSED;
	adapter->iteration.run = netvsp_iteration;
	list_init(&adapter->iteration.link);
	device_channels_init(&adapter->channels, bus, &netvsp_answer_ops);
	memcpy(adapter->rndis.permanent_mac, options->mac, NETWORK_MAC_SIZE);
	memcpy(adapter->rndis.mac, options->mac, NETWORK_MAC_SIZE);
	strncpy(adapter->rndis.name, options->name, NETWORK_NAME_MAX);
	adapter->rndis.mac_changeable = options->mac_changeable;
	adapter->rndis.mtu = options->mtu;
	adapter->rndis.queue_count = options->channel_max;
	r = netvsp_receive_init(adapter);
	if (r < 0)
		goto error_free;
	r = netvsp_send_init(adapter);
	if (r < 0)
		goto error_receive;
	r = netvsp_channel_new(adapter, 0, &adapter->primary);
	if (r < 0)
		goto error_send;
	*ret_adapter = adapter;
	return 0;

error_send:
	netvsp_send_free(adapter);
error_receive:
	netvsp_receive_free(adapter);
error_free:
	free(adapter);
	return r;
}

void network_adapter_free(struct network_adapter *adapter)
{
	if (!adapter)
		return;
	loop_assert_thread(adapter->loop);
	assert(adapter->channels.in_flight == 0 && adapter->frame_count == 0);
	assert(!adapter->receive_buffer && !adapter->send_buffer);
	if (adapter->backend)
		net_backend_free(adapter->backend);
	loop_deferred_cancel(&adapter->iteration);
	if (adapter->primary) {
		vmbus_channel_free(adapter->primary->base.channel);
		free(adapter->primary);
	}
	netvsp_send_free(adapter);
	netvsp_receive_free(adapter);
	free(adapter);
}

static void network_backend_closed(void *data)
{
	struct network_adapter *adapter = data;

	adapter->closing_backends--;
	netvsp_defer(adapter);
}

/* Below one of the network's own callbacks: it is let go of in an iteration of the loop. */
static void network_ended(void *data)
{
	struct network_adapter *adapter = data;

	adapter->network_ended = true;
	netvsp_defer(adapter);
}

void network_adapter_connect(struct network_adapter *adapter, struct net_backend *backend)
{
	network_adapter_disconnect(adapter);
	adapter->backend = backend;
	backend->ended = network_ended;
	backend->data = adapter;
	netvsp_apply_offloads(adapter);
	netvsp_link_changed(adapter);
	netvsp_defer(adapter);
}

void network_adapter_disconnect(struct network_adapter *adapter)
{
	struct net_backend *backend = TAKE_PTR(adapter->backend);

	if (!backend)
		return;
	adapter->network_ended = false;
	adapter->closing_backends++;
	net_backend_close(backend, network_backend_closed, adapter);
	netvsp_link_changed(adapter);
}

/* ---- Removal ---- */

/*
 * Linux frees a device when every packet that it has sent is completed and every one that it has
 * received is given back, and waits for that without end; but from when it has been told that the
 * device goes, it neither looks at completions nor sends any. So it is told only when nothing is
 * under way: first the link goes down, which makes it stop sending; when all has come back and a
 * while has passed without a packet, the offers go, and what it sends until it has heard of that is
 * still completed. The guest is given half of the time-out for either.
 */
#define REMOVAL_LOOKS 40 /* whether the guest is quiet */

static void removal_wait(struct network_adapter *adapter, uint64_t time_ns)
{
	adapter->removal_timer_runs = true;
	loop_timer_start(adapter->loop, &adapter->removal_timer, time_ns);
}

static void removal_withdraw(struct network_adapter *adapter)
{
	adapter->looks_left = 0;
	netvsp_take_back_sub_channels(adapter, vmbus_channel_withdraw);
	vmbus_channel_withdraw(adapter->primary->base.channel);
	if (!list_empty(&adapter->channels.channels))
		removal_wait(adapter, adapter->timeout_ns / 2);
}

static void removal_force(struct network_adapter *adapter)
{
	if (adapter->primary)
		vmbus_channel_rescind(adapter->primary->base.channel);
	netvsp_take_back_sub_channels(adapter, vmbus_channel_rescind);
}

static uint64_t packets_from_guest(const struct network_adapter *adapter)
{
	uint64_t packets = 0;

	list_for_each (link, &adapter->channels.channels) {
		struct netvsp_channel *channel =
			container_of(link, struct netvsp_channel, base.link);
		struct vmbus_channel_counters counters;

		vmbus_channel_counters(channel->base.channel, &counters);
		packets += counters.packets_in;
	}
	return packets;
}

static void removal_look(struct network_adapter *adapter)
{
	uint64_t packets = packets_from_guest(adapter);
	bool quiet = packets == adapter->packets_seen && adapter->lent_count == 0 &&
		     adapter->channels.in_flight == 0 && list_empty(&adapter->control_waiting);

	adapter->packets_seen = packets;
	if (quiet || --adapter->looks_left == 0 || !adapter->primary->open)
		removal_withdraw(adapter);
	else
		removal_wait(adapter, adapter->timeout_ns / 2 / REMOVAL_LOOKS);
}

static void removal_timer(struct loop_operation *operation, int result, bool more)
{
	struct network_adapter *adapter =
		container_of(operation, struct network_adapter, removal_timer.operation);

	adapter->removal_timer_runs = false;
	if (adapter->looks_left > 0 && adapter->primary)
		removal_look(adapter);
	else
		removal_force(adapter);
	netvsp_defer(adapter);
}

void network_adapter_remove(struct network_adapter *adapter, uint64_t timeout_ns,
			    void (*done)(void *data), void *data)
{
	adapter->removing = true;
	adapter->removed = done;
	adapter->removed_data = data;
	adapter->timeout_ns = timeout_ns;
	adapter->removal_timer.operation.complete = removal_timer;
	network_adapter_disconnect(adapter);
	if (adapter->primary->open) {
		adapter->looks_left = REMOVAL_LOOKS;
		removal_wait(adapter, timeout_ns / 2 / REMOVAL_LOOKS);
	} else {
		removal_withdraw(adapter);
	}
	netvsp_defer(adapter);
}

void netvsp_end_removal(struct network_adapter *adapter)
{
	void (*removed)(void *data) = adapter->removed;
	void *data = adapter->removed_data;

	if (!list_empty(&adapter->channels.channels) || adapter->backend ||
	    adapter->closing_backends)
		return;
	if (adapter->removal_timer_runs) {
		loop_cancel(adapter->loop, &adapter->removal_timer.operation);
		return;
	}
	network_adapter_free(adapter);
	if (removed)
		removed(data);
}

const char *network_adapter_backend(const struct network_adapter *adapter)
{
	return adapter->backend ? adapter->backend->ops->name : "none";
}

struct guid network_adapter_instance(const struct network_adapter *adapter)
{
	return adapter->options.instance;
}

const uint8_t *network_adapter_mac(const struct network_adapter *adapter)
{
	return adapter->rndis.permanent_mac;
}

const uint8_t *network_adapter_current_mac(const struct network_adapter *adapter)
{
	return adapter->rndis.mac;
}

void network_adapter_counters(const struct network_adapter *adapter,
			      struct network_counters *ret_counters)
{
	const struct rndis_counters *rndis = &adapter->rndis.counters;
	struct network_counters counters = {
		.sent_frames = rndis->sent_frames,
		.sent_bytes = rndis->sent_bytes,
		.sent_dropped = rndis->sent_dropped,
		.received_frames = rndis->received_frames,
		.received_bytes = rndis->received_bytes,
		.received_dropped = rndis->received_dropped,
		.refused = rndis->refused,
		.lent = adapter->lent_count,
		.sending = adapter->channels.in_flight,
	};

	list_for_each (link, &adapter->channels.channels) {
		struct netvsp_channel *channel =
			container_of(link, struct netvsp_channel, base.link);

		counters.channels += channel->open;
	}
	*ret_counters = counters;
}
