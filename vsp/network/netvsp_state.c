/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An adapter that is quiet, and its state as a record.
 *
 * A record: struct netvsp_state; the slots of the receive buffer; completions without room, oldest
 * first by channel; control messages that wait. Frames that wait for the guest are dropped, as a
 * network may; what the network had been given has come back before.
 */
#include "vsp/network/netvsp.h"

#include "common/base/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NETVSP_STATE_VERSION 1

#define NETVSP_STATE_INITIALIZED     0x0001u
#define NETVSP_STATE_RSC_POSSIBLE    0x0002u
#define NETVSP_STATE_RSC_IPV4        0x0004u
#define NETVSP_STATE_RSC_IPV6        0x0008u
#define NETVSP_STATE_RSS             0x0010u
#define NETVSP_STATE_LARGE_IPV4      0x0020u
#define NETVSP_STATE_LARGE_IPV6      0x0040u
#define NETVSP_STATE_TABLE           0x0080u
#define NETVSP_STATE_RECEIVE         0x0100u
#define NETVSP_STATE_RECEIVE_REVOKED 0x0200u
#define NETVSP_STATE_SEND            0x0400u
#define NETVSP_STATE_SEND_REVOKED    0x0800u
#define NETVSP_STATE_FLAGS           0x0fffu

struct netvsp_state_record {
	uint64_t capabilities;
	uint32_t state; /* enum netvsp_state */
	uint32_t version, frame_size, mtu, ndis_version;
	uint32_t flags;           /* NETVSP_STATE_ */
	uint32_t receive, send;   /* GPADL ids */
	uint32_t slot_count;      /* of the receive buffer; 0 without */
	uint32_t pending;         /* NETVSP_PENDING_ */
	uint32_t channels_wanted; /* sub-channels */
	uint32_t channels;        /* bits, by index */
	uint32_t completion_count, control_count;
	uint16_t receive_id, fragment_id;
	uint32_t filter, lookahead, hash_types;
	uint32_t multicast_count, table_size;
	uint16_t table[NDIS_RSS_TABLE_SIZE];
	uint8_t key[NDIS_RSS_KEY_SIZE];
	uint8_t multicast[RNDIS_MULTICAST_MAX][RNDIS_MAC_SIZE];
	uint8_t mac[RNDIS_MAC_SIZE];
	uint8_t checksum[RNDIS_CHECKSUM_COUNT];
	uint8_t reserved[5];
};
_Static_assert(sizeof(struct netvsp_state_record) == 784, "stored format");

struct slot_state {
	uint32_t next;
	uint8_t state; /* enum netvsp_slot_state */
	uint8_t channel;
	uint16_t reserved;
};
_Static_assert(sizeof(struct slot_state) == 8, "stored format");

struct completion_state {
	uint64_t transaction_id;
	uint32_t channel, size, answer_size, datagrams;
	uint8_t answer[40];
};
_Static_assert(sizeof(struct completion_state) == 64, "stored format");
_Static_assert(sizeof(struct nvsp_message) <= 40, "room for any answer");

struct control_state {
	uint32_t size, reserved;
	uint8_t bytes[RNDIS_CONTROL_MAX];
};
_Static_assert(sizeof(struct control_state) == 1032, "stored format");

/* ---- Falling quiet ---- */

static void channel_drop_batch(struct netvsp_channel *channel)
{
	struct network_adapter *adapter = channel->adapter;
	uint32_t slot = channel->batch.first, next;

	for (; channel->batch.range_count > 0; channel->batch.range_count--, slot = next) {
		next = adapter->slots[slot].next;
		netvsp_slot_put(adapter, slot);
	}
	channel->blocked = false;
}

void netvsp_state_settle(struct network_adapter *adapter)
{
	void (*done)(void *data) = adapter->quiet_done;

	if (!done || adapter->buffers_out > 0 || adapter->frame_count > 0 ||
	    adapter->closing_backends > 0)
		return;
	list_for_each (link, &adapter->channels.channels)
		channel_drop_batch(container_of(link, struct netvsp_channel, base.link));
	adapter->quiet_done = NULL;
	adapter->still = true;
	done(adapter->quiet_data);
}

void network_adapter_quiesce(struct network_adapter *adapter, void (*done)(void *data), void *data)
{
	adapter->quiet = true;
	adapter->quiet_done = done;
	adapter->quiet_data = data;
	netvsp_receive_withdraw(adapter);
	netvsp_defer(adapter);
}

