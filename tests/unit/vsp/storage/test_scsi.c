/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SCSI disks: every command, its sense data, and what a hostile CDB comes to. */
#include "tests/unit/vsp/storage/scsi_fixture.h"

#include <errno.h>

#define DISK_SIZE (4u << 20)
#define BLOCKS    (DISK_SIZE / 512)
#define FLUSH     CDB(0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0)

static const struct scsi_identity identity = { .serial = "SERIAL-0" };

static int setup(void **state)
{
	return fixture_setup_disk(state, DISK_SIZE);
}

/* ---- What a unit says about itself ---- */

static void test_inquiry(void **state)
{
	struct fixture *f = *state;

	expect_good(f, SCSI_DATA_IN, 255, CDB(0x12, 0, 0, 0, 255, 0), 74);
	assert_int_equal(f->data[0], SCSI_DEVICE_DISK);
	assert_int_equal(f->data[2], 5);
	assert_int_equal(f->data[4], 69);
	assert_memory_equal(f->data + 8, "Msft    Virtual Disk    1.0 ", 28);
	assert_memory_equal(f->data + 58, "\x00\x60\x03\x00\x04\xc0\x00", 7);
	/* Allocation length and buffer both bound the reply. */
	expect_good(f, SCSI_DATA_IN, 255, CDB(0x12, 0, 0, 0, 5, 0), 5);
	memset(f->data, 0xee, 36);
	expect_good(f, SCSI_DATA_IN, 5, CDB(0x12, 0, 0, 0, 36, 0), 5);
	assert_int_equal(f->data[5], 0xee);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x12, 0, 0, 0, 36, 0), 0);
	expect_sense(f, SCSI_DATA_IN, 36, CDB(0x12, 0, 1, 0, 36, 0), SCSI_SENSE_INVALID_FIELD);
}

static void test_vital_pages(void **state)
{
	struct fixture *f = *state;

	expect_good(f, SCSI_DATA_IN, 255, CDB(0x12, 1, 0x00, 0, 255, 0), 10);
	assert_memory_equal(f->data + 4, "\x00\x80\x83\xb0\xb1\xb2", 6);
	expect_good(f, SCSI_DATA_IN, 255, CDB(0x12, 1, 0x80, 0, 255, 0), 4 + 8);
	assert_memory_equal(f->data, "\x00\x80\x00\x08SERIAL-0", 12);
	expect_good(f, SCSI_DATA_IN, 255, CDB(0x12, 1, 0x83, 0, 255, 0), 4 + 20 + 4 + 16);
	assert_memory_equal(f->data + 4, "\x01\x03\x00\x10\x60\x02\x24\x80", 8);
	assert_memory_equal(f->data + 24, "\x02\x01\x00\x10Msft    SERIAL-0", 20);
	expect_good(f, SCSI_DATA_IN, 255, CDB(0x12, 1, 0xb0, 0, 255, 0), 64);
	assert_int_equal(f->data[3], 0x3c);
	assert_int_equal(scsi_get_32(f->data + 20), 1 << 20);
	assert_int_equal(f->data[5], 128); /* blocks of COMPARE AND WRITE */
	assert_int_equal(scsi_get_32(f->data + 24), 256);
	expect_good(f, SCSI_DATA_IN, 255, CDB(0x12, 1, 0xb1, 0, 255, 0), 64);
	assert_int_equal(scsi_get_16(f->data + 4), 1);
	expect_good(f, SCSI_DATA_IN, 255, CDB(0x12, 1, 0xb2, 0, 255, 0), 8);
	assert_int_equal(f->data[5], 0xe4);
	expect_sense(f, SCSI_DATA_IN, 255, CDB(0x12, 1, 0xb3, 0, 255, 0), SCSI_SENSE_INVALID_FIELD);
}

/* Names differ by serial number and by machine, and stay what they are. */
static void test_names_differ(void **state)
{
	struct fixture *f = *state;
	struct scsi_identity others[3] = { identity, identity, identity };
	uint8_t names[4][16];

	strcpy(others[0].serial, "SERIAL-1");
	others[1].machine.bytes[3] = 1;
	for (unsigned i = 0; i < 4; i++) {
		f->lun = (uint8_t)i;
		if (i > 0)
			assert_int_equal(scsi_target_attach(f->target, i, SCSI_DEVICE_DISK,
							    &others[i - 1],
							    fixture_disk(f, DISK_SIZE, 512)),
					 0);
		expect_good(f, SCSI_DATA_IN, 255, CDB(0x12, 1, 0x83, 0, 255, 0), 44);
		memcpy(names[i], f->data + 8, 16);
	}
	assert_memory_not_equal(names[0], names[1], 16);
	assert_memory_not_equal(names[0], names[2], 16);
	assert_memory_not_equal(names[1], names[2], 16);
	assert_memory_equal(names[0], names[3], 16);
}

static void test_derived_serials_differ(void **state)
{
	struct scsi_identity a = { 0 }, b = { 0 }, c = { 0 };
	struct guid controller = { { 1 } }, other = { { 2 } };

	scsi_identity_derive(&a, &controller, 0);
	scsi_identity_derive(&b, &controller, 1);
	scsi_identity_derive(&c, &other, 0);
	assert_int_equal(strlen(a.serial), 18);
	assert_string_not_equal(a.serial, b.serial);
	assert_string_not_equal(a.serial, c.serial);
}

