/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The network protocol: channels, messages, and the negotiation.
 *
 * The guest opens the primary channel, agrees on a version, says how large its frames are, and lays
 * open a receive and a send buffer; what follows is RNDIS, in both directions. It may ask for
 * sub-channels, which carry frames alone and are offered under the same instance. When the guest
 * closes the primary channel or goes, all of it is taken back, and the next guest begins anew.
 *
 * Packets are received until the ring is empty or the pool of packets is. A channel that stopped
 * early is `starved`, and goes on in a later iteration of the loop. An iteration is what this file
 * does once all callbacks of the moment have returned: there frames gathered for the guest are
 * sent, the network is given new buffers, and what ends objects happens.
 */
#include "vsp/network/netvsp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct guid netvsp_type =
	GUID(0xf8615163, 0xdf3e, 0x46c5, 0x91, 0x3f, 0xf2, 0xd2, 0xf9, 0x65, 0xed, 0x0e);

size_t netvsp_message_size(const struct network_adapter *adapter)
{
	return adapter->version >= NVSP_VERSION_6_1 ? NVSP_MESSAGE_SIZE_6_1 : NVSP_MESSAGE_SIZE;
}

/* ---- Messages: each turns the guest's into the answer. Return: whether there is one. ---- */

typedef bool (*netvsp_handler)(struct network_adapter *adapter, struct nvsp_message *message);

/* The answer's body. */
static void message_answer(struct nvsp_message *message, uint32_t type)
{
	*message = (struct nvsp_message){ .type = type };
}

static bool netvsp_init(struct network_adapter *adapter, struct nvsp_message *message)
{
	static const uint32_t versions[] = {
		NVSP_VERSION_6_1, NVSP_VERSION_6, NVSP_VERSION_5,
		NVSP_VERSION_4,   NVSP_VERSION_2, NVSP_VERSION_1,
	};
	uint32_t least = message->init.version_min, most = message->init.version_max;

	message_answer(message, NVSP_INIT_COMPLETE);
	message->init_complete.mdl_chain_max = NETVSP_PAGE_MAX;
	message->init_complete.status = NVSP_STATUS_PROTOCOL_UNSUPPORTED;
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		if (versions[i] < least || versions[i] > most)
			continue;
		adapter->version = versions[i];
		adapter->state = NETVSP_VERSIONED;
		message->init_complete.version = versions[i];
		message->init_complete.status = NVSP_STATUS_SUCCESS;
		break;
	}
	return true;
}

static bool netvsp_ndis_version(struct network_adapter *adapter, struct nvsp_message *message)
{
	adapter->rndis.ndis_version =
		message->ndis_version.major << 16 | (message->ndis_version.minor & 0xffff);
	return false;
}

static bool netvsp_ndis_config(struct network_adapter *adapter, struct nvsp_message *message)
{
	uint32_t frame_size = message->ndis_config.frame_size, mtu;

	/* The slots of the receive buffer are cut to the size that was told before it. */
	if (adapter->receive_buffer)
		return false;
	frame_size = MAX(frame_size, (uint32_t)(NETVSP_MTU_MIN + NET_ETHERNET_SIZE));
	adapter->frame_size = MIN(frame_size, (uint32_t)(NETVSP_MTU_MAX + NET_ETHERNET_SIZE));
	/* What it begins with is ours to say, by RNDIS; Linux takes less than it has from there. */
	mtu = adapter->frame_size - NET_ETHERNET_SIZE;
	if (mtu == NETVSP_MTU_DEFAULT || adapter->frame_size == NETVSP_MTU_DEFAULT)
		mtu = adapter->options.mtu;
	adapter->rndis.mtu = mtu;
	adapter->capabilities = message->ndis_config.capabilities;
	adapter->rndis.rsc_possible = adapter->version >= NVSP_VERSION_6_1 &&
				      (adapter->capabilities & NVSP_CAPABILITY_RSC);
	return false;
}

