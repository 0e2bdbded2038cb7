/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Offloads: what the adapter can do, and what the guest makes use of.
 *
 * What a guest sends needs no setting, as each frame says what is to be done with it. The settings
 * are kept because the guest's network stack goes by what it is told of them: when they change, the
 * adapter says so (NDIS_STATUS_TASK_OFFLOAD_CURRENT_CONFIG), as Hyper-V's does.
 */
#include "vsp/network/rndis_oid.h"

#include <string.h>

#define LARGE_SEND_MAX 65160 /* bytes: whole segments of 1448, within an IP packet */

static const struct rndis_offloads everything = {
	.checksum = { RNDIS_OFFLOAD_BOTH, RNDIS_OFFLOAD_BOTH, RNDIS_OFFLOAD_BOTH,
		      RNDIS_OFFLOAD_BOTH, RNDIS_OFFLOAD_BOTH },
	.large_send_ipv4 = true,
	.large_send_ipv6 = true,
};

void rndis_reset_offloads(struct rndis *rndis)
{
	rndis->offloads = everything;
	rndis->rsc_ipv4 = rndis->rsc_ipv6 = false;
}

/* ---- Telling ---- */

static struct ndis_checksum_offload checksums(const struct rndis_offloads *offloads,
					      const enum rndis_checksum *kinds,
					      const uint32_t *flags, size_t count,
					      uint8_t direction)
{
	struct ndis_checksum_offload checksums = { 0 };

	for (size_t i = 0; i < count; i++)
		if (offloads->checksum[kinds[i]] & direction)
			checksums.flags |= flags[i];
	if (checksums.flags) {
		checksums.encapsulation = NDIS_ENCAPSULATION_8023;
		checksums.flags |= NDIS_CHECKSUM_IP_OPTIONS | NDIS_CHECKSUM_TCP_OPTIONS;
	}
	return checksums;
}

static void offload_fill_checksums(const struct rndis_offloads *offloads,
				   struct ndis_offload *offload)
{
	static const enum rndis_checksum kinds_ipv4[] = { RNDIS_CHECKSUM_IP,
							  RNDIS_CHECKSUM_TCP_IPV4,
							  RNDIS_CHECKSUM_UDP_IPV4 };
	static const enum rndis_checksum kinds_ipv6[] = { RNDIS_CHECKSUM_TCP_IPV6,
							  RNDIS_CHECKSUM_UDP_IPV6 };
	static const uint32_t flags[] = { NDIS_CHECKSUM_IP, NDIS_CHECKSUM_TCP, NDIS_CHECKSUM_UDP };

	offload->ipv4_send = checksums(offloads, kinds_ipv4, flags, 3, RNDIS_OFFLOAD_SEND);
	offload->ipv4_receive = checksums(offloads, kinds_ipv4, flags, 3, RNDIS_OFFLOAD_RECEIVE);
	offload->ipv6_send = checksums(offloads, kinds_ipv6, flags + 1, 2, RNDIS_OFFLOAD_SEND);
	offload->ipv6_receive =
		checksums(offloads, kinds_ipv6, flags + 1, 2, RNDIS_OFFLOAD_RECEIVE);
}

static void offload_fill(const struct rndis_offloads *offloads, struct ndis_offload *offload)
{
	offload_fill_checksums(offloads, offload);
	if (offloads->large_send_ipv4) {
		offload->large_send_v2.ipv4_encapsulation = NDIS_ENCAPSULATION_8023;
		offload->large_send_v2.ipv4_size_max = LARGE_SEND_MAX;
		offload->large_send_v2.ipv4_segments_min = 2;
	}
	if (offloads->large_send_ipv6) {
		offload->large_send_v2.ipv6_encapsulation = NDIS_ENCAPSULATION_8023;
		offload->large_send_v2.ipv6_size_max = LARGE_SEND_MAX;
		offload->large_send_v2.ipv6_segments_min = 2;
		offload->large_send_v2.ipv6_options =
			NDIS_LARGE_SEND_IPV6_EXTENSIONS | NDIS_LARGE_SEND_TCP_OPTIONS;
	}
}

