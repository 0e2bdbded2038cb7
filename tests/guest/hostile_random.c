/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Anything anywhere: random messages, packets, port and memory accesses. The numbers are the same
 * in every run.
 */
#include "common/wire/scsi.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"
#include "tests/guest/hostile.h"
#include "tests/guest/pattern.h"
#include "tests/guest/report.h"

/* A number that somebody may not have thought of. */
static uint32_t awkward(void)
{
	static const uint32_t numbers[] = {
		0,   1,    2,    3,     4,     7,          8,          16,         64,         240,
		255, 4095, 4096, 65535, 65536, 0x7fffffff, 0x80000000, 0xfffff000, UINT32_MAX,
	};

	if (pattern_random(4) == 0)
		return (uint32_t)pattern_random(1ull << 32);
	return numbers[pattern_random(ARRAY_SIZE(numbers))];
}

static void fill_awkwardly(void *words, size_t size)
{
	for (size_t at = 0; at + sizeof(uint32_t) <= size; at += sizeof(uint32_t)) {
		uint32_t word = awkward();

		memcpy((uint8_t *)words + at, &word, sizeof(word));
	}
}

/* All types but UNLOAD, after which nothing else is looked at. */
static void random_messages(unsigned variant)
{
	uint8_t message[VMBUS_MESSAGE_MAX];

	for (unsigned i = 0; i < 1500; i++) {
		uint32_t type = (uint32_t)pattern_random(30);

		if (type == VMBUS_MESSAGE_UNLOAD)
			continue;
		fill_awkwardly(message, sizeof(message));
		memcpy(message, &type, sizeof(type));
		hostile_post(message, pattern_random(sizeof(message) + 1));
		vmbus_client_poll(&rig.bus);
	}
}

static void send_awkward_packets(struct client_channel *channel, unsigned count)
{
	uint64_t payload[32], extension[8];
	struct ring_packet answer;

	for (unsigned i = 0; i < count; i++) {
		struct ring_packet packet = {
			.type = (uint16_t)(pattern_random(8) ? 6 + pattern_random(6) : awkward()),
			.flags = (uint16_t)pattern_random(2),
			.transaction_id = awkward(),
			.extension = extension,
			.extension_size = (uint32_t)pattern_random(ARRAY_SIZE(extension)) * 8,
			.payload = payload,
			.payload_size = (uint32_t)pattern_random(sizeof(payload)),
		};

		fill_awkwardly(payload, sizeof(payload));
		fill_awkwardly(extension, sizeof(extension));
		if (client_channel_send(channel, &packet))
			break;
		client_channel_flush(channel);
		while (client_channel_receive(channel, hostile_buffer, HOSTILE_BUFFER_SIZE,
					      &answer) == 0)
			;
	}
}

/* Every channel but the controller's, and with nothing else than garbage. */
static void garbage_to_every_channel(unsigned variant)
{
	static struct client_channel channel;
	const struct client_channel_memory memory = { .address = hostile_shared, .pages = 8 };

	for (unsigned i = 0; i < VMBUS_CLIENT_OFFERS_MAX; i++) {
		const struct vmbus_message_offer_channel *offer = &rig.bus.offers[i].message;

		if (!offer->relid || client_channel_open(&channel, &rig.bus, offer, memory, NULL))
			continue;
		send_awkward_packets(&channel, 200);
		if (client_channel_close(&channel))
			return;
	}
}

static void garbage_to_the_open_disk(unsigned variant)
{
	send_awkward_packets(hostile_channel(), 1000);
}

