/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A SCSI controller and its disk in the guest, and a host that answers what it should not. */
#include "guest-vsc/disk_client.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/storvsc_client.h"
#include "tests/fake/client_host.h"
#include "tests/unit/unit.h"

#include <string.h>

#define RING_PAGES 8

static struct storvsc_client storage;
static struct disk_client disk;

/* ---- The host ---- */

/* Of the test, optional. Return: true: it has answered, or will not. */
static bool (*asked)(uint64_t id, const struct storvsp_packet *packet);

/* What the disk says of itself. */
static uint64_t last_sector;
static uint32_t sector_size;
static uint8_t serial_length;

static const struct storvsp_packet good = {
	.operation = STORVSP_COMPLETE_IO,
	.status = STORVSP_STATUS_SUCCESS,
	.srb = { .srb_status = STORVSP_SRB_SUCCESS },
};

static void execute(const struct ring_packet *packet, const struct storvsp_packet *request)
{
	const struct ring_gpa_direct *direct = packet->extension;
	const struct ring_gpa_range *range = (const void *)(direct + 1);
	uint8_t *data;

	if (packet->type != RING_PACKET_GPA_DIRECT)
		return;
	data = machine_address(range->pfns[0] * RING_PAGE_SIZE + range->byte_offset);
	if (request->srb.cdb[0] == SCSI_SERVICE_ACTION_IN_16) {
		scsi_put_64(data, last_sector);
		scsi_put_32(data + 8, sector_size);
	} else if (request->srb.cdb[0] == SCSI_INQUIRY && request->srb.cdb[1]) {
		data[3] = serial_length;
		memset(data + 4, 's', request->srb.transfer_length - 4);
	}
}

static void run_host(void)
{
	const struct ring_packet *packet;
	struct storvsp_packet request;

	while ((packet = client_host_receive())) {
		assert_true(packet->payload_size >= sizeof(request));
		memcpy(&request, packet->payload, sizeof(request));
		if (request.operation == STORVSP_EXECUTE_SRB)
			execute(packet, &request);
		if (!asked || !asked(packet->transaction_id, &request))
			(void)client_host_complete(packet->transaction_id, &good, sizeof(good));
	}
}

static int open_controller(void)
{
	client_host_start(&storvsc_device_type);
	client_host.signalled = run_host;
	return storvsc_client_open(&storage, &client_host.bus,
				   vmbus_client_find(&client_host.bus, &storvsc_device_type, 0, 0),
				   UINT16_MAX, client_host_rings(RING_PAGES));
}

static int setup(void **state)
{
	asked = NULL;
	last_sector = 99;
	sector_size = 512;
	serial_length = 8;
	return open_controller();
}

/* ---- The handshake ---- */

static struct storvsp_packet lie;
static size_t lie_size;
static uint64_t id_off;
static bool complete;

static bool tell_lie(uint64_t id, const struct storvsp_packet *packet)
{
	if (lie_size && complete)
		(void)client_host_complete(id + id_off, &lie, lie_size);
	else if (lie_size)
		(void)client_host_send_inband(&lie, lie_size);
	return true;
}

static void test_spoiled_handshakes(void **state)
{
	static const struct {
		uint32_t operation, status;
		size_t size;
		uint64_t id_off;
		bool inband;
		int expected;
	} rows[] = {
		{ STORVSP_COMPLETE_IO, 0, 0, 0, false, STORVSC_CLIENT_E_TIMEOUT },
		{ STORVSP_COMPLETE_IO, 0, 8, 0, false, STORVSC_CLIENT_E_PROTOCOL },
		{ STORVSP_COMPLETE_IO, 0, sizeof(lie) - 8, 0, false, STORVSC_CLIENT_E_PROTOCOL },
		{ STORVSP_COMPLETE_IO, 0, sizeof(lie), 2, false, STORVSC_CLIENT_E_PROTOCOL },
		{ STORVSP_EXECUTE_SRB, 0, sizeof(lie), 0, false, STORVSC_CLIENT_E_PROTOCOL },
		{ STORVSP_COMPLETE_IO, 0, sizeof(lie), 0, true, STORVSC_CLIENT_E_TIMEOUT },
		{ STORVSP_COMPLETE_IO, UINT32_MAX, sizeof(lie), 0, false,
		  STORVSC_CLIENT_E_REFUSED },
		{ STORVSP_COMPLETE_IO, 0, sizeof(lie), 0, false, 0 },
	};

	asked = tell_lie;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		lie = (struct storvsp_packet){
			.operation = rows[i].operation,
			.status = rows[i].status,
		};
		lie_size = rows[i].size;
		id_off = rows[i].id_off;
		complete = !rows[i].inband;
		assert_int_equal(open_controller(), rows[i].expected);
	}
}