static void test_capacity(void **state)
{
	struct fixture *f = *state;

	expect_good(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), 0);
	expect_good(f, SCSI_DATA_IN, 8, CDB(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 8);
	assert_int_equal(scsi_get_32(f->data), BLOCKS - 1);
	assert_int_equal(scsi_get_32(f->data + 4), 512);
	expect_good(f, SCSI_DATA_IN, 32, CDB(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0),
		    32);
	assert_int_equal(scsi_get_64(f->data), BLOCKS - 1);
	assert_int_equal(scsi_get_32(f->data + 8), 512);
	assert_int_equal(f->data[13], 0);
	assert_int_equal(f->data[14], 0xc0);
	expect_sense(f, SCSI_DATA_IN, 32,
		     CDB(0x9e, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0),
		     SCSI_SENSE_INVALID_FIELD);
}

static void test_mode_sense(void **state)
{
	struct fixture *f = *state;

	expect_good(f, SCSI_DATA_IN, 4, CDB(0x1a, 0, 0x3f, 0, 4, 0), 4);
	assert_int_equal(f->data[0], 3 + 8 + 12 + 20 + 12);
	assert_int_equal(f->data[2], 0x10); /* FUA, writable */
	expect_good(f, SCSI_DATA_IN, 64, CDB(0x1a, 0x08, 0x08, 0, 64, 0), 24);
	assert_int_equal(f->data[3], 0);
	assert_int_equal(f->data[4], 0x08);
	assert_int_equal(f->data[5], 18);
	assert_int_equal(f->data[6], 0x04); /* write cache */
	expect_good(f, SCSI_DATA_IN, 64, CDB(0x5a, 0, 0x48, 0, 0, 0, 0, 0, 64, 0), 8 + 8 + 20);
	assert_int_equal(scsi_get_16(f->data), 8 + 8 + 20 - 2);
	assert_int_equal(f->data[7], 8);
	assert_int_equal(scsi_get_32(f->data + 8), BLOCKS);
	assert_int_equal(f->data[18], 0x04); /* changeable */
	expect_sense(f, SCSI_DATA_IN, 64, CDB(0x1a, 0, 0xc8, 0, 64, 0),
		     SCSI_SENSE_SAVING_NOT_SUPPORTED);
	expect_sense(f, SCSI_DATA_IN, 64, CDB(0x1a, 0, 0x1c, 0, 64, 0), SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_IN, 512, CDB(0x5a, 8, 0x0a, 5, 0, 0, 0, 2, 0, 0),
		     SCSI_SENSE_INVALID_FIELD);
}

static void test_mode_select(void **state)
{
	struct fixture *f = *state;
	const struct disk_fault_seen *flushes = disk_fault_seen(f->disk, DISK_FLUSH);
	const struct disk_fault_seen *writes = disk_fault_seen(f->disk, DISK_WRITE);

	/* Turning the cache off flushes it, and makes writes durable. */
	memset(f->data, 0, 24);
	memcpy(f->data + 4, "\x08\x12", 2);
	expect_good(f, SCSI_DATA_OUT, 24, CDB(0x15, 0x10, 0, 0, 24, 0), 24);
	assert_int_equal(flushes->count, 1);
	expect_good(f, SCSI_DATA_OUT, 512, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), 512);
	assert_true(writes->durable);
	expect_good(f, SCSI_DATA_IN, 24, CDB(0x1a, 0x08, 0x08, 0, 24, 0), 24);
	assert_int_equal(f->data[6], 0);
	f->data[0] = 0;
	f->data[6] = 4;
	expect_good(f, SCSI_DATA_OUT, 24, CDB(0x15, 0x10, 0, 0, 24, 0), 24);
	expect_good(f, SCSI_DATA_OUT, 512, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), 512);
	assert_false(writes->durable);

	memset(f->data, 0, 28);
	memcpy(f->data + 8, "\x08\x12\x04\x01", 4);
	expect_sense(f, SCSI_DATA_OUT, 28, CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0, 28, 0),
		     SCSI_SENSE_INVALID_PARAMETER);
	f->data[11] = 0;
	expect_good(f, SCSI_DATA_OUT, 28, CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0, 28, 0), 28);
	expect_sense(f, SCSI_DATA_OUT, 27, CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0, 27, 0),
		     SCSI_SENSE_LIST_LENGTH);
	expect_sense(f, SCSI_DATA_OUT, 9, CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0, 9, 0),
		     SCSI_SENSE_INVALID_PARAMETER);
	expect_sense(f, SCSI_DATA_OUT, 7, CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0, 7, 0),
		     SCSI_SENSE_LIST_LENGTH);
	expect_sense(f, SCSI_DATA_OUT, 28, CDB(0x55, 0x11, 0, 0, 0, 0, 0, 0, 28, 0),
		     SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_OUT, 8, CDB(0x55, 0x10, 0, 0, 0, 0, 0, 1, 0, 0),
		     SCSI_SENSE_INVALID_FIELD);
	f->data[8] = 0x3f;
	expect_sense(f, SCSI_DATA_OUT, 28, CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0, 28, 0),
		     SCSI_SENSE_INVALID_PARAMETER);
	f->data[7] = 0xff;
	expect_sense(f, SCSI_DATA_OUT, 28, CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0, 28, 0),
		     SCSI_SENSE_INVALID_PARAMETER);
}

/* ---- Reading and writing ---- */