/* Commands that do not write, and fields that do not fit; no memory to put anything. */
static void random_commands(unsigned variant)
{
	static const uint8_t opcodes[] = {
		SCSI_TEST_UNIT_READY,
		SCSI_REQUEST_SENSE,
		SCSI_READ_6,
		SCSI_INQUIRY,
		SCSI_MODE_SENSE_6,
		SCSI_READ_CAPACITY_10,
		SCSI_READ_10,
		SCSI_VERIFY_10,
		SCSI_SYNCHRONIZE_CACHE_10,
		SCSI_READ_TOC,
		SCSI_MODE_SENSE_10,
		SCSI_READ_16,
		SCSI_VERIFY_16,
		SCSI_SYNCHRONIZE_CACHE_16,
		SCSI_SERVICE_ACTION_IN_16,
		SCSI_REPORT_LUNS,
		SCSI_READ_12,
		SCSI_GET_EVENT_STATUS_NOTIFICATION,
	};

	for (unsigned i = 0; i < 1000; i++) {
		struct storvsc_request request = {
			.lun = (uint8_t)(pattern_random(4) ? 0 : awkward()),
			.target = (uint8_t)(pattern_random(8) ? 0 : awkward()),
			.path = (uint8_t)(pattern_random(8) ? 0 : awkward()),
			.cdb_length = (uint8_t)(pattern_random(2) ? 16 : awkward()),
			.direction = (enum storvsp_direction)pattern_random(4),
			.buffer = hostile_buffer,
			.size = (uint32_t)pattern_random(HOSTILE_BUFFER_SIZE),
		};

		fill_awkwardly(request.cdb, sizeof(request.cdb));
		request.cdb[0] = opcodes[pattern_random(ARRAY_SIZE(opcodes))];
		if (storvsc_client_execute(&rig.storage, &request))
			return;
	}
}

/* ---- Outside VMBus ---- */

/* Where an access ends the machine, or the report. */
static bool port_is_taboo(uint16_t port)
{
	return (port >= 0x3f8 && port < 0x400) || (port >= 0x600 && port < 0x608) || port == 0x64 ||
	       port == 0x92 || (port >= 0xcf8 && port < 0xd00);
}

/* For machine_try(): hypercalls are made through ports, too, and refused to ring 3 by a fault. */
static void access_port(void *argument)
{
	uint16_t port = *(uint16_t *)argument;

	switch (pattern_random(4)) {
	case 0:
		port_write8(port, (uint8_t)awkward());
		break;
	case 1:
		port_write16(port, (uint16_t)awkward());
		break;
	case 2:
		port_write_string(port, hostile_buffer, pattern_random(64));
		break;
	default:
		port_read8(port);
	}
}

static void random_ports(unsigned variant)
{
	unsigned faults = 0;

	for (unsigned i = 0; i < 600; i++) {
		uint16_t port = (uint16_t)pattern_random(i % 2 ? 0x1000 : 0x10000);

		if (!port_is_taboo(port))
			faults += !machine_try(access_port, &port);
	}
	if (faults)
		report_note("%u port accesses faulted", faults);
}

/* From the end of RAM to that of our mapping. */
static void random_memory(unsigned variant)
{
	const uint64_t first = 512ull << 20, size = 500ull << 20;

	for (unsigned i = 0; i < 1000; i++) {
		volatile uint32_t *word = machine_address(first + pattern_random(size / 4) * 4);

		if (pattern_random(2))
			*word = awkward();
		else
			(void)*word;
	}
}

static void read_every_msr(unsigned variant)
{
	uint64_t value, readable = 0;

	for (uint32_t i = 0; i < HV_MSR_RANGE_COUNT; i++)
		readable += machine_read_msr(HV_MSR_RANGE_BASE + i, &value);
	if (!readable)
		guest_panic("no synthetic MSR can be read");
}

const struct attack hostile_random[] = {
	{ "random messages", random_messages, 1, 0 },
	{ "random messages while the disk is open", random_messages, 1, HOSTILE_OPEN },
	{ "garbage to every channel", garbage_to_every_channel, 1, 0 },
	{ "garbage to the open disk", garbage_to_the_open_disk, 1, HOSTILE_OPEN },
	{ "random commands", random_commands, 1, HOSTILE_OPEN },
	{ "random ports", random_ports, 1, HOSTILE_OPEN },
	{ "random memory", random_memory, 1, HOSTILE_OPEN },
	{ "reading every MSR", read_every_msr, 1, HOSTILE_OPEN },
	{ 0 },
};