static bool netvsp_receive_buffer(struct network_adapter *adapter, struct nvsp_message *message)
{
	uint32_t gpadl = message->buffer.gpadl;
	uint16_t id = message->buffer.id;

	message_answer(message, NVSP_SEND_RECEIVE_BUFFER_COMPLETE);
	message->receive_buffer_complete.status = netvsp_receive_start(adapter, gpadl);
	if (message->receive_buffer_complete.status != NVSP_STATUS_SUCCESS)
		return true;
	adapter->receive_id = id;
	message->receive_buffer_complete.section_count = 1;
	message->receive_buffer_complete.slot_size = adapter->slot_size;
	message->receive_buffer_complete.slot_count = adapter->slot_count;
	message->receive_buffer_complete.end_offset = adapter->slot_size * adapter->slot_count;
	return true;
}

static bool netvsp_revoke_receive_buffer(struct network_adapter *adapter,
					 struct nvsp_message *message)
{
	if (!adapter->receive_buffer)
		return false;
	adapter->receive_revoked = true;
	netvsp_receive_withdraw(adapter);
	return false;
}

static bool netvsp_send_buffer(struct network_adapter *adapter, struct nvsp_message *message)
{
	uint32_t gpadl = message->buffer.gpadl;

	message_answer(message, NVSP_SEND_SEND_BUFFER_COMPLETE);
	message->send_buffer_complete.status = netvsp_send_start(adapter, gpadl);
	message->send_buffer_complete.section_size = NETVSP_SECTION_SIZE;
	return true;
}

/* Frames in it that a peer does not read come back, or the guest would wait for that peer. */
static bool netvsp_revoke_send_buffer(struct network_adapter *adapter, struct nvsp_message *message)
{
	if (!adapter->send_buffer)
		return false;
	adapter->send_revoked = true;
	netvsp_receive_withdraw(adapter);
	return false;
}

static bool netvsp_sub_channel(struct network_adapter *adapter, struct nvsp_message *message)
{
	uint32_t operation = message->sub_channel.operation, count = message->sub_channel.count;

	message_answer(message, NVSP_SUB_CHANNEL);
	message->sub_channel_complete.status = NVSP_STATUS_FAIL;
	if (operation != NVSP_SUB_CHANNEL_ALLOCATE || adapter->removing ||
	    adapter->sub_channels_wanted || device_channels_count_subs(&adapter->channels) > 0)
		return true;
	count = MIN(count, adapter->options.channel_max - 1);
	adapter->sub_channels_wanted = count;
	message->sub_channel_complete.status = NVSP_STATUS_SUCCESS;
	message->sub_channel_complete.count = count;
	netvsp_defer(adapter);
	return true;
}

/* There is no other data path than this one. */
static bool netvsp_data_path(struct network_adapter *adapter, struct nvsp_message *message)
{
	return false;
}

/* An OID outside RNDIS, which Windows tries: none is known. */
static bool netvsp_oid_query(struct network_adapter *adapter, struct nvsp_message *message)
{
	message_answer(message, NVSP_OID_QUERY_EX_COMPLETE);
	message->oid_query_ex_complete.status = RNDIS_STATUS_NOT_SUPPORTED;
	return true;
}

static bool netvsp_packet_direct(struct network_adapter *adapter, struct nvsp_message *message)
{
	uint32_t operation = message->packet_direct_complete.operation;

	message_answer(message, NVSP_PACKET_DIRECT);
	message->packet_direct_complete.operation = operation;
	message->packet_direct_complete.status = NVSP_STATUS_PROTOCOL_UNSUPPORTED;
	return true;
}