static void test_read_write_every_length(void **state)
{
	static const struct {
		uint8_t write[16], read[16], length;
	} forms[] = {
		{ { 0x0a, 0, 0, 5, 3 }, { 0x08, 0, 0, 5, 3 }, 6 },
		{ { 0x2a, 0, 0, 0, 0, 5, 0, 0, 3 }, { 0x28, 0, 0, 0, 0, 5, 0, 0, 3 }, 10 },
		{ { 0xaa, 0, 0, 0, 0, 5, 0, 0, 0, 3 }, { 0xa8, 0, 0, 0, 0, 5, 0, 0, 0, 3 }, 12 },
		{ { 0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 3 },
		  { 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 3 },
		  16 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		uint8_t expected[3 * 512];

		fixture_fill(f, (uint8_t)i, sizeof(expected));
		memcpy(expected, f->data, sizeof(expected));
		assert_int_equal(fixture_execute(f, SCSI_DATA_OUT, sizeof(expected), forms[i].write,
						 forms[i].length),
				 SCSI_GOOD);
		assert_int_equal(f->command.transferred, sizeof(expected));
		assert_memory_equal(f->bytes + 5 * 512, expected, sizeof(expected));
		memset(f->data, 0, sizeof(expected));
		assert_int_equal(fixture_execute(f, SCSI_DATA_IN, sizeof(expected), forms[i].read,
						 forms[i].length),
				 SCSI_GOOD);
		assert_memory_equal(f->data, expected, sizeof(expected));
	}
}

static void test_transfer_lengths(void **state)
{
	struct fixture *f = *state;

	/* READ(6) of 0 blocks is 256. */
	expect_good(f, SCSI_DATA_IN, 256 * 512, CDB(0x08, 0, 0, 0, 0, 0), 256 * 512);
	expect_good(f, SCSI_DATA_IN, 512, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
	/* A buffer that is too big stays untouched behind the data. */
	memset(f->data, 0xee, 2048);
	expect_good(f, SCSI_DATA_IN, 2048, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), 512);
	assert_int_equal(f->data[511], 0);
	assert_int_equal(f->data[512], 0xee);
	expect_sense(f, SCSI_DATA_IN, 511, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0),
		     SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_OUT, 512, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0),
		     SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_IN, 512, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0),
		     SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_NONE, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0),
		     SCSI_SENSE_INVALID_FIELD);
	/* Protection information there is none. */
	expect_sense(f, SCSI_DATA_IN, 512, CDB(0x28, 0x20, 0, 0, 0, 0, 0, 0, 1, 0),
		     SCSI_SENSE_INVALID_FIELD);
}

static void test_ranges(void **state)
{
	struct fixture *f = *state;

	expect_good(f, SCSI_DATA_IN, 512,
		    CDB(0x28, 0, 0, 0, (BLOCKS - 1) >> 8, (BLOCKS - 1) & 0xff, 0, 0, 1, 0), 512);
	expect_sense(f, SCSI_DATA_IN, 1024,
		     CDB(0x28, 0, 0, 0, (BLOCKS - 1) >> 8, (BLOCKS - 1) & 0xff, 0, 0, 2, 0),
		     SCSI_SENSE_LBA_RANGE);
	expect_sense(f, SCSI_DATA_OUT, 512,
		     CDB(0x8a, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 1, 0, 0),
		     SCSI_SENSE_LBA_RANGE);
	expect_sense(f, SCSI_DATA_OUT, 512,
		     CDB(0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0),
		     SCSI_SENSE_LBA_RANGE);
	expect_sense(f, SCSI_DATA_NONE, 0, CDB(0x35, 0, 255, 0, 0, 0, 0, 0, 0, 0),
		     SCSI_SENSE_LBA_RANGE);
	assert_int_equal(disk_fault_seen(f->disk, DISK_WRITE)->count, 0);
	assert_int_equal(disk_fault_seen(f->disk, DISK_FLUSH)->count, 0);
}

static void test_flush_and_durable_writes(void **state)
{
	struct fixture *f = *state;
	const struct disk_fault_seen *writes = disk_fault_seen(f->disk, DISK_WRITE);
	const struct disk_fault_seen *flushes = disk_fault_seen(f->disk, DISK_FLUSH);

	expect_good(f, SCSI_DATA_OUT, 512, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), 512);
	assert_false(writes->durable);
	expect_good(f, SCSI_DATA_OUT, 512, CDB(0x2a, 0x08, 0, 0, 0, 0, 0, 0, 1, 0), 512);
	assert_true(writes->durable);
	/* Byte 1 of WRITE(6) is part of the address. */
	expect_good(f, SCSI_DATA_OUT, 512, CDB(0x0a, 0x00, 0, 8, 1, 0), 512);
	assert_false(writes->durable);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
	assert_int_equal(flushes->count, 1);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x91, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
		    0);
	assert_int_equal(flushes->count, 2);
	disk_fault_fail(f->disk, DISK_FLUSH, -EIO, 1);
	expect_sense(f, SCSI_DATA_NONE, 0, CDB(0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0),
		     SCSI_SENSE_WRITE_ERROR);
}

