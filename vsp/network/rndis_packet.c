/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RNDIS data messages: read from what the guest sent, written before what it receives. */
#include "vsp/network/rndis.h"

#include "vsp/iov.h"

#include <errno.h>
#include <string.h>

#define INFO_MAX 1024 /* bytes of per-packet information: of every kind there is, and more */

/* ---- From the guest ---- */

static bool is_within(uint32_t offset, uint32_t size, uint32_t whole)
{
	return offset <= whole && size <= whole - offset;
}

static void packet_note_info(struct rndis_frame *frame, uint32_t type, uint32_t value)
{
	switch (type) {
	case RNDIS_INFO_CHECKSUM:
		frame->checksum = value;
		break;
	case RNDIS_INFO_LARGE_SEND:
		frame->large_send = value;
		break;
	case RNDIS_INFO_8021Q:
		frame->tagged = true;
		frame->tci = rndis_8021q_to_tci(value);
		break;
	default:
		break;
	}
}

/* Per-packet information, `size` bytes of it at `at`. Each piece is read by itself, and once. */
static int packet_parse_info(const struct iovec *iov, unsigned iov_count, size_t at, uint32_t size,
			     struct rndis_frame *frame)
{
	while (size > 0) {
		struct rndis_packet_info info;
		uint32_t value;

		if (size < sizeof(info) ||
		    iov_read(&info, sizeof(info), iov, iov_count, at) < sizeof(info) ||
		    info.size < sizeof(info) || info.size > size)
			return -EINVAL;
		if (is_within(info.offset, sizeof(value), info.size) &&
		    iov_read(&value, sizeof(value), iov, iov_count, at + info.offset) ==
			    sizeof(value))
			packet_note_info(frame, info.type, value);
		at += info.size;
		size -= info.size;
	}
	return 0;
}

int rndis_packet_parse(const struct iovec *iov, unsigned iov_count, size_t offset,
		       struct rndis_frame *ret_frame)
{
	struct {
		struct rndis_header header;
		struct rndis_packet packet;
	} PACKED message;
	size_t whole = iov_size(iov, iov_count);
	struct rndis_frame frame = { 0 };
	uint32_t body_size;

	if (iov_read(&message, sizeof(message), iov, iov_count, offset) < sizeof(message))
		return -EINVAL;
	if (message.header.type != RNDIS_PACKET || message.header.length < sizeof(message) ||
	    message.header.length > whole - offset)
		return -EINVAL;
	body_size = message.header.length - (uint32_t)sizeof(message.header);
	if (!is_within(message.packet.data_offset, message.packet.data_length, body_size) ||
	    !is_within(message.packet.info_offset, message.packet.info_length, body_size) ||
	    message.packet.info_length > INFO_MAX)
		return -EINVAL;
	frame.message_size = message.header.length;
	frame.data_offset = (uint32_t)sizeof(message.header) + message.packet.data_offset;
	frame.data_size = message.packet.data_length;
	if (packet_parse_info(iov, iov_count,
			      offset + sizeof(message.header) + message.packet.info_offset,
			      message.packet.info_length, &frame))
		return -EINVAL;
	*ret_frame = frame;
	return 0;
}

/* ---- To the guest ---- */

#define ENVELOPE_INFO_SIZE (sizeof(struct rndis_packet_info) + 4)
_Static_assert(sizeof(struct rndis_header) + sizeof(struct rndis_packet) + 5 * ENVELOPE_INFO_SIZE <=
		       RNDIS_ENVELOPE_MAX,
	       "all information together");

static size_t envelope_add(uint8_t *out, size_t used, uint32_t type, const void *value)
{
	struct rndis_packet_info info = {
		.size = ENVELOPE_INFO_SIZE,
		.type = type,
		.offset = sizeof(info),
	};

	memcpy(out + used, &info, sizeof(info));
	memcpy(out + used + sizeof(info), value, 4);
	return used + info.size;
}

size_t rndis_envelope_write(const struct rndis_envelope *envelope, uint8_t *out)
{
	struct rndis_packet_id id = {
		.version = 1,
		.flags = envelope->fragment,
		.id = envelope->fragment_id,
	};
	struct {
		struct rndis_header header;
		struct rndis_packet packet;
	} PACKED message = {
		.header = { RNDIS_PACKET, envelope->data_offset + envelope->data_size },
		.packet = {
			.data_offset = envelope->data_offset - (uint32_t)sizeof(message.header),
			.data_length = envelope->data_size,
		},
	};
	uint32_t vlan = rndis_8021q_from_tci(envelope->tci);
	size_t used = sizeof(message);

	if (envelope->checksum)
		used = envelope_add(out, used, RNDIS_INFO_CHECKSUM, &envelope->checksum);
	if (envelope->tagged)
		used = envelope_add(out, used, RNDIS_INFO_8021Q, &vlan);
	if (envelope->hashed) {
		used = envelope_add(out, used, RNDIS_INFO_HASH_INFO, &envelope->hash_info);
		used = envelope_add(out, used, RNDIS_INFO_HASH_VALUE, &envelope->hash);
	}
	if (envelope->fragment)
		used = envelope_add(out, used, RNDIS_INFO_ID, &id);
	if (used > sizeof(message)) {
		message.packet.info_offset = sizeof(message.packet);
		message.packet.info_length = (uint32_t)(used - sizeof(message));
	}
	memcpy(out, &message, sizeof(message));
	return used;
}
