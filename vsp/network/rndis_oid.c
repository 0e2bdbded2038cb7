/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * OIDs: what a guest may ask its adapter, and tell it.
 *
 * One row for each OID; what is not in the table is not supported, and said to be so. A query's
 * value is written to a buffer that has room for the largest; a set checks all of a value before
 * it takes any of it.
 */
#include "vsp/network/rndis_oid.h"

#include <string.h>

#define ETHERNET_SIZE 14
#define LINK_SPEED    UINT64_C(10000000000) /* bits/s */
#define VENDOR_ID     0x00ffffffu           /* no registered vendor's */
#define BUFFER_SPACE  (16u << 20)
#define MAC_OPTIONS                                                                     \
	(NDIS_MAC_COPY_LOOKAHEAD | NDIS_MAC_TRANSFERS_NOT_PEND | NDIS_MAC_NO_LOOPBACK | \
	 NDIS_MAC_8021P_PRIORITY | NDIS_MAC_8021Q_VLAN)

struct oid_row {
	uint32_t oid;
	uint32_t (*query)(struct rndis *rndis, struct oid_query *query);
	uint32_t (*set)(struct rndis *rndis, const uint8_t *value, size_t size);
	uint32_t number; /* what query_number answers */
};

uint32_t oid_answer(struct oid_query *query, const void *value, size_t size)
{
	memcpy(query->value, value, size);
	query->size = size;
	return RNDIS_STATUS_SUCCESS;
}

bool oid_is_within(uint32_t offset, uint32_t length, size_t size)
{
	return offset <= size && length <= size - offset;
}

static uint32_t answer_number(struct oid_query *query, uint32_t number)
{
	return oid_answer(query, &number, sizeof(number));
}

/* A counter has 8 bytes, or 4 where the guest has no room for more. */
static uint32_t answer_counter(struct oid_query *query, uint64_t counter)
{
	uint32_t low = (uint32_t)counter;

	if (query->input_size == sizeof(low))
		return oid_answer(query, &low, sizeof(low));
	return oid_answer(query, &counter, sizeof(counter));
}

/* ---- What the adapter is ---- */

static uint32_t query_frame_size(struct rndis *rndis, struct oid_query *query)
{
	return answer_number(query, rndis->mtu);
}

static uint32_t query_total_size(struct rndis *rndis, struct oid_query *query)
{
	return answer_number(query, rndis->mtu + ETHERNET_SIZE);
}

static uint32_t query_link_speed(struct rndis *rndis, struct oid_query *query)
{
	return answer_number(query, (uint32_t)(LINK_SPEED / 100));
}

static uint32_t query_link_speeds(struct rndis *rndis, struct oid_query *query)
{
	uint64_t speeds[2] = { LINK_SPEED, LINK_SPEED };

	return oid_answer(query, speeds, sizeof(speeds));
}

static uint32_t query_description(struct rndis *rndis, struct oid_query *query)
{
	static const char description[] = "Synthetic network adapter";

	return oid_answer(query, description, sizeof(description));
}

static uint32_t query_friendly_name(struct rndis *rndis, struct oid_query *query)
{
	uint16_t name[RNDIS_FRIENDLY_NAME_SIZE / 2] = { 0 };

	for (size_t i = 0; rndis->name[i] != '\0'; i++)
		name[i] = (uint8_t)rndis->name[i];
	return oid_answer(query, name, sizeof(name));
}

static uint32_t query_connect_status(struct rndis *rndis, struct oid_query *query)
{
	return answer_number(query,
			     rndis->link_up ? NDIS_MEDIA_CONNECTED : NDIS_MEDIA_DISCONNECTED);
}

static uint32_t query_link_state(struct rndis *rndis, struct oid_query *query)
{
	struct {
		struct ndis_header header;
		uint32_t connected; /* 1: connected, 2: not */
		uint32_t duplex;    /* 2: full */
		uint32_t padding;
		uint64_t send_speed, receive_speed;
		uint32_t pause, negotiation;
	} state = {
		.header = { NDIS_OBJECT_DEFAULT, 1, sizeof(state) },
		.connected = rndis->link_up ? 1 : 2,
		.duplex = 2,
		.send_speed = LINK_SPEED,
		.receive_speed = LINK_SPEED,
		.pause = 1,
	};

	return oid_answer(query, &state, sizeof(state));
}

static uint32_t query_driver_version(struct rndis *rndis, struct oid_query *query)
{
	uint16_t version =
		(uint16_t)((rndis->ndis_version >> 8 & 0xff00) | (rndis->ndis_version & 0xff));

	return oid_answer(query, &version, sizeof(version));
}

/* ---- Counters ---- */

