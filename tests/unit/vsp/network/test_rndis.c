/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RNDIS without a channel: settings that guests make, in the forms that their drivers have. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vsp/network/rndis.h"

#include <string.h>

static const uint8_t mac[] = { 0x02, 0x56, 0x4d, 0, 0, 1 };
static struct rndis rndis;

static int setup(void **state)
{
	rndis = (struct rndis){ .name = "nic0",
				.mtu = 1500,
				.queue_count = 4,
				.ndis_version = 0x6001e,
				.rsc_possible = true };
	memcpy(rndis.permanent_mac, mac, sizeof(mac));
	rndis_reset(&rndis);
	rndis.initialized = true;
	rndis.changes = 0;
	return 0;
}

static size_t query(uint32_t oid, void *value)
{
	size_t size = 0;

	assert_int_equal(rndis_oid_query(&rndis, oid, NULL, 0, value, &size), RNDIS_STATUS_SUCCESS);
	return size;
}

static uint32_t query_number(uint32_t oid)
{
	uint32_t number;

	assert_int_equal(query(oid, &number), sizeof(number));
	return number;
}

/* ---- Offloads ---- */

static struct ndis_offload current_config(void)
{
	uint8_t value[RNDIS_CONTROL_MAX];
	struct ndis_offload offload;

	assert_int_equal(query((uint32_t)OID_TCP_OFFLOAD_CURRENT_CONFIG, value), sizeof(offload));
	memcpy(&offload, value, sizeof(offload));
	return offload;
}

static uint32_t set_offloads(const struct ndis_offload_parameters *parameters)
{
	return rndis_oid_set(&rndis, (uint32_t)OID_TCP_OFFLOAD_PARAMETERS, parameters, 26);
}

static void offloads_that_are_set(void **state)
{
	struct ndis_offload_parameters parameters = { .header = { NDIS_OBJECT_DEFAULT, 3, 26 } };
	struct ndis_offload offload = current_config();
	const uint32_t all = NDIS_CHECKSUM_IP_OPTIONS | NDIS_CHECKSUM_TCP_OPTIONS |
			     NDIS_CHECKSUM_TCP | NDIS_CHECKSUM_UDP;

	assert_int_equal(offload.ipv4_send.flags, all | NDIS_CHECKSUM_IP);
	assert_int_equal(offload.ipv6_receive.flags, all);
	assert_int_equal(offload.large_send_v2.ipv4_segments_min, 2);
	assert_int_equal(offload.rsc.ipv4, 0);

	/* No change, but for these. */
	parameters.checksum[RNDIS_CHECKSUM_TCP_IPV4] = 2;
	parameters.checksum[RNDIS_CHECKSUM_TCP_IPV6] = 1;
	parameters.checksum[RNDIS_CHECKSUM_UDP_IPV6] = 1;
	parameters.large_send_v2_ipv6 = NDIS_OFFLOAD_DISABLED;
	parameters.rsc_ipv4 = NDIS_OFFLOAD_ENABLED;
	assert_int_equal(set_offloads(&parameters), RNDIS_STATUS_SUCCESS);
	assert_true(rndis.changes & RNDIS_CHANGED_CURRENT_CONFIG);
	offload = current_config();
	assert_int_equal(offload.ipv4_send.flags, all | NDIS_CHECKSUM_IP);
	assert_int_equal(offload.ipv4_receive.flags, (all | NDIS_CHECKSUM_IP) & ~NDIS_CHECKSUM_TCP);
	assert_int_equal(offload.ipv6_send.flags, 0);
	assert_int_equal(offload.ipv6_send.encapsulation, 0);
	assert_int_equal(offload.large_send_v2.ipv4_segments_min, 2);
	assert_int_equal(offload.large_send_v2.ipv6_segments_min, 0);
	assert_int_equal(offload.rsc.ipv4, 1);
	assert_int_equal(offload.rsc.ipv6, 0);

	/* What there could be is another question. */
	assert_int_equal(query((uint32_t)OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES, &offload),
			 sizeof(offload));
	assert_int_equal(offload.ipv6_send.flags, all);
	assert_int_equal(offload.large_send_v2.ipv6_segments_min, 2);

	rndis_reset(&rndis);
	assert_int_equal(current_config().ipv6_send.flags, all);
}