/* In the revision that the guest's NDIS version has, and no longer than `room`; 0: as it likes. */
static struct ndis_header offload_header(const struct rndis *rndis, size_t room)
{
	static const struct {
		uint32_t ndis_version; /* from which on */
		struct ndis_header header;
	} rows[] = {
		{ 0x6001e,
		  { NDIS_OBJECT_OFFLOAD, NDIS_OFFLOAD_REVISION_3, NDIS_OFFLOAD_SIZE_REVISION_3 } },
		{ 0x60001,
		  { NDIS_OBJECT_OFFLOAD, NDIS_OFFLOAD_REVISION_2, NDIS_OFFLOAD_SIZE_REVISION_2 } },
		{ 0,
		  { NDIS_OBJECT_OFFLOAD, NDIS_OFFLOAD_REVISION_1, NDIS_OFFLOAD_SIZE_REVISION_1 } },
	};
	size_t i = 0;

	while (i < ARRAY_SIZE(rows) - 1 && (rndis->ndis_version < rows[i].ndis_version ||
					    (room > 0 && room < rows[i].header.size)))
		i++;
	return rows[i].header;
}

uint32_t rndis_query_offload(struct rndis *rndis, struct oid_query *query)
{
	struct ndis_offload offload = { .header = offload_header(rndis, query->input_size) };

	offload_fill(&everything, &offload);
	offload.rsc.ipv4 = offload.rsc.ipv6 = rndis->rsc_possible;
	return oid_answer(query, &offload, offload.header.size);
}

static struct ndis_offload current_offload(const struct rndis *rndis, size_t room)
{
	struct ndis_offload offload = { .header = offload_header(rndis, room) };

	offload_fill(&rndis->offloads, &offload);
	offload.rsc.ipv4 = rndis->rsc_ipv4;
	offload.rsc.ipv6 = rndis->rsc_ipv6;
	return offload;
}

uint32_t rndis_query_current_offload(struct rndis *rndis, struct oid_query *query)
{
	struct ndis_offload offload = current_offload(rndis, query->input_size);

	return oid_answer(query, &offload, offload.header.size);
}

size_t rndis_indicate_offloads(const struct rndis *rndis, void *bytes)
{
	const struct ndis_offload offload = current_offload(rndis, 0);
	struct {
		struct rndis_header header;
		__typeof__(((union rndis_body *)NULL)->indicate_status) status;
		struct ndis_offload offload;
	} PACKED message = {
		.header = { RNDIS_INDICATE_STATUS,
			    (uint32_t)(sizeof(message.header) + sizeof(message.status) +
				       offload.header.size) },
		.status = { .status = RNDIS_STATUS_TASK_OFFLOAD_CURRENT_CONFIG,
			    .length = offload.header.size,
			    .offset = sizeof(message.status) },
		.offload = offload,
	};

	memcpy(bytes, &message, message.header.length);
	return message.header.length;
}

/* ---- Setting ---- */

static void set_switch(bool *setting, uint8_t value)
{
	if (value == NDIS_OFFLOAD_ENABLED)
		*setting = true;
	else if (value == NDIS_OFFLOAD_DISABLED)
		*setting = false;
}

/* 1: neither direction, 2: what is sent, 3: what is received, 4: both. */
static void set_checksum(uint8_t *setting, uint8_t value)
{
	if (value >= 1 && value <= 4)
		*setting = (uint8_t)(value - 1);
}