static const struct netvsp_message_kind {
	uint32_t type;
	uint32_t version; /* from which on it exists */
	size_t body_size; /* at least */
	unsigned states;  /* where it is allowed: enum netvsp_state */
	netvsp_handler handle;
} netvsp_message_kinds[] = {
	{ NVSP_INIT, 0, 8, NETVSP_OPENED, netvsp_init },
	{ NVSP_SEND_NDIS_VERSION, NVSP_VERSION_1, 8, NETVSP_VERSIONED, netvsp_ndis_version },
	{ NVSP_SEND_RECEIVE_BUFFER, NVSP_VERSION_1, 6, NETVSP_VERSIONED, netvsp_receive_buffer },
	{ NVSP_REVOKE_RECEIVE_BUFFER, NVSP_VERSION_1, 2, NETVSP_VERSIONED,
	  netvsp_revoke_receive_buffer },
	{ NVSP_SEND_SEND_BUFFER, NVSP_VERSION_1, 6, NETVSP_VERSIONED, netvsp_send_buffer },
	{ NVSP_REVOKE_SEND_BUFFER, NVSP_VERSION_1, 2, NETVSP_VERSIONED, netvsp_revoke_send_buffer },
	{ NVSP_SEND_NDIS_CONFIG, NVSP_VERSION_2, 16, NETVSP_VERSIONED, netvsp_ndis_config },
	{ NVSP_SWITCH_DATA_PATH, NVSP_VERSION_4, 4, NETVSP_VERSIONED, netvsp_data_path },
	{ NVSP_OID_QUERY_EX, NVSP_VERSION_5, 8, NETVSP_VERSIONED, netvsp_oid_query },
	{ NVSP_SUB_CHANNEL, NVSP_VERSION_5, 8, NETVSP_VERSIONED, netvsp_sub_channel },
	{ NVSP_PACKET_DIRECT, NVSP_VERSION_6, 4, NETVSP_VERSIONED, netvsp_packet_direct },
};

static const struct netvsp_message_kind *netvsp_message_kind(const struct network_adapter *adapter,
							     uint32_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(netvsp_message_kinds); i++)
		if (netvsp_message_kinds[i].type == type &&
		    netvsp_message_kinds[i].version <= adapter->version &&
		    (netvsp_message_kinds[i].states & adapter->state))
			return &netvsp_message_kinds[i];
	return NULL;
}

/*
 * A message that has no answer is completed without one, as Hyper-V does, and so is one that is
 * unknown or comes at the wrong time. There are guests that ask for a completion of all they send,
 * and Linux takes none with a message for its change of the data path.
 */
static void netvsp_dispatch(struct netvsp_channel *channel, const struct vmbus_packet *vmbus_packet,
			    struct nvsp_message *message)
{
	struct network_adapter *adapter = channel->adapter;
	const struct netvsp_message_kind *kind = netvsp_message_kind(adapter, message->type);
	struct netvsp_packet *packet = netvsp_packet_take(channel, vmbus_packet);

	if (!kind || channel != adapter->primary ||
	    vmbus_packet->size < kind->body_size + sizeof(message->type)) {
		adapter->rndis.counters.refused++;
	} else if (kind->handle(adapter, message)) {
		packet->answer = *message;
		packet->answer_size = (uint32_t)netvsp_message_size(adapter);
	}
	netvsp_packet_put(packet);
}

/* ---- Receiving packets ---- */

static void netvsp_receive(struct netvsp_channel *channel, const struct vmbus_packet *packet)
{
	struct nvsp_message message = { 0 };

	memcpy(&message, packet->payload, MIN((size_t)packet->size, sizeof(message)));
	if (packet->type == RING_PACKET_COMPLETION)
		netvsp_receive_returned(channel, packet->transaction_id);
	else if (packet->type != RING_PACKET_INBAND && packet->type != RING_PACKET_GPA_DIRECT)
		channel->adapter->rndis.counters.refused++;
	else if (message.type == NVSP_SEND_RNDIS_PACKET &&
		 channel->adapter->state == NETVSP_VERSIONED)
		netvsp_send_packet(channel, packet, &message);
	else
		netvsp_dispatch(channel, packet, &message);
}

static void netvsp_readable(void *device, struct vmbus_channel *vmbus_channel)
{
	struct netvsp_channel *channel = device;
	struct network_adapter *adapter = channel->adapter;
	struct vmbus_packet packet;

	device_channel_feed(&channel->base);
	for (;;) {
		if (!netvsp_send_has_room(adapter)) {
			device_channel_starve(&channel->base);
			return;
		}
		if (vmbus_channel_receive(vmbus_channel, &packet))
			return;
		netvsp_receive(channel, &packet);
	}
}