static void test_errors_of_the_host(void **state)
{
	static const struct {
		enum disk_operation operation;
		int error;
		uint32_t sense;
	} cases[] = {
		{ DISK_READ, -EIO, SCSI_SENSE_READ_ERROR },
		{ DISK_READ, DISK_E_SHORT, SCSI_SENSE_READ_ERROR },
		{ DISK_READ, -ENODEV, SCSI_SENSE_TARGET_FAILURE },
		{ DISK_WRITE, -EIO, SCSI_SENSE_WRITE_ERROR },
		{ DISK_WRITE, -ENOSPC, SCSI_SENSE_SPACE_ALLOCATION },
		{ DISK_WRITE, -EDQUOT, SCSI_SENSE_SPACE_ALLOCATION },
		{ DISK_WRITE, -EROFS, SCSI_SENSE_WRITE_PROTECTED },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		disk_fault_fail(f->disk, cases[i].operation, cases[i].error, 1);
		if (cases[i].operation == DISK_READ)
			expect_sense(f, SCSI_DATA_IN, 512, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0),
				     cases[i].sense);
		else
			expect_sense(f, SCSI_DATA_OUT, 512, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0),
				     cases[i].sense);
		assert_int_equal(f->command.transferred, 0);
	}
	disk_fault_fail(f->disk, DISK_READ, -ENOMEM, 1);
	assert_int_equal(
		fixture_execute(f, SCSI_DATA_IN, 512, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0)),
		SCSI_BUSY);
	expect_good(f, SCSI_DATA_IN, 512, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), 512);
	assert_int_equal(f->disk->counters.errors, ARRAY_SIZE(cases) + 1);
}

static void test_read_only(void **state)
{
	struct fixture *f = *state;

	f->disk->read_only = true;
	expect_sense(f, SCSI_DATA_OUT, 512, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0),
		     SCSI_SENSE_WRITE_PROTECTED);
	expect_sense(f, SCSI_DATA_OUT, 24, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0),
		     SCSI_SENSE_WRITE_PROTECTED);
	expect_sense(f, SCSI_DATA_OUT, 512, CDB(0x41, 0, 0, 0, 0, 0, 0, 0, 1, 0),
		     SCSI_SENSE_WRITE_PROTECTED);
	expect_good(f, SCSI_DATA_IN, 4, CDB(0x1a, 0, 0x3f, 0, 4, 0), 4);
	assert_int_equal(f->data[2], 0x90);
	expect_good(f, SCSI_DATA_IN, 512, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), 512);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
}

static void test_verify(void **state)
{
	struct fixture *f = *state;

	/* 200 blocks: more than one buffer. */
	for (size_t i = 0; i < 200 * 512; i++)
		f->bytes[512 + i] = f->data[i] = (uint8_t)(i * 31 + i / 512);
	expect_good(f, SCSI_DATA_OUT, 200 * 512, CDB(0x2f, 0x02, 0, 0, 0, 1, 0, 0, 200, 0),
		    200 * 512);
	f->data[150 * 512 + 17] ^= 1;
	expect_sense(f, SCSI_DATA_OUT, 200 * 512,
		     CDB(0x8f, 0x02, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 200, 0, 0),
		     SCSI_SENSE_MISCOMPARE);
	assert_int_equal(f->command.sense[0], 0xf0);
	assert_int_equal(scsi_get_32(f->command.sense + 3), 150 * 512 + 17);
	/* Without data it is read all the same, so that errors come out. */
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x2f, 0, 0, 0, 0, 1, 0, 0, 200, 0), 0);
	disk_fault_fail(f->disk, DISK_READ, -EIO, 1);
	expect_sense(f, SCSI_DATA_NONE, 0, CDB(0x2f, 0, 0, 0, 0, 1, 0, 0, 200, 0),
		     SCSI_SENSE_READ_ERROR);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x2f, 0, 0, 0, 0, 1, 0, 0, 0, 0), 0);
	expect_sense(f, SCSI_DATA_OUT, 512, CDB(0x2f, 0x02, 0, 0, 0, 1, 0, 0, 2, 0),
		     SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_OUT, 512, CDB(0x2f, 0x06, 0, 0, 0, 1, 0, 0, 1, 0),
		     SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_NONE, 0, CDB(0x2f, 0, 0xff, 0, 0, 1, 0, 0, 2, 0),
		     SCSI_SENSE_LBA_RANGE);
}

/* ---- Provisioning ---- */

static void put_descriptor(uint8_t *list, unsigned index, uint64_t lba, uint32_t blocks)
{
	memset(list + 8 + index * 16, 0, 16);
	scsi_put_64(list + 8 + index * 16, lba);
	scsi_put_32(list + 8 + index * 16 + 8, blocks);
}

static void put_list_header(uint8_t *list, unsigned count)
{
	memset(list, 0, 8);
	scsi_put_16(list, (uint16_t)(6 + count * 16));
	scsi_put_16(list + 2, (uint16_t)(count * 16));
}

