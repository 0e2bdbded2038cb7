/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The storage protocol, from the guest's rings to a disk and back. */
#include "common/base/json.h"
#include "common/wire/scsi.h"
#include "tests/fake/disk_fault.h"
#include "tests/fake/disk_memory.h"
#include "tests/fake/storvsc.h"
#include "tests/unit/unit.h"
#include "vsp/storage/storage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DISK_SIZE   (8u << 20)
#define VPS         4
#define REQUEST_MAX 256 /* of one controller */
#define BUFFERS     8   /* the same */

static const uint8_t test_unit_ready[6] = { 0x00 };
static const uint8_t inquiry[6] = { 0x12, 0, 0, 0, 36 };
/* Of the whole disk, which takes many reads, and moves no data. */
static const uint8_t verify_all[16] = { 0x8f, [11] = DISK_SIZE / 512 >> 16, DISK_SIZE / 512 >> 8 };
static const uint8_t read_one[10] = { 0x28, 0, 0, 0, 0, 0, 0, 0, 1 };

struct fixture {
	struct fake *fake;
	struct storage_controller *controller;
	struct disk *disk; /* of unit 0: with faults, on memory */
	uint8_t *bytes;
	unsigned ejected, done;
	struct storvsc primary, sub[VPS];
	uint8_t data[STORVSC_DATA_SIZE], other[STORVSC_DATA_SIZE];
};

static void count_ejected(void *data, unsigned lun)
{
	((struct fixture *)data)->ejected++;
}

static void count_done(void *data)
{
	((struct fixture *)data)->done++;
}

static struct disk *new_disk(struct fixture *f)
{
	struct disk *memory;

	assert_int_equal(disk_memory_new(f->fake->loop, DISK_SIZE, 512, &memory), 0);
	f->bytes = disk_memory_bytes(memory);
	return disk_fault_new(f->fake->loop, memory);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct storage_options options = {
		.instance = GUID(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
		.sub_channel_max = STORAGE_SUB_CHANNELS_AUTOMATIC,
		.ejected = count_ejected,
		.data = f,
	};

	f->fake = fake_new(VPS, 32 << 20);
	assert_int_equal(storage_controller_new(f->fake->bus, &options, &f->controller), 0);
	f->disk = new_disk(f);
	assert_int_equal(storage_attach(f->controller, 0, &(struct storage_unit){ 0 }, f->disk), 0);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	*state = f;
	return 0;
}

static int setup_started(void **state)
{
	struct fixture *f;

	setup(state);
	f = *state;
	assert_true(storvsc_start(&f->primary, f->fake));
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	storage_controller_free(f->controller);
	fake_free(f->fake);
	free(f);
	return 0;
}

static void fill(uint8_t *data, uint8_t seed, size_t size)
{
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)(seed + i * 13 + i / 4096);
}

static struct storvsp_packet transfer(enum storvsp_direction direction, uint32_t lba,
				      uint32_t blocks)
{
	uint8_t cdb[16] = { direction == STORVSP_DIRECTION_IN ? 0x88 : 0x8a };

	cdb[6] = (uint8_t)(lba >> 24);
	cdb[7] = (uint8_t)(lba >> 16);
	cdb[8] = (uint8_t)(lba >> 8);
	cdb[9] = (uint8_t)lba;
	cdb[12] = (uint8_t)(blocks >> 8);
	cdb[13] = (uint8_t)blocks;
	return storvsc_srb(direction, blocks * 512, cdb, sizeof(cdb));
}

/* ---- Negotiation ---- */

static void test_negotiation(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;

	assert_true(storvsc_open(s, f->fake, 0, 8));
	assert_int_equal(s->offer.flags, VMBUS_OFFER_ENUMERATE);
	assert_int_equal(storvsc_operate(s, STORVSP_BEGIN_INITIALIZATION), 0);
	assert_int_equal(storvsc_query_version(s, STORVSP_VERSION(4, 2)),
			 STORVSP_STATUS_REVISION_MISMATCH);
	assert_int_equal(storvsc_query_version(s, STORVSP_VERSION(7, 0)),
			 STORVSP_STATUS_REVISION_MISMATCH);
	assert_int_equal(storvsc_query_version(s, STORVSP_VERSION(6, 1)),
			 STORVSP_STATUS_REVISION_MISMATCH);
	assert_int_equal(storvsc_query_version(s, STORVSP_VERSION_WIN8), 0);
	assert_int_equal(storvsc_operate(s, STORVSP_QUERY_PROPERTIES), 0);
	assert_int_equal(s->reply.properties.sub_channel_max, VPS - 1);
	assert_int_equal(s->reply.properties.flags, STORVSP_SUPPORTS_SUB_CHANNELS);
	assert_int_equal(s->reply.properties.transfer_max, 1 << 20);
	assert_int_equal(storvsc_operate(s, STORVSP_FCHBA_DATA), STORVSP_STATUS_INVALID_REQUEST);
	assert_int_equal(storvsc_operate(s, STORVSP_END_INITIALIZATION), 0);
	assert_int_equal(storvsc_execute(s, STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6),
			 STORVSP_SRB_SUCCESS);
}

static void test_every_version(void **state)
{
	static const uint16_t versions[] = { STORVSP_VERSION_WIN8, STORVSP_VERSION_WIN8_1,
					     STORVSP_VERSION_WIN10 };
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;

	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		assert_true(storvsc_open(s, f->fake, 0, 8));
		assert_int_equal(storvsc_operate(s, STORVSP_BEGIN_INITIALIZATION), 0);
		assert_int_equal(storvsc_query_version(s, versions[i]), 0);
		assert_true(fake_close(&s->channel));
	}
}

/* Without what Windows 8 has added, as Linux 5.10 does until it knows the version. */
static void test_short_packets(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	const struct storvsp_packet packets[] = {
		{ .operation = STORVSP_BEGIN_INITIALIZATION },
		{ .operation = STORVSP_QUERY_PROTOCOL_VERSION,
		  .version = { .version = STORVSP_VERSION_WIN10 } },
		{ .operation = STORVSP_QUERY_PROPERTIES },
		{ .operation = STORVSP_END_INITIALIZATION },
		storvsc_srb(STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6),
	};

	assert_true(storvsc_open(s, f->fake, 0, 8));
	for (size_t i = 0; i < ARRAY_SIZE(packets); i++) {
		assert_true(fake_send(&s->channel, RING_PACKET_INBAND,
				      RING_FLAG_COMPLETION_REQUESTED, i, &packets[i],
				      STORVSP_PACKET_SIZE_MIN));
		assert_true(storvsc_receive(s));
		assert_int_equal(s->reply_id, i);
		assert_int_equal(s->reply_size, STORVSP_PACKET_SIZE_MIN);
		assert_int_equal(s->reply.status, STORVSP_STATUS_SUCCESS);
	}
	assert_int_equal(storvsc_execute(s, STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6),
			 STORVSP_SRB_SUCCESS);
	assert_int_equal(s->reply_size, sizeof(s->reply));
	assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_SUCCESS);
}

