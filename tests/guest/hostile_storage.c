/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Storage requests that no decent guest sends.
 */
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"
#include "guest-vsc/synic.h"
#include "tests/guest/hostile.h"

#define OWN_PFN 0 /* stands for where hostile_buffer is */

struct range {
	uint32_t range_count, byte_count, byte_offset, page_count;
	uint64_t pfn;
};

/* Commands that move data: 8 blocks at sector 0, or as much as they have. */
static const struct command {
	enum storvsp_direction direction;
	uint8_t length;
	uint8_t cdb[STORVSP_CDB_SIZE];
} commands[] = {
	{ STORVSP_DIRECTION_IN, 10, { SCSI_READ_10, [8] = 8 } },
	{ STORVSP_DIRECTION_IN, 6, { SCSI_INQUIRY, [4] = 255 } },
	{ STORVSP_DIRECTION_IN, 12, { SCSI_REPORT_LUNS, [8] = 16 } },
	{ STORVSP_DIRECTION_OUT, 10, { SCSI_WRITE_10, [8] = 8 } },
	{ STORVSP_DIRECTION_OUT, 16, { SCSI_WRITE_SAME_16, [13] = 8 } },
	{ STORVSP_DIRECTION_OUT, 10, { SCSI_UNMAP, [8] = 24 } },
	{ STORVSP_DIRECTION_OUT, 10, { SCSI_MODE_SELECT_10, [8] = 32 } },
};

/* A command with any description of memory. */
static void send_range(const struct range *range, const struct command *command)
{
	uint64_t first = range->pfn == OWN_PFN ? machine_gpa(hostile_buffer) / 4096 : range->pfn;
	struct {
		struct ring_gpa_direct direct;
		uint32_t byte_count, byte_offset;
		uint64_t pfns[8];
	} extension = {
		.direct.range_count = range->range_count,
		.byte_count = range->byte_count,
		.byte_offset = range->byte_offset,
	};
	struct storvsp_packet payload = {
		.operation = STORVSP_EXECUTE_SRB,
		.flags = STORVSP_REQUEST_COMPLETION,
		.srb = {
			.length = sizeof(payload.srb),
			.cdb_length = command->length,
			.sense_length = STORVSP_SENSE_SIZE,
			.data_in = (uint8_t)command->direction,
			.transfer_length = range->byte_count,
		},
	};
	struct ring_packet packet = {
		.type = RING_PACKET_GPA_DIRECT,
		.flags = RING_FLAG_COMPLETION_REQUESTED,
		.transaction_id = 1000,
		.extension = &extension,
		.extension_size = 16 + range->page_count * 8,
		.payload = &payload,
		.payload_size = sizeof(payload),
	};

	memcpy(payload.srb.cdb, command->cdb, sizeof(command->cdb));
	for (unsigned i = 0; i < range->page_count; i++)
		extension.pfns[i] = first + i;
	if (client_channel_send(hostile_channel(), &packet) == 0)
		client_channel_flush(hostile_channel());
}

/* None of them describes the memory that its length promises. */
static const struct range ranges[] = {
	{ 0, 4096, 0, 1, OWN_PFN },          { 2, 4096, 0, 1, OWN_PFN },
	{ UINT32_MAX, 4096, 0, 1, OWN_PFN }, { 0x20000001, 4096, 0, 1, OWN_PFN },
	{ 1, UINT32_MAX, 0, 1, OWN_PFN },    { 1, UINT32_MAX, 4095, 8, OWN_PFN },
	{ 1, 4096, UINT32_MAX, 1, OWN_PFN }, { 1, 4096, 1, 1, OWN_PFN },
	{ 1, 4096, 4096, 1, OWN_PFN },       { 1, 65536, 0, 1, OWN_PFN },
	{ 1, 4096, 0, 0, OWN_PFN },          { 1, 0, 0, 1, OWN_PFN },
	{ 1, 4096, 0, 1, HOSTILE_HOLE_PFN }, { 1, 4096, 0, 1, HOSTILE_WILD_PFN },
	{ 1, 4096, 0, 1, UINT64_MAX },       { 1, 8192, 2048, 3, HOSTILE_HOLE_PFN },
};

static void garbled_ranges(unsigned variant)
{
	send_range(&ranges[variant / ARRAY_SIZE(commands)],
		   &commands[variant % ARRAY_SIZE(commands)]);
}

/* The disk is read over the rings and the SynIC's slots themselves. */
static void read_over_own_pages(unsigned variant)
{
	uint64_t targets[] = {
		machine_gpa(hostile_channel()->pages[0]),
		machine_gpa(hostile_channel()->pages[RIG_RING_PAGES / 2]),
		machine_gpa(hostile_channel()->pages[RIG_RING_PAGES / 2 + 1]),
		machine_gpa((const void *)synic_message_slot(0)),
	};
	struct range range = { 1, 4096, 0, 1, targets[variant] / 4096 };

	send_range(&range, &commands[0]);
}