void network_adapter_resume(struct network_adapter *adapter)
{
	adapter->quiet = adapter->still = false;
	adapter->quiet_done = NULL;
	if (adapter->restored)
		netvsp_link_changed(adapter);
	adapter->restored = false;
	netvsp_defer(adapter);
}

/* ---- Saving ---- */

static void state_fill(const struct network_adapter *adapter, struct netvsp_state_record *state)
{
	const struct rndis *rndis = &adapter->rndis;

	state->capabilities = adapter->capabilities;
	state->state = adapter->state;
	state->version = adapter->version;
	state->frame_size = adapter->frame_size;
	state->mtu = rndis->mtu;
	state->ndis_version = rndis->ndis_version;
	state->flags = state_flag(rndis->initialized, NETVSP_STATE_INITIALIZED) |
		       state_flag(rndis->rsc_possible, NETVSP_STATE_RSC_POSSIBLE) |
		       state_flag(rndis->rsc_ipv4, NETVSP_STATE_RSC_IPV4) |
		       state_flag(rndis->rsc_ipv6, NETVSP_STATE_RSC_IPV6) |
		       state_flag(rndis->rss, NETVSP_STATE_RSS) |
		       state_flag(rndis->offloads.large_send_ipv4, NETVSP_STATE_LARGE_IPV4) |
		       state_flag(rndis->offloads.large_send_ipv6, NETVSP_STATE_LARGE_IPV6) |
		       state_flag(adapter->table_wanted, NETVSP_STATE_TABLE) |
		       state_flag(adapter->receive_buffer, NETVSP_STATE_RECEIVE) |
		       state_flag(adapter->receive_revoked, NETVSP_STATE_RECEIVE_REVOKED) |
		       state_flag(adapter->send_buffer, NETVSP_STATE_SEND) |
		       state_flag(adapter->send_revoked, NETVSP_STATE_SEND_REVOKED);
	state->pending = adapter->pending;
	state->channels_wanted = adapter->sub_channels_wanted;
	state->receive_id = adapter->receive_id;
	state->fragment_id = adapter->fragment_id;
	state->filter = rndis->filter;
	state->lookahead = rndis->lookahead;
	state->hash_types = rndis->hash_types;
	state->multicast_count = rndis->multicast_count;
	state->table_size = rndis->table_size;
	memcpy(state->table, rndis->table, rndis->table_size * sizeof(state->table[0]));
	memcpy(state->key, rndis->key, sizeof(state->key));
	memcpy(state->multicast, rndis->multicast, rndis->multicast_count * RNDIS_MAC_SIZE);
	memcpy(state->mac, rndis->mac, sizeof(state->mac));
	memcpy(state->checksum, rndis->offloads.checksum, sizeof(state->checksum));
	if (adapter->receive_buffer) {
		state->receive = vmbus_buffer_gpadl(adapter->receive_buffer);
		state->slot_count = adapter->slot_count;
	}
	if (adapter->send_buffer)
		state->send = vmbus_buffer_gpadl(adapter->send_buffer);
	list_for_each (link, &adapter->channels.channels)
		state->channels |=
			1u << container_of(link, struct netvsp_channel, base.link)->base.index;
	list_for_each (link, &adapter->control_waiting)
		state->control_count++;
	state->completion_count = adapter->channels.in_flight;
}

static void save_slots(const struct network_adapter *adapter, uint32_t count,
		       struct state_writer *writer)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct netvsp_slot *slot = &adapter->slots[i];
		struct slot_state state = { .next = NETVSP_SLOT_NONE, .state = slot->state };

		if (slot->state != NETVSP_SLOT_FREE) {
			state.next = slot->next;
			state.channel = slot->channel;
		}
		state_put(writer, &state, sizeof(state));
	}
}

static void save_completions(const struct netvsp_channel *channel, struct state_writer *writer)
{
	list_for_each (link, &channel->base.unsent) {
		const struct netvsp_packet *packet = container_of(link, struct netvsp_packet, link);
		struct completion_state state = {
			.transaction_id = packet->transaction_id,
			.channel = channel->base.index,
			.size = packet->size,
			.answer_size = packet->answer_size,
			.datagrams = packet->datagrams,
		};

		memcpy(state.answer, &packet->answer,
		       MIN(sizeof(state.answer), sizeof(packet->answer)));
		state_put(writer, &state, sizeof(state));
	}
}