static void test_order_is_kept(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	const uint32_t wrong = STORVSP_STATUS_INVALID_DEVICE_STATE;
	struct storvsp_packet packet;

	assert_true(storvsc_open(s, f->fake, 0, 8));
	assert_int_equal(storvsc_operate(s, STORVSP_END_INITIALIZATION), wrong);
	assert_int_equal(storvsc_operate(s, STORVSP_QUERY_PROPERTIES), wrong);
	assert_int_equal(storvsc_query_version(s, STORVSP_VERSION_WIN10), wrong);
	assert_int_equal(storvsc_operate(s, STORVSP_BEGIN_INITIALIZATION), 0);
	assert_int_equal(storvsc_operate(s, STORVSP_BEGIN_INITIALIZATION), wrong);
	assert_int_equal(storvsc_operate(s, STORVSP_END_INITIALIZATION), wrong);
	assert_int_equal(storvsc_query_version(s, STORVSP_VERSION_WIN10), 0);
	packet = storvsc_srb(STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6);
	assert_true(storvsc_submit(s, 5, &packet, 0));
	assert_true(storvsc_receive(s));
	assert_int_equal(s->reply.status, wrong);
	assert_int_equal(storvsc_operate(s, STORVSP_CREATE_SUB_CHANNELS), wrong);
	assert_int_equal(storvsc_operate(s, STORVSP_RESET_BUS), wrong);
	assert_int_equal(storvsc_operate(s, STORVSP_END_INITIALIZATION), 0);
	assert_int_equal(storvsc_operate(s, STORVSP_END_INITIALIZATION), wrong);
}

static void test_malformed_packets(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	static const uint32_t operations[] = { 0, 1, 2, 11, 14, 0x80000000, UINT32_MAX };
	struct storvsp_packet packet = { .operation = STORVSP_EXECUTE_SRB };

	for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
		assert_int_equal(storvsc_operate(s, operations[i]),
				 STORVSP_STATUS_INVALID_PARAMETER);
	for (uint32_t size = 0; size < STORVSP_PACKET_SIZE_MIN; size += 8) {
		assert_true(fake_send(&s->channel, RING_PACKET_INBAND,
				      RING_FLAG_COMPLETION_REQUESTED, 9, &packet, size));
		assert_true(storvsc_receive(s));
		assert_int_equal(s->reply_id, 9);
		assert_int_equal(s->reply.status, STORVSP_STATUS_INVALID_PARAMETER);
	}
	/* A packet of another kind is nobody's; who wants no answer gets none. */
	assert_true(fake_send(&s->channel, RING_PACKET_COMPLETION, RING_FLAG_COMPLETION_REQUESTED,
			      3, &packet, sizeof(packet)));
	packet = storvsc_srb(STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6);
	assert_true(fake_send(&s->channel, RING_PACKET_INBAND, 0, 4, &packet, sizeof(packet)));
	assert_int_equal(storvsc_execute(s, STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6),
			 STORVSP_SRB_SUCCESS);
}

/* ---- SRBs ---- */

static void test_read_and_write(void **state)
{
	static const uint32_t sizes[] = { 1, 7, 8, 9, 64, 127, 2048 };
	static const uint32_t offsets[] = { 0, 512, 3584 };
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;

	for (unsigned scatter = 0; scatter < 2; scatter++) {
		f->fake->scatter = scatter;
		fake_alloc(f->fake, STORVSC_PAGES, s->pfns);
		for (size_t i = 0; i < ARRAY_SIZE(sizes) * ARRAY_SIZE(offsets); i++) {
			uint32_t blocks = sizes[i % ARRAY_SIZE(sizes)], size = blocks * 512;
			uint32_t offset = offsets[i / ARRAY_SIZE(sizes)];
			struct storvsp_packet write = transfer(STORVSP_DIRECTION_OUT, 3, blocks);
			struct storvsp_packet read = transfer(STORVSP_DIRECTION_IN, 3, blocks);

			fill(f->data, (uint8_t)i, size);
			storvsc_put(s, offset, f->data, size);
			assert_true(storvsc_submit(s, 2, &write, offset));
			assert_true(storvsc_receive(s));
			assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_SUCCESS);
			assert_int_equal(s->reply.srb.transfer_length, size);
			assert_memory_equal(f->bytes + 3 * 512, f->data, size);
			memset(f->other, 0, size);
			storvsc_put(s, offset, f->other, size);
			assert_true(storvsc_submit(s, 3, &read, offset));
			assert_true(storvsc_receive(s));
			assert_int_equal(s->reply.status, 0);
			assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_SUCCESS);
			assert_int_equal(s->reply.srb.scsi_status, SCSI_GOOD);
			assert_int_equal(s->reply.srb.transfer_length, size);
			storvsc_get(s, offset, f->other, size);
			assert_memory_equal(f->other, f->data, size);
		}
	}
}

/* Dirty tracking hears of exactly the pages that were read into. */
static void test_written_pages_are_marked(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	struct storvsp_packet packet;

	f->fake->scatter = true;
	fake_alloc(f->fake, STORVSC_PAGES, s->pfns);
	packet = transfer(STORVSP_DIRECTION_OUT, 0, 16);
	assert_true(storvsc_submit(s, 2, &packet, 2048));
	assert_true(storvsc_receive(s));
	for (unsigned i = 0; i < 6; i++)
		assert_false(f->fake->written[s->pfns[i]]);
	packet = transfer(STORVSP_DIRECTION_IN, 0, 16);
	assert_true(storvsc_submit(s, 2, &packet, HV_PAGE_SIZE + 2048));
	assert_true(storvsc_receive(s));
	assert_false(f->fake->written[s->pfns[0]]);
	for (unsigned i = 1; i < 4; i++)
		assert_true(f->fake->written[s->pfns[i]]);
	assert_false(f->fake->written[s->pfns[4]]);
	assert_int_equal(storvsc_execute(s, STORVSP_DIRECTION_IN, 36, inquiry, 6),
			 STORVSP_SRB_SUCCESS);
	assert_true(f->fake->written[s->pfns[0]]);
}

/* A guest with memory that was added while it runs has buffers that go from one piece into the
 * next. */
static void test_transfer_across_a_seam(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	uint32_t size = 8 * HV_PAGE_SIZE;
	struct storvsp_packet packet;

	for (unsigned page = 1; page < 8; page++) {
		f->fake->seam = gpa_from_pfn(s->pfns[page]);
		memset(f->data, (int)page, size);
		storvsc_put(s, 0, f->data, size);
		packet = transfer(STORVSP_DIRECTION_OUT, 0, (uint16_t)(size / 512));
		assert_true(storvsc_submit(s, 1, &packet, 0));
		assert_true(storvsc_receive(s));
		assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_SUCCESS);
		memset(f->data, 0, size);
		storvsc_put(s, 0, f->data, size);
		packet = transfer(STORVSP_DIRECTION_IN, 0, (uint16_t)(size / 512));
		assert_true(storvsc_submit(s, 2, &packet, 0));
		assert_true(storvsc_receive(s));
		assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_SUCCESS);
		storvsc_get(s, 0, f->other, size);
		memset(f->data, (int)page, size);
		assert_memory_equal(f->other, f->data, size);
	}
}