static void test_unmap(void **state)
{
	struct fixture *f = *state;
	const struct disk_fault_seen *unmaps = disk_fault_seen(f->disk, DISK_UNMAP);

	memset(f->bytes, 0x55, DISK_SIZE);
	put_list_header(f->data, 3);
	put_descriptor(f->data, 0, 10, 5);
	put_descriptor(f->data, 1, 0, 0);
	put_descriptor(f->data, 2, BLOCKS - 1, 1);
	expect_good(f, SCSI_DATA_OUT, 56, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 56, 0), 56);
	assert_int_equal(unmaps->count, 2);
	assert_int_equal(f->bytes[10 * 512 - 1], 0x55);
	assert_int_equal(f->bytes[10 * 512], 0);
	assert_int_equal(f->bytes[15 * 512 - 1], 0);
	assert_int_equal(f->bytes[15 * 512], 0x55);
	assert_int_equal(f->bytes[DISK_SIZE - 512], 0);

	/* One bad descriptor, and none is carried out. */
	put_descriptor(f->data, 2, BLOCKS, 1);
	expect_sense(f, SCSI_DATA_OUT, 56, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 56, 0),
		     SCSI_SENSE_LBA_RANGE);
	assert_int_equal(unmaps->count, 2);
	/* The descriptor length may lie beyond the list: what is there counts. */
	scsi_put_16(f->data + 2, 0xffff);
	expect_good(f, SCSI_DATA_OUT, 39, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 39, 0), 39);
	assert_int_equal(unmaps->count, 3);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
	expect_sense(f, SCSI_DATA_OUT, 7, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 7, 0),
		     SCSI_SENSE_LIST_LENGTH);
	expect_sense(f, SCSI_DATA_OUT, 24, CDB(0x42, 1, 0, 0, 0, 0, 0, 0, 24, 0),
		     SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_OUT, 24, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 25, 0),
		     SCSI_SENSE_INVALID_FIELD);
	disk_fault_fail(f->disk, DISK_UNMAP, -EIO, 1);
	put_descriptor(f->data, 2, 0, 0);
	expect_sense(f, SCSI_DATA_OUT, 56, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 56, 0),
		     SCSI_SENSE_WRITE_ERROR);
	f->disk->unmap = false;
	expect_sense(f, SCSI_DATA_OUT, 24, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0),
		     SCSI_SENSE_INVALID_OPCODE);
}

static void test_unmap_limits(void **state)
{
	struct fixture *f = *state;

	put_list_header(f->data, 257);
	for (unsigned i = 0; i < 257; i++)
		put_descriptor(f->data, i, i, 1);
	expect_sense(f, SCSI_DATA_OUT, 8 + 257 * 16,
		     CDB(0x42, 0, 0, 0, 0, 0, 0, (8 + 257 * 16) >> 8, (8 + 257 * 16) & 0xff, 0),
		     SCSI_SENSE_INVALID_PARAMETER);
	put_list_header(f->data, 256);
	expect_good(f, SCSI_DATA_OUT, 8 + 256 * 16,
		    CDB(0x42, 0, 0, 0, 0, 0, 0, (8 + 256 * 16) >> 8, (8 + 256 * 16) & 0xff, 0),
		    8 + 256 * 16);
	assert_int_equal(disk_fault_seen(f->disk, DISK_UNMAP)->count, 256);
}

/* On a disk that is large enough for the other limit to count. */
static void test_unmap_blocks_limit(void **state)
{
	const uint32_t blocks = 1 << 20;
	struct fixture *f = *state;
	struct disk *disk;

	assert_int_equal(disk_null_new(f->loop, UINT64_C(16) << 30, 512, &disk), 0);
	assert_int_equal(scsi_target_attach(f->target, 1, SCSI_DEVICE_DISK, &identity, disk), 0);
	f->lun = 1;
	put_list_header(f->data, 2);
	put_descriptor(f->data, 0, 0, blocks / 2);
	put_descriptor(f->data, 1, blocks, blocks / 2);
	expect_good(f, SCSI_DATA_OUT, 40, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0), 40);
	put_descriptor(f->data, 1, blocks, blocks / 2 + 1);
	expect_sense(f, SCSI_DATA_OUT, 40, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0),
		     SCSI_SENSE_INVALID_PARAMETER);
}

static void test_write_same(void **state)
{
	struct fixture *f = *state;
	const struct disk_fault_seen *zeros = disk_fault_seen(f->disk, DISK_ZERO);

	/* A pattern, longer than a buffer. */
	fixture_fill(f, 3, 512);
	expect_good(f, SCSI_DATA_OUT, 512, CDB(0x41, 0, 0, 0, 0, 2, 0, 1, 0, 0), 512);
	for (unsigned i = 2; i < 2 + 256; i++)
		assert_memory_equal(f->bytes + i * 512, f->data, 512);
	assert_int_equal(f->bytes[2 * 512 - 1], 0);
	assert_int_equal(f->bytes[258 * 512], 0);
	/* Zeros, by data and by no data. */
	memset(f->data, 0, 512);
	expect_good(f, SCSI_DATA_OUT, 512,
		    CDB(0x93, 0x08, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0), 512);
	assert_int_equal(zeros->count, 1);
	assert_true(zeros->unmap);
	assert_int_equal(zeros->size, 4 * 512);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x93, 0x01, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 4, 0, 0),
		    0);
	assert_int_equal(zeros->count, 2);
	assert_false(zeros->unmap);
	for (size_t i = 2 * 512; i < 10 * 512; i++)
		assert_int_equal(f->bytes[i], 0);
	assert_int_equal(f->bytes[10 * 512], 3);

	expect_sense(f, SCSI_DATA_OUT, 512, CDB(0x41, 0x01, 0, 0, 0, 2, 0, 0, 0, 0),
		     SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_OUT, 512, CDB(0x41, 0, 0, 0, 0, 2, 0, 0, 0, 0),
		     SCSI_SENSE_INVALID_FIELD); /* no blocks */
	expect_sense(f, SCSI_DATA_OUT, 1024, CDB(0x41, 0, 0, 0, 0, 2, 0, 0, 1, 0),
		     SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_OUT, 511, CDB(0x41, 0, 0, 0, 0, 2, 0, 0, 1, 0),
		     SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_OUT, 512, CDB(0x41, 0x10, 0, 0, 0, 2, 0, 0, 1, 0),
		     SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_OUT, 512, CDB(0x93, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 1, 0, 0),
		     SCSI_SENSE_INVALID_FIELD); /* above the limit */
	expect_sense(f, SCSI_DATA_OUT, 512, CDB(0x41, 0, 0, 0, 0x1f, 0xff, 0, 0, 2, 0),
		     SCSI_SENSE_LBA_RANGE);
	disk_fault_fail(f->disk, DISK_ZERO, -ENOSPC, 1);
	memset(f->data, 0, 512);
	expect_sense(f, SCSI_DATA_OUT, 512, CDB(0x41, 0, 0, 0, 0, 2, 0, 0, 1, 0),
		     SCSI_SENSE_SPACE_ALLOCATION);
}