int network_adapter_save(const struct network_adapter *adapter, const char *name,
			 struct state_writer *writer)
{
	struct netvsp_state_record state = { 0 };

	if (adapter->removing || !adapter->still)
		return -EBUSY;
	state_fill(adapter, &state);
	state_begin(writer, name, NETVSP_STATE_VERSION);
	state_put(writer, &state, sizeof(state));
	save_slots(adapter, state.slot_count, writer);
	for (unsigned i = 0; i < NET_QUEUE_MAX; i++)
		if (adapter->by_index[i])
			save_completions(adapter->by_index[i], writer);
	list_for_each (link, &adapter->control_waiting) {
		const struct netvsp_control *control =
			container_of(link, struct netvsp_control, link);
		struct control_state control_state = { .size = (uint32_t)control->size };

		memcpy(control_state.bytes, control->bytes, control->size);
		state_put(writer, &control_state, sizeof(control_state));
	}
	state_end(writer);
	return 0;
}

/* ---- Restoring ---- */

static bool version_is_known(const struct netvsp_state_record *state)
{
	switch (state->version) {
	case NVSP_VERSION_1:
	case NVSP_VERSION_2:
	case NVSP_VERSION_4:
	case NVSP_VERSION_5:
	case NVSP_VERSION_6:
	case NVSP_VERSION_6_1:
		return true;
	default:
		return state->version == 0 && state->state != NETVSP_VERSIONED;
	}
}

static bool rndis_state_is_valid(const struct network_adapter *adapter,
				 const struct netvsp_state_record *state)
{
	bool table = state->table_size == NDIS_RSS_TABLE_SIZE;

	if (state->multicast_count > RNDIS_MULTICAST_MAX || (state->table_size && !table) ||
	    ((state->flags & NETVSP_STATE_RSS) && !table))
		return false;
	for (unsigned i = 0; i < state->table_size; i++)
		if (state->table[i] >= adapter->rndis.queue_count)
			return false;
	for (unsigned i = 0; i < RNDIS_CHECKSUM_COUNT; i++)
		if (state->checksum[i] > RNDIS_OFFLOAD_BOTH)
			return false;
	return true;
}

static bool state_is_valid(const struct network_adapter *adapter,
			   const struct netvsp_state_record *state)
{
	uint32_t buffers = NETVSP_STATE_RECEIVE | NETVSP_STATE_SEND;
	bool open = vmbus_channel_is_open(adapter->primary->base.channel);

	if (state->state != NETVSP_CLOSED && state->state != NETVSP_OPENED &&
	    state->state != NETVSP_VERSIONED)
		return false;
	return (state->state != NETVSP_CLOSED) == open && version_is_known(state) &&
	       !(state->flags & ~NETVSP_STATE_FLAGS) &&
	       (state->state == NETVSP_VERSIONED || !(state->flags & buffers)) &&
	       ((state->flags & NETVSP_STATE_RECEIVE) ||
		!(state->flags & NETVSP_STATE_RECEIVE_REVOKED)) &&
	       ((state->flags & NETVSP_STATE_SEND) ||
		!(state->flags & NETVSP_STATE_SEND_REVOKED)) &&
	       state->frame_size <= NETVSP_MTU_MAX + NET_ETHERNET_SIZE &&
	       state->mtu <= NETVSP_MTU_MAX &&
	       !(state->pending & ~(NETVSP_PENDING_LINK | NETVSP_PENDING_OFFLOADS)) &&
	       state->channels_wanted < MAX(adapter->options.channel_max, 1u) &&
	       (state->channels & 1) && !(state->channels >> adapter->options.channel_max) &&
	       state->completion_count <= NETVSP_PACKET_MAX &&
	       state->control_count <= NETVSP_CONTROL_MAX && rndis_state_is_valid(adapter, state);
}