static void test_sense(void **state)
{
	static const uint8_t nonsense[6] = { 0xff };
	static const uint8_t request_sense[6] = { 0x03, 0, 0, 0, 18 };
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	struct storvsp_packet packet;

	assert_int_equal(storvsc_execute(s, STORVSP_DIRECTION_NONE, 0, nonsense, 6),
			 STORVSP_SRB_ERROR | STORVSP_SRB_AUTOSENSE_VALID);
	assert_int_equal(s->reply.srb.scsi_status, SCSI_CHECK_CONDITION);
	assert_int_equal(s->reply.srb.sense_length, 18);
	assert_int_equal(s->reply.srb.sense[0], 0x70);
	assert_int_equal(s->reply.srb.sense[2], SCSI_ILLEGAL_REQUEST);
	assert_int_equal(s->reply.srb.sense[12], 0x20);
	/* Who did not want it so can ask. */
	for (unsigned i = 0; i < 2; i++) {
		packet = storvsc_srb(STORVSP_DIRECTION_NONE, 0, nonsense, 6);
		if (i == 0)
			packet.srb.srb_flags = STORVSP_SRB_DISABLE_AUTOSENSE;
		else
			packet.srb.sense_length = 0;
		assert_true(storvsc_submit(s, 2, &packet, 0));
		assert_true(storvsc_receive(s));
		assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_ERROR);
		assert_int_equal(s->reply.srb.sense_length, 0);
		assert_int_equal(storvsc_execute(s, STORVSP_DIRECTION_IN, 18, request_sense, 6),
				 STORVSP_SRB_SUCCESS);
		storvsc_get(s, 0, f->data, 18);
		assert_int_equal(f->data[2], SCSI_ILLEGAL_REQUEST);
	}
	packet = storvsc_srb(STORVSP_DIRECTION_NONE, 0, nonsense, 6);
	packet.srb.sense_length = 255;
	assert_true(storvsc_submit(s, 2, &packet, 0));
	assert_true(storvsc_receive(s));
	assert_int_equal(s->reply.srb.sense_length, 18);
	disk_fault_fail(f->disk, DISK_READ, -ENOMEM, 1);
	assert_int_equal(storvsc_execute(s, STORVSP_DIRECTION_IN, 512, read_one, 10),
			 STORVSP_SRB_BUSY);
	assert_int_equal(s->reply.srb.scsi_status, SCSI_BUSY);
}

static void expect_refused(struct storvsc *s, const struct storvsp_packet *packet)
{
	assert_true(storvsc_submit(s, 2, packet, 0));
	assert_true(storvsc_receive(s));
	assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_INVALID_REQUEST);
	assert_int_equal(s->reply.srb.transfer_length, 0);
}

static void test_hostile_srbs(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	struct storvsp_packet packet = storvsc_srb(STORVSP_DIRECTION_IN, 512, read_one, 10);
	uint64_t pfn = s->pfns[0], pfns[STORVSC_PAGES + 1];
	struct storage_counters counters;

	packet.srb.cdb_length = 17;
	expect_refused(s, &packet);
	packet.srb.cdb_length = 10;
	packet.srb.data_in = 3;
	expect_refused(s, &packet);
	packet.srb.data_in = STORVSP_DIRECTION_NONE;
	expect_refused(s, &packet);
	packet.srb.data_in = STORVSP_DIRECTION_IN;
	/* Memory that is none; wild frame numbers; the last page only. */
	s->pfns[0] = f->fake->ram_size / HV_PAGE_SIZE;
	expect_refused(s, &packet);
	s->pfns[0] = UINT64_MAX;
	expect_refused(s, &packet);
	s->pfns[0] = pfn;
	/* The SRB claims more than the range has, or there is no range. */
	packet.srb.transfer_length = 513;
	assert_true(fake_send_range(&s->channel, RING_FLAG_COMPLETION_REQUESTED, 2, s->pfns, 0, 512,
				    &packet, sizeof(packet)));
	assert_true(storvsc_receive(s));
	assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_INVALID_REQUEST);
	assert_true(storvsc_send(s, 2, &packet));
	assert_true(storvsc_receive(s));
	assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_INVALID_REQUEST);
	/* More than was announced. */
	for (unsigned i = 0; i < ARRAY_SIZE(pfns); i++)
		pfns[i] = pfn;
	packet.srb.transfer_length = (1 << 20) + 512;
	assert_true(fake_send_range(&s->channel, RING_FLAG_COMPLETION_REQUESTED, 2, pfns, 0,
				    packet.srb.transfer_length, &packet, sizeof(packet)));
	assert_true(storvsc_receive(s));
	assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_INVALID_REQUEST);
	/* Less than the range is fine. */
	packet.srb.transfer_length = 512;
	assert_true(fake_send_range(&s->channel, RING_FLAG_COMPLETION_REQUESTED, 2, s->pfns, 0,
				    8192, &packet, sizeof(packet)));
	assert_true(storvsc_receive(s));
	assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_SUCCESS);
	storage_counters(f->controller, &counters);
	assert_int_equal(counters.refused, 8);
	assert_int_equal(counters.in_flight, 0);
}

static void test_two_ranges_are_refused(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	struct storvsp_packet packet = storvsc_srb(STORVSP_DIRECTION_IN, 512, read_one, 10);
	uint8_t extension[8 + 2 * 16];
	struct ring_gpa_direct direct = { .range_count = 2 };
	struct ring_gpa_range range = { .byte_count = 256, .byte_offset = 0 };

	memcpy(extension, &direct, 8);
	for (unsigned i = 0; i < 2; i++) {
		memcpy(extension + 8 + i * 16, &range, 8);
		memcpy(extension + 16 + i * 16, &s->pfns[i], 8);
	}
	assert_true(fake_send_ranges(&s->channel, RING_FLAG_COMPLETION_REQUESTED, 2, extension,
				     sizeof(extension), &packet, sizeof(packet)));
	assert_true(storvsc_receive(s));
	assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_INVALID_REQUEST);
}

/* Only path 0 of target 0 may say that a unit has gone: the guest would remove it. */
static void test_invalid_lun(void **state)
{
	static const struct {
		uint8_t path, target, lun, status;
	} cases[] = {
		{ 0, 0, 0, STORVSP_SRB_SUCCESS },
		{ 0, 0, 1, STORVSP_SRB_INVALID_LUN },
		{ 0, 0, 200, STORVSP_SRB_INVALID_LUN },
		{ 0, 1, 0, STORVSP_SRB_ERROR | STORVSP_SRB_AUTOSENSE_VALID },
		{ 1, 0, 0, STORVSP_SRB_ERROR | STORVSP_SRB_AUTOSENSE_VALID },
		{ 7, 1, 9, STORVSP_SRB_ERROR | STORVSP_SRB_AUTOSENSE_VALID },
	};
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct storvsp_packet packet =
			storvsc_srb(STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6);

		packet.srb.path = cases[i].path;
		packet.srb.target = cases[i].target;
		packet.srb.lun = cases[i].lun;
		assert_true(storvsc_submit(s, 2, &packet, 0));
		assert_true(storvsc_receive(s));
		assert_int_equal(s->reply.srb.srb_status, cases[i].status);
	}
}