/* ---- Completions ---- */

static uint64_t kept_id;

static bool keep(uint64_t id, const struct storvsp_packet *packet)
{
	kept_id = id;
	return true;
}

static void test_spoiled_completions(void **state)
{
	/* The request has the last slot; one of these has the low bits of its id. */
	static const uint64_t ids[] = { 0,
					1,
					STORVSC_CLIENT_REQUESTS_MAX + 1,
					UINT32_MAX,
					UINT64_C(1) << 32 | STORVSC_CLIENT_REQUESTS_MAX,
					UINT64_MAX };
	struct storvsc_request request = { .cdb_length = 6, .direction = STORVSP_DIRECTION_NONE };
	struct storvsp_packet answer = good;

	asked = keep;
	assert_int_equal(storvsc_client_submit(&storage, 0, &request), 0);
	storvsc_client_flush(&storage);
	assert_int_equal(kept_id, STORVSC_CLIENT_REQUESTS_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		assert_true(client_host_complete(ids[i], &good, sizeof(good)));
	assert_int_equal(storvsc_client_poll(&storage), ARRAY_SIZE(ids));
	assert_int_equal(storage.strays, ARRAY_SIZE(ids));
	assert_false(request.done);
	/* Once it is the request's; of more sense than there is, the end is not. */
	answer.srb.sense_length = UINT8_MAX;
	answer.srb.srb_status = STORVSP_SRB_ERROR | STORVSP_SRB_AUTOSENSE_VALID;
	assert_true(client_host_complete(kept_id, &answer, sizeof(answer)));
	assert_true(client_host_complete(kept_id, &good, sizeof(good)));
	assert_int_equal(storvsc_client_poll(&storage), 2);
	assert_true(request.done);
	assert_false(storvsc_request_succeeded(&request));
	assert_int_equal(request.sense_length, STORVSP_SENSE_SIZE);
	assert_int_equal(storage.strays, ARRAY_SIZE(ids) + 1);
	assert_int_equal(storage.in_flight, 0);
	assert_int_equal(storage.free_count, STORVSC_CLIENT_REQUESTS_MAX);
}

static void test_other_packets(void **state)
{
	static const uint8_t big[1024];
	const struct storvsp_packet unasked = { .operation = STORVSP_ENUMERATE_BUS };

	assert_true(client_host_send_inband(&unasked, sizeof(unasked)));
	assert_true(client_host_send_inband(big, sizeof(unasked)));
	assert_int_equal(storvsc_client_poll(&storage), 0);
	assert_true(storage.bus_changed);
	assert_true(client_host_complete(1, &good, sizeof(good) - 8));
	assert_int_equal(storvsc_client_poll(&storage), -STORVSC_CLIENT_E_PROTOCOL);
	assert_true(client_host_send_inband(big, sizeof(big)));
	assert_int_equal(storvsc_client_poll(&storage), -STORVSC_CLIENT_E_RING);
}

/* ---- The disk ---- */

static void test_disks(void **state)
{
	static const struct {
		uint64_t last_sector;
		uint32_t sector_size;
		int expected;
	} rows[] = {
		{ 99, 512, 0 },
		{ 99, 0, -1 },
		{ UINT64_MAX, 512, -1 },
		{ UINT64_MAX, 0, -1 },
		{ UINT64_MAX - 1, UINT32_MAX, 0 },
	};
	static uint8_t buffer[4096] __attribute__((aligned(4096)));
	struct storvsc_request request;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		last_sector = rows[i].last_sector;
		sector_size = rows[i].sector_size;
		assert_int_equal(disk_client_open(&disk, &storage, 0), rows[i].expected);
		if (rows[i].expected)
			continue;
		request = disk_client_read(&disk, 0, buffer, sizeof(buffer));
		assert_int_equal(storvsc_client_execute(&storage, &request), 0);
	}
}

static void test_long_serial(void **state)
{
	serial_length = UINT8_MAX;
	assert_int_equal(disk_client_open(&disk, &storage, 0), 0);
	assert_int_equal(strnlen(disk.serial, sizeof(disk.serial)), sizeof(disk.serial) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spoiled_handshakes),
		cmocka_unit_test_setup(test_spoiled_completions, setup),
		cmocka_unit_test_setup(test_other_packets, setup),
		cmocka_unit_test_setup(test_disks, setup),
		cmocka_unit_test_setup(test_long_serial, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