static void offloads_that_are_refused(void **state)
{
	struct ndis_offload_parameters parameters = { .header = { NDIS_OBJECT_DEFAULT, 3, 26 },
						      .large_send_v1 = NDIS_OFFLOAD_ENABLED,
						      .checksum = { 1, 1, 1, 1, 1 } };

	assert_int_equal(set_offloads(&parameters), RNDIS_STATUS_NOT_SUPPORTED);
	parameters.large_send_v1 = NDIS_OFFLOAD_DISABLED;
	parameters.header.size = 27;
	assert_int_equal(set_offloads(&parameters), RNDIS_STATUS_INVALID_DATA);
	parameters.header = (struct ndis_header){ NDIS_OBJECT_OFFLOAD, 3, 26 };
	assert_int_equal(set_offloads(&parameters), RNDIS_STATUS_INVALID_DATA);
	assert_true(current_config().ipv4_send.flags & NDIS_CHECKSUM_TCP);
	assert_int_equal(rndis.changes, 0);
}

/* With the sizes of each NDIS version. */
static void offloads_that_are_told(void **state)
{
	static const struct {
		uint32_t ndis_version;
		size_t size;
	} rows[] = { { 0x60000, NDIS_OFFLOAD_SIZE_REVISION_1 },
		     { 0x60001, NDIS_OFFLOAD_SIZE_REVISION_2 },
		     { 0x6001e, NDIS_OFFLOAD_SIZE_REVISION_3 } };
	uint8_t message[RNDIS_CONTROL_MAX];
	uint32_t header[5];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		rndis.ndis_version = rows[i].ndis_version;
		assert_int_equal(rndis_indicate_offloads(&rndis, message), 20 + rows[i].size);
		memcpy(header, message, sizeof(header));
		assert_int_equal(header[0], RNDIS_INDICATE_STATUS);
		assert_int_equal(header[1], 20 + rows[i].size);
		assert_int_equal(header[2], RNDIS_STATUS_TASK_OFFLOAD_CURRENT_CONFIG);
		assert_int_equal(header[3], rows[i].size);
		assert_int_equal(header[4], 12);
		assert_int_equal(message[20], NDIS_OBJECT_OFFLOAD);
		assert_int_equal(message[22] | message[23] << 8, rows[i].size);
	}
}

static void encapsulation(void **state)
{
	struct ndis_offload_encapsulation value;

	assert_int_equal(query(OID_OFFLOAD_ENCAPSULATION, &value), sizeof(value));
	assert_int_equal(value.header.type, NDIS_OBJECT_OFFLOAD_ENCAPSULATION);
	assert_int_equal(value.ipv6.header_size, 14);
	assert_int_equal(rndis_oid_set(&rndis, OID_OFFLOAD_ENCAPSULATION, &value, sizeof(value)),
			 RNDIS_STATUS_SUCCESS);
	assert_int_equal(rndis_oid_set(&rndis, OID_OFFLOAD_ENCAPSULATION, &value, 27),
			 RNDIS_STATUS_INVALID_LENGTH);
	value.ipv6.header_size = 22;
	assert_int_equal(rndis_oid_set(&rndis, OID_OFFLOAD_ENCAPSULATION, &value, sizeof(value)),
			 RNDIS_STATUS_NOT_SUPPORTED);
}

/* ---- Configuration ---- */

static uint32_t set_parameter(const char *name, uint32_t type, const char *value)
{
	struct rndis_config_parameter parameter = { .name_offset = sizeof(parameter),
						    .name_length = 2 * (uint32_t)strlen(name),
						    .type = type,
						    .value_length = 2 * (uint32_t)strlen(value) };
	uint8_t bytes[256] = { 0 };

	parameter.value_offset = parameter.name_offset + parameter.name_length;
	memcpy(bytes, &parameter, sizeof(parameter));
	for (size_t i = 0; name[i]; i++)
		bytes[parameter.name_offset + 2 * i] = (uint8_t)name[i];
	for (size_t i = 0; value[i]; i++)
		bytes[parameter.value_offset + 2 * i] = (uint8_t)value[i];
	return rndis_oid_set(&rndis, OID_GEN_RNDIS_CONFIG_PARAMETER, bytes,
			     parameter.value_offset + parameter.value_length);
}