static void send_payload(uint16_t type, const void *payload, uint32_t size, uint64_t id)
{
	struct ring_packet packet = {
		.type = type,
		.flags = RING_FLAG_COMPLETION_REQUESTED,
		.transaction_id = id,
		.payload = payload,
		.payload_size = size,
	};

	if (client_channel_send(hostile_channel(), &packet) == 0)
		client_channel_flush(hostile_channel());
}

static void unknown_operations(unsigned variant)
{
	struct storvsp_packet packet;

	for (uint32_t i = 0; i < 32; i++) {
		memset(&packet, 0xff, sizeof(packet));
		packet.operation = i < 31 ? i : UINT32_MAX;
		packet.flags = i & 1;
		send_payload(RING_PACKET_INBAND, &packet, sizeof(packet), i);
		send_payload(RING_PACKET_COMPLETION, &packet, sizeof(packet), i);
	}
}

static void short_packets(unsigned variant)
{
	struct storvsp_packet packet = { .operation = STORVSP_EXECUTE_SRB };

	for (uint32_t size = 0; size < sizeof(packet); size += 8)
		send_payload(RING_PACKET_INBAND, &packet, size, size);
}

/* Commands with lengths that do not fit each other, without any memory. */
static void garbled_srbs(unsigned variant)
{
	static const uint8_t opcodes[] = { SCSI_READ_10,
					   SCSI_WRITE_16,
					   SCSI_INQUIRY,
					   SCSI_UNMAP,
					   SCSI_WRITE_SAME_16,
					   SCSI_REPORT_LUNS,
					   SCSI_MODE_SELECT_10,
					   SCSI_READ_TOC,
					   0x7f,
					   0xff };
	struct storvsp_packet packet;

	for (unsigned i = 0; i < ARRAY_SIZE(opcodes); i++) {
		memset(&packet, 0xff, sizeof(packet));
		packet.operation = STORVSP_EXECUTE_SRB;
		packet.srb.cdb[0] = opcodes[i];
		send_payload(RING_PACKET_INBAND, &packet, sizeof(packet), i);
		packet.srb.lun = 0;
		packet.srb.target = 0;
		packet.srb.path = 0;
		send_payload(RING_PACKET_INBAND, &packet, sizeof(packet), i);
		packet.srb.cdb_length = 0;
		packet.srb.data_in = STORVSP_DIRECTION_IN;
		send_payload(RING_PACKET_INBAND, &packet, sizeof(packet), i);
	}
}

/* Requests without end, and nobody who takes the answers. */
static void flood(unsigned variant)
{
	struct storvsc_request request = disk_client_command(&rig.disk, SCSI_TEST_UNIT_READY, 6);

	for (unsigned i = 0; i < 5000; i++) {
		if (storvsc_client_submit(&rig.storage, 0, &request)) {
			storvsc_client_flush(&rig.storage);
			rig.storage.free_count = STORVSC_CLIENT_REQUESTS_MAX;
		}
	}
	for (unsigned i = 0; i < 500; i++)
		client_channel_ring_doorbell(hostile_channel());
}

/* Leaves with requests under way. */
static void leave_in_a_hurry(unsigned variant)
{
	static struct storvsc_request requests[32];

	for (unsigned i = 0; i < ARRAY_SIZE(requests); i++) {
		requests[i] =
			disk_client_read(&rig.disk, i * 16, hostile_buffer, sizeof(hostile_buffer));
		if (storvsc_client_submit(&rig.storage, 0, &requests[i]))
			break;
	}
	storvsc_client_flush(&rig.storage);
	if (variant)
		HOSTILE_POST(
			(struct vmbus_message_relid){ .header.type = VMBUS_MESSAGE_CLOSE_CHANNEL,
						      .relid = hostile_channel()->relid });
}

const struct attack hostile_storage[] = {
	{ "garbled ranges", garbled_ranges, ARRAY_SIZE(ranges) * ARRAY_SIZE(commands),
	  HOSTILE_OPEN | HOSTILE_REFUSED },
	{ "reading over our own pages", read_over_own_pages, 4, HOSTILE_OPEN },
	{ "unknown storage operations", unknown_operations, 1, HOSTILE_OPEN },
	{ "short storage packets", short_packets, 1, HOSTILE_OPEN },
	{ "garbled commands", garbled_srbs, 1, HOSTILE_OPEN },
	{ "a flood", flood, 1, HOSTILE_OPEN },
	{ "leaving in a hurry", leave_in_a_hurry, 2, HOSTILE_OPEN },
	{ 0 },
};