static uint32_t query_sent(struct rndis *rndis, struct oid_query *query)
{
	return answer_counter(query, rndis->counters.sent_frames);
}

static uint32_t query_received(struct rndis *rndis, struct oid_query *query)
{
	return answer_counter(query, rndis->counters.received_frames);
}

static uint32_t query_sent_bytes(struct rndis *rndis, struct oid_query *query)
{
	return answer_counter(query, rndis->counters.sent_bytes);
}

static uint32_t query_received_bytes(struct rndis *rndis, struct oid_query *query)
{
	return answer_counter(query, rndis->counters.received_bytes);
}

static uint32_t query_sent_dropped(struct rndis *rndis, struct oid_query *query)
{
	return answer_counter(query, rndis->counters.sent_dropped);
}

static uint32_t query_received_dropped(struct rndis *rndis, struct oid_query *query)
{
	return answer_counter(query, rndis->counters.received_dropped);
}

static uint32_t query_no_counter(struct rndis *rndis, struct oid_query *query)
{
	return answer_counter(query, 0);
}

static uint32_t query_statistics(struct rndis *rndis, struct oid_query *query)
{
	struct {
		struct ndis_header header;
		uint32_t supported; /* all that are not 0 below */
		uint64_t in_discards, in_errors, in_octets, in_frames[3];
		uint64_t out_octets, out_frames[3], out_errors, out_discards;
		uint64_t octets[6];
	} statistics = {
		.header = { NDIS_OBJECT_DEFAULT, 1, sizeof(statistics) },
		.supported = 0x00000001 | 0x00000010 | 0x00000040 | 0x00000080 | 0x00000800,
		.in_discards = rndis->counters.received_dropped,
		.in_octets = rndis->counters.received_bytes,
		.in_frames = { rndis->counters.received_frames },
		.out_octets = rndis->counters.sent_bytes,
		.out_frames = { rndis->counters.sent_frames },
		.out_discards = rndis->counters.sent_dropped,
	};

	return oid_answer(query, &statistics, sizeof(statistics));
}

/* ---- Addresses ---- */

static uint32_t query_permanent_address(struct rndis *rndis, struct oid_query *query)
{
	return oid_answer(query, rndis->permanent_mac, sizeof(rndis->permanent_mac));
}

static uint32_t query_current_address(struct rndis *rndis, struct oid_query *query)
{
	return oid_answer(query, rndis->mac, sizeof(rndis->mac));
}

static uint32_t query_filter(struct rndis *rndis, struct oid_query *query)
{
	return answer_number(query, rndis->filter);
}

static uint32_t query_multicast(struct rndis *rndis, struct oid_query *query)
{
	return oid_answer(query, rndis->multicast, rndis->multicast_count * RNDIS_MAC_SIZE);
}