/* An IDE disk is at its own target alone, whichever path the guest takes it to be on. */
static void test_ide(void **state)
{
	static const struct {
		uint8_t path, target, lun, status;
	} cases[] = {
		{ 0, 1, 0, STORVSP_SRB_SUCCESS },
		{ 1, 1, 0, STORVSP_SRB_SUCCESS },
		{ 0, 1, 1, STORVSP_SRB_INVALID_LUN },
		{ 0, 0, 0, STORVSP_SRB_ERROR | STORVSP_SRB_AUTOSENSE_VALID },
		{ 0, 2, 0, STORVSP_SRB_ERROR | STORVSP_SRB_AUTOSENSE_VALID },
	};
	static const uint8_t user[24] = { [2] = 1, [3] = 1, [8] = 2 };
	const struct storage_options options = { .kind = STORAGE_IDE,
						 .sub_channel_max = 4,
						 .instance = storage_ide_instance(1, 1),
						 .ide_channel = 1,
						 .ide_device = 1 };
	struct fixture f = { .fake = fake_new(VPS, 32 << 20) };
	struct storvsc *s = &f.primary;

	assert_int_equal(storage_controller_new(f.fake->bus, &options, &f.controller), 0);
	f.disk = new_disk(&f);
	assert_int_equal(storage_attach(f.controller, 0, &(struct storage_unit){ 0 }, f.disk), 0);
	assert_true(fake_connect(f.fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f.fake));
	assert_int_equal(f.fake->offer_count, 1);
	assert_memory_equal(f.fake->offers[0].user_defined, user, sizeof(user));
	assert_memory_equal(&f.fake->offers[0].instance,
			    &GUID(1, 1, 0x8899, 0, 0, 0, 0, 0, 0, 0, 0), sizeof(struct guid));
	assert_true(storvsc_start(s, f.fake));
	assert_int_equal(storvsc_operate(s, STORVSP_CREATE_SUB_CHANNELS),
			 STORVSP_STATUS_INVALID_PARAMETER);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct storvsp_packet packet =
			storvsc_srb(STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6);

		packet.srb.path = cases[i].path;
		packet.srb.target = cases[i].target;
		packet.srb.lun = cases[i].lun;
		assert_true(storvsc_submit(s, 2, &packet, 0));
		assert_true(storvsc_receive(s));
		assert_int_equal(s->reply.srb.srb_status, cases[i].status);
	}
	assert_int_equal(storvsc_operate(s, STORVSP_RESET_LUN), 0);
	fake_stop(f.fake);
	storage_controller_free(f.controller);
	fake_free(f.fake);
}

/* ---- Many at once ---- */

static void test_pool_runs_empty(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	struct storvsp_packet packet = storvsc_srb(STORVSP_DIRECTION_IN, 512, read_one, 10);
	struct storage_counters counters;
	bool seen[REQUEST_MAX + 100] = { false };

	disk_fault_hold(f->disk);
	for (uint64_t i = 0; i < ARRAY_SIZE(seen); i++)
		assert_true(storvsc_submit(s, 100 + i, &packet, 0));
	fake_settle(f->fake);
	assert_int_equal(disk_fault_held(f->disk), REQUEST_MAX);
	storage_counters(f->controller, &counters);
	assert_int_equal(counters.in_flight, REQUEST_MAX);
	disk_fault_release(f->disk);
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
		assert_true(storvsc_receive(s));
		assert_false(seen[s->reply_id - 100]);
		seen[s->reply_id - 100] = true;
		assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_SUCCESS);
	}
}

/* A guest that does not read its replies loses none, and holds up nobody else. */
static void test_ring_runs_full(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	struct storvsp_packet packet = storvsc_srb(STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6);
	unsigned sent = 0, received = 0;

	assert_true(fake_close(&s->channel));
	assert_true(storvsc_open(s, f->fake, 0, 2)); /* 4096 bytes: some 45 replies */
	assert_int_equal(storvsc_operate(s, STORVSP_BEGIN_INITIALIZATION), 0);
	assert_int_equal(storvsc_query_version(s, STORVSP_VERSION_WIN10), 0);
	assert_int_equal(storvsc_operate(s, STORVSP_END_INITIALIZATION), 0);
	for (unsigned round = 0; round < 50; round++) {
		while (storvsc_submit(s, 1000 + sent, &packet, 0))
			sent++;
		fake_settle(f->fake);
	}
	assert_in_range(sent, REQUEST_MAX, REQUEST_MAX + 200);
	while (received < sent) {
		assert_true(storvsc_receive(s));
		assert_int_equal(s->reply_id, 1000 + received);
		received++;
	}
}

/* ---- Sub-channels ---- */

static uint32_t create_sub_channels(struct storvsc *s, uint16_t count)
{
	struct storvsp_packet packet = {
		.operation = STORVSP_CREATE_SUB_CHANNELS,
		.flags = STORVSP_REQUEST_COMPLETION,
		.sub_channel_count = count,
	};

	assert_true(storvsc_send(s, STORVSC_INIT_ID, &packet));
	assert_true(storvsc_receive(s));
	return s->reply.status;
}

static void test_sub_channels(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	struct storage_counters counters;

	assert_int_equal(create_sub_channels(s, 0), STORVSP_STATUS_INVALID_PARAMETER);
	assert_int_equal(create_sub_channels(s, VPS), STORVSP_STATUS_INVALID_PARAMETER);
	assert_int_equal(create_sub_channels(s, VPS - 1), 0);
	assert_int_equal(create_sub_channels(s, 1), STORVSP_STATUS_INVALID_DEVICE_STATE);
	for (uint16_t i = 0; i < VPS - 1; i++) {
		struct storvsc *sub = &f->sub[i];

		assert_true(storvsc_open(sub, f->fake, (uint16_t)(i + 1), 8));
		assert_memory_equal(&sub->offer.instance, &s->offer.instance, 16);
		assert_int_not_equal(sub->offer.relid, s->offer.relid);
		assert_int_equal(storvsc_execute(sub, STORVSP_DIRECTION_IN, 512, read_one, 10),
				 STORVSP_SRB_SUCCESS);
		assert_int_equal(storvsc_operate(sub, STORVSP_BEGIN_INITIALIZATION),
				 STORVSP_STATUS_INVALID_DEVICE_STATE);
		assert_int_equal(storvsc_operate(sub, STORVSP_QUERY_PROPERTIES),
				 STORVSP_STATUS_INVALID_DEVICE_STATE);
	}
	storage_counters(f->controller, &counters);
	assert_int_equal(counters.sub_channels, VPS - 1);

	/* They go with the primary channel, and come again. */
	for (unsigned round = 0; round < 3; round++) {
		assert_true(fake_close(&s->channel));
		fake_settle(f->fake);
		assert_int_equal(f->fake->offer_count, 1);
		assert_true(storvsc_start(s, f->fake));
		assert_int_equal(create_sub_channels(s, 1), 0);
		assert_true(storvsc_open(&f->sub[0], f->fake, 1, 8));
		assert_int_equal(
			storvsc_execute(&f->sub[0], STORVSP_DIRECTION_IN, 512, read_one, 10),
			STORVSP_SRB_SUCCESS);
	}
}