static void take_state(struct network_adapter *adapter, const struct netvsp_state_record *state)
{
	struct rndis *rndis = &adapter->rndis;
	uint32_t flags = state->flags;

	adapter->capabilities = state->capabilities;
	adapter->state = (enum netvsp_state)state->state;
	adapter->version = state->version;
	adapter->frame_size = state->frame_size;
	adapter->pending = state->pending;
	adapter->sub_channels_wanted = state->channels_wanted;
	adapter->table_wanted = flags & NETVSP_STATE_TABLE;
	adapter->receive_id = state->receive_id;
	adapter->fragment_id = state->fragment_id;
	rndis->mtu = state->mtu;
	rndis->ndis_version = state->ndis_version;
	rndis->initialized = flags & NETVSP_STATE_INITIALIZED;
	rndis->rsc_possible = flags & NETVSP_STATE_RSC_POSSIBLE;
	rndis->rsc_ipv4 = flags & NETVSP_STATE_RSC_IPV4;
	rndis->rsc_ipv6 = flags & NETVSP_STATE_RSC_IPV6;
	rndis->rss = flags & NETVSP_STATE_RSS;
	rndis->offloads.large_send_ipv4 = flags & NETVSP_STATE_LARGE_IPV4;
	rndis->offloads.large_send_ipv6 = flags & NETVSP_STATE_LARGE_IPV6;
	rndis->filter = state->filter;
	rndis->lookahead = state->lookahead;
	rndis->hash_types = state->hash_types;
	rndis->multicast_count = state->multicast_count;
	rndis->table_size = state->table_size;
	memcpy(rndis->table, state->table, sizeof(rndis->table));
	memcpy(rndis->key, state->key, sizeof(rndis->key));
	memcpy(rndis->multicast, state->multicast, sizeof(rndis->multicast));
	memcpy(rndis->mac, state->mac, sizeof(rndis->mac));
	memcpy(rndis->offloads.checksum, state->checksum, sizeof(state->checksum));
	if (rndis->rss)
		net_toeplitz_init(adapter->toeplitz, rndis->key);
}

static int restore_channels(struct network_adapter *adapter, uint32_t channels)
{
	struct netvsp_channel *channel;
	int r = 0;

	for (unsigned i = 1; r == 0 && i < adapter->options.channel_max; i++)
		if (channels & 1u << i && !adapter->by_index[i])
			r = netvsp_channel_new(adapter, i, &channel);
	for (unsigned i = 0; r == 0 && i < adapter->options.channel_max; i++)
		if (adapter->by_index[i])
			adapter->by_index[i]->open =
				vmbus_channel_is_open(adapter->by_index[i]->base.channel);
	return r;
}

/* A packet's slots, from its first on; each is counted once, so that no two packets share one. */
static bool chain_is_valid(struct network_adapter *adapter, uint32_t first, uint32_t *counted)
{
	const struct netvsp_slot *slots = adapter->slots;
	uint32_t slot = slots[first].next, count = 1;

	for (; slot != NETVSP_SLOT_NONE; slot = slots[slot].next, count++)
		if (slot >= adapter->slot_count || slots[slot].state != NETVSP_SLOT_LENT ||
		    slots[slot].channel != slots[first].channel || count == NETVSP_BATCH_MAX)
			return false;
	*counted += count;
	return true;
}

/* No slot is the next of two, and none of the guest's is outside of a packet. */
static bool slots_are_valid(struct network_adapter *adapter)
{
	uint8_t *followed = calloc(adapter->slot_count, 1);
	uint32_t counted = 0;
	bool valid = followed;

	for (uint32_t i = 0; valid && i < adapter->slot_count; i++) {
		uint32_t next = adapter->slots[i].next;

		if (adapter->slots[i].state == NETVSP_SLOT_FREE || next == NETVSP_SLOT_NONE)
			continue;
		valid = next < adapter->slot_count && !followed[next];
		if (valid)
			followed[next] = 1;
	}
	for (uint32_t i = 0; valid && i < adapter->slot_count; i++)
		if (adapter->slots[i].state == NETVSP_SLOT_FIRST)
			valid = chain_is_valid(adapter, i, &counted);
	free(followed);
	return valid && counted == adapter->lent_count;
}