static uint32_t set_filter(struct rndis *rndis, const uint8_t *value, size_t size)
{
	if (size < sizeof(rndis->filter))
		return RNDIS_STATUS_INVALID_LENGTH;
	memcpy(&rndis->filter, value, sizeof(rndis->filter));
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t set_multicast(struct rndis *rndis, const uint8_t *value, size_t size)
{
	if (size % RNDIS_MAC_SIZE != 0)
		return RNDIS_STATUS_INVALID_LENGTH;
	if (size > sizeof(rndis->multicast))
		return RNDIS_STATUS_MULTICAST_FULL;
	memcpy(rndis->multicast, value, size);
	rndis->multicast_count = (unsigned)(size / RNDIS_MAC_SIZE);
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t set_address(struct rndis *rndis, const uint8_t *value, size_t size)
{
	if (size != RNDIS_MAC_SIZE)
		return RNDIS_STATUS_INVALID_LENGTH;
	if (value[0] & 1)
		return RNDIS_STATUS_INVALID_DATA;
	if (!rndis->mac_changeable && memcmp(value, rndis->permanent_mac, RNDIS_MAC_SIZE) != 0)
		return RNDIS_STATUS_FAILURE;
	memcpy(rndis->mac, value, RNDIS_MAC_SIZE);
	return RNDIS_STATUS_SUCCESS;
}

static int hex_digit(uint16_t character)
{
	if (character >= '0' && character <= '9')
		return character - '0';
	character |= 0x20;
	if (character >= 'a' && character <= 'f')
		return character - 'a' + 10;
	return -1;
}

bool oid_is_text(const uint8_t *value, const char *text, uint32_t length)
{
	if (length != 2 * strlen(text))
		return false;
	for (size_t i = 0; text[i] != '\0'; i++)
		if (value[2 * i] != (uint8_t)text[i] || value[2 * i + 1] != 0)
			return false;
	return true;
}

/* Another MAC address, as twelve digits of UTF-16. */
static uint32_t set_network_address(struct rndis *rndis, const uint8_t *digits, uint32_t size)
{
	uint8_t mac[RNDIS_MAC_SIZE];

	if (size != 4 * RNDIS_MAC_SIZE)
		return RNDIS_STATUS_INVALID_DATA;
	for (size_t i = 0; i < RNDIS_MAC_SIZE; i++, digits += 4) {
		int high = hex_digit((uint16_t)(digits[0] | digits[1] << 8));
		int low = hex_digit((uint16_t)(digits[2] | digits[3] << 8));

		if (high < 0 || low < 0)
			return RNDIS_STATUS_INVALID_DATA;
		mac[i] = (uint8_t)(high << 4 | low);
	}
	return set_address(rndis, mac, sizeof(mac));
}

/*
 * What a guest's administrator has set of the adapter. A guest tells all that it has, and as with
 * Hyper-V, what means nothing here does no harm.
 */
static uint32_t set_config_parameter(struct rndis *rndis, const uint8_t *value, size_t size)
{
	const uint8_t *name;
	struct rndis_config_parameter parameter;

	if (size < sizeof(parameter))
		return RNDIS_STATUS_INVALID_LENGTH;
	memcpy(&parameter, value, sizeof(parameter));
	if (!oid_is_within(parameter.name_offset, parameter.name_length, size) ||
	    !oid_is_within(parameter.value_offset, parameter.value_length, size))
		return RNDIS_STATUS_INVALID_LENGTH;
	name = value + parameter.name_offset;
	value += parameter.value_offset;
	if (parameter.type == RNDIS_CONFIG_STRING &&
	    oid_is_text(name, "NetworkAddress", parameter.name_length))
		return set_network_address(rndis, value, parameter.value_length);
	if (parameter.type == RNDIS_CONFIG_STRING && parameter.value_length >= 2)
		rndis_set_offload_keyword(rndis, name, parameter.name_length, value);
	return RNDIS_STATUS_SUCCESS;
}

/* ---- Numbers that are kept for the guest, and nothing else ---- */

static uint32_t set_ignored(struct rndis *rndis, const uint8_t *value, size_t size)
{
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t query_lookahead(struct rndis *rndis, struct oid_query *query)
{
	return answer_number(query, rndis->lookahead ? rndis->lookahead : rndis->mtu);
}

static uint32_t set_lookahead(struct rndis *rndis, const uint8_t *value, size_t size)
{
	if (size < sizeof(rndis->lookahead))
		return RNDIS_STATUS_INVALID_LENGTH;
	memcpy(&rndis->lookahead, value, sizeof(rndis->lookahead));
	return RNDIS_STATUS_SUCCESS;
}

/* ---- The table ---- */

static uint32_t query_supported(struct rndis *rndis, struct oid_query *query);
static uint32_t query_number(struct rndis *rndis, struct oid_query *query);

static const struct oid_row oid_rows[] = {
	{ OID_GEN_SUPPORTED_LIST, .query = query_supported },
	{ OID_GEN_HARDWARE_STATUS, .query = query_number, .number = 0 },
	{ OID_GEN_MEDIA_SUPPORTED, .query = query_number, .number = 0 },
	{ OID_GEN_MEDIA_IN_USE, .query = query_number, .number = 0 },
	{ OID_GEN_MAXIMUM_LOOKAHEAD, .query = query_frame_size },
	{ OID_GEN_MAXIMUM_FRAME_SIZE, .query = query_frame_size },
	{ OID_GEN_LINK_SPEED, .query = query_link_speed },
	{ OID_GEN_MAX_LINK_SPEED, .query = query_link_speeds },
	{ OID_GEN_LINK_STATE, .query = query_link_state },
	{ OID_GEN_TRANSMIT_BUFFER_SPACE, .query = query_number, .number = BUFFER_SPACE },
	{ OID_GEN_RECEIVE_BUFFER_SPACE, .query = query_number, .number = BUFFER_SPACE },
	{ OID_GEN_TRANSMIT_BLOCK_SIZE, .query = query_total_size },
	{ OID_GEN_RECEIVE_BLOCK_SIZE, .query = query_total_size },
	{ OID_GEN_VENDOR_ID, .query = query_number, .number = VENDOR_ID },
	{ OID_GEN_VENDOR_DESCRIPTION, .query = query_description },
	{ OID_GEN_VENDOR_DRIVER_VERSION, .query = query_number, .number = 0x10000 },
	{ OID_GEN_CURRENT_PACKET_FILTER, .query = query_filter, .set = set_filter },
	{ OID_GEN_CURRENT_LOOKAHEAD, .query = query_lookahead, .set = set_lookahead },
	{ OID_GEN_DRIVER_VERSION, .query = query_driver_version },
	{ OID_GEN_MAXIMUM_TOTAL_SIZE, .query = query_total_size },
	{ OID_GEN_PROTOCOL_OPTIONS, .set = set_ignored },
	{ OID_GEN_MAC_OPTIONS, .query = query_number, .number = MAC_OPTIONS },
	{ OID_GEN_MEDIA_CONNECT_STATUS, .query = query_connect_status },
	{ OID_GEN_MAXIMUM_SEND_PACKETS, .query = query_number, .number = 8 },
	{ OID_GEN_NETWORK_LAYER_ADDRESSES, .set = set_ignored },
	{ OID_GEN_RNDIS_CONFIG_PARAMETER, .set = set_config_parameter },
	{ OID_GEN_FRIENDLY_NAME, .query = query_friendly_name },
	{ OID_GEN_STATISTICS, .query = query_statistics },
	{ OID_GEN_XMIT_OK, .query = query_sent },
	{ OID_GEN_RCV_OK, .query = query_received },
	{ OID_GEN_XMIT_ERROR, .query = query_sent_dropped },
	{ OID_GEN_RCV_ERROR, .query = query_no_counter },
	{ OID_GEN_RCV_NO_BUFFER, .query = query_received_dropped },
	{ OID_GEN_BYTES_RCV, .query = query_received_bytes },
	{ OID_GEN_BYTES_XMIT, .query = query_sent_bytes },
	{ OID_GEN_RCV_DISCARDS, .query = query_received_dropped },
	{ OID_GEN_XMIT_DISCARDS, .query = query_sent_dropped },
	{ OID_GEN_RECEIVE_SCALE_CAPABILITIES, .query = rndis_query_rss },
	{ OID_GEN_RECEIVE_SCALE_PARAMETERS, .set = rndis_set_rss },
	{ OID_802_3_PERMANENT_ADDRESS, .query = query_permanent_address },
	{ OID_802_3_CURRENT_ADDRESS, .query = query_current_address, .set = set_address },
	{ OID_802_3_MULTICAST_LIST, .query = query_multicast, .set = set_multicast },
	{ OID_802_3_MAXIMUM_LIST_SIZE, .query = query_number, .number = RNDIS_MULTICAST_MAX },
	{ OID_802_3_MAC_OPTIONS, .query = query_number, .number = 0 },
	{ OID_802_3_RCV_ERROR_ALIGNMENT, .query = query_no_counter },
	{ OID_802_3_XMIT_ONE_COLLISION, .query = query_no_counter },
	{ OID_802_3_XMIT_MORE_COLLISIONS, .query = query_no_counter },
	{ OID_OFFLOAD_ENCAPSULATION, .query = rndis_query_encapsulation,
	  .set = rndis_set_encapsulation },
	{ (uint32_t)OID_TCP_OFFLOAD_CURRENT_CONFIG, .query = rndis_query_current_offload },
	{ (uint32_t)OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES, .query = rndis_query_offload },
	{ (uint32_t)OID_TCP_OFFLOAD_PARAMETERS, .set = rndis_set_offload },
};

static const struct oid_row *oid_find(uint32_t oid)
{
	for (size_t i = 0; i < ARRAY_SIZE(oid_rows); i++)
		if (oid_rows[i].oid == oid)
			return &oid_rows[i];
	return NULL;
}

static uint32_t query_supported(struct rndis *rndis, struct oid_query *query)
{
	uint32_t oids[ARRAY_SIZE(oid_rows)];

	for (size_t i = 0; i < ARRAY_SIZE(oid_rows); i++)
		oids[i] = oid_rows[i].oid;
	return oid_answer(query, oids, sizeof(oids));
}

static uint32_t query_number(struct rndis *rndis, struct oid_query *query)
{
	return answer_number(query, query->number);
}

uint32_t rndis_oid_query(struct rndis *rndis, uint32_t oid, const void *input, size_t input_size,
			 void *value, size_t *ret_size)
{
	const struct oid_row *row = oid_find(oid);
	struct oid_query query = { .input = input, .input_size = input_size, .value = value };
	uint32_t status;

	if (!row || !row->query)
		return RNDIS_STATUS_NOT_SUPPORTED;
	query.number = row->number;
	status = row->query(rndis, &query);
	*ret_size = query.size;
	return status;
}

uint32_t rndis_oid_set(struct rndis *rndis, uint32_t oid, const void *value, size_t size)
{
	const struct oid_row *row = oid_find(oid);

	return row && row->set ? row->set(rndis, value, size) : RNDIS_STATUS_NOT_SUPPORTED;
}