/* One channel that always has something to do does not starve another. */
static void test_channels_share_the_pool(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary, *sub = &f->sub[0];
	struct storvsp_packet packet = storvsc_srb(STORVSP_DIRECTION_IN, 512, read_one, 10);

	assert_int_equal(create_sub_channels(s, 1), 0);
	assert_true(storvsc_open(sub, f->fake, 1, 8));
	disk_fault_hold(f->disk);
	for (unsigned i = 0; i < REQUEST_MAX + 10; i++)
		assert_true(storvsc_submit(s, 10 + i, &packet, 0));
	fake_settle(f->fake);
	assert_true(storvsc_submit(sub, 7, &packet, 0));
	fake_settle(f->fake);
	assert_int_equal(disk_fault_held(f->disk), REQUEST_MAX);
	disk_fault_release(f->disk);
	assert_true(storvsc_receive(sub));
	assert_int_equal(sub->reply_id, 7);
	for (unsigned i = 0; i < REQUEST_MAX + 10; i++)
		assert_true(storvsc_receive(s));
}

/* ---- Resets ---- */

static void test_reset_waits(void **state)
{
	static const uint32_t operations[] = { STORVSP_RESET_BUS, STORVSP_RESET_ADAPTER,
					       STORVSP_RESET_LUN };
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	struct storvsp_packet read = storvsc_srb(STORVSP_DIRECTION_IN, 512, read_one, 10);

	for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
		struct storvsp_packet reset = { .operation = operations[i] };

		disk_fault_hold(f->disk);
		assert_true(storvsc_submit(s, 11, &read, 0));
		assert_true(storvsc_send(s, 12, &reset));
		assert_true(storvsc_submit(s, 13, &read, 0));
		fake_settle(f->fake);
		assert_false(storvsc_receive_now(s));
		assert_int_equal(disk_fault_held(f->disk), 1);
		disk_fault_release(f->disk);
		assert_true(storvsc_receive(s));
		assert_int_equal(s->reply_id, 11);
		assert_true(storvsc_receive(s));
		assert_int_equal(s->reply_id, 12);
		assert_int_equal(s->reply.status, 0);
		assert_true(storvsc_receive(s));
		assert_int_equal(s->reply_id, 13);
		assert_int_equal(s->reply.srb.sense[2], SCSI_UNIT_ATTENTION);
		assert_int_equal(s->reply.srb.sense[12], 0x29);
	}
	assert_int_equal(storvsc_operate(s, STORVSP_RESET_BUS), 0);
}

static void test_a_medium_that_has_lost_its_power(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;

	storage_power_lost(f->controller, 0);
	assert_int_equal(storvsc_execute(s, STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6),
			 STORVSP_SRB_ERROR | STORVSP_SRB_AUTOSENSE_VALID);
	assert_int_equal(s->reply.srb.sense[2], SCSI_UNIT_ATTENTION);
	assert_int_equal(s->reply.srb.sense[12], 0x29);
	assert_int_equal(storvsc_execute(s, STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6),
			 STORVSP_SRB_SUCCESS);
}

static struct storvsp_packet verify(uint8_t lun)
{
	struct storvsp_packet packet =
		storvsc_srb(STORVSP_DIRECTION_NONE, 0, verify_all, sizeof(verify_all));

	packet.srb.lun = lun;
	return packet;
}

static void expect_aborted(struct storvsc *s, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		assert_true(storvsc_receive(s));
		assert_int_equal(s->reply.srb.srb_status,
				 STORVSP_SRB_ERROR | STORVSP_SRB_AUTOSENSE_VALID);
		assert_int_equal(s->reply.srb.sense[2], SCSI_ABORTED_COMMAND);
	}
}

/* All requests are answered, those with nothing under way at once, and the reset last. */
static void test_reset_cuts_long_commands_short(void **state)
{
	static const uint32_t operations[] = { STORVSP_RESET_BUS, STORVSP_RESET_ADAPTER,
					       STORVSP_RESET_LUN };
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	struct storvsp_packet packet = verify(0);

	for (unsigned i = 0; i < ARRAY_SIZE(operations); i++) {
		struct storvsp_packet reset = { .operation = operations[i] };

		disk_fault_hold(f->disk);
		for (unsigned j = 0; j < 2 * BUFFERS; j++)
			assert_true(storvsc_submit(s, 100 + j, &packet, 0));
		fake_settle(f->fake);
		assert_int_equal(disk_fault_held(f->disk), BUFFERS);
		assert_true(storvsc_send(s, 12, &reset));
		expect_aborted(s, BUFFERS);
		assert_false(storvsc_receive_now(s));
		disk_fault_release(f->disk);
		expect_aborted(s, BUFFERS);
		assert_true(storvsc_receive(s));
		assert_int_equal(s->reply_id, 12);
		assert_int_equal(s->reply.status, 0);
		assert_int_equal(disk_fault_seen(f->disk, DISK_READ)->count, (i + 1) * BUFFERS);
		assert_int_equal(storvsc_execute(s, STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6),
				 STORVSP_SRB_ERROR | STORVSP_SRB_AUTOSENSE_VALID);
		assert_int_equal(s->reply.srb.sense[2], SCSI_UNIT_ATTENTION);
	}
	/* The next one runs to its end. */
	assert_true(storvsc_submit(s, 13, &packet, 0));
	assert_true(storvsc_receive(s));
	assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_SUCCESS);
}

/* The reset of a unit neither ends the commands of another nor waits for them. */
static void test_reset_of_one_unit(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	struct storvsp_packet reset = { .operation = STORVSP_RESET_LUN, .srb.lun = 1 };
	struct storvsp_packet busy = verify(0), packet = verify(1);

	assert_int_equal(storage_attach(f->controller, 1, &(struct storage_unit){ 0 }, new_disk(f)),
			 0);
	fake_settle(f->fake);
	assert_false(storvsc_receive_now(s)); /* but for the updates of the unit */
	disk_fault_hold(f->disk);
	for (unsigned i = 0; i < BUFFERS; i++)
		assert_true(storvsc_submit(s, 20 + i, &busy, 0));
	assert_true(storvsc_submit(s, 11, &packet, 0)); /* waits for a buffer */
	fake_settle(f->fake);
	assert_true(storvsc_send(s, 12, &reset));
	expect_aborted(s, 1);
	assert_int_equal(s->reply_id, 11);
	assert_true(storvsc_receive(s));
	assert_int_equal(s->reply_id, 12);
	assert_int_equal(s->reply.status, 0);
	disk_fault_release(f->disk);
	for (unsigned i = 0; i < BUFFERS; i++) {
		assert_true(storvsc_receive(s));
		assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_SUCCESS);
	}
}

