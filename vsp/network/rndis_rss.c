/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Receive-side scaling: the key, the kinds of frames that are hashed, and the table of channels.
 * The hash itself is vsp/network/net_offload.h's.
 */
#include "vsp/network/rndis_oid.h"

#include <string.h>

#define HASH_FUNCTION_MASK 0xffu    /* of the parameters' hash; none: off */
#define NDIS_VERSION_MIN   0x60014u /* 6.20: before that, a table has other entries */

uint32_t rndis_query_rss(struct rndis *rndis, struct oid_query *query)
{
	size_t size = query->input_size;
	struct ndis_rss_capabilities capabilities = {
		.header = { NDIS_OBJECT_RSS_CAPABILITIES, 2, 0 },
		.flags = NDIS_RSS_TOEPLITZ | NDIS_RSS_HASH_TCP_IPV4 | NDIS_RSS_HASH_TCP_IPV6 |
			 NDIS_RSS_MESSAGE_INTERRUPT | NDIS_RSS_CLASSIFY_IN_ISR,
		.message_count = rndis->queue_count,
		.queue_count = rndis->queue_count,
		.table_size = NDIS_RSS_TABLE_SIZE,
	};

	if (rndis->ndis_version < NDIS_VERSION_MIN)
		return RNDIS_STATUS_NOT_SUPPORTED;
	if (size < NDIS_RSS_CAPABILITIES_SIZE_MIN || size > sizeof(capabilities))
		size = NDIS_RSS_CAPABILITIES_SIZE;
	if (size < NDIS_RSS_CAPABILITIES_SIZE) {
		size = NDIS_RSS_CAPABILITIES_SIZE_MIN;
		capabilities.header.revision = 1;
	}
	capabilities.header.size = (uint16_t)size;
	return oid_answer(query, &capabilities, size);
}

/* A shorter table is repeated; of a longer one the beginning counts. */
static uint32_t rss_set_table(struct rndis *rndis, const struct ndis_rss_parameters *parameters,
			      const uint8_t *value, size_t size)
{
	uint16_t table[NDIS_RSS_TABLE_SIZE];
	unsigned count = MIN(parameters->table_size / (unsigned)sizeof(uint32_t),
			     (unsigned)NDIS_RSS_TABLE_SIZE);

	if (!oid_is_within(parameters->table_offset, parameters->table_size, size))
		return RNDIS_STATUS_INVALID_LENGTH;
	if (count < 1 || parameters->table_size % sizeof(uint32_t) != 0)
		return RNDIS_STATUS_INVALID_DATA;
	for (unsigned i = 0; i < NDIS_RSS_TABLE_SIZE; i++) {
		uint32_t entry;

		memcpy(&entry, value + parameters->table_offset + i % count * sizeof(entry),
		       sizeof(entry));
		if (entry >= rndis->queue_count)
			return RNDIS_STATUS_INVALID_DATA;
		table[i] = (uint16_t)entry;
	}
	memcpy(rndis->table, table, sizeof(table));
	rndis->table_size = NDIS_RSS_TABLE_SIZE;
	return RNDIS_STATUS_SUCCESS;
}

static bool rss_is_off(const struct ndis_rss_parameters *parameters)
{
	return (parameters->flags & NDIS_RSS_PARAMETERS_DISABLE) ||
	       (!(parameters->flags & NDIS_RSS_PARAMETERS_HASH_UNCHANGED) &&
		(parameters->hash & HASH_FUNCTION_MASK) == 0);
}

/* Hyper-V does not look at the header's type, and drivers go by that. */
uint32_t rndis_set_rss(struct rndis *rndis, const uint8_t *value, size_t size)
{
	struct ndis_rss_parameters parameters = { 0 };
	uint32_t status = RNDIS_STATUS_SUCCESS;

	if (rndis->ndis_version < NDIS_VERSION_MIN)
		return RNDIS_STATUS_NOT_SUPPORTED;
	if (size < NDIS_RSS_PARAMETERS_SIZE_MIN)
		return RNDIS_STATUS_INVALID_LENGTH;
	memcpy(&parameters, value, MIN(size, sizeof(parameters)));
	if (rss_is_off(&parameters)) {
		rndis->rss = false;
		rndis->changes |= RNDIS_CHANGED_STATE;
		return RNDIS_STATUS_SUCCESS;
	}
	if (!(parameters.flags & NDIS_RSS_PARAMETERS_KEY_UNCHANGED)) {
		if (parameters.key_size != NDIS_RSS_KEY_SIZE ||
		    !oid_is_within(parameters.key_offset, parameters.key_size, size))
			return RNDIS_STATUS_INVALID_DATA;
	}
	if (!(parameters.flags & NDIS_RSS_PARAMETERS_TABLE_UNCHANGED))
		status = rss_set_table(rndis, &parameters, value, size);
	if (status != RNDIS_STATUS_SUCCESS)
		return status;
	if (!(parameters.flags & NDIS_RSS_PARAMETERS_KEY_UNCHANGED))
		memcpy(rndis->key, value + parameters.key_offset, NDIS_RSS_KEY_SIZE);
	if (!(parameters.flags & NDIS_RSS_PARAMETERS_HASH_UNCHANGED))
		rndis->hash_types = parameters.hash & ~HASH_FUNCTION_MASK;
	rndis->rss = rndis->table_size > 0;
	rndis->changes |= RNDIS_CHANGED_STATE;
	return RNDIS_STATUS_SUCCESS;
}