static void configuration(void **state)
{
	const uint8_t other[] = { 0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee };

	/* As Windows tells what its registry has. */
	assert_int_equal(set_parameter("*TCPChecksumOffloadIPv4", 2, "1"), 0);
	assert_int_equal(set_parameter("*LsoV2IPv6", 2, "0"), 0);
	assert_int_equal(set_parameter("*UDPChecksumOffloadIPv6", 2, "x"), 0);
	assert_int_equal(set_parameter("*JumboPacket", 2, "1514"), 0);
	assert_int_equal(set_parameter("NumberOfSomething", 0, "7"), 0);
	assert_false(current_config().ipv4_receive.flags & NDIS_CHECKSUM_TCP);
	assert_true(current_config().ipv4_send.flags & NDIS_CHECKSUM_TCP);
	assert_true(current_config().ipv6_send.flags & NDIS_CHECKSUM_UDP);
	assert_int_equal(current_config().large_send_v2.ipv6_segments_min, 0);
	assert_int_equal(set_parameter("", 2, ""), 0);

	/* As Linux and FreeBSD ask for another MAC address. */
	assert_int_equal(set_parameter("NetworkAddress", 2, "02aabbccddee"), RNDIS_STATUS_FAILURE);
	assert_int_equal(set_parameter("NetworkAddress", 2, "02564D000001"), 0);
	rndis.mac_changeable = true;
	assert_int_equal(set_parameter("NetworkAddress", 2, "02aabbccddee"), 0);
	assert_memory_equal(rndis.mac, other, sizeof(other));
	assert_int_equal(set_parameter("NetworkAddress", 2, "01aabbccddee"),
			 RNDIS_STATUS_INVALID_DATA);
	assert_int_equal(set_parameter("NetworkAddress", 2, "02aabbccdde"),
			 RNDIS_STATUS_INVALID_DATA);
	assert_int_equal(set_parameter("NetworkAddress", 2, "02aabbccddex"),
			 RNDIS_STATUS_INVALID_DATA);
}

static void parameters_that_lie_outside(void **state)
{
	static const struct rndis_config_parameter rows[] = {
		{ 20, 0xfffffffe, 2, 20, 2 }, { 0xffffffff, 2, 2, 20, 2 }, { 20, 2, 2, 39, 2 },
		{ 20, 2, 2, 0xfffffff0, 32 }, { 20, 22, 2, 20, 2 },
	};
	uint8_t bytes[40] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		memcpy(bytes, &rows[i], sizeof(rows[i]));
		assert_int_equal(
			rndis_oid_set(&rndis, OID_GEN_RNDIS_CONFIG_PARAMETER, bytes, sizeof(bytes)),
			RNDIS_STATUS_INVALID_LENGTH);
	}
}

/* ---- Receive-side scaling ---- */

struct rss {
	struct ndis_rss_parameters parameters;
	uint32_t table[256];
	uint8_t key[NDIS_RSS_KEY_SIZE];
} PACKED;

static struct rss rss_value(unsigned entries)
{
	struct rss value = {
		.parameters = {
			.header = { NDIS_OBJECT_RSS_PARAMETERS, 2, sizeof(value.parameters) },
			.hash = NDIS_RSS_TOEPLITZ | NDIS_HASH_TCP_IPV4,
			.table_size = (uint16_t)(entries * sizeof(uint32_t)),
			.table_offset = offsetof(struct rss, table),
			.key_size = NDIS_RSS_KEY_SIZE,
			.key_offset = offsetof(struct rss, key),
		},
	};

	for (unsigned i = 0; i < entries; i++)
		value.table[i] = i % 3;
	memset(value.key, 0x5a, sizeof(value.key));
	return value;
}

static uint32_t set_rss(const struct rss *value)
{
	return rndis_oid_set(&rndis, OID_GEN_RECEIVE_SCALE_PARAMETERS, value, sizeof(*value));
}

static void tables_of_all_sizes(void **state)
{
	static const unsigned sizes[] = { 1, 3, 64, 127, 128, 200 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct rss value = rss_value(sizes[i]);

		assert_int_equal(set_rss(&value), RNDIS_STATUS_SUCCESS);
		assert_true(rndis.rss);
		assert_int_equal(rndis.table_size, NDIS_RSS_TABLE_SIZE);
		for (unsigned j = 0; j < NDIS_RSS_TABLE_SIZE; j++)
			assert_int_equal(rndis.table[j], j % sizes[i] % 3);
	}
}