/* ---- The guest leaves ---- */

/* As fake_close(), which waits for the answer: VMBUS_MESSAGE_GPADL_TORNDOWN. */
static void begin_close(struct storvsc *s)
{
	struct vmbus_message_relid close = {
		.header.type = VMBUS_MESSAGE_CLOSE_CHANNEL,
		.relid = s->channel.relid,
	};
	struct vmbus_message_gpadl_teardown teardown = {
		.header.type = VMBUS_MESSAGE_GPADL_TEARDOWN,
		.relid = s->channel.relid,
		.gpadl = s->channel.gpadl,
	};

	fake_post(s->fake, &close, sizeof(close));
	fake_post(s->fake, &teardown, sizeof(teardown));
	fake_settle(s->fake);
}

static void test_close_with_requests_under_way(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	struct storvsp_packet read = storvsc_srb(STORVSP_DIRECTION_IN, 512, read_one, 10);
	struct storvsp_packet reset = { .operation = STORVSP_RESET_BUS };

	disk_fault_hold(f->disk);
	for (unsigned i = 0; i < 5; i++)
		assert_true(storvsc_submit(s, 11 + i, &read, 0));
	assert_true(storvsc_send(s, 12, &reset));
	fake_settle(f->fake);
	assert_int_equal(disk_fault_held(f->disk), 5);
	begin_close(s);
	assert_false(fake_has_message(f->fake, VMBUS_MESSAGE_GPADL_TORNDOWN));
	disk_fault_release(f->disk);
	fake_settle(f->fake);
	assert_true(fake_has_message(f->fake, VMBUS_MESSAGE_GPADL_TORNDOWN));
	assert_true(storvsc_start(s, f->fake));
	assert_int_equal(storvsc_execute(s, STORVSP_DIRECTION_IN, 512, read_one, 10),
			 STORVSP_SRB_SUCCESS);
}

static void test_bus_reset_with_requests_under_way(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	struct storvsp_packet read = storvsc_srb(STORVSP_DIRECTION_IN, 512, read_one, 10);

	for (unsigned round = 0; round < 3; round++) {
		f->done = 0;
		assert_int_equal(create_sub_channels(s, 2), 0);
		assert_true(storvsc_open(&f->sub[0], f->fake, 1, 8));
		disk_fault_hold(f->disk);
		for (unsigned i = 0; i < 5; i++) {
			assert_true(storvsc_submit(s, 11 + i, &read, 0));
			assert_true(storvsc_submit(&f->sub[0], 11 + i, &read, 0));
		}
		fake_settle(f->fake);
		assert_int_equal(disk_fault_held(f->disk), 10);
		vmbus_reset(f->fake->bus, count_done, f);
		fake_settle(f->fake);
		assert_int_equal(f->done, 0);
		disk_fault_release(f->disk);
		fake_settle(f->fake);
		assert_int_equal(f->done, 1);
		assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
		assert_true(fake_request_offers(f->fake));
		assert_int_equal(f->fake->offer_count, 1);
		assert_true(storvsc_start(s, f->fake));
	}
}

/* The machine is reset: whatever the guest has asked for, its disks are quiet in a moment. */
static void test_bus_reset_cuts_long_commands_short(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	struct storvsp_packet packet = verify(0);
	struct storage_counters counters;

	assert_int_equal(create_sub_channels(s, 1), 0);
	assert_true(storvsc_open(&f->sub[0], f->fake, 1, 8));
	disk_fault_hold(f->disk);
	for (unsigned i = 0; i < REQUEST_MAX / 2; i++) {
		assert_true(storvsc_submit(s, 11 + i, &packet, 0));
		assert_true(storvsc_submit(&f->sub[0], 11 + i, &packet, 0));
	}
	fake_settle(f->fake);
	storage_counters(f->controller, &counters);
	assert_int_equal(counters.in_flight, REQUEST_MAX);
	vmbus_reset(f->fake->bus, count_done, f);
	fake_settle(f->fake);
	storage_counters(f->controller, &counters);
	assert_int_equal(counters.in_flight, BUFFERS);
	assert_int_equal(f->done, 0);
	disk_fault_release(f->disk);
	fake_settle(f->fake);
	assert_int_equal(f->done, 1);
	assert_int_equal(disk_fault_seen(f->disk, DISK_READ)->count, BUFFERS);
	/* Nobody hears of it. */
	assert_false(storvsc_receive_now(s));
	assert_false(storvsc_receive_now(&f->sub[0]));
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	assert_true(storvsc_start(s, f->fake));
	assert_true(storvsc_submit(s, 11, &packet, 0));
	assert_true(storvsc_receive(s));
	assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_SUCCESS);
}

/* A sub-channel takes its own commands along, wherever they are, and no others. */
static void test_sub_channel_close_cuts_long_commands_short(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary, *sub = &f->sub[0];
	struct storvsp_packet packet = verify(0);
	struct storage_counters counters;

	assert_int_equal(create_sub_channels(s, 1), 0);
	assert_true(storvsc_open(sub, f->fake, 1, 8));
	disk_fault_hold(f->disk);
	assert_true(storvsc_submit(sub, 10, &packet, 0));
	fake_settle(f->fake);
	for (unsigned i = 1; i < BUFFERS; i++)
		assert_true(storvsc_submit(s, 10 + i, &packet, 0));
	fake_settle(f->fake);
	assert_true(storvsc_submit(sub, 30, &packet, 0));
	fake_settle(f->fake);
	assert_int_equal(disk_fault_held(f->disk), BUFFERS);
	begin_close(sub);
	storage_counters(f->controller, &counters);
	assert_int_equal(counters.in_flight, BUFFERS);
	assert_false(fake_has_message(f->fake, VMBUS_MESSAGE_GPADL_TORNDOWN));
	disk_fault_release(f->disk);
	for (unsigned i = 1; i < BUFFERS; i++) {
		assert_true(storvsc_receive(s));
		assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_SUCCESS);
	}
	assert_true(fake_has_message(f->fake, VMBUS_MESSAGE_GPADL_TORNDOWN));
	assert_int_equal(disk_fault_seen(f->disk, DISK_READ)->count,
			 (BUFFERS - 1) * DISK_SIZE / BUFFER_SIZE + 1);
	assert_false(storvsc_receive_now(sub));
}