static void netvsp_writable(void *device, struct vmbus_channel *vmbus_channel)
{
	struct netvsp_channel *channel = device;

	device_channel_send_unsent(&channel->base);
	channel->blocked = false;
	netvsp_defer(channel->adapter);
}

/* ---- Channels ---- */

static int netvsp_open(void *device, struct vmbus_channel *vmbus_channel, const uint8_t *user_data)
{
	struct netvsp_channel *channel = device;
	struct network_adapter *adapter = channel->adapter;

	channel->open = true;
	channel->blocked = false;
	channel->batch.range_count = 0;
	if (channel != adapter->primary) {
		adapter->table_wanted = true;
		netvsp_defer(adapter);
		return 0;
	}
	adapter->state = NETVSP_OPENED;
	adapter->version = 0;
	adapter->frame_size = NETVSP_MTU_DEFAULT + NET_ETHERNET_SIZE;
	adapter->capabilities = 0;
	adapter->rndis.rsc_possible = false;
	adapter->rndis.mtu = adapter->options.mtu;
	adapter->rndis.ndis_version = 0x60000;
	rndis_reset(&adapter->rndis);
	netvsp_receive_configure(adapter);
	return 0;
}

void netvsp_take_back_sub_channels(struct network_adapter *adapter,
				   void (*take_back)(struct vmbus_channel *channel))
{
	adapter->sub_channels_wanted = 0;
	adapter->table_wanted = false;
	for (unsigned i = 1; i < NET_QUEUE_MAX; i++)
		adapter->by_index[i] = NULL;
	device_channels_take_back(&adapter->channels, take_back);
}

static void netvsp_close_primary(struct network_adapter *adapter)
{
	adapter->state = NETVSP_CLOSED;
	rndis_reset(&adapter->rndis);
	netvsp_receive_configure(adapter);
	adapter->receive_revoked = adapter->receive_buffer != NULL;
	adapter->send_revoked = adapter->send_buffer != NULL;
	netvsp_control_flush(adapter); /* which now means: forget */
	netvsp_receive_withdraw(adapter);
	netvsp_take_back_sub_channels(adapter, vmbus_channel_rescind);
}

static void netvsp_close(void *device, struct vmbus_channel *vmbus_channel)
{
	struct netvsp_channel *channel = device;
	struct network_adapter *adapter = channel->adapter;

	channel->open = false;
	channel->base.closing = true;
	device_channel_feed(&channel->base);
	netvsp_receive_flush(channel);
	device_channel_send_unsent(&channel->base);
	if (channel == adapter->primary)
		netvsp_close_primary(adapter);
	netvsp_defer(adapter);
}

static void netvsp_released(void *device, struct vmbus_channel *vmbus_channel)
{
	struct netvsp_channel *channel = device;
	struct network_adapter *adapter = channel->adapter;

	device_channel_released(&channel->base);
	if (adapter->by_index[channel->base.index] == channel)
		adapter->by_index[channel->base.index] = NULL;
	if (adapter->primary == channel)
		adapter->primary = NULL;
	free(channel);
	netvsp_defer(adapter);
}

static const struct vmbus_channel_ops netvsp_channel_ops = {
	.open = netvsp_open,
	.close = netvsp_close,
	.readable = netvsp_readable,
	.writable = netvsp_writable,
	.released = netvsp_released,
};

int netvsp_channel_new(struct network_adapter *adapter, unsigned index,
		       struct netvsp_channel **ret_channel)
{
	struct vmbus_offer offer = {
		.type = netvsp_type,
		.instance = adapter->options.instance,
		.flags = VMBUS_OFFER_ENUMERATE,
		.sub_channel_index = (uint16_t)index,
	};
	struct netvsp_channel *channel;
	int r;