static unsigned pending;

static void count_pending(struct scsi_command *command)
{
	assert_int_equal(command->status, SCSI_GOOD);
	pending--;
}

/* More commands that need buffers than there are: all of them end. */
static void test_buffers_are_waited_for(void **state)
{
	static const uint8_t verify[10] = { 0x2f, 0, 0, 0, 0, 0, 0, 0, 200 };
	struct fixture *f = *state;
	struct scsi_command commands[20];

	disk_fault_hold(f->disk);
	pending = 20;
	for (unsigned i = 0; i < 20; i++) {
		commands[i] = (struct scsi_command){ .cdb_length = 10, .complete = count_pending };
		memcpy(commands[i].cdb, verify, sizeof(verify));
		scsi_target_execute(f->target, &commands[i]);
	}
	assert_int_equal(disk_fault_held(f->disk), 8);
	disk_fault_release(f->disk);
	for (int i = 0; i < 100 && pending; i++)
		fixture_run(f);
	assert_int_equal(pending, 0);
}

static void count_ended(struct scsi_command *command)
{
	pending--;
}

/* Who has nothing under way ends at once, and leaves the line to others. */
static void test_abort_of_waiting(void **state)
{
	struct fixture *f = *state;
	struct scsi_command commands[12];

	disk_fault_hold(f->disk);
	pending = ARRAY_SIZE(commands);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		commands[i] = (struct scsi_command){ .cdb_length = 10, .complete = count_ended };
		memcpy(commands[i].cdb, CDB(0x2f, 0, 0, 0, 0, 0, 0, 0, 200, 0));
		scsi_target_execute(f->target, &commands[i]);
	}
	for (size_t i = 8; i < 11; i++) {
		scsi_command_abort(&commands[i]);
		assert_int_equal(commands[i].status, SCSI_CHECK_CONDITION);
		assert_int_equal(commands[i].sense[2], SCSI_ABORTED_COMMAND);
	}
	assert_int_equal(pending, 9);
	disk_fault_release(f->disk);
	for (int i = 0; i < 100 && pending; i++)
		fixture_run(f);
	assert_int_equal(pending, 0);
	assert_int_equal(commands[11].status, SCSI_GOOD);
}

/* ---- States ---- */

static void test_stop_and_start(void **state)
{
	struct fixture *f = *state;

	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x1b, 0, 0, 0, 0, 0), 0);
	assert_int_equal(disk_fault_seen(f->disk, DISK_FLUSH)->count, 1);
	expect_sense(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), SCSI_SENSE_STOPPED);
	expect_sense(f, SCSI_DATA_IN, 512, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0),
		     SCSI_SENSE_STOPPED);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x1b, 0, 0, 0, 0x10, 0), 0); /* a power condition */
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x1b, 0, 0, 0, 1, 0), 0);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), 0);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x1b, 0, 0, 0, 0, 0), 0);
	scsi_target_power_on(f->target);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), 0);
}

/* The host's kernel tells of a failed flush once: each program in the guest is to hear of it. */
static void test_what_a_flush_lost_stays_lost(void **state)
{
	struct fixture *f = *state;

	disk_fault_fail(f->disk, DISK_FLUSH, -ECANCELED, 1);
	expect_sense(f, SCSI_DATA_NONE, 0, FLUSH, SCSI_SENSE_ABORTED);
	expect_good(f, SCSI_DATA_NONE, 0, FLUSH, 0);
	disk_fault_fail(f->disk, DISK_FLUSH, -EIO, 1);
	for (unsigned i = 0; i < 3; i++)
		expect_sense(f, SCSI_DATA_NONE, 0, FLUSH, SCSI_SENSE_WRITE_ERROR);
	scsi_target_reset(f->target, -1);
	expect_sense(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), SCSI_SENSE_RESET);
	expect_sense(f, SCSI_DATA_NONE, 0, FLUSH, SCSI_SENSE_WRITE_ERROR);
	scsi_target_power_on(f->target);
	expect_good(f, SCSI_DATA_NONE, 0, FLUSH, 0);
}

static void test_attentions(void **state)
{
	struct fixture *f = *state;

	scsi_target_reset(f->target, -1);
	/* INQUIRY and REPORT LUNS do not report it, and leave it. */
	expect_good(f, SCSI_DATA_IN, 36, CDB(0x12, 0, 0, 0, 36, 0), 36);
	expect_good(f, SCSI_DATA_IN, 16, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0), 16);
	expect_sense(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), SCSI_SENSE_RESET);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), 0);
	/* REQUEST SENSE takes it. */
	scsi_target_reset(f->target, 0);
	expect_good(f, SCSI_DATA_IN, 18, CDB(3, 0, 0, 0, 18, 0), 18);
	assert_memory_equal(f->data + 12, "\x29\x00", 2);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), 0);
	scsi_target_reset(f->target, 5);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), 0);
}