/* A new guest finds units as after power on, whatever the last one did. */
static void test_next_guest(void **state)
{
	static const uint8_t stop[6] = { 0x1b };
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;

	assert_int_equal(storvsc_execute(s, STORVSP_DIRECTION_NONE, 0, stop, 6),
			 STORVSP_SRB_SUCCESS);
	assert_int_equal(storvsc_operate(s, STORVSP_RESET_BUS), 0);
	assert_int_equal(storvsc_execute(s, STORVSP_DIRECTION_NONE, 0, stop, 6),
			 STORVSP_SRB_ERROR | STORVSP_SRB_AUTOSENSE_VALID);
	assert_int_equal(storvsc_execute(s, STORVSP_DIRECTION_NONE, 0, stop, 6),
			 STORVSP_SRB_SUCCESS);
	assert_true(fake_unload(f->fake));
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	assert_true(storvsc_start(s, f->fake));
	assert_int_equal(storvsc_execute(s, STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6),
			 STORVSP_SRB_SUCCESS);
}

/* ---- Units come and go ---- */

static void test_hot_add_and_remove(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	struct storage_unit unit = { .serial = "NEW" };
	struct storvsp_packet ready = storvsc_srb(STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6);

	ready.srb.lun = 7;
	assert_int_equal(storvsc_execute(s, STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6),
			 STORVSP_SRB_SUCCESS);
	assert_int_equal(storage_attach(f->controller, 0, &unit, NULL), STORAGE_E_TAKEN);
	assert_int_equal(storage_attach(f->controller, 7, &unit, new_disk(f)), 0);
	fake_settle(f->fake);
	assert_false(storvsc_receive_now(s));
	assert_int_equal(s->enumerates, 1);
	assert_true(storvsc_submit(s, 4, &ready, 0));
	assert_true(storvsc_receive(s));
	assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_SUCCESS);

	assert_int_equal(storage_detach(f->controller, 7, count_done, f), 0);
	assert_int_equal(f->done, 1);
	assert_int_equal(storage_detach(f->controller, 7, count_done, f), STORAGE_E_ABSENT);
	fake_settle(f->fake);
	assert_false(storvsc_receive_now(s));
	assert_int_equal(s->enumerates, 2);
	/* Another disk at its number: the guest learns of the absence first, then of the disk. */
	assert_int_equal(storage_attach(f->controller, 7, &unit, new_disk(f)), 0);
	assert_true(storvsc_submit(s, 4, &ready, 0));
	assert_true(storvsc_receive(s));
	assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_INVALID_LUN);
	assert_int_equal(s->enumerates, 3);
	fake_settle(f->fake);
	assert_false(storvsc_receive_now(s));
	assert_int_equal(s->enumerates, 4);
	assert_true(storvsc_submit(s, 4, &ready, 0));
	assert_true(storvsc_receive(s));
	assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_SUCCESS);
}

/*
 * Between the end of the negotiation and its first command, Linux has nothing yet to look for units
 * with, and panics when it is told to; so does one that opens the controller again.
 */
static void test_no_enumerate_before_the_first_command(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;

	for (unsigned round = 0; round < 2; round++) {
		unsigned lun = 10 + 2 * round;

		assert_true(storvsc_start(s, f->fake));
		assert_int_equal(storage_attach(f->controller, lun, &(struct storage_unit){ 0 },
						new_disk(f)),
				 0);
		assert_int_equal(storvsc_operate(s, STORVSP_CREATE_SUB_CHANNELS),
				 STORVSP_STATUS_INVALID_PARAMETER);
		assert_int_equal(storvsc_operate(s, STORVSP_RESET_BUS), 0);
		assert_int_equal(storage_attach(f->controller, lun + 1, &(struct storage_unit){ 0 },
						new_disk(f)),
				 0);
		fake_settle(f->fake);
		assert_false(storvsc_receive_now(s));
		assert_int_equal(s->enumerates, 0);

		(void)storvsc_execute(s, STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6);
		fake_settle(f->fake);
		assert_false(storvsc_receive_now(s));
		assert_int_equal(s->enumerates, 1);
		assert_int_equal(storage_detach(f->controller, lun, NULL, NULL), 0);
		fake_settle(f->fake);
		assert_false(storvsc_receive_now(s));
		assert_int_equal(s->enumerates, 2);

		assert_true(fake_unload(f->fake));
		assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
		assert_true(fake_request_offers(f->fake));
	}
}

static void test_serials(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = { "", "tab\t", "caf\xc3\xa9",
					   "1234567890123456789012345678901234567" };
	struct storage_unit unit = { .dvd = true };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		unit.serial = bad[i];
		assert_int_equal(storage_attach(f->controller, 1, &unit, NULL), STORAGE_E_SERIAL);
	}
	unit.serial = "123456789012345678901234567890123456";
	assert_int_equal(storage_attach(f->controller, 1, &unit, NULL), 0);
}

static void test_detach_waits_for_requests(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	struct storvsp_packet read = storvsc_srb(STORVSP_DIRECTION_IN, 512, read_one, 10);

	disk_fault_hold(f->disk);
	assert_true(storvsc_submit(s, 4, &read, 0));
	fake_settle(f->fake);
	assert_int_equal(storage_detach(f->controller, 0, count_done, f), 0);
	assert_null(storage_disk(f->controller, 0));
	assert_true(storvsc_submit(s, 5, &read, 0));
	assert_true(storvsc_receive(s));
	assert_int_equal(s->reply_id, 5);
	assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_INVALID_LUN);
	assert_int_equal(f->done, 0);
	disk_fault_release(f->disk);
	assert_true(storvsc_receive(s));
	assert_int_equal(s->reply_id, 4);
	assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_SUCCESS);
	fake_settle(f->fake);
	assert_int_equal(f->done, 1);
}

/* Not for the commands of other units that are in the way of its own. */
static void test_detach_ends_commands_in_line(void **state)
{
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	struct storvsp_packet busy = verify(0), packet = verify(1);
	struct disk *disk = f->disk;

	assert_int_equal(storage_attach(f->controller, 1, &(struct storage_unit){ 0 }, new_disk(f)),
			 0);
	disk_fault_hold(disk);
	for (unsigned i = 0; i < BUFFERS; i++)
		assert_true(storvsc_submit(s, 20 + i, &busy, 0));
	assert_true(storvsc_submit(s, 11, &packet, 0));
	fake_settle(f->fake);
	assert_int_equal(disk_fault_held(disk), BUFFERS);
	assert_int_equal(storage_detach(f->controller, 1, count_done, f), 0);
	assert_int_equal(f->done, 1);
	expect_aborted(s, 1);
	assert_int_equal(s->reply_id, 11);
	disk_fault_release(disk);
	for (unsigned i = 0; i < BUFFERS; i++)
		assert_true(storvsc_receive(s));
}