static int restore_slots(struct network_adapter *adapter, struct state_record *record)
{
	struct slot_state state;

	adapter->free_slot = NETVSP_SLOT_NONE;
	adapter->free_count = adapter->lent_count = 0;
	for (uint32_t i = 0; i < adapter->slot_count; i++) {
		if (state_get(record, &state, sizeof(state)) ||
		    (state.state != NETVSP_SLOT_FREE && state.state != NETVSP_SLOT_FIRST &&
		     state.state != NETVSP_SLOT_LENT) ||
		    state.channel >= NET_QUEUE_MAX)
			return STATE_E_INVALID;
		adapter->slots[i] = (struct netvsp_slot){ state.next, state.state, state.channel };
		adapter->lent_count += state.state != NETVSP_SLOT_FREE;
	}
	if (!slots_are_valid(adapter))
		return STATE_E_INVALID;
	for (uint32_t slot = adapter->slot_count; slot > 0; slot--)
		if (adapter->slots[slot - 1].state == NETVSP_SLOT_FREE)
			netvsp_slot_put(adapter, slot - 1);
	return 0;
}

static int restore_buffers(struct network_adapter *adapter, struct state_record *record,
			   const struct netvsp_state_record *state)
{
	int r = 0;

	if (state->flags & NETVSP_STATE_SEND) {
		if (netvsp_send_start(adapter, state->send) != NVSP_STATUS_SUCCESS)
			return STATE_E_INVALID;
		adapter->send_revoked = state->flags & NETVSP_STATE_SEND_REVOKED;
	}
	if (!(state->flags & NETVSP_STATE_RECEIVE))
		return state->slot_count == 0 ? 0 : STATE_E_INVALID;
	if (netvsp_receive_start(adapter, state->receive) != NVSP_STATUS_SUCCESS ||
	    adapter->slot_count != state->slot_count)
		return STATE_E_INVALID;
	r = restore_slots(adapter, record);
	adapter->receive_revoked = state->flags & NETVSP_STATE_RECEIVE_REVOKED;
	return r;
}

static int restore_completion(struct network_adapter *adapter, struct state_record *record)
{
	struct vmbus_packet vmbus_packet = { .completion_requested = true };
	struct completion_state state;
	struct netvsp_packet *packet;

	if (state_get(record, &state, sizeof(state)) || state.channel >= NET_QUEUE_MAX ||
	    !adapter->by_index[state.channel] || !adapter->by_index[state.channel]->open ||
	    state.answer_size > sizeof(packet->answer) || state.datagrams > 1 ||
	    list_empty(&adapter->free_packets))
		return STATE_E_INVALID;
	vmbus_packet.transaction_id = state.transaction_id;
	packet = netvsp_packet_take(adapter->by_index[state.channel], &vmbus_packet);
	packet->frames_left = 0;
	packet->datagrams = state.datagrams;
	packet->size = state.size;
	packet->answer_size = state.answer_size;
	memcpy(&packet->answer, state.answer, MIN(sizeof(state.answer), sizeof(packet->answer)));
	list_append(&packet->channel->base.unsent, &packet->link);
	return 0;
}

static int restore_control(struct network_adapter *adapter, struct state_record *record)
{
	struct netvsp_control *control = netvsp_control_take(adapter);
	struct control_state state;

	if (!control)
		return STATE_E_INVALID;
	if (state_get(record, &state, sizeof(state)) || state.size > sizeof(control->bytes)) {
		netvsp_control_free(adapter, control);
		return STATE_E_INVALID;
	}
	control->size = state.size;
	memcpy(control->bytes, state.bytes, state.size);
	netvsp_control_send(adapter, control);
	return 0;
}

static int restore_lists(struct network_adapter *adapter, struct state_record *record,
			 const struct netvsp_state_record *state)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < state->completion_count; i++)
		r = restore_completion(adapter, record);
	for (uint32_t i = 0; r == 0 && i < state->control_count; i++)
		r = restore_control(adapter, record);
	return r ? r : record->left == 0 ? 0 : STATE_E_INVALID;
}

int network_adapter_restore(struct network_adapter *adapter, const char *name,
			    const struct state_reader *reader)
{
	struct netvsp_state_record state;
	struct state_record record;
	int r;

	r = state_open(reader, name, NETVSP_STATE_VERSION, &state, sizeof(state), &record);
	if (r)
		return r;
	if (adapter->restored || !state_is_valid(adapter, &state))
		return STATE_E_INVALID;
	adapter->quiet = adapter->still = adapter->restored = true;
	take_state(adapter, &state);
	r = restore_channels(adapter, state.channels);
	if (r == 0)
		r = restore_buffers(adapter, &record, &state);
	if (r == 0)
		r = restore_lists(adapter, &record, &state);
	netvsp_apply_offloads(adapter);
	return r;
}