/* Any size that the disk below says. */
static uint64_t measured;

static int measure(const struct disk *disk, uint64_t *ret_size)
{
	*ret_size = measured;
	return 0;
}

static void test_a_larger_disk(void **state)
{
	struct fixture *f = *state;
	struct disk_ops ops = *f->disk->ops;
	const struct disk_ops *before = f->disk->ops;
	uint64_t size = f->disk->size;
	unsigned changes = f->changed;

	assert_int_equal(scsi_target_measure(f->target, 5), SCSI_E_ABSENT);
	ops.measure = NULL;
	f->disk->ops = &ops;
	assert_int_equal(scsi_target_measure(f->target, 0), SCSI_E_KIND);
	ops.measure = measure;
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), 0);
	/* It does not become smaller, and of what is as before nothing is said. */
	for (measured = size - 512; measured <= size; measured += 512)
		assert_int_equal(scsi_target_measure(f->target, 0), 0);
	assert_int_equal(f->disk->size, size);
	assert_int_equal(f->changed, changes);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), 0);

	measured = size + 512;
	assert_int_equal(scsi_target_measure(f->target, 0), 0);
	assert_int_equal(f->changed, changes + 1);
	expect_sense(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), SCSI_SENSE_CAPACITY_CHANGED);
	expect_good(f, SCSI_DATA_IN, 8, CDB(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 8);
	assert_int_equal(scsi_get_32(f->data), size / 512);
	f->disk->ops = before;
	f->disk->size = size;
}

static void test_request_sense(void **state)
{
	struct fixture *f = *state;

	expect_good(f, SCSI_DATA_IN, 18, CDB(3, 0, 0, 0, 18, 0), 18);
	assert_int_equal(f->data[2], SCSI_NO_SENSE);
	assert_int_equal(f->data[7], 10);
	expect_sense(f, SCSI_DATA_IN, 18, CDB(3, 1, 0, 0, 18, 0), SCSI_SENSE_INVALID_FIELD);
}

static void test_malformed(void **state)
{
	struct fixture *f = *state;

	expect_sense(f, SCSI_DATA_NONE, 0, CDB(0xff, 0, 0, 0, 0, 0), SCSI_SENSE_INVALID_OPCODE);
	expect_sense(f, SCSI_DATA_IN, 12, CDB(0x43, 0, 0, 0, 0, 0, 0, 0, 12, 0),
		     SCSI_SENSE_INVALID_OPCODE); /* a drive's */
	expect_sense(f, SCSI_DATA_IN, 512, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1),
		     SCSI_SENSE_INVALID_FIELD); /* CDB too short */
	expect_sense(f, SCSI_DATA_IN, 512, CDB(0x88), SCSI_SENSE_INVALID_FIELD);
}

/* Every opcode with every small CDB: whatever comes out, it ends, and nothing is written. */
static void test_every_opcode_ends(void **state)
{
	struct fixture *f = *state;

	f->disk->read_only = true;
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		for (unsigned fill = 0; fill < 256; fill += 51) {
			for (uint8_t length = 0; length <= 16; length += 4) {
				uint8_t cdb[16];

				memset(cdb, (int)fill, sizeof(cdb));
				cdb[0] = (uint8_t)opcode;
				fixture_execute(f, fill & 1 ? SCSI_DATA_IN : SCSI_DATA_OUT, 4096,
						cdb, length);
				fixture_execute(f, SCSI_DATA_NONE, 0, cdb, length);
			}
		}
	}
	assert_int_equal(disk_fault_seen(f->disk, DISK_WRITE)->count, 0);
	assert_int_equal(disk_fault_seen(f->disk, DISK_ZERO)->count, 0);
}

/* ---- The target ---- */

static void test_report_luns(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(scsi_target_attach(f->target, 63, SCSI_DEVICE_CDROM, &identity, NULL), 0);
	assert_int_equal(scsi_target_attach(f->target, 63, SCSI_DEVICE_CDROM, &identity, NULL),
			 SCSI_E_TAKEN);
	expect_good(f, SCSI_DATA_IN, 4096, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0), 24);
	assert_int_equal(scsi_get_32(f->data), 16);
	assert_int_equal(f->data[9], 0);
	assert_int_equal(f->data[17], 63);
	/* From any number, there or not. */
	f->lun = 5;
	expect_good(f, SCSI_DATA_IN, 8, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0), 8);
	assert_int_equal(scsi_get_32(f->data), 16);
	f->path = 1;
	expect_good(f, SCSI_DATA_IN, 4096, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0), 8);
	assert_int_equal(scsi_get_32(f->data), 0);
}

static void test_absent_units(void **state)
{
	struct fixture *f = *state;
	static const uint8_t places[][3] = { { 0, 0, 1 },  { 0, 1, 0 },   { 7, 0, 0 },
					     { 0, 0, 64 }, { 0, 0, 255 }, { 255, 255, 255 } };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		f->path = places[i][0];
		f->scsi_target = places[i][1];
		f->lun = places[i][2];
		expect_good(f, SCSI_DATA_IN, 36, CDB(0x12, 0, 0, 0, 36, 0), 36);
		assert_int_equal(f->data[0], SCSI_DEVICE_ABSENT);
		assert_false(f->command.absent);
		expect_sense(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), SCSI_SENSE_NO_UNIT);
		assert_true(f->command.absent);
	}
}