static void scaling_that_is_refused(void **state)
{
	struct rss value = rss_value(0);

	assert_int_equal(set_rss(&value), RNDIS_STATUS_INVALID_DATA);
	value = rss_value(16);
	value.parameters.table_size -= 1;
	assert_int_equal(set_rss(&value), RNDIS_STATUS_INVALID_DATA);
	value = rss_value(16);
	value.table[15] = 4;
	assert_int_equal(set_rss(&value), RNDIS_STATUS_INVALID_DATA);
	value = rss_value(16);
	value.parameters.table_offset = 0xfffffff0;
	assert_int_equal(set_rss(&value), RNDIS_STATUS_INVALID_LENGTH);
	value = rss_value(16);
	value.parameters.key_offset = sizeof(value) - NDIS_RSS_KEY_SIZE + 1;
	assert_int_equal(set_rss(&value), RNDIS_STATUS_INVALID_DATA);
	value = rss_value(16);
	value.parameters.key_size = 16;
	assert_int_equal(set_rss(&value), RNDIS_STATUS_INVALID_DATA);
	assert_false(rndis.rss);
	assert_int_equal(rndis.changes, 0);
}

static void scaling_that_ends(void **state)
{
	struct rss value = rss_value(128);

	/* Whatever the header's type. */
	value.parameters.header.type = 0;
	assert_int_equal(set_rss(&value), RNDIS_STATUS_SUCCESS);
	assert_true(rndis.rss);
	value.parameters.hash = NDIS_HASH_TCP_IPV4; /* by no function */
	assert_int_equal(set_rss(&value), RNDIS_STATUS_SUCCESS);
	assert_false(rndis.rss);

	/* Nothing new, but that it is on. */
	value.parameters.hash = 0;
	value.parameters.flags = NDIS_RSS_PARAMETERS_HASH_UNCHANGED |
				 NDIS_RSS_PARAMETERS_TABLE_UNCHANGED |
				 NDIS_RSS_PARAMETERS_KEY_UNCHANGED;
	assert_int_equal(set_rss(&value), RNDIS_STATUS_SUCCESS);
	assert_true(rndis.rss);
	assert_int_equal(rndis.hash_types, NDIS_HASH_TCP_IPV4);
	value.parameters.flags = NDIS_RSS_PARAMETERS_DISABLE;
	assert_int_equal(set_rss(&value), RNDIS_STATUS_SUCCESS);
	assert_false(rndis.rss);
}

/* Before NDIS 6.20, a table has entries of another size, which no driver with channels has. */
static void scaling_of_old(void **state)
{
	struct rss value = rss_value(16);
	uint8_t bytes[64];
	size_t size = 0;

	rndis.ndis_version = 0x60001;
	assert_int_equal(
		rndis_oid_query(&rndis, OID_GEN_RECEIVE_SCALE_CAPABILITIES, NULL, 0, bytes, &size),
		RNDIS_STATUS_NOT_SUPPORTED);
	assert_int_equal(set_rss(&value), RNDIS_STATUS_NOT_SUPPORTED);
	rndis.ndis_version = 0x60014;
	assert_int_equal(set_rss(&value), RNDIS_STATUS_SUCCESS);
}

/* The key alone, the table alone; and nothing of the guest before. */
static void scaling_in_parts(void **state)
{
	struct rss value = rss_value(128);
	static const uint8_t none[NDIS_RSS_KEY_SIZE];

	value.parameters.flags = NDIS_RSS_PARAMETERS_TABLE_UNCHANGED;
	assert_int_equal(set_rss(&value), RNDIS_STATUS_SUCCESS);
	assert_false(rndis.rss);
	assert_memory_equal(rndis.key, value.key, sizeof(value.key));
	value.parameters.flags = NDIS_RSS_PARAMETERS_KEY_UNCHANGED;
	value.key[0] = 0;
	assert_int_equal(set_rss(&value), RNDIS_STATUS_SUCCESS);
	assert_true(rndis.rss);
	assert_int_equal(rndis.key[0], 0x5a);
	rndis_reset(&rndis);
	assert_false(rndis.rss);
	assert_memory_equal(rndis.key, none, sizeof(none));
}

/* ---- The device, in every state ---- */