static void test_guest_ejects(void **state)
{
	static const uint8_t eject[6] = { 0x1b, 0, 0, 0, 2 };
	struct fixture *f = *state;
	struct storvsc *s = &f->primary;
	struct storvsp_packet packet = storvsc_srb(STORVSP_DIRECTION_NONE, 0, eject, 6);
	struct disk *disc;

	assert_int_equal(disk_memory_new(f->fake->loop, DISK_SIZE, 2048, &disc), 0);
	assert_int_equal(
		storage_attach(f->controller, 1, &(struct storage_unit){ .dvd = true }, disc), 0);
	assert_ptr_equal(storage_disk(f->controller, 1), disc);
	packet.srb.lun = 1;
	assert_true(storvsc_submit(s, 4, &packet, 0));
	assert_true(storvsc_receive(s));
	assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_SUCCESS);
	assert_int_equal(f->ejected, 1);
	assert_null(storage_disk(f->controller, 1));
	assert_int_equal(storage_change_medium(f->controller, 0, NULL, false, NULL, NULL),
			 STORAGE_E_KIND);
	assert_int_equal(storage_change_medium(f->controller, 2, NULL, false, NULL, NULL),
			 STORAGE_E_ABSENT);
}

/* ---- Four controllers of 64 units ---- */

static void test_full_house(void **state)
{
	struct storage_options options = { .sub_channel_max = 0 };
	struct storage_controller *controllers[3];
	struct storvsc *s;
	struct fixture *f = *state;
	uint8_t report_luns[12] = { 0xa0, 0, 0, 0, 0, 0, 0, 0, 16 };
	struct disk *disk;

	for (unsigned i = 0; i < 3; i++) {
		options.instance.bytes[0] = (uint8_t)(i + 100);
		assert_int_equal(storage_controller_new(f->fake->bus, &options, &controllers[i]),
				 0);
		for (unsigned lun = 0; lun < STORAGE_LUN_MAX; lun++) {
			assert_int_equal(disk_null_new(f->fake->loop, DISK_SIZE, 512, &disk), 0);
			assert_int_equal(storage_attach(controllers[i], lun,
							&(struct storage_unit){ 0 }, disk),
					 0);
		}
	}
	fake_settle(f->fake);
	assert_int_equal(f->fake->offer_count, 4);
	s = &f->sub[0];
	memset(s, 0, sizeof(*s));
	s->fake = f->fake;
	s->offer = *fake_find_offer(f->fake, &storvsc_type, &options.instance, 0);
	fake_alloc(f->fake, STORVSC_PAGES, s->pfns);
	assert_int_equal(fake_open(f->fake, &s->offer, 8, 8, 0, &s->channel), 0);
	assert_int_equal(storvsc_operate(s, STORVSP_BEGIN_INITIALIZATION), 0);
	assert_int_equal(storvsc_query_version(s, STORVSP_VERSION_WIN10), 0);
	assert_int_equal(storvsc_operate(s, STORVSP_QUERY_PROPERTIES), 0);
	assert_int_equal(s->reply.properties.flags, 0);
	assert_int_equal(storvsc_operate(s, STORVSP_END_INITIALIZATION), 0);
	assert_int_equal(storvsc_execute(s, STORVSP_DIRECTION_IN, 4096, report_luns, 12),
			 STORVSP_SRB_SUCCESS);
	assert_int_equal(s->reply.srb.transfer_length, 8 + 64 * 8);
	fake_stop(f->fake);
	for (unsigned i = 0; i < 3; i++)
		storage_controller_free(controllers[i]);
}

/* Requests are seen at their unit while the disk has them, and nowhere after that. */
static void test_inspection(void **state)
{
	struct fixture *f = *state;
	const struct storvsp_packet read = transfer(STORVSP_DIRECTION_IN, 0, 8);

	disk_fault_hold(f->disk);
	for (unsigned i = 0; i < 3; i++)
		assert_true(storvsc_submit(&f->primary, i, &read, 4096 * i));
	fake_settle(f->fake);
	for (unsigned executing = 3;; executing = 0) {
		AUTO_JSON struct json_object *tree = storage_inspect(f->controller);
		struct json_object *units, *unit, *value;

		assert_true(json_object_object_get_ex(tree, "in_flight", &value));
		assert_int_equal(json_object_get_int(value), executing);
		assert_true(json_object_object_get_ex(tree, "units", &units));
		assert_int_equal(json_object_array_length(units), 1);
		unit = json_object_array_get_idx(units, 0);
		assert_true(json_object_object_get_ex(unit, "executing", &value));
		assert_int_equal(json_object_get_int(value), executing);
		if (!executing)
			break;
		disk_fault_release(f->disk);
		fake_settle(f->fake);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_negotiation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_version, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short_packets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_malformed_packets, setup_started, teardown),
		cmocka_unit_test_setup_teardown(test_read_and_write, setup_started, teardown),
		cmocka_unit_test_setup_teardown(test_written_pages_are_marked, setup_started,
						teardown),
		cmocka_unit_test_setup_teardown(test_transfer_across_a_seam, setup_started,
						teardown),
		cmocka_unit_test_setup_teardown(test_sense, setup_started, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_srbs, setup_started, teardown),
		cmocka_unit_test_setup_teardown(test_two_ranges_are_refused, setup_started,
						teardown),
		cmocka_unit_test_setup_teardown(test_invalid_lun, setup_started, teardown),
		cmocka_unit_test(test_ide),
		cmocka_unit_test_setup_teardown(test_pool_runs_empty, setup_started, teardown),
		cmocka_unit_test_setup_teardown(test_ring_runs_full, setup_started, teardown),
		cmocka_unit_test_setup_teardown(test_sub_channels, setup_started, teardown),
		cmocka_unit_test_setup_teardown(test_channels_share_the_pool, setup_started,
						teardown),
		cmocka_unit_test_setup_teardown(test_reset_waits, setup_started, teardown),
		cmocka_unit_test_setup_teardown(test_inspection, setup_started, teardown),
		cmocka_unit_test_setup_teardown(test_a_medium_that_has_lost_its_power,
						setup_started, teardown),
		cmocka_unit_test_setup_teardown(test_reset_cuts_long_commands_short, setup_started,
						teardown),
		cmocka_unit_test_setup_teardown(test_reset_of_one_unit, setup_started, teardown),
		cmocka_unit_test_setup_teardown(test_close_with_requests_under_way, setup_started,
						teardown),
		cmocka_unit_test_setup_teardown(test_bus_reset_with_requests_under_way,
						setup_started, teardown),
		cmocka_unit_test_setup_teardown(test_bus_reset_cuts_long_commands_short,
						setup_started, teardown),
		cmocka_unit_test_setup_teardown(test_sub_channel_close_cuts_long_commands_short,
						setup_started, teardown),
		cmocka_unit_test_setup_teardown(test_next_guest, setup_started, teardown),
		cmocka_unit_test_setup_teardown(test_hot_add_and_remove, setup_started, teardown),
		cmocka_unit_test_setup_teardown(test_no_enumerate_before_the_first_command, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_serials, setup_started, teardown),
		cmocka_unit_test_setup_teardown(test_detach_waits_for_requests, setup_started,
						teardown),
		cmocka_unit_test_setup_teardown(test_detach_ends_commands_in_line, setup_started,
						teardown),
		cmocka_unit_test_setup_teardown(test_guest_ejects, setup_started, teardown),
		cmocka_unit_test_setup_teardown(test_full_house, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