static void count_done(void *data)
{
	(*(unsigned *)data)++;
}

static void test_detach(void **state)
{
	struct fixture *f = *state;
	unsigned done = 0;

	disk_fault_hold(f->disk);
	fixture_start(f, SCSI_DATA_IN, 512, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
	assert_false(f->completed);
	assert_int_equal(scsi_target_detach(f->target, 0, count_done, &done), 0);
	assert_int_equal(scsi_target_detach(f->target, 0, count_done, &done), SCSI_E_ABSENT);
	fixture_run(f);
	assert_int_equal(done, 0);
	disk_fault_release(f->disk);
	while (!f->completed)
		fixture_run(f);
	assert_int_equal(f->command.status, SCSI_GOOD);
	assert_int_equal(done, 1);
	assert_int_equal(f->changed, 2);
}

/* A command of several steps ends at the next one when its unit goes. */
static void test_detach_between_steps(void **state)
{
	struct fixture *f = *state;
	unsigned done = 0;

	disk_fault_hold(f->disk);
	fixture_start(f, SCSI_DATA_NONE, 0, CDB(0x2f, 0, 0, 0, 0, 0, 0, 4, 0, 0));
	assert_int_equal(scsi_target_detach(f->target, 0, count_done, &done), 0);
	disk_fault_release(f->disk);
	while (!f->completed)
		fixture_run(f);
	assert_int_equal(f->command.status, SCSI_CHECK_CONDITION);
	assert_int_equal(done, 1);
}

/* An aborted command of several steps ends with the one that is under way. */
static void test_abort_between_steps(void **state)
{
	static const struct {
		enum scsi_direction direction;
		uint32_t size;
		uint8_t cdb[16];
		enum disk_operation operation;
	} cases[] = {
		/* VERIFY(16), WRITE SAME(16), UNMAP of two ranges */
		{ SCSI_DATA_NONE, 0, { 0x8f, [12] = 4 }, DISK_READ },
		{ SCSI_DATA_OUT, 512, { 0x93, [12] = 4 }, DISK_WRITE },
		{ SCSI_DATA_OUT, 40, { 0x42, [8] = 40 }, DISK_UNMAP },
	};
	static const uint8_t ranges[40] = { [3] = 32, [19] = 1, [31] = 9, [35] = 1 };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memcpy(f->data, ranges, sizeof(ranges));
		disk_fault_hold(f->disk);
		fixture_start(f, cases[i].direction, cases[i].size, cases[i].cdb, 16);
		scsi_command_abort(&f->command);
		fixture_run(f);
		assert_false(f->completed);
		disk_fault_release(f->disk);
		while (!f->completed)
			fixture_run(f);
		assert_int_equal(f->command.status, SCSI_CHECK_CONDITION);
		assert_int_equal(f->command.sense[2], SCSI_ABORTED_COMMAND);
		assert_int_equal(disk_fault_seen(f->disk, cases[i].operation)->count, 1);
	}
	/* What is a single request runs its course. */
	disk_fault_hold(f->disk);
	fixture_start(f, SCSI_DATA_IN, 512, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
	scsi_command_abort(&f->command);
	disk_fault_release(f->disk);
	while (!f->completed)
		fixture_run(f);
	assert_int_equal(f->command.status, SCSI_GOOD);
}

/* A unit that takes the number of another is hidden until the guest knows that one is gone. */
static void test_ghost(void **state)
{
	struct fixture *f = *state;

	expect_good(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), 0);
	assert_int_equal(scsi_target_detach(f->target, 0, NULL, NULL), 0);
	f->disk = fixture_disk(f, DISK_SIZE, 512);
	assert_int_equal(scsi_target_attach(f->target, 0, SCSI_DEVICE_DISK, &identity, f->disk), 0);
	f->changed = 0;
	expect_good(f, SCSI_DATA_IN, 16, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0), 8);
	expect_good(f, SCSI_DATA_IN, 36, CDB(0x12, 1, 0x83, 0, 36, 0), 36);
	assert_int_equal(f->data[0], SCSI_DEVICE_ABSENT);
	assert_int_equal(f->changed, 0);
	expect_sense(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), SCSI_SENSE_NO_UNIT);
	assert_int_equal(f->changed, 1);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), 0);
	assert_int_equal(f->changed, 1);
}

static void test_ghost_of_unseen(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(scsi_target_detach(f->target, 0, NULL, NULL), 0);
	f->disk = fixture_disk(f, DISK_SIZE, 512);
	assert_int_equal(scsi_target_attach(f->target, 0, SCSI_DEVICE_DISK, &identity, f->disk), 0);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_inquiry, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_vital_pages, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_names_differ, setup, fixture_teardown),
		cmocka_unit_test(test_derived_serials_differ),
		cmocka_unit_test_setup_teardown(test_capacity, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_mode_sense, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_mode_select, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_read_write_every_length, setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_transfer_lengths, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_ranges, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_flush_and_durable_writes, setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_errors_of_the_host, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_read_only, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_verify, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_unmap, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_unmap_limits, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_unmap_blocks_limit, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_write_same, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_buffers_are_waited_for, setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_abort_of_waiting, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_stop_and_start, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_what_a_flush_lost_stays_lost, setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_attentions, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_a_larger_disk, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_request_sense, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_malformed, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_every_opcode_ends, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_report_luns, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_absent_units, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_detach, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_detach_between_steps, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_abort_between_steps, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_ghost, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_ghost_of_unseen, setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