/* Return: the type of the answer; 0: none. */
static uint32_t ask(uint32_t type, size_t size, uint32_t *ret_status)
{
	uint32_t message[7] = { type, (uint32_t)size, 4711, OID_GEN_CURRENT_PACKET_FILTER, 4, 20 };
	uint32_t reply[RNDIS_CONTROL_MAX / 4];

	if (type == RNDIS_INITIALIZE)
		message[3] = 1;
	if (type == RNDIS_QUERY)
		message[4] = 0;
	if (rndis_control(&rndis, message, size, reply) == 0)
		return 0;
	*ret_status = type == RNDIS_RESET ? reply[2] : reply[3];
	if (type != RNDIS_RESET)
		assert_int_equal(reply[2], 4711);
	return reply[0];
}

/* Who asks is answered, whether it is the time for it or not. */
static void requests_in_every_state(void **state)
{
	uint8_t message[32] = { RNDIS_SET, 0, 0, 0, 32 };
	uint32_t reply[RNDIS_CONTROL_MAX / 4], status;

	for (unsigned round = 0; round < 3; round++) {
		uint32_t expected = round == 1 ? RNDIS_STATUS_SUCCESS : RNDIS_STATUS_FAILURE;

		rndis.initialized = round == 1;
		assert_int_equal(ask(RNDIS_KEEP_ALIVE, 12, &status), 0x80000008);
		assert_int_equal(status, RNDIS_STATUS_SUCCESS);
		assert_int_equal(ask(RNDIS_QUERY, 28, &status), 0x80000004);
		assert_int_equal(status, expected);
		memcpy(message + 12, &(uint32_t){ OID_GEN_CURRENT_PACKET_FILTER }, 4);
		memcpy(message + 16, &(uint32_t){ 4 }, 4);
		memcpy(message + 20, &(uint32_t){ 20 }, 4);
		memcpy(message + 28, &(uint32_t){ 0xd }, 4);
		assert_int_equal(rndis_control(&rndis, message, sizeof(message), reply), 16);
		assert_int_equal(reply[3], expected);
		assert_int_equal(rndis.filter, round == 1 ? 0xd : 0);
		assert_int_equal(ask(RNDIS_RESET, 12, &status), 0x80000006);
		assert_int_equal(status, RNDIS_STATUS_SUCCESS);
		assert_int_equal(rndis.filter, 0);
		assert_int_equal(ask(RNDIS_HALT, 12, &status), 0);
		assert_false(rndis.initialized);
	}
	assert_int_equal(ask(RNDIS_INITIALIZE, 24, &status), 0x80000002);
	assert_int_equal(status, RNDIS_STATUS_SUCCESS);
	/* And again, as if for the first time. */
	rndis.filter = 1;
	assert_int_equal(ask(RNDIS_INITIALIZE, 24, &status), 0x80000002);
	assert_int_equal(rndis.filter, 0);
	assert_true(rndis.initialized);

	/* What is no request, or none of ours. */
	assert_int_equal(rndis.counters.refused, 0);
	assert_int_equal(ask(RNDIS_INDICATE_STATUS, 20, &status), 0);
	assert_int_equal(ask(RNDIS_PACKET, 28, &status), 0);
	assert_int_equal(ask(9, 28, &status), 0);
	assert_int_equal(ask(UINT32_MAX, 28, &status), 0);
	assert_int_equal(ask(RNDIS_SET, 23, &status), 0);
	assert_int_equal(ask(RNDIS_KEEP_ALIVE, 7, &status), 0);
	assert_int_equal(rndis.counters.refused, 6);
}

/* ---- The rest ---- */

/* Linux looks for the end of the name, in memory of its own that nobody has cleared. */
static void names(void **state)
{
	uint16_t name[512];

	memset(name, 0xff, sizeof(name));
	assert_int_equal(query(OID_GEN_FRIENDLY_NAME, name), RNDIS_FRIENDLY_NAME_SIZE);
	assert_memory_equal(name, u"nic0", 10);
	for (size_t i = 4; i < RNDIS_FRIENDLY_NAME_SIZE / sizeof(*name); i++)
		assert_int_equal(name[i], 0);
	assert_int_equal(query(OID_GEN_DRIVER_VERSION, name), 2);
	assert_int_equal(name[0], 0x061e);
}