	snprintf(offer.name, sizeof(offer.name), "network adapter %.40s", adapter->rndis.name);
	channel = calloc(1, sizeof(*channel));
	if (!channel)
		return -ENOMEM;
	channel->adapter = adapter;
	r = device_channel_offer(&adapter->channels, &offer, &netvsp_channel_ops, &channel->base);
	if (r < 0) {
		free(channel);
		return r;
	}
	adapter->by_index[index] = channel;
	*ret_channel = channel;
	return 0;
}

/* ---- Iterations of the loop ---- */

static void netvsp_offer_sub_channels(struct network_adapter *adapter)
{
	struct netvsp_channel *channel;
	unsigned count = adapter->sub_channels_wanted;

	adapter->sub_channels_wanted = 0;
	for (unsigned i = 1; i <= count; i++)
		if (netvsp_channel_new(adapter, i, &channel) < 0)
			return;
}

/* How the guest is to spread its flows: over all channels that are open. */
static void netvsp_send_table(struct network_adapter *adapter)
{
	struct {
		uint8_t message[NVSP_MESSAGE_SIZE_6_1];
		uint32_t table[NVSP_SEND_TABLE_SIZE];
	} buffer = { 0 };
	size_t size = netvsp_message_size(adapter);
	struct nvsp_message message = {
		.type = NVSP_SEND_INDIRECTION_TABLE,
		.indirection_table = { NVSP_SEND_TABLE_SIZE, (uint32_t)size },
	};
	uint32_t table[NVSP_SEND_TABLE_SIZE], count = 1;

	if (!adapter->table_wanted || !adapter->primary->open)
		return;
	while (count < NET_QUEUE_MAX && adapter->by_index[count] && adapter->by_index[count]->open)
		count++;
	for (uint32_t i = 0; i < NVSP_SEND_TABLE_SIZE; i++)
		table[i] = i % count;
	memcpy(&buffer, &message, size);
	memcpy((uint8_t *)&buffer + size, table, sizeof(table));
	if (vmbus_channel_send(adapter->primary->base.channel, RING_PACKET_INBAND, false, 0,
			       &buffer, size + sizeof(table)) != VMBUS_E_FULL)
		adapter->table_wanted = false;
}

static void netvsp_feed(struct network_adapter *adapter)
{
	struct device_channel *channel;

	while ((channel = device_channels_starved(&adapter->channels)) &&
	       netvsp_send_has_room(adapter))
		netvsp_readable(channel, channel->channel);
}

static void netvsp_flush(struct network_adapter *adapter)
{
	netvsp_control_flush(adapter);
	list_for_each (link, &adapter->channels.channels) {
		struct netvsp_channel *channel =
			container_of(link, struct netvsp_channel, base.link);

		if (channel->open && !channel->blocked)
			netvsp_receive_flush(channel);
	}
}

void netvsp_iteration(struct loop_deferred *deferred)
{
	struct network_adapter *adapter = container_of(deferred, struct network_adapter, iteration);
	struct device_channel *channel;

	if (adapter->network_ended) {
		adapter->network_ended = false;
		network_adapter_disconnect(adapter);
		if (adapter->options.ended)
			adapter->options.ended(adapter->options.data);
	}
	if (adapter->state == NETVSP_VERSIONED && !adapter->quiet) {
		netvsp_offer_sub_channels(adapter);
		netvsp_send_table(adapter);
	}
	netvsp_feed(adapter);
	if (!adapter->still)
		netvsp_flush(adapter);
	netvsp_send_settle(adapter);
	netvsp_receive_settle(adapter);
	netvsp_receive_post(adapter);
	netvsp_state_settle(adapter);
	/* All packets lie in memory that the primary one holds, and so do both buffers. */
	channel = device_channels_closed(&adapter->channels,
					 adapter->receive_buffer || adapter->send_buffer);
	if (channel) {
		/* Who hears of the last one may free the adapter. */
		netvsp_defer(adapter);
		channel->closing = false;
		vmbus_channel_closed(channel->channel);
	} else if (adapter->removing) {
		netvsp_end_removal(adapter);
	}
}