uint32_t rndis_set_offload(struct rndis *rndis, const uint8_t *value, size_t size)
{
	struct ndis_offload_parameters parameters = { 0 };

	if (size < NDIS_OFFLOAD_PARAMETERS_SIZE_MIN)
		return RNDIS_STATUS_INVALID_LENGTH;
	memcpy(&parameters, value, MIN(size, sizeof(parameters)));
	if (parameters.header.type != NDIS_OBJECT_DEFAULT ||
	    parameters.header.size < NDIS_OFFLOAD_PARAMETERS_SIZE_MIN ||
	    parameters.header.size > size)
		return RNDIS_STATUS_INVALID_DATA;
	if (parameters.large_send_v1 == NDIS_OFFLOAD_ENABLED)
		return RNDIS_STATUS_NOT_SUPPORTED;
	for (size_t i = 0; i < RNDIS_CHECKSUM_COUNT; i++)
		set_checksum(&rndis->offloads.checksum[i], parameters.checksum[i]);
	set_switch(&rndis->offloads.large_send_ipv4, parameters.large_send_v2_ipv4);
	set_switch(&rndis->offloads.large_send_ipv6, parameters.large_send_v2_ipv6);
	if (rndis->rsc_possible) {
		set_switch(&rndis->rsc_ipv4, parameters.rsc_ipv4);
		set_switch(&rndis->rsc_ipv6, parameters.rsc_ipv6);
	}
	rndis->changes |= RNDIS_CHANGED_OFFLOADS | RNDIS_CHANGED_CURRENT_CONFIG;
	return RNDIS_STATUS_SUCCESS;
}

void rndis_set_offload_keyword(struct rndis *rndis, const uint8_t *name, uint32_t name_length,
			       const uint8_t *value)
{
	static const char *const checksum_names[RNDIS_CHECKSUM_COUNT] = {
		[RNDIS_CHECKSUM_IP] = "*IPChecksumOffloadIPv4",
		[RNDIS_CHECKSUM_TCP_IPV4] = "*TCPChecksumOffloadIPv4",
		[RNDIS_CHECKSUM_UDP_IPV4] = "*UDPChecksumOffloadIPv4",
		[RNDIS_CHECKSUM_TCP_IPV6] = "*TCPChecksumOffloadIPv6",
		[RNDIS_CHECKSUM_UDP_IPV6] = "*UDPChecksumOffloadIPv6",
	};
	unsigned digit = value[0] - '0';

	if (digit > RNDIS_OFFLOAD_BOTH || value[1] != 0)
		return;
	for (size_t i = 0; i < RNDIS_CHECKSUM_COUNT; i++)
		if (oid_is_text(name, checksum_names[i], name_length))
			rndis->offloads.checksum[i] = (uint8_t)digit;
	if (oid_is_text(name, "*LsoV2IPv4", name_length))
		rndis->offloads.large_send_ipv4 = digit;
	if (oid_is_text(name, "*LsoV2IPv6", name_length))
		rndis->offloads.large_send_ipv6 = digit;
}

/* ---- Encapsulation: frames are Ethernet frames, and nothing else ---- */

uint32_t rndis_query_encapsulation(struct rndis *rndis, struct oid_query *query)
{
	static const struct ndis_offload_encapsulation encapsulation = {
		.header = { NDIS_OBJECT_OFFLOAD_ENCAPSULATION, 1, sizeof(encapsulation) },
		.ipv4 = { NDIS_ENCAPSULATION_ON, NDIS_ENCAPSULATION_8023, NDIS_ETHERNET_SIZE },
		.ipv6 = { NDIS_ENCAPSULATION_ON, NDIS_ENCAPSULATION_8023, NDIS_ETHERNET_SIZE },
	};

	return oid_answer(query, &encapsulation, sizeof(encapsulation));
}

uint32_t rndis_set_encapsulation(struct rndis *rndis, const uint8_t *value, size_t size)
{
	struct ndis_offload_encapsulation wanted;

	if (size < sizeof(wanted))
		return RNDIS_STATUS_INVALID_LENGTH;
	memcpy(&wanted, value, sizeof(wanted));
	if ((wanted.ipv4.enabled == NDIS_ENCAPSULATION_ON &&
	     (wanted.ipv4.type != NDIS_ENCAPSULATION_8023 ||
	      wanted.ipv4.header_size != NDIS_ETHERNET_SIZE)) ||
	    (wanted.ipv6.enabled == NDIS_ENCAPSULATION_ON &&
	     (wanted.ipv6.type != NDIS_ENCAPSULATION_8023 ||
	      wanted.ipv6.header_size != NDIS_ETHERNET_SIZE)))
		return RNDIS_STATUS_NOT_SUPPORTED;
	return RNDIS_STATUS_SUCCESS;
}