static void every_oid_that_is_listed(void **state)
{
	uint32_t oids[128];
	uint8_t value[RNDIS_CONTROL_MAX - 24];
	size_t size = query(OID_GEN_SUPPORTED_LIST, oids);

	assert_in_range(size, 40 * sizeof(*oids), sizeof(oids));
	for (size_t i = 0; i < size / sizeof(*oids); i++) {
		size_t value_size = 0;
		uint32_t query_status =
			rndis_oid_query(&rndis, oids[i], NULL, 0, value, &value_size);
		uint32_t set_status = rndis_oid_set(&rndis, oids[i], value, 0);

		assert_true(query_status == RNDIS_STATUS_SUCCESS ||
			    query_status == RNDIS_STATUS_NOT_SUPPORTED);
		assert_true(query_status == RNDIS_STATUS_SUCCESS ||
			    set_status != RNDIS_STATUS_NOT_SUPPORTED);
		assert_true(value_size <= sizeof(value));
	}
}

static void counters(void **state)
{
	uint64_t wide;

	rndis.counters.received_bytes = UINT64_C(0x123456789);
	assert_int_equal(query(OID_GEN_BYTES_RCV, &wide), sizeof(wide));
	assert_int_equal(wide, UINT64_C(0x123456789));
	rndis.counters.sent_bytes = 7;
	assert_int_equal(query(OID_GEN_BYTES_XMIT, &wide), sizeof(wide));
	assert_int_equal(wide, 7);
	assert_int_equal(query_number(OID_GEN_MAC_OPTIONS), 0x24d);
}

/* As Windows does: each group that it joins. */
static void multicast(void **state)
{
	static const uint8_t all_nodes[] = { 0x33, 0x33, 0, 0, 0, 1 };
	static const uint8_t other[] = { 0x33, 0x33, 0, 0, 0, 2 };
	uint8_t list[RNDIS_MULTICAST_MAX + 1][RNDIS_MAC_SIZE] = { 0 };
	uint8_t value[sizeof(list)];
	uint32_t filter = NDIS_PACKET_MULTICAST;

	assert_int_equal(rndis_oid_set(&rndis, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
	assert_false(rndis_accepts(&rndis, all_nodes));
	memcpy(list[RNDIS_MULTICAST_MAX - 1], all_nodes, sizeof(all_nodes));
	assert_int_equal(rndis_oid_set(&rndis, OID_802_3_MULTICAST_LIST, list, sizeof(list) - 6),
			 0);
	assert_true(rndis_accepts(&rndis, all_nodes));
	assert_false(rndis_accepts(&rndis, other));
	assert_int_equal(query(OID_802_3_MULTICAST_LIST, value), sizeof(list) - 6);
	assert_memory_equal(value, list, sizeof(list) - 6);
	assert_int_equal(query_number(OID_802_3_MAXIMUM_LIST_SIZE), RNDIS_MULTICAST_MAX);
	/* Too many, and not whole: the list stays. */
	assert_int_equal(rndis_oid_set(&rndis, OID_802_3_MULTICAST_LIST, list, sizeof(list)),
			 RNDIS_STATUS_MULTICAST_FULL);
	assert_int_equal(rndis_oid_set(&rndis, OID_802_3_MULTICAST_LIST, list, 13),
			 RNDIS_STATUS_INVALID_LENGTH);
	assert_true(rndis_accepts(&rndis, all_nodes));
	assert_int_equal(rndis_oid_set(&rndis, OID_802_3_MULTICAST_LIST, list, 0), 0);
	assert_false(rndis_accepts(&rndis, all_nodes));
	filter = NDIS_PACKET_ALL_MULTICAST;
	assert_int_equal(rndis_oid_set(&rndis, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
	assert_true(rndis_accepts(&rndis, all_nodes));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(offloads_that_are_set),
		TEST(offloads_that_are_refused),
		TEST(offloads_that_are_told),
		TEST(encapsulation),
		TEST(configuration),
		TEST(parameters_that_lie_outside),
		TEST(tables_of_all_sizes),
		TEST(scaling_that_is_refused),
		TEST(scaling_that_ends),
		TEST(scaling_of_old),
		TEST(scaling_in_parts),
		TEST(requests_in_every_state),
		TEST(names),
		TEST(every_oid_that_is_listed),
		TEST(counters),
		TEST(multicast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
